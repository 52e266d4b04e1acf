//! How a command ends when it does not end well: the kinds of failure, their words and exit codes.
//!
//! Scripts rely on both, so they stand in this file alone.

use std::io;

use serde_json::{Map, Value, json};

pub(super) use super::exit::Exit;
use crate::domain::catalogue::Refusal;
use crate::domain::credits::AmountError;
use crate::domain::ids::{AccountId, BadId};
use crate::domain::problem::Problem;
use crate::producer;
use crate::store::{self, SubmitRefusal};

/// What the exit codes mean, as `--help` shows it.
pub(super) const EXIT_CODES: &str = "Exit codes:
  0  done
  1  failed, or the store could not be reached before anything was sent
  2  usage: a bad flag, setting, tool, parameter, route or amount
  3  there is no such account, job, queue, worker or provider
  4  refused by a rule, such as not enough credits; nothing changed
  5  unknown outcome: the answer was lost. Repeat with the key that is printed";

/// Every kind of failure a command can end with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Bad flags, or flags that do not go together.
    Usage,
    /// An amount that is none, is not above zero, or is too large.
    BadAmount,
    /// A line of a file that is not what it should be.
    BadLine,
    /// Settings, catalogue or provider files that are wrong.
    BadConfig,
    /// See [`Refusal::UnknownTool`].
    UnknownTool,
    /// See [`Refusal::BadParameter`].
    BadParameter,
    /// See [`Refusal::DurationAboveMaximum`].
    DurationAboveMaximum,
    /// See [`Refusal::UnknownRoute`].
    UnknownRoute,
    /// See [`Refusal::DeadlineOutOfBounds`].
    DeadlineOutOfBounds,
    /// See [`Refusal::NoPrice`].
    NoPrice,
    /// There is no such account.
    UnknownAccount,
    /// There is no such job.
    UnknownJob,
    /// There is no such queue.
    UnknownQueue,
    /// No such worker has a lease.
    UnknownWorker,
    /// No file describes a provider of this name.
    UnknownProvider,
    /// The account is closed.
    AccountClosed,
    /// The account or its partition stands still until an operator clears it.
    Frozen,
    /// Nothing is frozen there.
    NotFrozen,
    /// The idempotency key belongs to another request.
    KeyMismatch,
    /// The quote is gone.
    QuoteExpired,
    /// The ceiling is above the maximum given.
    AboveMax,
    /// Not enough credits.
    Insufficient,
    /// The store takes no more jobs.
    QueueFull,
    /// The queue is being drained.
    QueueDraining,
    /// The account has too many waiting jobs.
    LaneFull,
    /// The parameters are too long.
    PayloadTooLarge,
    /// Due too late.
    TooFarAhead,
    /// The operation id belongs to another operation.
    OperationMismatch,
    /// The account has too many live grants.
    TooManyGrants,
    /// The expiry is not in the future.
    ExpiredAlready,
    /// The balance would leave the range of amounts.
    Overflow,
    /// A cap of the account would be passed.
    CapExceeded,
    /// Nothing is taken from a frozen account.
    AccountFrozen,
    /// An account with open jobs is not closed.
    HasOpenJobs,
    /// A kind of credit that is made by the store alone.
    NotGrantable,
    /// Purchased credits never expire.
    PurchaseExpires,
    /// The reward was taken before.
    AlreadyTaken,
    /// The settings give no such reward.
    NoReward,
    /// More than is left of a payment.
    AbovePayment,
    /// A job that was not charged has nothing to refund.
    NotCaptured,
    /// More than is left of a capture.
    AboveCaptured,
    /// There is nothing left to do it to.
    Nothing,
    /// The settings have no such plan.
    UnknownPlan,
    /// Nothing was granted under the payment's operation id.
    UnknownPayment,
    /// A job that has ended cannot be cancelled.
    AlreadyEnded,
    /// The store's memory is full; nothing happened.
    StoreFull,
    /// No connection: nothing was sent.
    Unreachable,
    /// The server cannot be a store as it is.
    UnfitStore,
    /// The store belongs to another version.
    IncompatibleStore,
    /// The store answered with an error.
    StoreError,
    /// The call was sent and its answer is lost.
    UnknownOutcome,
    /// The time to wait is up.
    TimeIsUp,
    /// A server process does not work.
    Unwell,
    /// A file, a socket or a process.
    Io,
    /// Nobody reads what is printed any more.
    BrokenPipe,
}

