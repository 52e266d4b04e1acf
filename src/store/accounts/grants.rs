//! Credits come in: grants by operation id, and the rewards whose operation id follows from the day.

use super::fingerprint;
use crate::domain::credits::Ucr;
use crate::domain::ids::{AccountId, OperationId};
use crate::store::{Durability, Error, Store, scripts};

/// Where credits come from; decides the order in which they burn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GrantKind {
    /// A welcome.
    Signup,
    /// A daily reward.
    Daily,
    /// A plan's credits for a period.
    Plan,
    /// A promotion.
    Promo,
    /// Bought: never expires.
    Purchase,
    /// A correction by an operator.
    Adjustment,
    /// Credit that expired while it was held, and came back for our fault. Made by the store alone.
    Grace,
}

impl GrantKind {
    const ALL: [Self; 7] = [
        Self::Signup,
        Self::Daily,
        Self::Plan,
        Self::Promo,
        Self::Purchase,
        Self::Adjustment,
        Self::Grace,
    ];

    /// The word in the store and in replies.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Signup => "signup",
            Self::Daily => "daily",
            Self::Plan => "plan",
            Self::Promo => "promo",
            Self::Purchase => "purchase",
            Self::Adjustment => "adjustment",
            Self::Grace => "grace",
        }
    }

    /// The kind a word stands for.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Credits for an account.
#[derive(Debug, Clone)]
pub struct GrantRequest {
    /// Who gets them.
    pub account: AccountId,
    /// Makes it happen once: a payment's charge id, say.
    pub operation: OperationId,
    /// How many, above zero.
    pub amount: Ucr,
    /// Where they come from.
    pub kind: GrantKind,
    /// When what is left of them is gone, ms since 1970; `None` = never.
    pub expires_at_ms: Option<u64>,
    /// Why, for the books.
    pub reason: String,
    /// Who does it, for the books.
    pub actor: String,
}

/// What happened to a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GrantOutcome {
    /// It was given; `replayed` where this operation id had been before.
    Granted {
        /// The bucket it went into.
        grant: String,
        /// The balance right after it.
        available: Ucr,
        /// The debt right after it.
        debt: Ucr,
        /// This is the first call's answer again.
        replayed: bool,
    },
    /// The operation id was used for another amount, kind or expiry.
    Mismatch {
        /// The amount it was used for.
        amount: Ucr,
    },
    /// There is no such account.
    UnknownAccount,
    /// The account is closed; the word is its state.
    AccountClosed(String),
    /// Nothing was to be granted.
    Nothing,
    /// This kind is made by the store alone.
    NotGrantable,
    /// Purchased credits never expire.
    PurchaseExpires,
    /// The account has as many live grants as it may.
    TooManyGrants,
    /// The expiry is not in the future.
    ExpiredAlready,
    /// The balance would pass what a double can hold exactly.
    Overflow,
}

/// The credits that an account gets by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reward {
    /// A welcome, once per account.
    Signup,
    /// Once per account and day of UTC, by the store's clock.
    Daily,
}

/// What happened to a reward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RewardOutcome {
    /// It was given.
    Granted {
        /// The bucket it went into.
        grant: String,
        /// The balance right after it.
        available: Ucr,
        /// The debt right after it.
        debt: Ucr,
        /// The operation id it was booked under.
        operation: String,
    },
    /// It was given before, perhaps by the first try of this very call.
    AlreadyTaken {
        /// The operation id it was booked under.
        operation: String,
        /// When the next one is due, ms since 1970; `None` = never.
        next_at_ms: Option<u64>,
    },
    /// There is no such account.
    UnknownAccount,
    /// The account is not open; the word is its state.
    AccountClosed(String),
    /// The account has as many live grants as it may.
    TooManyGrants,
    /// The balance would pass what a double can hold exactly.
    Overflow,
}

impl Store {
    /// Grants credits, once per operation id.
    pub async fn grant(&self, request: &GrantRequest) -> Result<GrantOutcome, Error> {
        let account = &request.account;
        let keys = self.account_keys(account)?;
        let expires = request.expires_at_ms.unwrap_or(0).to_string();
        let content = format!("{} {} {expires}", request.amount, request.kind.as_str());
        let fingerprint = fingerprint(&content);
        let args = [
            account.to_string(),
            request.operation.to_string(),
            request.amount.to_string(),
            request.kind.as_str().to_owned(),
            expires,
            request.reason.clone(),
            request.actor.clone(),
            self.options().grants_max.to_string(),
            fingerprint,
        ];
        let wish = match request.kind {
            GrantKind::Purchase | GrantKind::Plan => self.options().durability.grants,
            GrantKind::Signup
            | GrantKind::Daily
            | GrantKind::Promo
            | GrantKind::Adjustment
            | GrantKind::Grace => Durability::None,
        };
        let reply = self
            .run_safely(wish, &scripts::GRANT, &keys, &[&args])
            .await?;
        let word = reply.word()?;
        match word.as_str() {
            "granted" | "replayed" => Ok(GrantOutcome::Granted {
                grant: reply.text(1)?,
                available: reply.number(2)?,
                debt: reply.number(3)?,
                replayed: word == "replayed",
            }),
            "mismatch" => Ok(GrantOutcome::Mismatch {
                amount: reply.number(1)?,
            }),
            "unknown_account" => Ok(GrantOutcome::UnknownAccount),
            "account_closed" => Ok(GrantOutcome::AccountClosed(reply.text(1)?)),
            "nothing" => Ok(GrantOutcome::Nothing),
            "not_grantable" => Ok(GrantOutcome::NotGrantable),
            "purchase_expires" => Ok(GrantOutcome::PurchaseExpires),
            "too_many_grants" => Ok(GrantOutcome::TooManyGrants),
            "expired_already" => Ok(GrantOutcome::ExpiredAlready),
            "overflow" => Ok(GrantOutcome::Overflow),
            _ => reply.unknown(),
        }
    }

    /// Gives a reward of `amount`, which expires with the `days`th day of UTC, today being the first
    /// (0 = never). Of two calls at once one wins.
    pub async fn reward(
        &self,
        account: &AccountId,
        reward: Reward,
        amount: Ucr,
        days: u32,
        actor: &str,
    ) -> Result<RewardOutcome, Error> {
        let kind = match reward {
            Reward::Signup => GrantKind::Signup,
            Reward::Daily => GrantKind::Daily,
        };
        let args = [
            account.to_string(),
            kind.as_str().to_owned(),
            amount.to_string(),
            days.to_string(),
            self.options().grants_max.to_string(),
            actor.to_owned(),
        ];
        let keys = self.account_keys(account)?;
        let reply = self.run(&scripts::REWARD, &keys, &args).await?;
        match reply.word()?.as_str() {
            "granted" => Ok(RewardOutcome::Granted {
                grant: reply.text(1)?,
                available: reply.number(2)?,
                debt: reply.number(3)?,
                operation: reply.text(4)?,
            }),
            "already_taken" => Ok(RewardOutcome::AlreadyTaken {
                operation: reply.text(1)?,
                next_at_ms: Some(reply.number(2)?).filter(|at| *at > 0),
            }),
            "unknown_account" => Ok(RewardOutcome::UnknownAccount),
            "account_closed" => Ok(RewardOutcome::AccountClosed(reply.text(1)?)),
            "too_many_grants" => Ok(RewardOutcome::TooManyGrants),
            "overflow" => Ok(RewardOutcome::Overflow),
            _ => reply.unknown(),
        }
    }
}
