//! Jobs: quoted, submitted, looked at, waited for, stopped, retried.

use std::time::Duration;

use tokio::time::Instant;

use super::call::Call;
use super::{Answer, Client, Error};
use crate::domain::job::State;
use crate::wire::{
    Accepted, BatchAnswer, BatchRequest, Cancelled, Explanation, ForceFailRequest, ForceFailed,
    Job, JobRequest, Page, Quote, QuoteRequest, RefundBody, Refunded, Retried,
};

/// One long poll asks the server to wait so long at most.
const POLL: Duration = Duration::from_secs(30);

/// Which jobs to list.
#[derive(Debug, Clone, Default)]
pub struct JobQuery {
    /// Only this account's, the newest first.
    pub account: Option<String>,
    /// Only those in this state.
    pub state: Option<State>,
    /// Only this tool's.
    pub tool: Option<String>,
    /// How many: 1 to 100; as the server likes where it is missing.
    pub limit: Option<usize>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl Client {
    /// Prices a request. Nothing is held.
    pub async fn quote(&self, asked: &QuoteRequest) -> Result<Quote, Error> {
        let call = Call::post(self.at(&["quotes"]), None).body(asked)?;
        Ok(self.call(&call).await?.body)
    }

    /// Submits a job: its ceiling is held and it is queued, or neither.
    ///
    /// # Errors
    /// [`Error::Unknown`] has the key with which the same call says what came of it.
    pub async fn submit(
        &self,
        asked: &JobRequest,
        key: Option<&str>,
    ) -> Result<Answer<Accepted>, Error> {
        let call = Call::post(self.at(&["jobs"]), key).body(asked)?;
        self.call(&call).await
    }

    /// Submits up to 1,000 jobs, each accepted or refused for itself.
    pub async fn submit_batch(
        &self,
        asked: &BatchRequest,
        key: Option<&str>,
    ) -> Result<BatchAnswer, Error> {
        let call = Call::post(self.at(&["jobs", "batch"]), key).body(asked)?;
        Ok(self.call(&call).await?.body)
    }

    /// A job as it stands.
    pub async fn job(&self, job: &str) -> Result<Job, Error> {
        let call = Call::get(self.at(&["jobs", job]));
        Ok(self.call(&call).await?.body)
    }

    /// Waits until a job has ended or the time is up, by long polls; the job as it stands then.
    pub async fn wait_job(&self, job: &str, longest: Duration) -> Result<Job, Error> {
        let until = Instant::now() + longest;
        loop {
            let left = until.saturating_duration_since(Instant::now()).min(POLL);
            let call = Call::get(self.at(&["jobs", job])).wait(left);
            let found: Job = self.call(&call).await?.body;
            if found.has_ended() || Instant::now() >= until {
                return Ok(found);
            }
        }
    }

    /// A page of jobs.
    pub async fn jobs(&self, query: &JobQuery) -> Result<Page<Job>, Error> {
        let limit = query.limit.map(|limit| limit.to_string());
        let call = Call::get(self.at(&["jobs"])).query(&[
            ("account", query.account.as_deref()),
            ("state", query.state.map(State::as_str)),
            ("tool", query.tool.as_deref()),
            ("limit", limit.as_deref()),
            ("cursor", query.cursor.as_deref()),
        ]);
        Ok(self.call(&call).await?.body)
    }

    /// Cancels a job: nothing is charged.
    pub async fn cancel_job(&self, job: &str) -> Result<Answer<Cancelled>, Error> {
        let call = Call::post(self.at(&["jobs", job, "cancel"]), None);
        self.call(&call).await
    }

    /// Submits a failed job again, as a new one; the same one again is answered with the same new job.
    pub async fn retry_job(&self, job: &str) -> Result<Answer<Retried>, Error> {
        let call = Call::post(self.at(&["jobs", job, "retry"]), None);
        self.call(&call).await
    }

    /// How a job's price came about, and what happened to it.
    pub async fn explain_job(&self, job: &str) -> Result<Explanation, Error> {
        let call = Call::get(self.at(&["jobs", job, "explain"]));
        Ok(self.call(&call).await?.body)
    }

    /// Ends an open job as failed, by an operator's word.
    pub async fn force_fail_job(
        &self,
        job: &str,
        why: &ForceFailRequest,
    ) -> Result<Answer<ForceFailed>, Error> {
        let call = Call::post(self.at(&["jobs", job, "force-fail"]), None).body(why)?;
        self.call(&call).await
    }

    /// Gives back what a job was charged, or a part of it, once for each key.
    pub async fn refund_job(
        &self,
        job: &str,
        refund: &RefundBody,
        key: &str,
    ) -> Result<Answer<Refunded>, Error> {
        let call = Call::post(self.at(&["jobs", job, "refund"]), Some(key)).body(refund)?;
        self.call(&call).await
    }
}
