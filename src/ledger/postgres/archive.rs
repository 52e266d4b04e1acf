//! What history knows and the store may have forgotten: old entries of the journal, jobs that have ended.
//! Every question goes by an index and has an end.

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::SecretString;
use tokio::sync::Mutex;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};

use super::costs::costs_in_history;
use super::lag::{Lag, lags};
use super::rows::{signed, unsigned};
use super::{Error, connect};
use crate::domain::ids::{AccountId, JobId};
use crate::domain::job::State;
use crate::ledger::costs::{CostLine, CostsBy};
use crate::store::{JobRecord, JournalBody, Store};

/// An entry of an account, with its id in the store.
pub type Entry = (String, JournalBody);

/// A job that has ended, with the time that it is listed by, ms since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The job.
    pub job: JobId,
    /// When it was submitted or ended, by how it is listed.
    pub at_ms: u64,
    /// What is shown of it.
    pub record: JobRecord,
}

/// Which ended jobs, the latest first.
#[derive(Debug, Clone, Default)]
pub struct Listed {
    /// Only this account's.
    pub account: Option<AccountId>,
    /// Only those that ended so.
    pub state: Option<State>,
    /// By when they ended, not by when they were submitted.
    pub by_end: bool,
    /// Only those behind this time and job.
    pub after: Option<(u64, String)>,
    /// At most so many.
    pub limit: usize,
}

/// A reader of history. Connects when it is first asked, and again after a connection was lost.
pub struct Archive {
    url: SecretString,
    client: Mutex<Option<Arc<Client>>>,
}

pub(super) const JOB: &str =
    "job, account, tool, state, class, hold_ucr, held_at_ms, ended_at_ms, captured_ucr,
    absorbed_ucr, refunded_ucr, record, house";

impl Archive {
    /// Connects to nothing yet.
    pub fn new(url: SecretString) -> Self {
        Self {
            url,
            client: Mutex::new(None),
        }
    }

    /// What history has of costs that were booked in a stretch of time, by name.
    pub async fn costs(
        &self,
        by: CostsBy,
        stretch: (u64, u64),
    ) -> Result<BTreeMap<String, CostLine>, Error> {
        costs_in_history(&self.url, by, stretch).await
    }

    /// How far history is behind the store.
    pub async fn lags(&self, store: &Store) -> Result<Vec<Lag>, Error> {
        lags(store, &self.url).await
    }

    /// A connection; `None` where no history was ever begun.
    async fn client(&self) -> Result<Option<Arc<Client>>, Error> {
        let mut kept = self.client.lock().await;
        if let Some(client) = kept.as_ref().filter(|client| !client.is_closed()) {
            return Ok(Some(client.clone()));
        }
        let client = connect::connect(&self.url).await?;
        let sql = "select to_regclass('meterline.jobs') is not null,
            exists (select from information_schema.columns
              where table_schema = 'meterline' and table_name = 'jobs' and column_name = 'record')";
        let row = client.query_one(sql, &[]).await?;
        match (row.get(0), row.get(1)) {
            (false, _) => Ok(None),
            (true, false) => Err(Error::Unfit(
                "its tables are of an older version; run `meterline postgres migrate`".to_owned(),
            )),
            (true, true) => {
                let client = Arc::new(client);
                *kept = Some(client.clone());
                Ok(Some(client))
            }
        }
    }

    /// An account's entries below a sequence of its partition's journal and of `from_ms..to_ms`, oldest first.
    pub async fn entries_of(
        &self,
        account: &AccountId,
        seqs: std::ops::Range<u64>,
        times_ms: std::ops::Range<u64>,
    ) -> Result<Vec<JournalBody>, Error> {
        let Some(client) = self.client().await? else {
            return Ok(Vec::new());
        };
        let sql = "select body from entries where account = $1 and seq >= $2 and seq < $3
            and at_ms >= $4 and at_ms < $5 order by account_seq";
        let ends = [seqs.start, seqs.end, times_ms.start, times_ms.end].map(signed);
        let [from, to, from_ms, to_ms] = &ends;
        let rows = client
            .query(sql, &[&account.as_str(), from, to, from_ms, to_ms])
            .await?;
        rows.iter().map(|row| body(row.get(0))).collect()
    }

    /// An account's newest entries below a sequence of its partition's journal, newest first.
    pub async fn entries_before(
        &self,
        account: &AccountId,
        seq: u64,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        let Some(client) = self.client().await? else {
            return Ok(Vec::new());
        };
        let sql = "select epoch, seq, body from entries where account = $1 and seq < $2
            order by account_seq desc limit $3";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = client
            .query(sql, &[&account.as_str(), &signed(seq), &limit])
            .await?;
        rows.iter()
            .map(|row| {
                let (epoch, seq): (i64, i64) = (row.get(0), row.get(1));
                Ok((format!("{epoch}-{seq}"), body(row.get(2))?))
            })
            .collect()
    }

