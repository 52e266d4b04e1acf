//! Why a submission or a job failed, and what follows from it.
//!
//! The class alone decides what happens next: [`decide`] is the only place where "try again here",
//! "next route" and "end" are told apart.

use serde::{Deserialize, Serialize};

/// What went wrong, in the few kinds that need different answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// The request itself is at fault (a bad parameter, an input that cannot be read).
    UserInput,
    /// The provider refused the content, before or after generating.
    ContentPolicy,
    /// The provider asked us to slow down (429 with or without `Retry-After`).
    RateLimited,
    /// The provider has no room now (503, all slots busy).
    Capacity,
    /// The provider broke: a 5xx, an empty success, garbage, or its own failed state.
    ProviderFault,
    /// The provider does not accept our credentials.
    OurAuth,
    /// Our balance at the provider is used up.
    OurBalance,
    /// The work is gone: the provider forgot it, or too many workers died on it.
    Lost,
    /// A POST was sent and no answer came: it may or may not have started work.
    UnknownOutcome,
    /// The submission took longer than the tool allows it.
    Timeout,
}

impl FailureClass {
    /// Every class, in the order of the enum.
    pub const ALL: [Self; 10] = [
        Self::UserInput,
        Self::ContentPolicy,
        Self::RateLimited,
        Self::Capacity,
        Self::ProviderFault,
        Self::OurAuth,
        Self::OurBalance,
        Self::Lost,
        Self::UnknownOutcome,
        Self::Timeout,
    ];

    /// The word that stands in the store, in config files and in every reply.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UserInput => "user_input",
            Self::ContentPolicy => "content_policy",
            Self::RateLimited => "rate_limited",
            Self::Capacity => "capacity",
            Self::ProviderFault => "provider_fault",
            Self::OurAuth => "our_auth",
            Self::OurBalance => "our_balance",
            Self::Lost => "lost",
            Self::UnknownOutcome => "unknown_outcome",
            Self::Timeout => "timeout",
        }
    }

    /// The class a word stands for, or `None` for any other word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == word)
    }
}

impl std::fmt::Display for FailureClass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
