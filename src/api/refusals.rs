//! What the layers below refuse, as problems. Each match is exhaustive: a new refusal has to say here what
//! it is to a caller.

use super::problem::{Kind, Problem};
use super::text::rfc3339;
use crate::domain::catalogue::Refusal;
use crate::domain::credits::AmountError;
use crate::domain::ids::{AccountId, BadId, JobId};
use crate::ledger::postgres;
use crate::producer;
use crate::store::{self, RedriveRefusal, SubmitRefusal};

impl Problem {
    /// The same words for a job that is not there and for one of somebody else.
    pub(super) fn unknown_job(job: &str) -> Self {
        Self::new(Kind::UnknownJob, format!("there is no job {job}"))
    }

    /// The same words for an account that is not there and for somebody else's.
    pub(super) fn unknown_account(account: &AccountId) -> Self {
        let detail = format!("there is no account {account}");
        Self::new(Kind::UnknownAccount, detail)
    }

    /// The same problem of a call that changed nothing: a lost answer is then as good as no connection.
    pub(super) fn harmless(error: store::Error) -> Self {
        match error {
            store::Error::Unknown(text) => store::Error::Unreachable(text).into(),
            other => other.into(),
        }
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        let kind = match &error {
            store::Error::Unreachable(_) | store::Error::Unfit(_) => Kind::StoreUnavailable,
            store::Error::Unknown(_) => Kind::UnknownOutcome,
            store::Error::Full => Kind::StoreFull,
            store::Error::Incompatible(_)
            | store::Error::Script { .. }
            | store::Error::Reply { .. } => Kind::Internal,
        };
        tracing::warn!(problem = kind.word(), "failed to {error}");
        // The store's own words may name hosts: they are for the log.
        Self::new(kind, kind.title())
    }
}

impl From<postgres::Error> for Problem {
    /// Of reading: nothing was changed.
    fn from(error: postgres::Error) -> Self {
        match error {
            postgres::Error::Store(error) => Self::harmless(error),
            postgres::Error::Unreachable(_)
            | postgres::Error::Refused(_)
            | postgres::Error::Unfit(_)
            | postgres::Error::Taken(_)
            | postgres::Error::Rule(_) => {
                tracing::warn!(%error, "failed to {error}");
                Self::new(
                    Kind::StoreUnavailable,
                    "what is asked for stands in history, which does not answer",
                )
            }
        }
    }
}

impl From<producer::Error> for Problem {
    fn from(error: producer::Error) -> Self {
        match error {
            producer::Error::Request(refusal) => refusal.into(),
            producer::Error::Refused(refusal) => refusal.into(),
            producer::Error::Store(error) => error.into(),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let kind = match &refusal {
            Refusal::UnknownTool { .. } => Kind::UnknownTool,
            Refusal::BadParameter { .. } => Kind::BadParameter,
            Refusal::DurationAboveMaximum { .. } => Kind::DurationAboveMaximum,
            Refusal::UnknownRoute { .. } => Kind::UnknownRoute,
            Refusal::DeadlineOutOfBounds { .. } => Kind::DeadlineOutOfBounds,
            Refusal::NoPrice(_) => Kind::NoPrice,
        };
        let problem = Self::new(kind, refusal.to_string());
        match refusal {
            Refusal::BadParameter { pointer, .. } => problem.with("parameter", pointer),
            Refusal::DurationAboveMaximum { longest_ms, .. } => {
                problem.with("longest_ms", longest_ms)
            }
            Refusal::UnknownTool { .. }
            | Refusal::UnknownRoute { .. }
            | Refusal::DeadlineOutOfBounds { .. }
            | Refusal::NoPrice(_) => problem,
        }
    }
}

impl From<SubmitRefusal> for Problem {
    fn from(refusal: SubmitRefusal) -> Self {
        let detail = refusal.to_string();
        let of = |kind| Self::new(kind, detail.clone());
        match refusal {
            SubmitRefusal::UnknownAccount(_) => of(Kind::UnknownAccount),
            SubmitRefusal::AccountClosed(_) => of(Kind::AccountClosed),
            // Why it is frozen is for operators.
            SubmitRefusal::Frozen { .. } => Self::new(Kind::Frozen, "the account is frozen"),
            SubmitRefusal::KeyMismatch(job) => of(Kind::KeyMismatch).with("job", job),
            SubmitRefusal::QuoteExpired => of(Kind::QuoteExpired),
            SubmitRefusal::AboveMax { ceiling } => {
                of(Kind::AboveMax).with("ceiling_ucr", ceiling.get())
            }
            SubmitRefusal::Insufficient {
                need,
                available_ucr,
            } => of(Kind::Insufficient)
                .with("need_ucr", need.get())
                .with("available_ucr", available_ucr),
            SubmitRefusal::CapExceeded {
                period,
                until_ms,
                need,
                left,
            } => of(Kind::CapExceeded)
                .with("cap", period)
                .with("until", rfc3339(until_ms))
                .with("need_ucr", need.get())
                .with("left_ucr", left.get()),
            SubmitRefusal::QueueFull => of(Kind::QueueFull),
            SubmitRefusal::QueueDraining(queue) => {
                of(Kind::QueueDraining).with("queue", queue).retry_after(60)
            }
            SubmitRefusal::LaneFull => of(Kind::LaneFull),
            SubmitRefusal::ForeignJob(_) => of(Kind::BadRequest),
            SubmitRefusal::PayloadTooLarge { bytes, max } => of(Kind::PayloadTooLarge)
                .with("bytes", bytes)
                .with("max_bytes", max),
            SubmitRefusal::TooFarAhead { max_ms } => of(Kind::TooFarAhead).with("max_ms", max_ms),
        }
    }
}

impl From<RedriveRefusal> for Problem {
    fn from(refusal: RedriveRefusal) -> Self {
        let detail = refusal.to_string();
        let of = |kind| Self::new(kind, detail.clone());
        match refusal {
            RedriveRefusal::UnknownJob(_) => of(Kind::UnknownJob),
            RedriveRefusal::NotDead { state, .. } => of(Kind::NotADeadLetter).with("state", state),
            RedriveRefusal::Dropped(_) => of(Kind::NotADeadLetter),
            RedriveRefusal::OtherPayer { job, payer } => of(Kind::PayerMismatch)
                .with("job", job.as_str())
                .with("payer", payer.as_str()),
            RedriveRefusal::JobExists(_) => of(Kind::Internal),
            RedriveRefusal::Overflow => of(Kind::Overflow),
            RedriveRefusal::Submit(refusal) => refusal.into(),
        }
    }
}

impl From<AmountError> for Problem {
    fn from(error: AmountError) -> Self {
        Self::new(Kind::BadRequest, format!("failed to {error}"))
    }
}

impl From<BadId> for Problem {
    fn from(error: BadId) -> Self {
        Self::new(Kind::BadRequest, error.to_string())
    }
}

/// The id, where it can be one of this store: a text that is none is simply not there.
pub(super) fn job_id(store: &store::Store, text: &str) -> Result<JobId, Problem> {
    let id: Option<JobId> = text.parse().ok();
    id.filter(|id| id.partition() < store.partitions())
        .ok_or_else(|| Problem::unknown_job(text))
}
