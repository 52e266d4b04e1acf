//! How a command ends when it does not end well: which kind of failure an error is, and in which words.

mod kind;
mod refused;

use std::io;

use serde_json::{Map, Value, json};

use crate::desk::Refused;
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

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        let failure = Self::new(refused.kind.into(), refused.sentence);
        let facts = refused.facts.into_iter();
        facts.fold(failure, |failure, (name, value)| failure.with(name, value))
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Refused::from(refusal).into()
    }
}

impl From<SubmitRefusal> for Failure {
    fn from(refusal: SubmitRefusal) -> Self {
        Refused::from(refusal).into()
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
