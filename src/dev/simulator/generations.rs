//! One generation: what state it is in at a given moment. Nothing runs; time alone moves it.

use serde::Deserialize;

use crate::domain::failure::FailureClass;

use super::knobs::Knobs;
use super::making::{Kind, LENGTH_MS_MAX};

/// Length of clips where none is asked for.
const DURATION_MS_DEFAULT: u64 = 5_000;

/// Most outputs of one generation.
const COUNT_MAX: u32 = 16;

/// What a caller sends. Fields that are not listed here are taken and ignored.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Request {
    /// The kind of output.
    pub(super) kind: Kind,
    duration_ms: Option<u64>,
    count: Option<u32>,
    /// The caller's name for this submission: `<job>-<submission>`.
    pub(super) submission: Option<String>,
    sim: Option<Knobs>,
}

/// How a failure shows itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Showing {
    /// As the answer to the POST; nothing is started.
    AtOnce,
    /// As the end of a generation.
    AtTheEnd,
    /// Not by this knob.
    Never,
}

/// When a failure of this class shows itself.
pub(super) fn showing(class: FailureClass) -> Showing {
    match class {
        FailureClass::UserInput
        | FailureClass::OurAuth
        | FailureClass::OurBalance
        | FailureClass::RateLimited
        | FailureClass::Capacity => Showing::AtOnce,
        FailureClass::ContentPolicy | FailureClass::ProviderFault | FailureClass::Lost => {
            Showing::AtTheEnd
        }
        FailureClass::UnknownOutcome | FailureClass::Timeout => Showing::Never,
    }
}

