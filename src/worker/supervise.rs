//! What stands around a job's line: the order to stop, and the fall of our own code.

use std::sync::Arc;
use std::time::Instant;

use super::attempt::{Attempt, Setback};
use super::running::{Stop, StopReason};
use super::{House, conclude};
use crate::store::ClaimedJob;

/// Runs a job to its end, whatever happens to it: the order to stop, a setback, a panic.
pub(super) async fn run(house: &Arc<House>, job: ClaimedJob, asked_at: Instant, stop: &Arc<Stop>) {
    let _entry = house.running.entry(&job.job, stop);
    let (again, token) = (job.job.clone(), job.token.clone());
    let task = tokio::spawn({
        let (house, stop) = (Arc::clone(house), Arc::clone(stop));
        async move { run_or_stop(&house, job, asked_at, &stop).await }
    });
    if let Err(error) = task.await {
        tracing::error!(job.id = again.as_str(), %error, "the run of {again} broke, ending the job");
        conclude::broken(house, &again, &token).await;
    }
}

async fn run_or_stop(house: &House, job: ClaimedJob, asked_at: Instant, stop: &Stop) {
    if let Some(stand_in) = &house.stand_in {
        return tokio::select! {
            biased;
            _ = stop.ordered() => {}
            () = stand_in(house.store.clone(), job) => {}
        };
    }
    let payload = match serde_json::from_str(&job.payload) {
        Ok(payload) => payload,
        Err(error) => {
            tracing::error!(job.id = job.job.as_str(), %error, "failed to read the job's payload");
            return conclude::broken(house, &job.job, &job.token).await;
        }
    };
    let attempt = Attempt::new(house, job, asked_at, payload);
    let ended = tokio::select! {
        biased;
        reason = stop.ordered() => Err(reason),
        ended = attempt.run() => Ok(ended),
    };
    match ended {
        Ok(Ok(())) | Ok(Err(Setback::Gone)) | Err(StopReason::Lost) => {}
        Ok(Err(setback)) => attempt.conclude(setback).await,
        Err(StopReason::Told) => attempt.abandon().await,
    }
}
