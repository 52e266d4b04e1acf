//! Accounts: opened, closed, listed. What comes in and goes out, what they may do, and how they look
//! have files of their own.

mod corrections;
mod grants;
mod terms;
mod view;

use sha2::{Digest, Sha256};

use super::{Error, Store, scripts};
use crate::domain::credits::Ucr;
use crate::domain::ids::AccountId;

pub use corrections::{AdjustOutcome, AdjustRequest, Correction, RefundOutcome, RefundRequest};
pub use grants::{GrantKind, GrantOutcome, GrantRequest, Reward, RewardOutcome};
pub use terms::{PlanOutcome, PlanRequest, Term, TermOutcome};
pub use view::{AccountView, CapView, GrantView, PlanView};

/// What happened to the opening of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    /// It is new.
    Created,
    /// It was there before; nothing changed.
    Exists,
}

/// What happened to the closing, or opening again, of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateOutcome {
    /// It is so now; `replayed` where it was so before.
    Done {
        /// Nothing changed.
        replayed: bool,
    },
    /// There is no such account.
    UnknownAccount,
    /// A frozen account stays frozen until that is cleared.
    AccountFrozen,
    /// It has open jobs.
    HasOpenJobs {
        /// What is held for them.
        held: Ucr,
    },
}

impl Store {
    /// Opens an account. `max_active` 0 = the default of the settings.
    pub async fn open_account(
        &self,
        account: &AccountId,
        max_active: u32,
    ) -> Result<Opened, Error> {
        let keys = self.keys(account.partition(self.partitions()))?;
        let keys = [keys.meta(), keys.account(account), keys.grants(account)];
        let low = self.options().low_balance;
        let args = [account.to_string(), max_active.to_string(), low.to_string()];
        let reply = self.run(&scripts::ACCOUNT_OPEN, &keys, &args).await?;
        match reply.word()?.as_str() {
            "created" => Ok(Opened::Created),
            "exists" => Ok(Opened::Exists),
            _ => reply.unknown(),
        }
    }

    /// Closes an account. Refused while it has open jobs; its credits stay where they are.
    pub async fn close_account(
        &self,
        account: &AccountId,
        reason: &str,
        actor: &str,
    ) -> Result<StateOutcome, Error> {
        self.set_state(account, "closed", reason, actor).await
    }

    /// Opens a closed account again, with what it has left.
    pub async fn reopen_account(
        &self,
        account: &AccountId,
        reason: &str,
        actor: &str,
    ) -> Result<StateOutcome, Error> {
        self.set_state(account, "open", reason, actor).await
    }

    async fn set_state(
        &self,
        account: &AccountId,
        state: &str,
        reason: &str,
        actor: &str,
    ) -> Result<StateOutcome, Error> {
        let keys = self.account_keys(account)?;
        let args = [account.as_str(), state, reason, actor].map(str::to_owned);
        let reply = self.run(&scripts::ACCOUNT_STATE, &keys[..3], &args).await?;
        match reply.word()?.as_str() {
            "set" => Ok(StateOutcome::Done { replayed: false }),
            "unchanged" => Ok(StateOutcome::Done { replayed: true }),
            "unknown_account" => Ok(StateOutcome::UnknownAccount),
            "account_frozen" => Ok(StateOutcome::AccountFrozen),
            "has_open_jobs" => Ok(StateOutcome::HasOpenJobs {
                held: reply.number(1)?,
            }),
            _ => reply.unknown(),
        }
    }

    /// The partition's meta, the account, its grants and its operation ids, as the scripts about one
    /// account declare them.
    fn account_keys(&self, account: &AccountId) -> Result<[String; 4], Error> {
        let keys = self.keys(account.partition(self.partitions()))?;
        Ok([
            keys.meta(),
            keys.account(account),
            keys.grants(account),
            keys.operations(account),
        ])
    }

    /// The accounts of one partition, oldest first.
    pub async fn accounts_in(&self, partition: u16) -> Result<Vec<AccountId>, Error> {
        self.accounts_page(partition, 0, usize::MAX >> 1).await
    }

    /// So many accounts of one partition from a rank on, oldest first. None ever loses its rank to
    /// an older one: accounts are only added.
    pub async fn accounts_page(
        &self,
        partition: u16,
        rank: usize,
        limit: usize,
    ) -> Result<Vec<AccountId>, Error> {
        let mut ask = redis::pipe();
        ask.cmd("ZRANGE")
            .arg(self.keys(partition)?.part("accounts"))
            .arg(rank)
            .arg(rank.saturating_add(limit).saturating_sub(1));
        let (names,): (Vec<String>,) = self.read("accounts", &ask).await?;
        Ok(names
            .into_iter()
            .filter_map(|name| AccountId::try_from(name).ok())
            .collect())
    }
}

/// What makes two operations the same one: 32 hex digits of what they ask for.
fn fingerprint(content: &str) -> String {
    hex::encode(Sha256::digest(content.as_bytes())).split_off(32)
}
