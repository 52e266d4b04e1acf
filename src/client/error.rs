//! How a call to a server ends when it does not end well.

use crate::wire::ProblemBody;

/// A call that brought no answer, or a refusal. The words fit after "failed to".
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// No client can be made of these options.
    #[error("{0}")]
    Setup(String),
    /// The server says no, or that it cannot now.
    #[error("{0}")]
    Refused(Box<Refused>),
    /// No connection: nothing was sent.
    #[error("reach the server: {0}")]
    Unreachable(String),
    /// It was sent, and no answer came. Repeat the same call with this key: it happens once, and the
    /// answer says what came of it.
    #[error("get an answer: {message}")]
    Unknown {
        /// What went wrong.
        message: String,
        /// The idempotency key that it was sent with; none where nothing can have changed.
        key: Option<String>,
    },
    /// The answer is none of this API.
    #[error("understand the answer: {0}")]
    Foreign(String),
}

/// A problem as the server said it (RFC 9457).
#[derive(Debug, Clone, PartialEq)]
pub struct Refused {
    /// The problem; [`ProblemBody::word`] is what programs go by.
    pub problem: ProblemBody,
    /// When it is worth a repetition, whole seconds.
    pub retry_after_s: Option<u64>,
    /// The request's id, as it stands in the server's log.
    pub request_id: Option<String>,
    /// The idempotency key that the request was sent with.
    pub key: Option<String>,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let problem = &self.problem;
        match problem.detail.as_str() {
            "" => write!(f, "{} ({})", problem.title, problem.word()),
            detail => write!(f, "{detail} ({})", problem.word()),
        }
    }
}

impl Error {
    /// The word of the server's problem, where it said one.
    pub fn word(&self) -> Option<&str> {
        match self {
            Self::Refused(refused) => Some(refused.problem.word()),
            Self::Setup(_) | Self::Unreachable(_) | Self::Unknown { .. } | Self::Foreign(_) => None,
        }
    }
}
