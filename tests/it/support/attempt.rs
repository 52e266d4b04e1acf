//! One job in a worker's hands, and what the worker can say of it.

use meterline::domain::ids::AccountId;
use meterline::store::{
    CheckpointOutcome, ClaimedJob, DeferOutcome, SettleOutcome, Settlement, Step, Store,
};

use super::{Raw, accept, claim_one, funded, job_for, options, store_and_raw};

/// A store with one job of 35 credits in the hands of `w1`; 65 more are available.
pub(crate) async fn running_job() -> (Store, Raw, AccountId, ClaimedJob) {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 100).await;
    accept(&store, &job_for(&store, &acme, 35)).await;
    let job = claim_one(&store, "w1").await;
    (store, raw, acme, job)
}

pub(crate) async fn note(store: &Store, job: &ClaimedJob, step: Step) -> CheckpointOutcome {
    let record = format!("{{\"step\":\"{step:?}\"}}");
    let outcome = store.checkpoint(&job.job, &job.token, step, &record).await;
    outcome.expect("checkpoint")
}

pub(crate) fn intent(submission: u32) -> Step {
    Step::Intent { submission }
}

pub(crate) async fn settle(
    store: &Store,
    job: &ClaimedJob,
    settlement: &Settlement,
) -> SettleOutcome {
    let outcome = store.settle(&job.job, &job.token, settlement).await;
    outcome.expect("settle")
}

pub(crate) async fn defer(
    store: &Store,
    job: &ClaimedJob,
    delay_ms: u64,
    keep: bool,
) -> DeferOutcome {
    let outcome = store
        .defer(&job.job, &job.token, delay_ms, "limits", keep)
        .await;
    outcome.expect("defer")
}

/// The job goes from `w1` to another worker, midway.
pub(crate) async fn taken_over(store: &Store, job: &ClaimedJob) -> ClaimedJob {
    assert_eq!(defer(store, job, 0, true).await, DeferOutcome::Deferred);
    let next = claim_one(store, "w2").await;
    assert_eq!(next.job, job.job);
    next
}