    /// When the first entry of a partition's history was booked, ms since 1970, where the journal did not
    /// begin with it; `None` = it did. An error where there is no entry at all.
    pub async fn begins(&self, partition: u16) -> Result<Option<u64>, Error> {
        let none = || Error::Unfit("it holds no history yet; start a projector".to_owned());
        let client = self.client().await?.ok_or_else(none)?;
        let sql = "select seq, at_ms from entries where partition = $1 order by seq limit 1";
        let row = client.query_opt(sql, &[&i32::from(partition)]).await?;
        let row = row.ok_or_else(none)?;
        let (seq, at_ms): (i64, i64) = (row.get(0), row.get(1));
        Ok((seq > 1).then(|| unsigned(at_ms)))
    }

    /// A job that has ended.
    pub async fn job(&self, job: &JobId) -> Result<Option<Kept>, Error> {
        let Some(client) = self.client().await? else {
            return Ok(None);
        };
        let sql = format!("select {JOB} from jobs where job = $1 and state <> 'open'");
        let row = client.query_opt(&sql, &[&job.as_str()]).await?;
        Ok(row.as_ref().and_then(|row| kept(row, false)))
    }

    /// Jobs that have ended, the latest first.
    pub async fn jobs(&self, listed: &Listed) -> Result<Vec<Kept>, Error> {
        let Some(client) = self.client().await? else {
            return Ok(Vec::new());
        };
        let account = listed.account.as_ref().map(|account| account.as_str());
        let state = listed.state.map(State::as_str);
        let (after_ms, after_job) = listed.after.clone().unwrap_or((u64::MAX, String::new()));
        let after_ms = signed(after_ms);
        let limit = i64::try_from(listed.limit).unwrap_or(i64::MAX);
        let by = if listed.by_end {
            "ended_at_ms"
        } else {
            "held_at_ms"
        };
        let mut args: Vec<&(dyn ToSql + Sync)> = vec![&limit, &after_ms, &after_job];
        let mut wanted = String::new();
        if let Some(account) = &account {
            args.push(account);
            wanted += &format!(" and account = ${}", args.len());
        }
        if let Some(state) = &state {
            args.push(state);
            wanted += &format!(" and state = ${}", args.len());
        }
        let sql = format!(
            "select {JOB} from jobs where state <> 'open' and ({by}, job collate \"C\") < ($2, $3){wanted}
            order by {by} desc, job collate \"C\" desc limit $1"
        );
        let rows = client.query(&sql, &args).await?;
        Ok(rows
            .iter()
            .filter_map(|row| kept(row, listed.by_end))
            .collect())
    }
}

fn body(text: &str) -> Result<JournalBody, Error> {
    serde_json::from_str(text)
        .map_err(|error| Error::Unfit(format!("an entry of it cannot be read: {error}")))
}

/// A row as a job. What was booked later than its record was taken is in the row's own columns, and they
/// are all that is known where there is no record.
pub(super) fn kept(row: &Row, by_end: bool) -> Option<Kept> {
    let job = JobId::try_from(row.get::<_, String>("job")).ok()?;
    let text = row.get::<_, Option<&str>>("record").unwrap_or_default();
    let mut record: JobRecord = serde_json::from_str(text).unwrap_or_default();
    let is_bare = record.fields.is_empty();
    let mut set = |field: &str, value: Option<String>| {
        if let Some(value) = value {
            record.fields.insert(field.to_owned(), value);
        }
    };
    let number = |name: &str| row.get::<_, Option<i64>>(name);
    let said = |name: &str| number(name).map(|n| n.to_string());
    let word = |name: &str| row.get::<_, Option<String>>(name).filter(|w| !w.is_empty());
    if is_bare {
        set("account", word("account"));
        set("tool", word("tool"));
        set("state", word("state"));
        set("fail_class", word("class"));
        set("hold_ucr", said("hold_ucr"));
        set("created_at", said("held_at_ms"));
        set("finished_at", said("ended_at_ms"));
        set("captured_ucr", said("captured_ucr"));
        set("absorbed_ucr", said("absorbed_ucr"));
        let (hold, captured) = (number("hold_ucr"), number("captured_ucr"));
        let released = hold.zip(captured).map(|(hold, captured)| hold - captured);
        set("released_ucr", released.map(|n| n.to_string()));
        let house = row.get::<_, Option<bool>>("house") == Some(true);
        set("payer", house.then(|| "house".to_owned()));
    }
    if number("refunded_ucr") > Some(0) {
        set("refunded_ucr", said("refunded_ucr"));
    }
    let at = if by_end { "ended_at_ms" } else { "held_at_ms" };
    Some(Kept {
        job,
        at_ms: unsigned(number(at)?),
        record,
    })
}
