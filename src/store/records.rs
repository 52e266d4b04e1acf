//! What is kept of a job elsewhere, before the store forgets it.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::views::timeline_event;
use super::{Error, JobView, Store, TimelineEvent};
use crate::domain::ids::JobId;

/// A job with everything that is shown of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRecord {
    /// Its hash, by field.
    pub fields: BTreeMap<String, String>,
    /// Its result, JSON.
    pub artifact: Option<String>,
    /// Its timeline, a line each.
    pub timeline: String,
    /// Which grants it was charged from, as the store writes it: a refund goes by it.
    #[serde(default)]
    pub taken: Option<String>,
}

impl JobRecord {
    /// The job as it stood.
    pub fn view(&self, job: JobId) -> JobView {
        let fields: HashMap<String, String> = self.fields.clone().into_iter().collect();
        let mut view = JobView::of(job, fields);
        view.artifact.clone_from(&self.artifact);
        view
    }

    /// Its timeline, oldest first.
    pub fn events(&self) -> Vec<TimelineEvent> {
        self.timeline.lines().filter_map(timeline_event).collect()
    }
}

impl Store {
    /// Everything that is shown of these jobs of a partition; `None` where one is forgotten.
    pub async fn job_records(
        &self,
        partition: u16,
        jobs: &[JobId],
    ) -> Result<Vec<Option<JobRecord>>, Error> {
        type Work = (Option<String>, Option<String>);
        type Row = (BTreeMap<String, String>, Work, Option<String>);
        let keys = self.keys(partition)?;
        let mut records = Vec::new();
        for job in jobs {
            let mut ask = redis::pipe();
            ask.cmd("HGETALL").arg(keys.job(job));
            ask.cmd("HMGET")
                .arg(keys.work(job))
                .arg("artifact")
                .arg("taken");
            ask.cmd("GET").arg(keys.timeline(job));
            let (fields, (artifact, taken), timeline): Row = self.read("job", &ask).await?;
            records.push((!fields.is_empty()).then(|| JobRecord {
                fields,
                artifact,
                timeline: timeline.unwrap_or_default(),
                taken,
            }));
        }
        Ok(records)
    }
}
