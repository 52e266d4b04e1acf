//! Looking: jobs, workers, obligations. Nothing here changes anything.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::{Error, Store};
use crate::domain::ids::{AccountId, JobId};
use crate::domain::job::State;

/// A job as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobView {
    /// The job.
    pub job: JobId,
    /// Its hash, by field; see `lua/lib/job.lua`.
    fields: HashMap<String, String>,
    /// Its result, JSON, once an output is stored.
    pub artifact: Option<String>,
}

impl JobView {
    /// A job by the fields of its hash.
    pub fn of(job: JobId, fields: HashMap<String, String>) -> Self {
        Self {
            job,
            fields,
            artifact: None,
        }
    }

    /// Where it stands.
    pub fn state(&self) -> Option<State> {
        State::from_word(self.text("state"))
    }

    /// A field's text, empty where it is not set.
    pub fn text(&self, field: &str) -> &str {
        self.fields
            .get(field)
            .map(String::as_str)
            .unwrap_or_default()
    }

    /// A field's number, 0 where it is not set.
    pub fn number(&self, field: &str) -> i64 {
        self.text(field).parse().unwrap_or(0)
    }

    /// A field's number, or `None` where it is not set.
    pub fn maybe(&self, field: &str) -> Option<i64> {
        self.text(field).parse().ok()
    }
}

/// One line of a job's timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TimelineEvent {
    /// When, ms since 1970.
    pub at_ms: u64,
    /// What happened.
    pub event: String,
    /// More about it.
    pub detail: String,
}

/// A worker with a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WorkerView {
    /// Its id: host and boot nonce.
    pub worker: String,
    /// What is left of its shortest lease, ms.
    pub lease_left_ms: i64,
    /// What it says of itself, JSON.
    pub about: String,
}

/// Which jobs to list.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    /// Only this account's.
    pub account: Option<AccountId>,
    /// Only those in this state.
    pub state: Option<State>,
    /// At most so many.
    pub limit: usize,
}

impl Store {
    /// One job; `None` where there is none.
    pub async fn job(&self, job: &JobId) -> Result<Option<JobView>, Error> {
        let keys = self.keys(job.partition())?;
        let mut ask = redis::pipe();
        ask.cmd("HGETALL").arg(keys.job(job));
        ask.cmd("HGET").arg(keys.work(job)).arg("artifact");
        let (fields, artifact): (HashMap<String, String>, Option<String>) =
            self.read("job", &ask).await?;
        Ok((!fields.is_empty()).then(|| JobView {
            job: job.clone(),
            fields,
            artifact,
        }))
    }

    /// A job's timeline, oldest first.
    pub async fn timeline(&self, job: &JobId) -> Result<Vec<TimelineEvent>, Error> {
        let mut ask = redis::pipe();
        ask.cmd("GET")
            .arg(self.keys(job.partition())?.timeline(job));
        let (text,): (Option<String>,) = self.read("timeline", &ask).await?;
        Ok(text
            .unwrap_or_default()
            .lines()
            .filter_map(timeline_event)
            .collect())
    }

    /// The newest jobs that fit a filter. Pages over the indexes with a bounded cost.
    pub async fn jobs(&self, filter: &JobFilter) -> Result<Vec<JobView>, Error> {
        let mut found = Vec::new();
        for partition in 0..self.partitions() {
            if filter
                .account
                .as_ref()
                .is_some_and(|a| a.partition(self.partitions()) != partition)
            {
                continue;
            }
            for id in self.job_ids(partition, filter).await? {
                let view = self.job(&id).await?;
                let fits = |view: &JobView| filter.state.is_none_or(|s| view.state() == Some(s));
                found.extend(view.filter(fits));
            }
        }
        found.sort_by_key(|view| std::cmp::Reverse(view.number("created_at")));
        found.truncate(filter.limit);
        Ok(found)
    }

