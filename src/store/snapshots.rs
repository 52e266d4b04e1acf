//! Snapshots for the audit: what the store holds, raw, and as of which entry of the journal.
//!
//! Nothing is taken out or rounded here: a lazily due expiry still stands in the balance, exactly as
//! the journal has it. Each snapshot carries its account's sequence, read in the same step.

use std::collections::{BTreeMap, HashMap};

use super::reply::Reply;
use super::scripts::Script;
use super::{Error, Store, scripts};
use crate::domain::ids::{AccountId, JobId};
use crate::domain::job::State;

/// A hash by field.
pub(super) type Fields = HashMap<String, String>;

/// One account, as its own hashes have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountSnapshot {
    /// The account.
    pub account: AccountId,
    /// The account's sequence that this snapshot shows.
    pub seq: u64,
    /// The account's hash: balances and totals in micro-credits, by field.
    fields: Fields,
    /// The account's grants: `kind|remaining|pinned|expires_ms|age` by grant.
    pub grants: BTreeMap<String, String>,
}

/// What the audit wants to know of one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobSnapshot {
    /// The job.
    pub job: JobId,
    /// Who pays; empty where the job is gone.
    pub account: String,
    /// Where it stands; `None` where the job is gone.
    pub state: Option<State>,
    /// What is held for it, micro-credits.
    pub hold_ucr: i64,
    /// Whether the sweep will find it.
    pub in_deadlines: bool,
    /// The account's sequence that this snapshot shows.
    pub account_seq: u64,
}

impl AccountSnapshot {
    /// A field's text, empty where it is not set.
    pub fn text(&self, field: &str) -> &str {
        self.fields.get(field).map_or("", String::as_str)
    }

    /// A balance or total, micro-credits; 0 where it is not set.
    pub fn ucr(&self, field: &str) -> i64 {
        self.fields
            .get(field)
            .and_then(|text| text.parse().ok())
            .unwrap_or(0)
    }
}

impl Store {
    /// The accounts of one partition as they stand, each with its grants in one piece. An account
    /// that has no hash is left out.
    pub async fn account_snapshots(
        &self,
        partition: u16,
        accounts: &[AccountId],
    ) -> Result<Vec<AccountSnapshot>, Error> {
        let (_, rows) = self.look_at(partition, accounts).await?;
        let mut all = Vec::with_capacity(accounts.len());
        for (account, (fields, grants)) in accounts.iter().zip(rows) {
            if fields.is_empty() {
                continue;
            }
            let seq = fields.get("seq").and_then(|text| text.parse().ok());
            all.push(AccountSnapshot {
                account: account.clone(),
                seq: seq.unwrap_or(0),
                fields,
                grants: grants.into_iter().collect(),
            });
        }
        Ok(all)
    }

    /// The store's clock, and the two hashes of each account: its fields, its grants.
    pub(super) async fn look_at(
        &self,
        partition: u16,
        accounts: &[AccountId],
    ) -> Result<(u64, Vec<(Fields, Fields)>), Error> {
        let keys = self.keys(partition)?;
        let mut declared = vec![keys.meta()];
        for account in accounts {
            declared.extend([keys.account(account), keys.grants(account)]);
        }
        let reply = self.look(&scripts::LOOK_ACCOUNTS, &declared, &[]).await?;
        if reply.word()? != "accounts" {
            return reply.unknown();
        }
        let mut rows = Vec::with_capacity(accounts.len());
        for row in reply.rows(2)? {
            rows.push((pairs(row.texts(0)?), pairs(row.texts(1)?)));
        }
        Ok((reply.number(1)?, rows))
    }

    /// Runs a script that only reads: where its answer was lost it is simply asked again.
    pub(super) async fn look(
        &self,
        script: &Script,
        keys: &[String],
        args: &[String],
    ) -> Result<Reply, Error> {
        match self.run(script, keys, args).await {
            Err(Error::Unknown(_)) => {}
            answered => return answered,
        }
        match self.run(script, keys, args).await {
            Err(Error::Unknown(text)) => Err(Error::Unreachable(text)),
            answered => answered,
        }
    }

    /// Jobs of one partition as they stand, all of them at one moment.
    pub async fn job_snapshots(
        &self,
        partition: u16,
        jobs: &[JobId],
    ) -> Result<Vec<JobSnapshot>, Error> {
        let keys = self.keys(partition)?;
        let mut declared = vec![keys.meta(), keys.part("deadlines")];
        declared.extend(jobs.iter().map(|job| keys.job(job)));
        let ids: Vec<String> = jobs.iter().map(ToString::to_string).collect();
        let reply = self.look(&scripts::LOOK_JOBS, &declared, &ids).await?;
        if reply.word()? != "jobs" {
            return reply.unknown();
        }
        let mut all = Vec::with_capacity(jobs.len());
        for (job, row) in jobs.iter().zip(reply.rows(1)?) {
            all.push(JobSnapshot {
                job: job.clone(),
                state: State::from_word(&row.text(0)?),
                account: row.text(1)?,
                hold_ucr: row.number(2)?,
                in_deadlines: row.text(3)? == "1",
                account_seq: row.number(4)?,
            });
        }
        Ok(all)
    }
}

/// A hash as a script returns it: field and value in turn.
fn pairs(flat: Vec<String>) -> Fields {
    let mut flat = flat.into_iter();
    let mut fields = Fields::new();
    while let (Some(field), Some(value)) = (flat.next(), flat.next()) {
        fields.insert(field, value);
    }
    fields
}