impl Kind {
    /// The word that stands as `type` in JSON.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::BadAmount => "bad_amount",
            Self::BadLine => "bad_line",
            Self::BadConfig => "bad_config",
            Self::UnknownTool => "unknown_tool",
            Self::BadParameter => "bad_parameter",
            Self::DurationAboveMaximum => "duration_above_maximum",
            Self::UnknownRoute => "unknown_route",
            Self::DeadlineOutOfBounds => "deadline_out_of_bounds",
            Self::NoPrice => "no_price",
            Self::UnknownAccount => "unknown_account",
            Self::UnknownJob => "unknown_job",
            Self::UnknownQueue => "unknown_queue",
            Self::UnknownWorker => "unknown_worker",
            Self::UnknownProvider => "unknown_provider",
            Self::AccountClosed => "account_closed",
            Self::Frozen => "frozen",
            Self::NotFrozen => "not_frozen",
            Self::KeyMismatch => "key_mismatch",
            Self::QuoteExpired => "quote_expired",
            Self::AboveMax => "above_max",
            Self::Insufficient => "insufficient",
            Self::QueueFull => "queue_full",
            Self::QueueDraining => "queue_draining",
            Self::LaneFull => "lane_full",
            Self::PayloadTooLarge => "payload_too_large",
            Self::TooFarAhead => "too_far_ahead",
            Self::OperationMismatch => "operation_mismatch",
            Self::TooManyGrants => "too_many_grants",
            Self::ExpiredAlready => "expired_already",
            Self::Overflow => "overflow",
            Self::CapExceeded => "cap_exceeded",
            Self::AccountFrozen => "account_frozen",
            Self::HasOpenJobs => "has_open_jobs",
            Self::NotGrantable => "not_grantable",
            Self::PurchaseExpires => "purchase_expires",
            Self::AlreadyTaken => "already_taken",
            Self::NoReward => "no_reward",
            Self::AbovePayment => "above_payment",
            Self::NotCaptured => "not_captured",
            Self::AboveCaptured => "above_captured",
            Self::Nothing => "nothing",
            Self::UnknownPlan => "unknown_plan",
            Self::UnknownPayment => "unknown_payment",
            Self::AlreadyEnded => "already_ended",
            Self::StoreFull => "store_full",
            Self::Unreachable => "unreachable",
            Self::UnfitStore => "unfit_store",
            Self::IncompatibleStore => "incompatible_store",
            Self::StoreError => "store_error",
            Self::UnknownOutcome => "unknown_outcome",
            Self::TimeIsUp => "time_is_up",
            Self::Unwell => "unwell",
            Self::Io => "io",
            Self::BrokenPipe => "broken_pipe",
        }
    }

    /// The exit code it ends with.
    pub(super) fn exit(self) -> Exit {
        match self {
            // The reader has seen what it wanted.
            Self::BrokenPipe => Exit::Done,
            Self::Unreachable
            | Self::UnfitStore
            | Self::IncompatibleStore
            | Self::StoreError
            | Self::TimeIsUp
            | Self::Unwell
            | Self::Io => Exit::Failed,
            Self::Usage
            | Self::BadAmount
            | Self::BadLine
            | Self::BadConfig
            | Self::UnknownTool
            | Self::BadParameter
            | Self::DurationAboveMaximum
            | Self::UnknownRoute
            | Self::DeadlineOutOfBounds
            | Self::NoPrice
            | Self::UnknownPlan => Exit::Usage,
            Self::UnknownAccount
            | Self::UnknownJob
            | Self::UnknownQueue
            | Self::UnknownWorker
            | Self::UnknownPayment
            | Self::UnknownProvider => Exit::NotFound,
            Self::AccountClosed
            | Self::Frozen
            | Self::NotFrozen
            | Self::KeyMismatch
            | Self::QuoteExpired
            | Self::AboveMax
            | Self::Insufficient
            | Self::QueueFull
            | Self::QueueDraining
            | Self::LaneFull
            | Self::PayloadTooLarge
            | Self::TooFarAhead
            | Self::OperationMismatch
            | Self::TooManyGrants
            | Self::ExpiredAlready
            | Self::Overflow
            | Self::CapExceeded
            | Self::AccountFrozen
            | Self::HasOpenJobs
            | Self::NotGrantable
            | Self::PurchaseExpires
            | Self::AlreadyTaken
            | Self::NoReward
            | Self::AbovePayment
            | Self::NotCaptured
            | Self::AboveCaptured
            | Self::Nothing
            | Self::AlreadyEnded
            | Self::StoreFull => Exit::Refused,
            Self::UnknownOutcome => Exit::Unknown,
        }
    }
}

/// A command that failed: what kind, in which words, and what a script may want to know.
#[derive(Debug)]
pub(super) struct Failure {
    kind: Kind,
    message: String,
    details: Map<String, Value>,
}

