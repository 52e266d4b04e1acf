//! What is shown of jobs that have ended, taken from the store while it still has them.

use std::collections::{BTreeMap, BTreeSet};

use super::Error;
use super::chain::Link;
use crate::domain::ids::JobId;
use crate::store::{JobRecord, Store};

/// What is shown of jobs.
#[derive(Default)]
pub(super) struct Records {
    /// JSON, by job.
    pub(super) texts: BTreeMap<String, String>,
    /// Failed jobs that the store has forgotten, and what an operator's retry made of each.
    pub(super) retried: Vec<Retried>,
}

/// A job that was made of a failed one.
pub(super) struct Retried {
    pub(super) failed: String,
    pub(super) again: String,
    pub(super) payer: String,
}

/// The records of the jobs that these entries end or refund, and of those that a retry made them of. Taken after the entries were
/// read, a record is never older than the entry that it is committed with; the sweep forgets no job whose
/// end is not committed. One that was forgotten all the same has none.
pub(super) async fn of(store: &Store, partition: u16, links: &[Link]) -> Result<Records, Error> {
    let bodies = links.iter().map(|link| &link.body);
    let over = bodies.filter(|body| matches!(body.kind.as_str(), "settle" | "release" | "refund"));
    let jobs: BTreeSet<JobId> = over.filter_map(|body| body.job.parse().ok()).collect();
    let jobs: Vec<JobId> = jobs.into_iter().collect();
    let found = store.job_records(partition, &jobs).await?;
    let mut records = Records::default();
    let mut retried = Vec::new();
    for (job, record) in jobs.into_iter().zip(found) {
        let Some(record) = record else { continue };
        let field = |name: &str| record.fields.get(name).cloned().unwrap_or_default();
        if let Ok(failed) = field("redrive_of").parse::<JobId>() {
            let (again, payer) = (job.to_string(), field("payer"));
            let failed_text = failed.to_string();
            let link = Retried {
                failed: failed_text,
                again,
                payer,
            };
            retried.push((failed, link));
        }
        records.texts.insert(job.to_string(), text(&record));
    }
    // That it was retried stands in the failed job since its own end.
    let failed: Vec<JobId> = retried.iter().map(|(failed, _)| failed.clone()).collect();
    let found = store.job_records(partition, &failed).await?;
    for ((failed, link), record) in retried.into_iter().zip(found) {
        match record {
            Some(record) => {
                records.texts.insert(failed.to_string(), text(&record));
            }
            None => records.retried.push(link),
        }
    }
    Ok(records)
}

/// A text of the database has no zero character; no field of a job needs one.
fn text(record: &JobRecord) -> String {
    serde_json::json!(record).to_string()
}
