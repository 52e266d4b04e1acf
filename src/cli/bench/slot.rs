//! What a slot runs in a bench: nothing, then the real settlement.
//!
//! Everything around it is the worker of `serve`: claims, slots, leases, heartbeat, sweep.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tempfile::TempDir;

use super::load::{CHARGE_CREDITS, Payload, QUEUE, now_us, us_since};
use crate::cli::failure::Failure;
use crate::config::Settings;
use crate::domain::credits::Ucr;
use crate::media::artifacts::ArtifactStore;
use crate::media::fetch::{Fetcher, Limits};
use crate::media::probe::child::Prober;
use crate::provider::Providers;
use crate::store::{ClaimedJob, Error, SettleOutcome, Settlement, Step, Store};
use crate::worker::{Outputs, Place, StandIn, Worker, WorkerOptions};

/// Pause before a call whose answer was lost is made again.
const AGAIN: Duration = Duration::from_millis(50);

/// One finished job, in microseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Finished {
    /// From the moment before its submission to the moment its slot ran.
    pub(super) start_us: f64,
    /// How long the settlement took.
    pub(super) settle_us: u32,
    /// From the moment before its submission to the moment after its settlement.
    pub(super) end_us: f64,
}

/// Told of every finished job.
pub(super) type Sink = Arc<dyn Fn(&ClaimedJob, Finished) + Send + Sync>;

/// A worker whose slots do nothing, and the folder that it would put outputs into.
pub(super) struct Bench {
    pub(super) worker: Worker,
    _outputs: TempDir,
}

/// Starts a worker with so many slots. With `checkpoints` each job writes intent, handle and artifact
/// down on its way, as a generation does.
pub(super) async fn start(
    store: &Store,
    settings: &Settings,
    slots: u32,
    checkpoints: bool,
    sink: Sink,
) -> Result<Bench, Failure> {
    let stand_in: StandIn = Arc::new(move |store, job, place| {
        let sink = Arc::clone(&sink);
        run(store, job, place, checkpoints, sink).boxed()
    });
    begin(store, settings, slots, stand_in).await
}

/// Starts a worker that says which job it has begun, and never ends it.
pub(super) async fn start_noting(
    store: &Store,
    settings: &Settings,
    slots: u32,
    note: Arc<dyn Fn(&ClaimedJob) + Send + Sync>,
) -> Result<Bench, Failure> {
    let stand_in: StandIn = Arc::new(move |_, job, place| {
        note(&job);
        async move {
            let _place = place;
            std::future::pending().await
        }
        .boxed()
    });
    begin(store, settings, slots, stand_in).await
}

async fn begin(
    store: &Store,
    settings: &Settings,
    slots: u32,
    stand_in: StandIn,
) -> Result<Bench, Failure> {
    let folder = tempfile::tempdir()?;
    let artifacts = ArtifactStore::open(folder.path())
        .map_err(|error| std::io::Error::other(error.to_string()))?;
    let prober = Prober::new(std::env::current_exe()?);
    let outputs = Outputs::new(Fetcher::new(Limits::default()), artifacts, prober);
    let worker = &settings.worker;
    let options = WorkerOptions {
        slots: [(QUEUE.to_owned(), slots)].into(),
        lease_ms: worker.lease_ms,
        heartbeat_ms: worker.heartbeat_ms,
        sweep_ms: worker.sweep_ms,
        drain_max_ms: worker.drain_max_ms,
    };
    let providers = Providers::default();
    let worker = Worker::start_stand_in(store.clone(), providers, outputs, options, stand_in);
    worker.claiming().await;
    Ok(Bench {
        worker,
        _outputs: folder,
    })
}

async fn run(store: Store, job: ClaimedJob, place: Place, checkpoints: bool, sink: Sink) {
    let began_us = now_us();
    let Ok(payload) = serde_json::from_str::<Payload>(&job.payload) else {
        return tracing::error!(
            job.id = job.job.as_str(),
            "not a job of the bench, left alone"
        );
    };
    let result = format!("{{\"file\":\"{}\"}}", job.job);
    if checkpoints {
        let steps = [Step::Intent { submission: 1 }, Step::Handle, Step::Artifact];
        for step in steps {
            if let Err(error) = store.checkpoint(&job.job, &job.token, step, &result).await {
                tracing::warn!(%error, "failed to write a checkpoint");
            }
        }
    }
    if payload.sleep_ms > 0 {
        tokio::time::sleep(Duration::from_millis(payload.sleep_ms)).await;
    }
    // As a generation does whose outputs are measured.
    place.leave_slot();
    let asked = Instant::now();
    match settle(&store, &job, result).await {
        Ok(SettleOutcome::Settled { .. }) => sink(
            &job,
            Finished {
                start_us: began_us - payload.ts,
                settle_us: us_since(asked),
                end_us: now_us() - payload.ts,
            },
        ),
        other => tracing::warn!(job.id = job.job.as_str(), ?other, "a job was not settled"),
    }
}

/// Settles, again where the answer was lost: by its token the call is safe to repeat.
async fn settle(store: &Store, job: &ClaimedJob, result: String) -> Result<SettleOutcome, Error> {
    let settlement = Settlement {
        captured: Ucr::from_credits(CHARGE_CREDITS),
        absorbed: Ucr::ZERO,
        measured_ms: Some(4_000),
        billable_ms: Some(4_000),
        flags: String::new(),
        result,
    };
    loop {
        match store.settle(&job.job, &job.token, &settlement).await {
            Err(error) if error.is_transient() => tokio::time::sleep(AGAIN).await,
            answered => return answered,
        }
    }
}
