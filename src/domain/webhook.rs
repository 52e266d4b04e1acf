//! What an account can be told of its jobs, and when telling is tried again.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// No receiver's wish for a longer wait is heard, ms.
const WAIT_MAX_MS: u64 = 24 * 3_600_000;
/// How much later than its schedule a try may come: a fifth.
const JITTER: f64 = 0.2;

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// The job was accepted, its ceiling is held.
    Queued,
    /// A worker has it. Again after each retry and take-over.
    Running,
    /// A step of a running job: submitted, stored, put off, tried again, taken back.
    Progress,
    /// Ended, charged.
    Succeeded,
    /// Ended, everything given back.
    Failed,
    /// Ended by its clock, everything given back.
    TimedOut,
    /// Ended by a cancel, everything given back.
    Cancelled,
}

/// A word that is no topic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is none of job.queued, job.running, job.progress, job.succeeded, job.failed, job.timed_out, job.cancelled, endings, all"
)]
pub struct UnknownTopic(String);

impl Topic {
    /// Every topic.
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Running,
        Self::Progress,
        Self::Succeeded,
        Self::Failed,
        Self::TimedOut,
        Self::Cancelled,
    ];

    /// The word that stands as `type` in a message.
    pub fn word(self) -> &'static str {
        match self {
            Self::Queued => "job.queued",
            Self::Running => "job.running",
            Self::Progress => "job.progress",
            Self::Succeeded => "job.succeeded",
            Self::Failed => "job.failed",
            Self::TimedOut => "job.timed_out",
            Self::Cancelled => "job.cancelled",
        }
    }

    /// The letter that stands for it in the store.
    pub fn letter(self) -> char {
        match self {
            Self::Queued => 'q',
            Self::Running => 'r',
            Self::Progress => 'p',
            Self::Succeeded => 's',
            Self::Failed => 'f',
            Self::TimedOut => 't',
            Self::Cancelled => 'c',
        }
    }

    /// What a job's event of the store means here; `None` for events that nobody is told of.
    pub fn of_event(event: &str) -> Option<Self> {
        match event {
            "submitted" => Some(Self::Queued),
            "running" => Some(Self::Running),
            "intent" | "handle" | "artifact" | "retry" | "deferred" | "taken_back" => {
                Some(Self::Progress)
            }
            "succeeded" => Some(Self::Succeeded),
            "failed" => Some(Self::Failed),
            "timed_out" => Some(Self::TimedOut),
            "cancelled" => Some(Self::Cancelled),
            _ => None,
        }
    }
}

/// What one endpoint wants to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics(BTreeSet<Topic>);

impl Topics {
    /// The four endings of a job.
    pub fn endings() -> Self {
        Self(
            [
                Topic::Succeeded,
                Topic::Failed,
                Topic::TimedOut,
                Topic::Cancelled,
            ]
            .into(),
        )
    }

    /// One letter for each.
    pub fn letters(&self) -> String {
        self.0.iter().map(|topic| topic.letter()).collect()
    }

    /// Reads [`Topics::letters`]; letters of another version are left out.
    pub fn of_letters(letters: &str) -> Self {
        let known = |letter| Topic::ALL.into_iter().find(|t| t.letter() == letter);
        Self(letters.chars().filter_map(known).collect())
    }

    /// Their words.
    pub fn words(&self) -> Vec<&'static str> {
        self.0.iter().map(|topic| topic.word()).collect()
    }
}

impl fmt::Display for Topics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            all if all.0.len() == Topic::ALL.len() => f.write_str("all"),
            endings if *endings == Self::endings() => f.write_str("endings"),
            some => f.write_str(&some.words().join(",")),
        }
    }
}

impl FromStr for Topics {
    type Err = UnknownTopic;

    /// Words between commas; `endings` and `all` stand for several.
    fn from_str(text: &str) -> Result<Self, UnknownTopic> {
        let mut topics = BTreeSet::new();
        for word in text.split(',').map(str::trim) {
            match word {
                "all" => topics.extend(Topic::ALL),
                "endings" => topics.extend(Self::endings().0),
                word => {
                    let found = Topic::ALL.into_iter().find(|topic| topic.word() == word);
                    topics.insert(found.ok_or_else(|| UnknownTopic(word.to_owned()))?);
                }
            }
        }
        Ok(Self(topics))
    }
}

/// How long the next try waits, ms, after `attempts` that did not succeed; `None` where the schedule
/// is at its end. Never earlier than the schedule or than the receiver asks (a day at most), up to a
/// fifth later. `random` lies in 0.0..1.0.
pub fn next_delay_ms(
    schedule_ms: &[u64],
    attempts: u32,
    asked_ms: Option<u64>,
    random: f64,
) -> Option<u64> {
    let place = usize::try_from(attempts.checked_sub(1)?).ok()?;
    let scheduled = *schedule_ms.get(place)?;
    let delay = scheduled.max(asked_ms.unwrap_or(0).min(WAIT_MAX_MS));
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "delays are far below 2^52 ms and the factor lies in 0..1"
    )]
    let jitter = (delay as f64 * JITTER * random.clamp(0.0, 1.0)) as u64;
    Some(delay.saturating_add(jitter))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEDULE: [u64; 3] = [5_000, 300_000, 1_800_000];

    #[test]
    fn the_schedule_has_an_end_and_jitter_only_adds() {
        let at = |attempts, random| next_delay_ms(&SCHEDULE, attempts, None, random);
        assert_eq!(at(1, 0.0), Some(5_000));
        assert_eq!(at(2, 0.0), Some(300_000));
        assert_eq!(at(3, 1.0), Some(2_160_000));
        assert_eq!(at(4, 0.0), None);
        assert_eq!(at(0, 0.0), None);
        assert!((5_000..=6_000).contains(&at(1, 0.7).unwrap()));
    }

    #[test]
    fn a_receiver_can_ask_for_later_but_not_for_sooner_or_never() {
        let asked = |ms| next_delay_ms(&SCHEDULE, 1, Some(ms), 0.0);
        assert_eq!(asked(60_000), Some(60_000));
        assert_eq!(asked(1), Some(5_000));
        assert_eq!(asked(u64::MAX), Some(WAIT_MAX_MS));
    }

    #[test]
    fn topics_are_words_for_people_and_letters_for_the_store() {
        for topic in Topic::ALL {
            let one: Topics = topic.word().parse().unwrap();
            assert_eq!(Topics::of_letters(&one.letters()), one);
            assert_eq!(one.words(), [topic.word()]);
        }
        for (text, shown) in [
            ("endings", "endings"),
            ("all", "all"),
            ("job.failed, job.queued", "job.queued,job.failed"),
            ("endings,job.queued,job.running,job.progress", "all"),
        ] {
            assert_eq!(text.parse::<Topics>().unwrap().to_string(), shown);
        }
        assert!("".parse::<Topics>().is_err());
        assert!("job.ended".parse::<Topics>().is_err());
    }
}
