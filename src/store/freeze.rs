//! Freezing: an account or a whole partition stands still until somebody has looked and says why it
//! may go on.

use serde::{Deserialize, Serialize};

use super::{Error, Store, scripts};
use crate::domain::ids::{AccountId, OperationId};

/// How the store names a whole partition where an account could stand.
const WHOLE_PARTITION: &str = "*";
/// Rows read at a time.
const PAGE: usize = 200;

/// What is frozen or cleared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// One account.
    Account(AccountId),
    /// Every account of a partition.
    Partition(u16),
}

/// Who does it, why, and under which id it happens once.
#[derive(Debug, Clone)]
pub struct FreezeAct {
    /// What it is about.
    pub scope: Scope,
    /// Why.
    pub reason: String,
    /// Who.
    pub actor: String,
    /// Makes it happen once, however often the call is sent.
    pub operation: OperationId,
}

/// One thing that is frozen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Frozen {
    /// Where.
    pub partition: u16,
    /// Which account; `None` = the whole partition.
    pub account: Option<String>,
    /// Since when, ms since 1970.
    pub at_ms: u64,
    /// Who froze it: `audit`, `sweep`, or an operator.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// What an audit found to differ, in words; empty where an operator froze it.
    pub differed: Vec<String>,
}

/// What happened to a freeze.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FreezeOutcome {
    /// It stands still from now on; `replayed` where this operation id had been before.
    Frozen {
        /// What stands in the store, or stood there.
        frozen: Frozen,
        /// This is the first call's answer again.
        replayed: bool,
    },
    /// It was frozen before, and stays so for the reason given then.
    Already(Frozen),
    /// There is no such account.
    UnknownAccount,
    /// The operation id was used for something else.
    Mismatch,
}

/// What happened to a clear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClearOutcome {
    /// It goes on; `replayed` where this operation id had been before.
    Cleared {
        /// What had stood there.
        was: Frozen,
        /// Jobs that had been put off and are due now.
        parked: u32,
        /// This is the first call's answer again.
        replayed: bool,
    },
    /// Nothing is frozen there.
    NotFrozen,
    /// The operation id was used for something else.
    Mismatch,
}

/// A row of `part:frozen`.
#[derive(Deserialize)]
struct Row {
    at_ms: u64,
    actor: String,
    reason: String,
    differed: Vec<String>,
}

impl Store {
    /// Freezes an account or a partition. `differed` says what an audit found, in words.
    pub async fn freeze(
        &self,
        act: &FreezeAct,
        differed: &[String],
    ) -> Result<FreezeOutcome, Error> {
        let differed = serde_json::to_string(differed).unwrap_or_else(|_| "[]".to_owned());
        let (partition, who, reply) = self.freeze_or_clear("freeze", act, &differed).await?;
        let row = |index| frozen(partition, &who, &reply.text(index)?);
        let word = reply.word()?;
        match word.as_str() {
            "frozen" | "replayed" => Ok(FreezeOutcome::Frozen {
                frozen: row(1)?,
                replayed: word == "replayed",
            }),
            "already" => Ok(FreezeOutcome::Already(row(1)?)),
            "unknown_account" => Ok(FreezeOutcome::UnknownAccount),
            "mismatch" => Ok(FreezeOutcome::Mismatch),
            _ => reply.unknown(),
        }
    }

    /// Lets an account or a partition go on.
    pub async fn clear(&self, act: &FreezeAct) -> Result<ClearOutcome, Error> {
        let (partition, who, reply) = self.freeze_or_clear("clear", act, "[]").await?;
        let word = reply.word()?;
        match word.as_str() {
            "cleared" | "replayed" => Ok(ClearOutcome::Cleared {
                was: frozen(partition, &who, &reply.text(1)?)?,
                parked: reply.number(2)?,
                replayed: word == "replayed",
            }),
            "not_frozen" => Ok(ClearOutcome::NotFrozen),
            "mismatch" => Ok(ClearOutcome::Mismatch),
            _ => reply.unknown(),
        }
    }

    async fn freeze_or_clear(
        &self,
        what: &str,
        act: &FreezeAct,
        differed: &str,
    ) -> Result<(u16, String, super::reply::Reply), Error> {
        let (partition, who) = match &act.scope {
            Scope::Account(account) => (account.partition(self.partitions()), account.to_string()),
            Scope::Partition(partition) => (*partition, WHOLE_PARTITION.to_owned()),
        };
        let keys = self.keys(partition)?;
        let keys = [keys.meta(), keys.part("frozen"), keys.part("freezes")];
        let args = [
            what.to_owned(),
            who.clone(),
            act.reason.clone(),
            act.actor.clone(),
            act.operation.to_string(),
            differed.to_owned(),
        ];
        let reply = self.run(&scripts::FREEZE, &keys, &args).await?;
        Ok((partition, who, reply))
    }

    /// Everything that is frozen in a partition, in the order of names, the whole partition first.
    pub async fn frozen(&self, partition: u16) -> Result<Vec<Frozen>, Error> {
        let key = self.keys(partition)?.part("frozen");
        let mut found = Vec::new();
        let mut cursor = 0u64;
        loop {
            let mut ask = redis::pipe();
            ask.cmd("HSCAN")
                .arg(&key)
                .arg(cursor)
                .arg("COUNT")
                .arg(PAGE);
            let ((next, rows),): ((u64, Vec<(String, String)>),) =
                self.read("frozen", &ask).await?;
            for (who, row) in rows {
                found.push(frozen(partition, &who, &row)?);
            }
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        found.sort_by(|one, other| one.account.cmp(&other.account));
        found.dedup_by(|one, other| one.account == other.account);
        Ok(found)
    }
}

fn frozen(partition: u16, who: &str, row: &str) -> Result<Frozen, Error> {
    let row: Row = serde_json::from_str(row).map_err(|error| Error::Reply {
        script: "freeze",
        detail: format!("the row {row:?}: {error}"),
    })?;
    Ok(Frozen {
        partition,
        account: (who != WHOLE_PARTITION).then(|| who.to_owned()),
        at_ms: row.at_ms,
        actor: row.actor,
        reason: row.reason,
        differed: row.differed,
    })
}
