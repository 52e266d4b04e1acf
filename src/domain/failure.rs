//! Why a submission or a job failed, and what follows from it.
//!
//! The class alone decides what happens next: [`decide`] is the only place where "try again here",
//! "next route" and "end" are told apart.

use serde::{Deserialize, Serialize};

/// What went wrong, in the few kinds that need different answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
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

/// What was left of a job's chances when a submission failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chances {
    /// Tries spent on this route, the failed one included if its class spends one.
    pub tries_spent: u32,
    /// Tries a route has.
    pub tries: u32,
    /// Another route stands behind this one.
    pub next_route: bool,
    /// The provider asks for a longer wait than the job's deadline leaves, and has started nothing.
    pub waits_in_vain: bool,
}

/// What follows from a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Put the job back until the provider has room; no try is spent.
    Defer,
    /// Try again on the same route, a try is spent.
    TryAgain,
    /// Go to the next route, with fresh tries.
    NextRoute,
    /// The job ends and everything is given back.
    End,
}

/// Whether a failure of this class spends one of the route's tries.
pub fn spends_try(class: FailureClass) -> bool {
    match class {
        FailureClass::ProviderFault | FailureClass::Lost | FailureClass::Timeout => true,
        FailureClass::UserInput
        | FailureClass::ContentPolicy
        | FailureClass::RateLimited
        | FailureClass::Capacity
        | FailureClass::OurAuth
        | FailureClass::OurBalance
        | FailureClass::UnknownOutcome => false,
    }
}

/// What follows from a failure of this class: the only place where that is decided.
pub fn decide(class: FailureClass, left: Chances) -> Verdict {
    let elsewhere = if left.next_route {
        Verdict::NextRoute
    } else {
        Verdict::End
    };
    let again = if left.tries_spent < left.tries {
        Verdict::TryAgain
    } else {
        elsewhere
    };
    match class {
        FailureClass::UserInput | FailureClass::ContentPolicy => Verdict::End,
        FailureClass::RateLimited | FailureClass::Capacity
            if left.waits_in_vain && left.next_route =>
        {
            Verdict::NextRoute
        }
        FailureClass::RateLimited | FailureClass::Capacity => Verdict::Defer,
        FailureClass::ProviderFault | FailureClass::Lost | FailureClass::Timeout => again,
        FailureClass::OurAuth | FailureClass::OurBalance => elsewhere,
        // A second submission has a second number, hence a second key: only repeating the very same
        // key is safe, and that happens while the submission still runs. Afterwards it is over.
        FailureClass::UnknownOutcome => Verdict::End,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(tries_spent: u32, next_route: bool) -> Chances {
        Chances {
            tries_spent,
            tries: 3,
            next_route,
            waits_in_vain: false,
        }
    }

    fn in_vain(next_route: bool) -> Chances {
        Chances {
            waits_in_vain: true,
            ..left(0, next_route)
        }
    }

    #[test]
    fn each_class_has_its_verdict() {
        use FailureClass as C;
        let table = [
            (C::UserInput, left(0, true), Verdict::End),
            (C::ContentPolicy, left(0, true), Verdict::End),
            (C::RateLimited, left(3, false), Verdict::Defer),
            (C::Capacity, left(3, false), Verdict::Defer),
            (C::RateLimited, left(0, true), Verdict::Defer),
            (C::RateLimited, in_vain(true), Verdict::NextRoute),
            (C::Capacity, in_vain(true), Verdict::NextRoute),
            (C::RateLimited, in_vain(false), Verdict::Defer),
            (C::ProviderFault, left(1, false), Verdict::TryAgain),
            (C::ProviderFault, left(3, true), Verdict::NextRoute),
            (C::ProviderFault, left(3, false), Verdict::End),
            (C::Lost, left(2, false), Verdict::TryAgain),
            (C::Timeout, left(3, true), Verdict::NextRoute),
            (C::OurAuth, left(0, true), Verdict::NextRoute),
            (C::OurBalance, left(0, false), Verdict::End),
            (C::UnknownOutcome, left(1, true), Verdict::End),
        ];
        for (class, chances, verdict) in table {
            assert_eq!(decide(class, chances), verdict, "{class} {chances:?}");
        }
    }

    #[test]
    fn words_and_classes_are_one_to_one() {
        for class in FailureClass::ALL {
            assert_eq!(FailureClass::from_word(class.as_str()), Some(class));
        }
    }
}