impl Request {
    /// Checks the limits.
    ///
    /// # Errors
    /// A sentence for the caller.
    pub(super) fn check(&self) -> Result<(), String> {
        let lengths = [
            ("duration_ms", self.duration_ms),
            ("actual_ms", self.knobs().actual_ms),
        ];
        for (name, length_ms) in lengths {
            if length_ms.is_some_and(|ms| ms == 0 || ms > LENGTH_MS_MAX) {
                return Err(format!("{name} must be 1 to {LENGTH_MS_MAX}"));
            }
        }
        if self
            .count
            .is_some_and(|count| count == 0 || count > COUNT_MAX)
        {
            return Err(format!("count must be 1 to {COUNT_MAX}"));
        }
        match self.knobs().fail {
            Some(class) if showing(class) == Showing::Never => Err(format!(
                "{class} is no answer of a provider: use hang or drop_after_accept"
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// The knobs, or those of a caller who sent none.
    pub(super) fn knobs(&self) -> Knobs {
        self.sim.clone().unwrap_or_default()
    }
}

/// Where a generation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// Accepted.
    Queued,
    /// At work.
    Running,
    /// Done; the outputs can be fetched.
    Succeeded,
    /// Ended by this failure.
    Failed(FailureClass),
    /// Ended by a cancel.
    Canceled,
    /// Forgotten: asking for it finds nothing.
    Lost,
}

impl Status {
    /// True where nothing more will happen.
    pub(super) fn is_final(self) -> bool {
        match self {
            Self::Queued | Self::Running => false,
            Self::Succeeded | Self::Failed(_) | Self::Canceled | Self::Lost => true,
        }
    }
}

/// A generation that was started. Times are milliseconds since the simulator began.
#[derive(Debug, Clone)]
pub(super) struct Generation {
    pub(super) id: String,
    pub(super) kind: Kind,
    pub(super) count: u32,
    /// Length that was asked for.
    pub(super) asked_ms: u64,
    /// Its outputs are made from this and their position.
    pub(super) seed: u64,
    pub(super) knobs: Knobs,
    started_ms: u64,
    canceled_ms: Option<u64>,
}

impl Generation {
    /// Starts one.
    pub(super) fn start(id: String, request: &Request, seed: u64, now_ms: u64) -> Self {
        Self {
            id,
            kind: request.kind,
            count: request.count.unwrap_or(1),
            asked_ms: request.duration_ms.unwrap_or(DURATION_MS_DEFAULT),
            seed,
            knobs: request.knobs(),
            started_ms: now_ms,
            canceled_ms: None,
        }
    }

    /// When it ends, or `None` where it never does.
    pub(super) fn ends_ms(&self) -> Option<u64> {
        match (self.canceled_ms, self.knobs.late_after_cancel_ms) {
            (Some(canceled_ms), Some(late_ms)) => Some(canceled_ms.saturating_add(late_ms)),
            (Some(canceled_ms), None) => Some(canceled_ms),
            (None, _) if self.knobs.hang => None,
            (None, _) => Some(self.started_ms.saturating_add(self.knobs.delay_ms)),
        }
    }

    /// Its state at a moment.
    pub(super) fn status(&self, now_ms: u64) -> Status {
        let ended = self.ends_ms().is_some_and(|ends_ms| now_ms >= ends_ms);
        if !ended {
            let waited_ms = now_ms.saturating_sub(self.started_ms);
            let queued = waited_ms < self.knobs.delay_ms / 10 && self.canceled_ms.is_none();
            return if queued {
                Status::Queued
            } else {
                Status::Running
            };
        }
        match (
            self.canceled_ms,
            self.knobs.late_after_cancel_ms,
            self.knobs.fail,
        ) {
            (Some(_), None, _) => Status::Canceled,
            (Some(_), Some(_), _) | (None, _, None) => Status::Succeeded,
            (None, _, Some(FailureClass::Lost)) => Status::Lost,
            (None, _, Some(class)) => Status::Failed(class),
        }
    }

    /// Cancels it, unless it has ended or was cancelled before.
    pub(super) fn cancel(&mut self, now_ms: u64) {
        if !self.status(now_ms).is_final() && self.canceled_ms.is_none() {
            self.canceled_ms = Some(now_ms);
        }
    }

    /// How far it is, from 0 to 1. What never ends stays in the middle.
    pub(super) fn progress(&self, now_ms: u64) -> f64 {
        if self.status(now_ms).is_final() {
            return 1.0;
        }
        let Some(ends_ms) = self.ends_ms() else {
            return 0.5;
        };
        let whole_ms = ends_ms.saturating_sub(self.started_ms).max(1);
        now_ms.saturating_sub(self.started_ms) as f64 / whole_ms as f64
    }

    /// Length the answer claims. Pictures have none.
    pub(super) fn reported_ms(&self) -> Option<u64> {
        match (self.knobs.reported_ms, self.kind) {
            (Some(claim), _) => claim,
            (None, Kind::Image) => None,
            (None, Kind::Video | Kind::Audio) => Some(self.asked_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(json: &str) -> Request {
        serde_json::from_str(json).unwrap()
    }

    fn started(sim: &str) -> Generation {
        let request = request(&format!(r#"{{"kind":"video","sim":{sim}}}"#));
        request.check().unwrap();
        Generation::start("gen-1".to_owned(), &request, 0, 1_000)
    }

    #[test]
    fn time_moves_a_generation_to_its_end() {
        let generation = started(r#"{"delay_ms":100}"#);
        assert_eq!(generation.status(1_000), Status::Queued);
        assert_eq!(generation.status(1_010), Status::Running);
        assert_eq!(generation.status(1_099), Status::Running);
        assert_eq!(generation.status(1_100), Status::Succeeded);
        assert!((generation.progress(1_050) - 0.5).abs() < f64::EPSILON);
    }

    #[test]
    fn failures_show_at_the_end() {
        let policy = started(r#"{"delay_ms":100,"fail":"content_policy"}"#);
        assert_eq!(policy.status(1_099), Status::Running);
        assert_eq!(
            policy.status(1_100),
            Status::Failed(FailureClass::ContentPolicy)
        );
        assert_eq!(
            started(r#"{"delay_ms":0,"fail":"lost"}"#).status(1_000),
            Status::Lost
        );
    }

    #[test]
    fn what_hangs_runs_until_it_is_cancelled() {
        let mut generation = started(r#"{"hang":true}"#);
        assert_eq!(generation.status(u64::MAX), Status::Running);
        generation.cancel(5_000);
        assert_eq!(generation.status(5_000), Status::Canceled);
    }

    #[test]
    fn an_end_is_not_cancelled_any_more() {
        let mut generation = started(r#"{"delay_ms":100}"#);
        generation.cancel(1_100);
        assert_eq!(generation.status(1_100), Status::Succeeded);
    }

    #[test]
    fn a_cancel_that_is_not_obeyed_leads_to_a_late_success() {
        let mut generation = started(r#"{"hang":true,"late_after_cancel_ms":300}"#);
        generation.cancel(2_000);
        generation.cancel(2_200);
        assert_eq!(generation.status(2_299), Status::Running);
        assert_eq!(generation.status(2_300), Status::Succeeded);
    }

    #[test]
    fn limits_are_checked() {
        for json in [
            r#"{"kind":"video","duration_ms":0}"#,
            r#"{"kind":"video","duration_ms":600001}"#,
            r#"{"kind":"video","sim":{"actual_ms":0}}"#,
            r#"{"kind":"image","count":0}"#,
            r#"{"kind":"image","count":17}"#,
            r#"{"kind":"image","sim":{"fail":"timeout"}}"#,
        ] {
            assert!(request(json).check().is_err(), "{json}");
        }
        assert!(
            request(r#"{"kind":"image","sim":null,"input":{"a":1}}"#)
                .check()
                .is_ok()
        );
    }
}
