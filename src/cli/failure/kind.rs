//! The kinds of failure, their words and the exit codes. Scripts rely on all three, so they stand in this
//! file alone.

use std::process::ExitCode;

/// What the exit codes mean, as `--help` shows it.
pub(in crate::cli) const EXIT_CODES: &str = "Exit codes:
  0  done
  1  failed, or the store or server could not be reached before anything was sent
  2  usage: a bad flag, setting, tool, parameter, route or amount
  3  there is no such account, job, queue, worker, provider or endpoint
  4  refused by a rule, such as not enough credits; nothing changed
  5  unknown outcome: the answer was lost. Repeat with the key that is printed";

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Exit {
    /// Done.
    Done,
    /// Failed.
    Failed,
    /// The command cannot be understood.
    Usage,
    /// No such account or job.
    NotFound,
    /// A rule says no.
    Refused,
    /// It may have happened or not.
    Unknown,
}

impl Exit {
    /// The number scripts see.
    pub(in crate::cli) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Refused => 4,
            Self::Unknown => 5,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// Every kind of failure a command can end with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Kind {
    /// Bad flags, or flags that do not go together.
    Usage,
    /// An amount that is none, is not above zero, or is too large.
    BadAmount,
    /// A line of a file that is not what it should be.
    BadLine,
    /// Settings, catalogue or provider files that are wrong.
    BadConfig,
    /// See [`crate::domain::catalogue::Refusal::UnknownTool`].
    UnknownTool,
    /// See [`crate::domain::catalogue::Refusal::BadParameter`].
    BadParameter,
    /// See [`crate::domain::catalogue::Refusal::DurationAboveMaximum`].
    DurationAboveMaximum,
    /// See [`crate::domain::catalogue::Refusal::UnknownRoute`].
    UnknownRoute,
    /// See [`crate::domain::catalogue::Refusal::DeadlineOutOfBounds`].
    DeadlineOutOfBounds,
    /// See [`crate::domain::catalogue::Refusal::NoPrice`].
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
    /// There is no such endpoint.
    UnknownEndpoint,
    /// No such message was given up.
    UnknownMessage,
    /// An address that messages are never posted to.
    BadUrl,
    /// The endpoint is disabled.
    EndpointDisabled,
    /// The account has as many endpoints as it may.
    TooManyEndpoints,
    /// The endpoint's outbox has no room.
    OutboxFull,
    /// No API key of this id.
    UnknownKey,
    /// The API key was revoked.
    KeyRevoked,
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
    /// The job is open, ended well, or was retried or dropped before.
    NotADeadLetter,
    /// The dead letter was retried before, and somebody else pays for that.
    PayerMismatch,
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
    /// The database cannot be this store's history, or refuses to be.
    BadHistory,
    /// The store is empty and history is not.
    StoreLost,
    /// Something stands against a rebuild; nothing was changed.
    RebuildRefused,
    /// The server knows no such API key.
    Unauthorized,
    /// The API key may not do this.
    Forbidden,
    /// The server refuses for a reason that this version does not know.
    Refused,
    /// The server has too much to do, or has heard too much of this key.
    Overloaded,
    /// What answers is no server of ours, or of another version.
    ForeignServer,
    /// A file, a socket or a process.
    Io,
    /// Nobody reads what is printed any more.
    BrokenPipe,
}

impl Kind {
    /// The word that stands as `type` in JSON.
    pub(in crate::cli) fn word(self) -> &'static str {
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
            Self::UnknownEndpoint => "unknown_endpoint",
            Self::UnknownMessage => "unknown_message",
            Self::BadUrl => "bad_url",
            Self::EndpointDisabled => "endpoint_disabled",
            Self::TooManyEndpoints => "too_many_endpoints",
            Self::OutboxFull => "outbox_full",
            Self::UnknownKey => "unknown_key",
            Self::KeyRevoked => "key_revoked",
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
            Self::NotADeadLetter => "not_a_dead_letter",
            Self::PayerMismatch => "payer_mismatch",
            Self::StoreFull => "store_full",
            Self::Unreachable => "unreachable",
            Self::UnfitStore => "unfit_store",
            Self::IncompatibleStore => "incompatible_store",
            Self::StoreError => "store_error",
            Self::UnknownOutcome => "unknown_outcome",
            Self::TimeIsUp => "time_is_up",
            Self::Unwell => "unwell",
            Self::BadHistory => "bad_history",
            Self::StoreLost => "store_lost",
            Self::RebuildRefused => "rebuild_refused",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::Refused => "refused",
            Self::Overloaded => "overloaded",
            Self::ForeignServer => "foreign_server",
            Self::Io => "io",
            Self::BrokenPipe => "broken_pipe",
        }
    }

    /// The exit code it ends with.
    pub(in crate::cli) fn exit(self) -> Exit {
        match self {
            // The reader has seen what it wanted.
            Self::BrokenPipe => Exit::Done,
            Self::Unreachable
            | Self::UnfitStore
            | Self::IncompatibleStore
            | Self::StoreError
            | Self::TimeIsUp
            | Self::Unwell
            | Self::BadHistory
            | Self::Overloaded
            | Self::ForeignServer
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
            | Self::BadUrl
            | Self::UnknownPlan => Exit::Usage,
            Self::UnknownAccount
            | Self::UnknownJob
            | Self::UnknownQueue
            | Self::UnknownWorker
            | Self::UnknownPayment
            | Self::UnknownEndpoint
            | Self::UnknownMessage
            | Self::UnknownKey
            | Self::UnknownProvider => Exit::NotFound,
            Self::EndpointDisabled
            | Self::TooManyEndpoints
            | Self::OutboxFull
            | Self::AccountClosed
            | Self::Frozen
            | Self::NotFrozen
            | Self::KeyMismatch
            | Self::KeyRevoked
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
            | Self::NotADeadLetter
            | Self::PayerMismatch
            | Self::StoreLost
            | Self::RebuildRefused
            | Self::Unauthorized
            | Self::Forbidden
            | Self::Refused
            | Self::StoreFull => Exit::Refused,
            Self::UnknownOutcome => Exit::Unknown,
        }
    }
}
