//! What the layers below refuse, as problems: which kind a refusal is says `desk`, here it gets its status.

use super::problem::{Kind, Problem};
use crate::desk::Refused;
use crate::desk::refusal;
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

impl From<refusal::Kind> for Kind {
    fn from(kind: refusal::Kind) -> Self {
        match kind {
            refusal::Kind::UnknownTool => Self::UnknownTool,
            refusal::Kind::BadParameter => Self::BadParameter,
            refusal::Kind::DurationAboveMaximum => Self::DurationAboveMaximum,
            refusal::Kind::UnknownRoute => Self::UnknownRoute,
            refusal::Kind::DeadlineOutOfBounds => Self::DeadlineOutOfBounds,
            refusal::Kind::NoPrice => Self::NoPrice,
            refusal::Kind::UnknownAccount => Self::UnknownAccount,
            refusal::Kind::AccountClosed => Self::AccountClosed,
            refusal::Kind::Frozen => Self::Frozen,
            refusal::Kind::KeyMismatch => Self::KeyMismatch,
            refusal::Kind::QuoteExpired => Self::QuoteExpired,
            refusal::Kind::AboveMax => Self::AboveMax,
            refusal::Kind::Insufficient => Self::Insufficient,
            refusal::Kind::CapExceeded => Self::CapExceeded,
            refusal::Kind::QueueFull => Self::QueueFull,
            refusal::Kind::QueueDraining => Self::QueueDraining,
            refusal::Kind::LaneFull => Self::LaneFull,
            refusal::Kind::ForeignJob => Self::BadRequest,
            refusal::Kind::PayloadTooLarge => Self::PayloadTooLarge,
            refusal::Kind::TooFarAhead => Self::TooFarAhead,
            refusal::Kind::UnknownJob => Self::UnknownJob,
            refusal::Kind::NotADeadLetter => Self::NotADeadLetter,
            refusal::Kind::PayerMismatch => Self::PayerMismatch,
            refusal::Kind::IdTaken => Self::Internal,
            refusal::Kind::Overflow => Self::Overflow,
            refusal::Kind::BadAmount => Self::BadRequest,
            refusal::Kind::OperationMismatch => Self::OperationMismatch,
            refusal::Kind::NotGrantable => Self::NotGrantable,
            refusal::Kind::PurchaseExpires => Self::PurchaseExpires,
            refusal::Kind::ExpiredAlready => Self::ExpiredAlready,
            refusal::Kind::TooManyGrants => Self::TooManyGrants,
            refusal::Kind::UnknownPayment => Self::UnknownPayment,
            refusal::Kind::AbovePayment => Self::AbovePayment,
            refusal::Kind::NotCaptured => Self::NotCaptured,
            refusal::Kind::AboveCaptured => Self::AboveCaptured,
            refusal::Kind::Nothing => Self::Nothing,
            refusal::Kind::AlreadyTaken => Self::AlreadyTaken,
            refusal::Kind::AccountFrozen => Self::Frozen,
            refusal::Kind::HasOpenJobs => Self::HasOpenJobs,
            refusal::Kind::UnknownEndpoint => Self::UnknownEndpoint,
            refusal::Kind::UnknownMessage => Self::UnknownMessage,
            refusal::Kind::BadUrl => Self::BadUrl,
            refusal::Kind::EndpointDisabled => Self::EndpointDisabled,
            refusal::Kind::TooManyEndpoints => Self::TooManyEndpoints,
            refusal::Kind::OutboxFull => Self::OutboxFull,
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        // Why it is frozen is for operators.
        if refused.kind == refusal::Kind::Frozen {
            return Self::new(Kind::Frozen, "the account is frozen");
        }
        let problem = Self::new(refused.kind.into(), refused.sentence);
        let facts = refused.facts.into_iter();
        let problem = facts.fold(problem, |problem, (name, value)| problem.with(name, value));
        match refused.kind == refusal::Kind::QueueDraining {
            true => problem.retry_after(60),
            false => problem,
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Refused::from(refusal).into()
    }
}

impl From<SubmitRefusal> for Problem {
    fn from(refusal: SubmitRefusal) -> Self {
        Refused::from(refusal).into()
    }
}

impl From<RedriveRefusal> for Problem {
    fn from(refusal: RedriveRefusal) -> Self {
        Refused::from(refusal).into()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_called_the_same_here() {
        for kind in refusal::Kind::ALL {
            let expected = match kind {
                refusal::Kind::ForeignJob | refusal::Kind::BadAmount => "bad_request",
                refusal::Kind::AccountFrozen => "frozen",
                refusal::Kind::IdTaken => "internal",
                kind => kind.word(),
            };
            assert_eq!(Kind::from(*kind).word(), expected);
        }
    }
}
