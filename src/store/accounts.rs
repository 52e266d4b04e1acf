//! Accounts and their grants.

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::snapshots::Fields;
use super::{Error, Store, scripts};
use crate::domain::credits::Ucr;
use crate::domain::ids::{AccountId, OperationId};

/// What happened to the opening of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    /// It is new.
    Created,
    /// It was there before; nothing changed.
    Exists,
}

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
    /// The account has as many live grants as it may.
    TooManyGrants,
    /// The expiry is not in the future.
    ExpiredAlready,
    /// The balance would pass what a double can hold exactly.
    Overflow,
}

/// One live grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GrantView {
    /// Its id within the account.
    pub grant: String,
    /// Its kind.
    pub kind: String,
    /// What can be spent, micro-credits.
    pub remaining_ucr: i64,
    /// What open holds have pinned, micro-credits.
    pub pinned_ucr: i64,
    /// When what is left expires, ms since 1970; `None` = never.
    pub expires_at_ms: Option<u64>,
}

/// An account as it stands now, with what has expired already taken out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccountView {
    /// Its id.
    pub account: String,
    /// `open`, `frozen` or `closed`.
    pub state: String,
    /// What can be spent.
    pub available_ucr: i64,
    /// What open holds keep.
    pub held_ucr: i64,
    /// What has to be paid back before anything can be spent.
    pub debt_ucr: i64,
    /// Everything ever granted.
    pub granted_ucr: i64,
    /// Everything ever charged.
    pub captured_ucr: i64,
    /// Everything that expired.
    pub expired_ucr: i64,
    /// Charges given back.
    pub refunded_ucr: i64,
    /// Corrections, up or down.
    pub adjusted_ucr: i64,
    /// Active jobs per queue; 0 = the default.
    pub max_active: u32,
    /// The account's own sequence in the journal.
    pub sequence: u64,
    /// Live grants in the order in which they were made.
    pub grants: Vec<GrantView>,
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
        let args = [account.to_string(), max_active.to_string()];
        let reply = self.run(&scripts::ACCOUNT_OPEN, &keys, &args).await?;
        match reply.word()?.as_str() {
            "created" => Ok(Opened::Created),
            "exists" => Ok(Opened::Exists),
            _ => reply.unknown(),
        }
    }

    /// Grants credits, once per operation id.
    pub async fn grant(&self, request: &GrantRequest) -> Result<GrantOutcome, Error> {
        let account = &request.account;
        let keys = self.keys(account.partition(self.partitions()))?;
        let keys = [
            keys.meta(),
            keys.account(account),
            keys.grants(account),
            keys.operations(account),
        ];
        let expires = request.expires_at_ms.unwrap_or(0).to_string();
        let content = format!("{} {} {expires}", request.amount, request.kind.as_str());
        let fingerprint = hex::encode(Sha256::digest(content.as_bytes())).split_off(32);
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
        let reply = self.run(&scripts::GRANT, &keys, &args).await?;
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
            "too_many_grants" => Ok(GrantOutcome::TooManyGrants),
            "expired_already" => Ok(GrantOutcome::ExpiredAlready),
            "overflow" => Ok(GrantOutcome::Overflow),
            _ => reply.unknown(),
        }
    }

    /// An account as it stands now; `None` where there is none.
    pub async fn account(&self, account: &AccountId) -> Result<Option<AccountView>, Error> {
        let partition = account.partition(self.partitions());
        let (now_ms, rows) = self
            .look_at(partition, std::slice::from_ref(account))
            .await?;
        let hashes = rows.into_iter().next();
        let hashes = hashes.filter(|(fields, _)| fields.contains_key("state"));
        Ok(hashes.map(|(fields, grants)| view(account, &fields, grants, now_ms)))
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

fn view(account: &AccountId, fields: &Fields, rows: Fields, now_ms: u64) -> AccountView {
    let number = |name: &str| {
        fields
            .get(name)
            .and_then(|v| v.parse::<i64>().ok())
            .unwrap_or(0)
    };
    let mut grants: Vec<GrantView> = rows
        .into_iter()
        .filter_map(|(id, row)| grant_view(id, &row))
        .collect();
    grants.sort_by_key(|g| g.grant.get(1..).and_then(|n| n.parse::<u64>().ok()));
    let mut expired_ucr = 0;
    for grant in &mut grants {
        // The next script that touches the account books this; until then it is already unspendable.
        if grant.expires_at_ms.is_some_and(|at| at <= now_ms) {
            expired_ucr += grant.remaining_ucr;
            grant.remaining_ucr = 0;
        }
    }
    grants.retain(|grant| grant.remaining_ucr > 0 || grant.pinned_ucr > 0);
    AccountView {
        account: account.to_string(),
        state: fields.get("state").cloned().unwrap_or_default(),
        available_ucr: number("available") - expired_ucr,
        held_ucr: number("held"),
        debt_ucr: number("debt"),
        granted_ucr: number("granted"),
        captured_ucr: number("captured"),
        expired_ucr: number("expired") + expired_ucr,
        refunded_ucr: number("refunded"),
        adjusted_ucr: number("adjusted"),
        max_active: u32::try_from(number("max_active")).unwrap_or(0),
        sequence: u64::try_from(number("seq")).unwrap_or(0),
        grants,
    }
}

/// Reads `kind|remaining|pinned|expires_ms|age`.
fn grant_view(grant: String, row: &str) -> Option<GrantView> {
    let mut parts = row.split('|');
    let kind = parts.next()?.to_owned();
    let mut number = || parts.next()?.parse::<i64>().ok();
    let (remaining_ucr, pinned_ucr, expires) = (number()?, number()?, number()?);
    let expires_at_ms = u64::try_from(expires).ok().filter(|at| *at > 0);
    Some(GrantView {
        grant,
        kind,
        remaining_ucr,
        pinned_ucr,
        expires_at_ms,
    })
}
