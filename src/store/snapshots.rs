//! Snapshots for the audit: what the store holds, raw, and as of which entry of the journal.
//!
//! Nothing is taken out or rounded here: a lazily due expiry still stands in the balance, exactly as
//! the journal has it. Each snapshot carries its account's sequence, read in the same transaction.

use std::collections::{BTreeMap, HashMap};

use super::{Error, Store};
use crate::domain::ids::{AccountId, JobId};
use crate::domain::job::State;

/// One account, as its own hashes have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountSnapshot {
    /// The account.
    pub account: AccountId,
    /// The account's sequence that this snapshot shows.
    pub seq: u64,
    /// The account's hash: balances and totals in micro-credits, by field.
    fields: HashMap<String, String>,
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
        if accounts.is_empty() {
            return Ok(Vec::new());
        }
        let keys = self.keys(partition)?;
        let mut ask = redis::pipe();
        ask.atomic();
        for account in accounts {
            ask.cmd("HGETALL").arg(keys.account(account));
            ask.cmd("HGETALL").arg(keys.grants(account));
        }
        let hashes: Vec<BTreeMap<String, String>> = self.read("account snapshots", &ask).await?;
        let pairs = hashes.chunks_exact(2).zip(accounts);
        Ok(pairs
            .filter(|(pair, _)| !pair[0].is_empty())
            .map(|(pair, account)| AccountSnapshot {
                account: account.clone(),
                seq: pair[0]
                    .get("seq")
                    .and_then(|text| text.parse().ok())
                    .unwrap_or(0),
                fields: pair[0].clone().into_iter().collect(),
                grants: pair[1].clone(),
            })
            .collect())
    }

    /// Jobs of one partition as they stand, all of them at one moment.
    pub async fn job_snapshots(
        &self,
        partition: u16,
        jobs: &[JobId],
    ) -> Result<Vec<JobSnapshot>, Error> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        let keys = self.keys(partition)?;
        // Who pays never changes, so it can be asked for before the transaction that needs it.
        let mut ask = redis::pipe();
        for job in jobs {
            ask.cmd("HGET").arg(keys.job(job)).arg("account");
        }
        let payers: Vec<Option<String>> = self.read("payers", &ask).await?;
        let mut ask = redis::pipe();
        ask.atomic();
        for (job, payer) in jobs.iter().zip(&payers) {
            ask.cmd("HMGET")
                .arg(keys.job(job))
                .arg("state")
                .arg("hold_ucr");
            ask.cmd("ZSCORE")
                .arg(keys.part("deadlines"))
                .arg(job.as_str());
            let payer = payer.clone().and_then(|id| AccountId::try_from(id).ok());
            match payer {
                Some(account) => ask.cmd("HGET").arg(keys.account(&account)).arg("seq"),
                None => ask.cmd("ECHO").arg(""),
            };
        }
        let rows: Vec<redis::Value> = self.read("job snapshots", &ask).await?;
        let three = rows.chunks_exact(3).zip(jobs.iter().zip(payers));
        three
            .map(|(row, (job, payer))| job_snapshot(job, payer, row))
            .collect()
    }
}

/// Reads one job's three answers: state and hold, place in the deadlines, the account's sequence.
fn job_snapshot(
    job: &JobId,
    payer: Option<String>,
    row: &[redis::Value],
) -> Result<JobSnapshot, Error> {
    let bad = |error: redis::ParsingError| Error::Reply {
        script: "job snapshots",
        detail: error.to_string(),
    };
    let (state, hold): (Option<String>, Option<i64>) =
        redis::from_redis_value(row[0].clone()).map_err(bad)?;
    let score: Option<f64> = redis::from_redis_value(row[1].clone()).map_err(bad)?;
    let seq: Option<String> = redis::from_redis_value(row[2].clone()).map_err(bad)?;
    Ok(JobSnapshot {
        job: job.clone(),
        account: payer.unwrap_or_default(),
        state: state.as_deref().and_then(State::from_word),
        hold_ucr: hold.unwrap_or(0),
        in_deadlines: score.is_some(),
        account_seq: seq.and_then(|text| text.parse().ok()).unwrap_or(0),
    })
}
