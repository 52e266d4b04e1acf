//! What the layers below refuse, as kinds of failure.

use super::Kind;
use crate::desk::refusal;

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
            refusal::Kind::ForeignJob => Self::Usage,
            refusal::Kind::PayloadTooLarge => Self::PayloadTooLarge,
            refusal::Kind::TooFarAhead => Self::TooFarAhead,
            refusal::Kind::UnknownJob => Self::UnknownJob,
            refusal::Kind::NotADeadLetter => Self::NotADeadLetter,
            refusal::Kind::PayerMismatch => Self::PayerMismatch,
            refusal::Kind::IdTaken => Self::StoreError,
            refusal::Kind::Overflow => Self::Overflow,
            refusal::Kind::BadAmount => Self::BadAmount,
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
            refusal::Kind::AccountFrozen => Self::AccountFrozen,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_called_the_same_here() {
        for kind in refusal::Kind::ALL {
            let expected = match kind {
                // Made here, by us: nobody else can name such an id.
                refusal::Kind::ForeignJob => "usage",
                refusal::Kind::IdTaken => "store_error",
                kind => kind.word(),
            };
            assert_eq!(Kind::from(*kind).word(), expected);
        }
    }
}