impl Failure {
    pub(super) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            details: Map::new(),
        }
    }

    /// There is no account of this name.
    pub(super) fn unknown_account(account: &AccountId) -> Self {
        Self::new(
            Kind::UnknownAccount,
            format!("there is no account {account}"),
        )
    }

    /// One more thing to know, next to `type` and `message` in JSON.
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// More words.
    pub(super) fn and_say(mut self, more: &str) -> Self {
        self.message.push_str("; ");
        self.message.push_str(more);
        self
    }

    /// The same failure of a call that changes nothing, or that nobody minds repeating: a lost answer
    /// is then as good as no connection.
    pub(super) fn harmless(mut self) -> Self {
        if self.kind == Kind::UnknownOutcome {
            self.kind = Kind::Unreachable;
        }
        self
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// `{"type":...,"message":...}` and the details.
    pub(super) fn json(&self) -> Value {
        let mut error = self.details.clone();
        error.insert("type".to_owned(), json!(self.kind.word()));
        error.insert("message".to_owned(), json!(self.message));
        Value::Object(error)
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        let kind = match &error {
            store::Error::Unreachable(_) => Kind::Unreachable,
            store::Error::Unknown(_) => Kind::UnknownOutcome,
            store::Error::Full => Kind::StoreFull,
            store::Error::Unfit(_) => Kind::UnfitStore,
            store::Error::Incompatible(_) => Kind::IncompatibleStore,
            store::Error::Script { .. } | store::Error::Reply { .. } => Kind::StoreError,
        };
        Self::new(kind, format!("failed to {error}"))
    }
}

impl From<producer::Error> for Failure {
    fn from(error: producer::Error) -> Self {
        match error {
            producer::Error::Request(refusal) => refusal.into(),
            producer::Error::Refused(refusal) => refusal.into(),
            producer::Error::Store(error) => error.into(),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let kind = match &refusal {
            Refusal::UnknownTool { .. } => Kind::UnknownTool,
            Refusal::BadParameter { .. } => Kind::BadParameter,
            Refusal::DurationAboveMaximum { .. } => Kind::DurationAboveMaximum,
            Refusal::UnknownRoute { .. } => Kind::UnknownRoute,
            Refusal::DeadlineOutOfBounds { .. } => Kind::DeadlineOutOfBounds,
            Refusal::NoPrice(_) => Kind::NoPrice,
        };
        let failure = Self::new(kind, refusal.to_string());
        match refusal {
            Refusal::BadParameter { pointer, .. } => failure.with("parameter", pointer),
            Refusal::DurationAboveMaximum { longest_ms, .. } => {
                failure.with("longest_ms", longest_ms)
            }
            Refusal::UnknownTool { .. }
            | Refusal::UnknownRoute { .. }
            | Refusal::DeadlineOutOfBounds { .. }
            | Refusal::NoPrice(_) => failure,
        }
    }
}

impl From<SubmitRefusal> for Failure {
    fn from(refusal: SubmitRefusal) -> Self {
        let message = refusal.to_string();
        let of = |kind| Self::new(kind, message.clone());
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
                let until = i64::try_from(until_ms).ok();
                let until = until.and_then(super::output::rfc3339);
                let failure = of(Kind::CapExceeded);
                match &until {
                    Some(at) => failure.and_say(&format!("the {period} ends {at}")),
                    None => failure,
                }
                .with("cap", period)
                .with("until", until)
                .with("need_ucr", need.get())
                .with("left_ucr", left.get())
            }
            SubmitRefusal::QueueFull => of(Kind::QueueFull),
            SubmitRefusal::QueueDraining(queue) => of(Kind::QueueDraining).with("queue", queue),
            SubmitRefusal::LaneFull => of(Kind::LaneFull),
            SubmitRefusal::ForeignJob(_) => of(Kind::Usage),
            SubmitRefusal::PayloadTooLarge { bytes, max } => of(Kind::PayloadTooLarge)
                .with("bytes", bytes)
                .with("max_bytes", max),
            SubmitRefusal::TooFarAhead { max_ms } => of(Kind::TooFarAhead).with("max_ms", max_ms),
        }
    }
}

impl From<AmountError> for Failure {
    fn from(error: AmountError) -> Self {
        Self::new(Kind::BadAmount, format!("failed to {error}"))
    }
}

impl From<BadId> for Failure {
    fn from(error: BadId) -> Self {
        Self::new(Kind::Usage, error.to_string())
    }
}

impl From<Vec<Problem>> for Failure {
    fn from(problems: Vec<Problem>) -> Self {
        let texts: Vec<String> = problems.iter().map(Problem::to_string).collect();
        let details: Vec<Value> = problems
            .iter()
            .map(|p| {
                json!({
                    "origin": p.origin,
                    "line": p.place.map(|place| place.line),
                    "column": p.place.map(|place| place.column),
                    "key": p.key,
                    "message": p.message,
                })
            })
            .collect();
        Self::new(Kind::BadConfig, texts.join("\n")).with("problems", details)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::BrokenPipe => Kind::BrokenPipe,
            _ => Kind::Io,
        };
        Self::new(kind, error.to_string())
    }
}
