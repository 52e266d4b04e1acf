//! What a provider's answers come down to, and the ways of getting none.

use bytes::Bytes;
use url::Url;

use super::cost::Usage;
use super::handle::Handle;
use crate::domain::failure::FailureClass;

/// What a provider says about a piece of work.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Not finished. Also the reading of every status that the preset does not know.
    Pending {
        /// How far it is, 0 to 1. For display only: it never lengthens a deadline.
        progress: Option<f64>,
    },
    /// Finished with at least one output.
    Succeeded {
        /// The outputs in the provider's order; never empty. Two may be the same file.
        outputs: Vec<Output>,
        /// The length in milliseconds as the provider's JSON has it. Never used for a charge: it
        /// may be the length that was asked, estimated, or input and output together.
        reported_ms: Option<u64>,
        /// What the answer says about its cost.
        usage: Usage,
    },
    /// A verdict: this submission will not have an output.
    Failed(Failure),
}

impl Answer {
    /// The same, and where it says nothing about its cost, what another answer said.
    pub(super) fn or_usage(mut self, said: Usage) -> Self {
        match &mut self {
            Self::Pending { .. } => {}
            Self::Succeeded { usage, .. } => *usage = usage.or(said),
            Self::Failed(failure) => failure.usage = failure.usage.or(said),
        }
        self
    }
}

/// One output, as it was handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// To be fetched without our credentials, by a client that refuses private addresses.
    Url(Url),
    /// A `data:` URL, not decoded yet.
    DataUrl(String),
    /// The file itself.
    Bytes(Bytes),
}

/// Why a provider will not hand anything over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The kind, which decides what happens next.
    pub class: FailureClass,
    /// The provider's words, at most 500 characters and without control characters. For operators:
    /// it may say anything.
    pub message: String,
    /// The provider's own error code, cleaned like the message.
    pub code: Option<String>,
    /// How long the provider asked us to wait, in milliseconds, already capped.
    pub retry_after_ms: Option<u64>,
    /// What the answer says about its cost.
    pub usage: Usage,
}

/// The result of a submit that was answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Submitted {
    /// What to poll and cancel with. `None` only where the first answer is final. Without a poll URL
    /// pending work is asked for by the same submit, which joins it.
    pub handle: Option<Handle>,
    /// The provider's first answer; final for synchronous providers and for refusals.
    pub answer: Answer,
}

/// A submit without a usable answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The request never left: nothing was started, sending it again is safe.
    #[error("send the request: {0}")]
    NotSent(String),
    /// The request may have arrived and may have started work that the provider bills.
    #[error("learn the outcome of the request: {0}")]
    UnknownOutcome(String),
}

/// A poll that says nothing about the work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PollError {
    /// Nothing was learned this time: poll again, no earlier than asked.
    #[error("poll the provider: {message}")]
    Transient {
        /// What went wrong.
        message: String,
        /// How long the provider asked us to wait, in milliseconds, already capped.
        retry_after_ms: Option<u64>,
    },
    /// The provider does not accept our credentials. The work may be going on: raise an alarm and
    /// keep polling, do not submit again.
    #[error("poll the provider with our credentials: {0}")]
    OurAuth(String),
}

impl PollError {
    /// The class to report when polling ends without ever having got an answer.
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Transient { .. } => FailureClass::Timeout,
            Self::OurAuth(_) => FailureClass::OurAuth,
        }
    }
}

/// What came of asking a provider to stop. None of these proves that it will not bill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CancelOutcome {
    /// The provider says the work is cancelled.
    Confirmed,
    /// The provider took the request; only polling tells how the work ends.
    Requested,
    /// The work had already ended, one way or another.
    TooLate,
    /// This provider offers no cancel, or none for work in its present state. Nothing was sent.
    NotOffered,
    /// The request failed or was refused, for this reason.
    Failed(String),
}
