//! Looking at obligations: work that providers may still be doing, and billing us for, after we
//! stopped waiting for it. Nothing here changes anything.

use std::collections::HashMap;

use super::{Error, Store};
use crate::domain::ids::{AccountId, JobId};

/// Obligations that are read in one round trip.
const BATCH: usize = 100;

/// One open obligation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObligationView {
    /// Its id, which is the submission's idempotency key: `<job>-<submission>`.
    pub id: String,
    /// The job whose submission it was.
    pub job: JobId,
    /// The number of the submission within the job.
    pub submission: u32,
    /// Whose job it was.
    pub account: AccountId,
    /// Since when, ms since 1970.
    pub opened_at_ms: u64,
    /// Why we stopped waiting: a failure class, or the ending of the job.
    pub why: String,
    /// What was written down of the submission: JSON of its intent and its handle.
    pub work: String,
    /// How often its provider was asked since.
    pub looks: u32,
}

impl ObligationView {
    fn of(id: String, fields: &HashMap<String, String>) -> Option<Self> {
        let text = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
        Some(Self {
            job: text("job").parse().ok()?,
            submission: text("submission").parse().ok()?,
            account: text("account").parse().ok()?,
            opened_at_ms: text("opened_at").parse().ok()?,
            why: text("why").to_owned(),
            work: text("work").to_owned(),
            looks: text("looks").parse().unwrap_or(0),
            id,
        })
    }
}

impl Store {
    /// Every open obligation, the oldest first.
    pub async fn obligations(&self) -> Result<Vec<ObligationView>, Error> {
        Ok(self.oldest_obligations(usize::MAX).await?.0)
    }

    /// At most `limit` open obligations, the oldest first, and how many there are in all.
    pub async fn oldest_obligations(
        &self,
        limit: usize,
    ) -> Result<(Vec<ObligationView>, u64), Error> {
        let (mut found, mut open) = (Vec::new(), 0);
        for partition in 0..self.partitions() {
            let keys = self.keys(partition)?;
            let index = keys.part("obligations");
            let last = i64::try_from(limit.max(1)).map_or(-1, |limit| limit - 1);
            let mut ask = redis::pipe();
            ask.cmd("ZCARD").arg(&index);
            // A limit of 0 asks for the first one, and shows none of it: ranges that end at -1 hold all.
            ask.cmd("ZRANGE").arg(&index).arg(0).arg(last);
            let (count, ids): (u64, Vec<String>) = self.read("obligations", &ask).await?;
            open += count;
            for ids in ids.chunks(BATCH) {
                let mut ask = redis::pipe();
                for id in ids {
                    ask.cmd("HGETALL").arg(keys.obligation(id));
                }
                let hashes: Vec<HashMap<String, String>> = self.read("obligation", &ask).await?;
                let views = ids.iter().zip(&hashes);
                // One that was closed since the first question has no fields.
                found.extend(
                    views.filter_map(|(id, fields)| ObligationView::of(id.clone(), fields)),
                );
            }
        }
        found.sort_by(|a, b| (a.opened_at_ms, &a.id).cmp(&(b.opened_at_ms, &b.id)));
        found.truncate(limit);
        Ok((found, open))
    }
}