    /// Candidates for a listing, newest first, from the index that fits the filter best.
    async fn job_ids(&self, partition: u16, filter: &JobFilter) -> Result<Vec<JobId>, Error> {
        let keys = self.keys(partition)?;
        let last = i64::try_from(filter.limit.saturating_mul(4)).unwrap_or(i64::MAX) - 1;
        let mut ask = redis::pipe();
        match &filter.account {
            Some(account) => {
                ask.cmd("ZREVRANGE")
                    .arg(keys.jobs_of(account))
                    .arg(0)
                    .arg(last);
            }
            None => {
                for index in ["deadlines", "finished"] {
                    ask.cmd("ZREVRANGE").arg(keys.part(index)).arg(0).arg(last);
                }
            }
        }
        let lists: Vec<Vec<String>> = self.read("jobs", &ask).await?;
        Ok(lists
            .into_iter()
            .flatten()
            .filter_map(|id| JobId::try_from(id).ok())
            .collect())
    }

    /// Every open job of a partition: each has a hold.
    pub async fn open_jobs(&self, partition: u16) -> Result<Vec<JobId>, Error> {
        self.open_jobs_page(partition, 0, usize::MAX >> 1).await
    }

    /// So many open jobs of a partition from a rank on, in the order of their clocks.
    pub async fn open_jobs_page(
        &self,
        partition: u16,
        rank: usize,
        limit: usize,
    ) -> Result<Vec<JobId>, Error> {
        let mut ask = redis::pipe();
        ask.cmd("ZRANGE")
            .arg(self.keys(partition)?.part("deadlines"))
            .arg(rank)
            .arg(rank.saturating_add(limit).saturating_sub(1));
        let (ids,): (Vec<String>,) = self.read("deadlines", &ask).await?;
        Ok(ids
            .into_iter()
            .filter_map(|id| JobId::try_from(id).ok())
            .collect())
    }

    /// Workers with a lease, over all partitions.
    pub async fn workers(&self) -> Result<Vec<WorkerView>, Error> {
        let now_ms = i64::try_from(self.server_ms().await?).unwrap_or(i64::MAX);
        let mut workers: BTreeMap<String, WorkerView> = BTreeMap::new();
        for partition in 0..self.partitions() {
            let keys = self.keys(partition)?;
            let mut ask = redis::pipe();
            ask.cmd("ZRANGE")
                .arg(keys.part("leases"))
                .arg(0)
                .arg(-1)
                .arg("WITHSCORES");
            ask.cmd("HGETALL").arg(keys.part("workers"));
            let (leases, about): (Vec<(String, f64)>, HashMap<String, String>) =
                self.read("workers", &ask).await?;
            for (worker, until) in leases {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "a time in ms is far below 2^53"
                )]
                let left = until as i64 - now_ms;
                let about = about.get(&worker).cloned().unwrap_or_default();
                let view = WorkerView {
                    worker: worker.clone(),
                    lease_left_ms: left,
                    about,
                };
                let seen = workers.entry(worker).or_insert_with(|| view.clone());
                seen.lease_left_ms = seen.lease_left_ms.min(view.lease_left_ms);
                if seen.about.is_empty() {
                    seen.about = view.about;
                }
            }
        }
        Ok(workers.into_values().collect())
    }

    /// The server's clock, ms since 1970.
    pub async fn server_ms(&self) -> Result<u64, Error> {
        if self.now_ms > 0 {
            return Ok(self.now_ms);
        }
        let mut ask = redis::pipe();
        ask.cmd("TIME");
        let ((seconds, micros),): ((u64, u64),) = self.read("TIME", &ask).await?;
        Ok(seconds * 1000 + micros / 1000)
    }
}

/// Reads `<ms> <event> <detail>`.
pub(super) fn timeline_event(line: &str) -> Option<TimelineEvent> {
    let (at, rest) = line.split_once(' ')?;
    let (event, detail) = rest.split_once(' ').unwrap_or((rest, ""));
    Some(TimelineEvent {
        at_ms: at.parse().ok()?,
        event: event.to_owned(),
        detail: detail.to_owned(),
    })
}
