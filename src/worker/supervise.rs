//! What stands around a job's line: the order to stop, and the fall of our own code.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;

use super::attempt::{Attempt, Setback};
use super::grip::Grip;
use super::place::Place;
use super::running::{Stop, StopReason};
use super::{House, conclude};
use crate::store::ClaimedJob;

/// Runs a job to its end, whatever happens to it: the order to stop, a setback, a panic.
pub(super) async fn run(
    house: &Arc<House>,
    job: ClaimedJob,
    asked_at: Instant,
    stop: &Arc<Stop>,
    place: Place,
) {
    let _entry = house.running.entry(&job.job, stop);
    let (again, token) = (job.job.clone(), job.token.clone());
    // What a panic leaves half done in this run is dropped with it; all else is behind locks.
    let line = AssertUnwindSafe(run_or_stop(house, job, asked_at, stop, place));
    if line.catch_unwind().await.is_err() {
        tracing::error!(
            job.id = again.as_str(),
            "the run of {again} broke, ending the job"
        );
        conclude::broken(house, &again, &token).await;
    }
}

async fn run_or_stop(house: &House, job: ClaimedJob, asked_at: Instant, stop: &Stop, place: Place) {
    if let Some(stand_in) = &house.stand_in {
        return tokio::select! {
            biased;
            _ = stop.ordered() => {}
            () = stand_in(house.store.clone(), job, place) => {}
        };
    }
    let payload = match serde_json::from_str(&job.payload) {
        Ok(payload) => payload,
        Err(error) => {
            tracing::error!(job.id = job.job.as_str(), %error, "failed to read the job's payload");
            return conclude::broken(house, &job.job, &job.token).await;
        }
    };
    let attempt = Attempt::new(house, job, asked_at, payload, place);
    let ended = tokio::select! {
        biased;
        reason = stop.ordered() => Ended::Stopped(reason),
        keep = may_hand_over(stop, &attempt.grip) => Ended::HandedOver { keep },
        ended = attempt.run() => Ended::Line(ended),
    };
    match ended {
        Ended::Line(Ok(())) => house.tally.ended(),
        Ended::Line(Err(Setback::Gone)) | Ended::Stopped(StopReason::Lost) => {}
        Ended::Line(Err(setback)) => {
            attempt.conclude(setback).await;
            house.tally.ended();
        }
        Ended::HandedOver { keep } => attempt.hand_over(keep).await,
        Ended::Stopped(StopReason::Told) => {
            attempt.abandon().await;
            house.tally.ended();
        }
    }
}

/// How the line was left.
enum Ended {
    /// It came to its own end.
    Line(Result<(), Setback>),
    /// Somebody told the worker to stop it.
    Stopped(StopReason),
    /// The worker leaves, and another can go on.
    HandedOver {
        /// With what is written down of its submission.
        keep: bool,
    },
}

/// Waits until this worker leaves and the line may be left. The line does not move on meanwhile: it is
/// driven by the same task.
async fn may_hand_over(stop: &Stop, grip: &Grip) -> bool {
    stop.hand_over().await;
    grip.let_go().await
}
