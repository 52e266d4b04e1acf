//! What is shown of jobs that have ended, taken from the store while it still has them.

use std::collections::{BTreeMap, BTreeSet};

use super::Error;
use super::chain::Link;
use crate::domain::ids::JobId;
use crate::store::Store;

/// The records of the jobs that these entries end or refund, JSON, by job. Taken after the entries were
/// read, a record is never older than the entry that it is committed with; the sweep forgets no job whose
/// end is not committed. One that was forgotten all the same has none.
pub(super) async fn of(
    store: &Store,
    partition: u16,
    links: &[Link],
) -> Result<BTreeMap<String, String>, Error> {
    let bodies = links.iter().map(|link| &link.body);
    let over = bodies.filter(|body| matches!(body.kind.as_str(), "settle" | "release" | "refund"));
    let jobs: BTreeSet<JobId> = over.filter_map(|body| body.job.parse().ok()).collect();
    let jobs: Vec<JobId> = jobs.into_iter().collect();
    let found = store.job_records(partition, &jobs).await?;
    let mut records = BTreeMap::new();
    for (job, record) in jobs.into_iter().zip(found) {
        if let Some(record) = record {
            // A text of the database has no zero character; no field of a job needs one.
            let text = serde_json::json!(record).to_string();
            records.insert(job.to_string(), text);
        }
    }
    Ok(records)
}
