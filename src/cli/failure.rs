//! How a command ends when it does not end well: which kind of failure an error is, and in which words.

mod kind;

use std::io;

use serde_json::{Map, Value, json};

use crate::domain::catalogue::Refusal;
use crate::domain::credits::AmountError;
use crate::domain::ids::{AccountId, BadId};
use crate::domain::problem::Problem;
use crate::producer;
use crate::store::{self, SubmitRefusal};
pub(super) use kind::{EXIT_CODES, Exit, Kind};

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
