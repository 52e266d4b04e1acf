//! Refusals of the layers below: which kind each is, in which words, and what a program may want to know.
//! Each match is exhaustive: a new refusal has to say here what it is to a caller.

use serde_json::Value;

use crate::domain::catalogue::Refusal;
use crate::domain::time::rfc3339;
use crate::store::{RedriveRefusal, SubmitRefusal};

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $word:literal;)*) => {
        /// What is refused. The word never changes; programs go by it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind {
            $($(#[$doc])* $name,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word for programs.
            pub fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

kinds! {
    /// There is no such tool.
    UnknownTool = "unknown_tool";
    /// A parameter does not fit its schema.
    BadParameter = "bad_parameter";
    /// More than the longest output.
    DurationAboveMaximum = "duration_above_maximum";
    /// The tool has no such route.
    UnknownRoute = "unknown_route";
    /// A deadline that the tool does not let through.
    DeadlineOutOfBounds = "deadline_out_of_bounds";
    /// The rate cannot be applied.
    NoPrice = "no_price";
    /// There is no such account.
    UnknownAccount = "unknown_account";
    /// The account is not open.
    AccountClosed = "account_closed";
    /// The account or its partition stands still until an operator clears it.
    Frozen = "frozen";
    /// The idempotency key belongs to another request.
    KeyMismatch = "key_mismatch";
    /// The quote is gone.
    QuoteExpired = "quote_expired";
    /// The ceiling is above the maximum given.
    AboveMax = "above_max";
    /// Not enough credits.
    Insufficient = "insufficient";
    /// A cap of the account would be passed.
    CapExceeded = "cap_exceeded";
    /// The store takes no more jobs.
    QueueFull = "queue_full";
    /// The queue is being drained.
    QueueDraining = "queue_draining";
    /// The account has too many waiting jobs.
    LaneFull = "lane_full";
    /// A job id that was made for another account.
    ForeignJob = "foreign_job";
    /// The parameters are too long.
    PayloadTooLarge = "payload_too_large";
    /// Due too late.
    TooFarAhead = "too_far_ahead";
    /// There is no such job.
    UnknownJob = "unknown_job";
    /// The job is open, ended well, or was retried or dropped before.
    NotADeadLetter = "not_a_dead_letter";
    /// The dead letter was retried before, and somebody else pays for that.
    PayerMismatch = "payer_mismatch";
    /// An id that was made for something new is taken: a fault of ours.
    IdTaken = "id_taken";
    /// The totals would leave the range of amounts.
    Overflow = "overflow";
    /// An amount that is none, or not above zero.
    BadAmount = "bad_amount";
    /// The operation id belongs to another operation.
    OperationMismatch = "operation_mismatch";
    /// A kind of credit that is made by the store alone.
    NotGrantable = "not_grantable";
    /// Purchased credits never expire.
    PurchaseExpires = "purchase_expires";
    /// The expiry is not in the future.
    ExpiredAlready = "expired_already";
    /// The account has too many live grants.
    TooManyGrants = "too_many_grants";
    /// Nothing was granted under the payment's operation id.
    UnknownPayment = "unknown_payment";
    /// More than is left of a payment.
    AbovePayment = "above_payment";
    /// A job that was not charged has nothing to refund.
    NotCaptured = "not_captured";
    /// More than is left of a charge.
    AboveCaptured = "above_captured";
    /// There is nothing left to do it to.
    Nothing = "nothing";
    /// The reward was taken before.
    AlreadyTaken = "already_taken";
    /// Nothing is taken from a frozen account.
    AccountFrozen = "account_frozen";
    /// An account with open jobs is not closed.
    HasOpenJobs = "has_open_jobs";
    /// There is no such endpoint.
    UnknownEndpoint = "unknown_endpoint";
    /// No such message was given up.
    UnknownMessage = "unknown_message";
    /// An address that messages are never posted to.
    BadUrl = "bad_url";
    /// The endpoint is disabled.
    EndpointDisabled = "endpoint_disabled";
    /// The account has as many endpoints as it may.
    TooManyEndpoints = "too_many_endpoints";
    /// The endpoint's outbox has no room.
    OutboxFull = "outbox_full";
}

/// Something that was refused: nothing happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Which kind of refusal it is.
    pub kind: Kind,
    /// What it is this time, a sentence.
    pub sentence: String,
    /// More that a program may want to know, by name.
    pub facts: Vec<(&'static str, Value)>,
}

impl Refused {
    pub(crate) fn new(kind: Kind, sentence: impl Into<String>) -> Self {
        Self {
            kind,
            sentence: sentence.into(),
            facts: Vec::new(),
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.facts.push((name, value.into()));
        self
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let kind = match &refusal {
            Refusal::UnknownTool { .. } => Kind::UnknownTool,
            Refusal::BadParameter { .. } => Kind::BadParameter,
            Refusal::DurationAboveMaximum { .. } => Kind::DurationAboveMaximum,
            Refusal::UnknownRoute { .. } => Kind::UnknownRoute,
            Refusal::DeadlineOutOfBounds { .. } => Kind::DeadlineOutOfBounds,
            Refusal::NoPrice(_) => Kind::NoPrice,
        };
        let refused = Self::new(kind, refusal.to_string());
        match refusal {
            Refusal::BadParameter { pointer, .. } => refused.with("parameter", pointer),
            Refusal::DurationAboveMaximum { longest_ms, .. } => {
                refused.with("longest_ms", longest_ms)
            }
            Refusal::UnknownTool { .. }
            | Refusal::UnknownRoute { .. }
            | Refusal::DeadlineOutOfBounds { .. }
            | Refusal::NoPrice(_) => refused,
        }
    }
}

impl From<SubmitRefusal> for Refused {
    fn from(refusal: SubmitRefusal) -> Self {
        let sentence = refusal.to_string();
        let of = |kind| Self::new(kind, sentence.clone());
        match refusal {
            SubmitRefusal::UnknownAccount(_) => of(Kind::UnknownAccount),
            SubmitRefusal::AccountClosed(_) => of(Kind::AccountClosed),
            SubmitRefusal::Frozen { account, reason } => of(Kind::Frozen)
                .with("account", account)
                .with("reason", reason),
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
            } => {
                let until = rfc3339(until_ms);
                let ends = until.iter().map(|at| format!("; the {period} ends {at}"));
                let sentence = ends.fold(sentence, |said, more| said + &more);
                Self::new(Kind::CapExceeded, sentence)
                    .with("cap", period)
                    .with("until", until)
                    .with("need_ucr", need.get())
                    .with("left_ucr", left.get())
            }
            SubmitRefusal::QueueFull => of(Kind::QueueFull),
            SubmitRefusal::QueueDraining(queue) => of(Kind::QueueDraining).with("queue", queue),
            SubmitRefusal::LaneFull => of(Kind::LaneFull),
            SubmitRefusal::ForeignJob(_) => of(Kind::ForeignJob),
            SubmitRefusal::PayloadTooLarge { bytes, max } => of(Kind::PayloadTooLarge)
                .with("bytes", bytes)
                .with("max_bytes", max),
            SubmitRefusal::TooFarAhead { max_ms } => of(Kind::TooFarAhead).with("max_ms", max_ms),
        }
    }
}

impl From<RedriveRefusal> for Refused {
    fn from(refusal: RedriveRefusal) -> Self {
        let sentence = refusal.to_string();
        let of = |kind| Self::new(kind, sentence.clone());
        match refusal {
            RedriveRefusal::UnknownJob(_) => of(Kind::UnknownJob),
            RedriveRefusal::NotDead { state, .. } => of(Kind::NotADeadLetter).with("state", state),
            RedriveRefusal::Dropped(_) => of(Kind::NotADeadLetter).with("state", "dropped"),
            RedriveRefusal::OtherPayer { job, payer } => of(Kind::PayerMismatch)
                .with("new_job", job.as_str())
                .with("payer", payer.as_str()),
            RedriveRefusal::JobExists(_) => of(Kind::IdTaken),
            RedriveRefusal::Overflow => of(Kind::Overflow),
            RedriveRefusal::Submit(refusal) => refusal.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::credits::Ucr;

    #[test]
    fn every_kind_has_its_own_word() {
        let words: std::collections::BTreeSet<_> = Kind::ALL.iter().map(|k| k.word()).collect();
        assert_eq!(words.len(), Kind::ALL.len());
    }

    #[test]
    fn a_cap_says_when_its_period_ends() {
        let refused = Refused::from(SubmitRefusal::CapExceeded {
            period: "day".to_owned(),
            until_ms: 1_800_000_000_000,
            need: Ucr::from_credits(9),
            left: Ucr::from_credits(2),
        });
        assert_eq!(refused.kind, Kind::CapExceeded);
        let end = "; the day ends 2027-01-15T08:00:00.000Z";
        assert!(refused.sentence.ends_with(end), "{}", refused.sentence);
        let left = ("left_ucr", Value::from(2_000_000));
        assert!(refused.facts.contains(&left), "{:?}", refused.facts);
    }
}
