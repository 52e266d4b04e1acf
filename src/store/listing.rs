//! Jobs page by page, from the index that fits, and whether the store answers at all.

use std::collections::HashMap;

use super::pages::{Place, Sorting, Stretch};
use super::{Error, JobView, SCHEMA, Store, keys};
use crate::domain::ids::AccountId;

/// Which jobs are listed, and in which order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobIndex {
    /// One account's, the newest first.
    OfAccount(AccountId),
    /// All open ones of a partition, the one whose clock ends first in front.
    Open,
    /// All that have ended in a partition, the latest first.
    Ended,
}

/// A page of jobs.
#[derive(Debug)]
pub struct JobPage {
    /// With their times in the index, ms since 1970.
    pub jobs: Vec<(u64, JobView)>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Place>,
}

/// What listings show of a job.
const FIELDS: [&str; 35] = [
    "account",
    "tool",
    "queue",
    "class",
    "state",
    "fail_class",
    "message",
    "tries",
    "takeovers",
    "submissions",
    "worker",
    "hold_ucr",
    "captured_ucr",
    "released_ucr",
    "refunded_ucr",
    "absorbed_ucr",
    "measured_ms",
    "billable_ms",
    "flags",
    "price_version",
    "quote",
    "idem",
    "payer",
    "redrive_of",
    "redriven_as",
    "created_at",
    "due_at",
    "started_at",
    "deadline_at",
    "finished_at",
    "rule",
    "asked_ms",
    "asked_outputs",
    "slices",
    "entry",
];

impl Store {
    /// A page of a partition's jobs behind a place. Looks at a hundred at most.
    pub async fn job_page(
        &self,
        partition: u16,
        index: &JobIndex,
        after: Option<&Place>,
    ) -> Result<JobPage, Error> {
        let keys = self.keys(partition)?;
        let (key, order) = match index {
            JobIndex::OfAccount(account) => (keys.jobs_of(account), Sorting::Latest),
            JobIndex::Open => (keys.part("deadlines"), Sorting::Earliest),
            JobIndex::Ended => (keys.part("finished"), Sorting::Latest),
        };
        let stretch = Stretch {
            partition,
            index: key,
            order,
            from_ms: None,
            to_ms: None,
            after,
        };
        let (rows, next) = self.index_page(stretch, &FIELDS).await?;
        let mut jobs = Vec::new();
        for row in &rows {
            let mut fields = HashMap::new();
            for (n, name) in FIELDS.into_iter().enumerate() {
                let value = row.text(n)?;
                if !value.is_empty() {
                    fields.insert(name.to_owned(), value);
                }
            }
            // One that was forgotten since has no fields.
            if fields.contains_key("state") {
                jobs.push((row.at_ms, JobView::of(row.job.clone(), fields)));
            }
        }
        Ok(JobPage { jobs, next })
    }

    /// Asks the server whether it answers and is still the store that was opened.
    pub async fn check(&self) -> Result<(), Error> {
        let mut ask = redis::pipe();
        ask.cmd("HGET").arg(keys::STORE_META).arg("schema");
        let (schema,): (Option<u32>,) = self.read("schema", &ask).await?;
        match schema {
            Some(SCHEMA) => Ok(()),
            Some(other) => Err(Error::Incompatible(format!(
                "it has schema {other}, this version reads {SCHEMA}"
            ))),
            None => Err(Error::Incompatible("it is empty".to_owned())),
        }
    }
}
