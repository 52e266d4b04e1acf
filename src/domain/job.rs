//! A job's states, and the one function that says which change leads where.

use serde::{Deserialize, Serialize};

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits for a time: delayed by its producer, deferred, or between two tries. `tick` takes it on.
    Scheduled,
    /// Stands in a ready stream or in its account's lane. `claim` takes it on.
    Queued,
    /// A worker holds its token.
    Running,
    /// Ended: charged for what was measured.
    Succeeded,
    /// Ended: an error, everything given back.
    Failed,
    /// Ended by `queue_ttl` or `deadline`, everything given back.
    TimedOut,
    /// Ended by its producer or an operator, everything given back.
    Cancelled,
}

/// What can happen to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// Its time has come.
    FallDue,
    /// A worker takes it.
    Claim,
    /// Its worker puts it back, or was found dead.
    PutBack,
    /// Its worker wants to try again later (a retry or a limit).
    Reschedule,
    /// Its worker delivered and measured an output.
    Settle,
    /// Its worker, or the limit on takeovers, gave up.
    Fail,
    /// One of its two clocks ran out.
    RunOut,
    /// Its producer or an operator ended it.
    Cancel,
}

/// A change that cannot happen to a job in this state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a {state} job cannot {change:?}")]
pub struct IllegalChange {
    state: State,
    change: Change,
}

impl State {
    /// Every state, in the order of a job's way.
    pub const ALL: [Self; 7] = [
        Self::Scheduled,
        Self::Queued,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::TimedOut,
        Self::Cancelled,
    ];

    /// The word in the store and in replies.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state a word stands for.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// A terminal state is never left, and its hold has ended.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Scheduled | Self::Queued | Self::Running => false,
            Self::Succeeded | Self::Failed | Self::TimedOut | Self::Cancelled => true,
        }
    }

    /// The state after `change`, or a refusal: the whole state machine.
    pub fn after(self, change: Change) -> Result<Self, IllegalChange> {
        let illegal = Err(IllegalChange {
            state: self,
            change,
        });
        match (self, change) {
            (Self::Scheduled, Change::FallDue) => Ok(Self::Queued),
            (Self::Queued, Change::Claim) => Ok(Self::Running),
            (Self::Running, Change::PutBack) => Ok(Self::Queued),
            (Self::Running, Change::Reschedule) => Ok(Self::Scheduled),
            (Self::Running, Change::Settle) => Ok(Self::Succeeded),
            (Self::Running, Change::Fail) => Ok(Self::Failed),
            (Self::Scheduled | Self::Queued | Self::Running, Change::RunOut) => Ok(Self::TimedOut),
            (Self::Scheduled | Self::Queued | Self::Running, Change::Cancel) => Ok(Self::Cancelled),
            (Self::Scheduled | Self::Queued, _) => illegal,
            (Self::Running, Change::FallDue | Change::Claim) => illegal,
            (Self::Succeeded | Self::Failed | Self::TimedOut | Self::Cancelled, _) => illegal,
        }
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How urgent a producer says its job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Claimed before everything but resumed jobs.
    High,
    /// The usual.
    #[default]
    Normal,
    /// Claimed when nothing else waits, and first at every eighth claim.
    Low,
}

impl Priority {
    /// The word in the store and in replies.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }
}

impl std::str::FromStr for Priority {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        [Self::High, Self::Normal, Self::Low]
            .into_iter()
            .find(|p| p.as_str() == word)
            .ok_or_else(|| format!("priority {word:?} is none of high, normal, low"))
    }
}

/// How far the current submission has come, as written down before each next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Nothing was sent to a provider.
    Fresh,
    /// About to POST, or POSTed without an answer.
    Intent,
    /// The provider gave a handle.
    Handle,
    /// The output is stored and priced: only the settlement is missing.
    Artifact,
}

impl Stage {
    /// The stage a word of the store stands for; the empty word is [`Stage::Fresh`].
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "" => Some(Self::Fresh),
            "intent" => Some(Self::Intent),
            "handle" => Some(Self::Handle),
            "artifact" => Some(Self::Artifact),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGES: [Change; 8] = [
        Change::FallDue,
        Change::Claim,
        Change::PutBack,
        Change::Reschedule,
        Change::Settle,
        Change::Fail,
        Change::RunOut,
        Change::Cancel,
    ];

    #[test]
    fn terminal_states_are_never_left() {
        for state in State::ALL.into_iter().filter(|s| s.is_terminal()) {
            for change in CHANGES {
                assert!(state.after(change).is_err(), "{state} {change:?}");
            }
        }
    }

    #[test]
    fn every_open_state_can_end_by_clock_and_by_cancel() {
        for state in State::ALL.into_iter().filter(|s| !s.is_terminal()) {
            assert_eq!(state.after(Change::RunOut), Ok(State::TimedOut));
            assert_eq!(state.after(Change::Cancel), Ok(State::Cancelled));
        }
    }

    #[test]
    fn only_a_running_job_can_be_charged() {
        for state in State::ALL {
            assert_eq!(state.after(Change::Settle).is_ok(), state == State::Running);
        }
    }

    #[test]
    fn words_and_states_are_one_to_one() {
        for state in State::ALL {
            assert_eq!(State::from_word(state.as_str()), Some(state));
        }
        assert_eq!(State::from_word("done"), None);
    }
}
