//! An idle worker hears of a job wherever it comes in, and asks no more than it has to.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use meterline::dev::redis::PrivateRedis;
use meterline::domain::ids::AccountId;
use meterline::media::artifacts::ArtifactStore;
use meterline::media::fetch::{Fetcher, Limits};
use meterline::media::probe::child::Prober;
use meterline::provider::Providers;
use meterline::store::{ClaimedJob, NewJob, Options, Store};
use meterline::worker::{Outputs, StandIn, Worker, WorkerOptions};
use tokio::sync::{Semaphore, mpsc};

use crate::support::*;

/// Well below the 5 s after which a worker looks everywhere by itself.
const SOON: Duration = Duration::from_secs(4);

/// A worker with one slot for images and two for videos. It says which job it runs, and settles it
/// when it is let go.
struct Quiet {
    worker: Worker,
    runs: mpsc::UnboundedReceiver<ClaimedJob>,
    go_on: Arc<Semaphore>,
    /// What a settlement waits for.
    books: Arc<Semaphore>,
    _folder: tempfile::TempDir,
}

impl Quiet {
    async fn start(store: &Store) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().expect("a folder");
        let artifacts = ArtifactStore::open(folder.path()).expect("the artifact folder");
        let prober = Prober::new(env!("CARGO_BIN_EXE_meterline"));
        let outputs = Outputs::new(Fetcher::new(Limits::default()), artifacts, prober);
        let (sender, runs) = mpsc::unbounded_channel();
        let go_on = Arc::new(Semaphore::new(0));
        let books = Arc::new(Semaphore::new(1_000));
        let stand_in: StandIn = Arc::new({
            let (go_on, books) = (Arc::clone(&go_on), Arc::clone(&books));
            move |store, job, place| {
                let (sender, go_on) = (sender.clone(), Arc::clone(&go_on));
                let books = Arc::clone(&books);
                async move {
                    let _ = sender.send(job.clone());
                    let _ = go_on.acquire().await.map(|permit| permit.forget());
                    place.leave_slot();
                    let _ = books.acquire().await.map(|permit| permit.forget());
                    let settled = store.settle(&job.job, &job.token, &settlement(1)).await;
                    settled.expect("settle");
                }
                .boxed()
            }
        });
        let options = WorkerOptions {
            slots: [("image".to_owned(), 1), ("video".to_owned(), 2)].into(),
            lease_ms: 60_000,
            heartbeat_ms: 20_000,
            sweep_ms: 20_000,
            drain_max_ms: 20_000,
        };
        let providers = Providers::default();
        let worker = Worker::start_stand_in(store.clone(), providers, outputs, options, stand_in);
        worker.claiming().await;
        Self {
            worker,
            runs,
            go_on,
            books,
            _folder: folder,
        }
    }

    async fn runs_soon(&mut self) -> ClaimedJob {
        let run = tokio::time::timeout(SOON, self.runs.recv()).await;
        run.expect("a job was not heard of").expect("a worker")
    }

    async fn end(self) {
        self.go_on.add_permits(1_000);
        self.books.add_permits(1_000);
        self.worker.drain().await;
    }
}

async fn eight_partitions() -> Store {
    eight_partitions_on(&fresh_url()).await
}

async fn eight_partitions_on(url: &str) -> Store {
    let options = Options {
        partitions: 8,
        ..options()
    };
    let store = Store::open(url, options).await;
    store.expect("a store")
}

/// An account in each of the eight partitions.
async fn accounts(store: &Store) -> Vec<AccountId> {
    let mut found: Vec<Option<AccountId>> = vec![None; 8];
    for n in 0.. {
        let id = account(&format!("acme-{n}"));
        let place = &mut found[usize::from(id.partition(8))];
        if place.is_none() {
            *place = Some(funded(store, id.as_str(), 1_000).await);
        }
        if found.iter().all(Option::is_some) {
            break;
        }
    }
    found.into_iter().flatten().collect()
}

fn job_in(store: &Store, id: &AccountId, queue: &str) -> NewJob {
    NewJob {
        queue: queue.to_owned(),
        ..job_for(store, id, 2)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_worker_hears_of_a_job_in_any_partition_and_queue_again_and_again() {
    let store = eight_partitions().await;
    let accounts = accounts(&store).await;
    let mut quiet = Quiet::start(&store).await;
    for _ in 0..3 {
        for id in &accounts {
            for queue in ["video", "image"] {
                let submitted = accept(&store, &job_in(&store, id, queue)).await;
                quiet.go_on.add_permits(1);
                assert_eq!(quiet.runs_soon().await.job, submitted.job);
            }
        }
    }
    quiet.end().await;
    assert_sound(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_queue_had_no_slot_when_it_came_runs_as_soon_as_there_is_one() {
    let store = eight_partitions().await;
    let id = accounts(&store).await.remove(0);
    let mut quiet = Quiet::start(&store).await;
    let first = accept(&store, &job_in(&store, &id, "image")).await.job;
    assert_eq!(quiet.runs_soon().await.job, first);
    let waiting = accept(&store, &job_in(&store, &id, "image")).await.job;
    // Claims in the same partition go on for the other queue meanwhile.
    for _ in 0..2 {
        let video = accept(&store, &job_in(&store, &id, "video")).await.job;
        assert_eq!(quiet.runs_soon().await.job, video);
    }
    quiet.go_on.add_permits(3);
    assert_eq!(quiet.runs_soon().await.job, waiting);
    quiet.end().await;
    assert_sound(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_only_to_be_settled_leaves_its_slot_while_there_are_desks() {
    let store = eight_partitions().await;
    let id = accounts(&store).await.remove(0);
    let mut quiet = Quiet::start(&store).await;
    quiet.books.forget_permits(1_000);
    quiet.go_on.add_permits(5);
    let mut jobs = Vec::new();
    for _ in 0..5 {
        jobs.push(accept(&store, &job_in(&store, &id, "image")).await.job);
    }
    // One slot, and three desks: as many as the slots of both queues.
    for job in &jobs[..4] {
        assert_eq!(&quiet.runs_soon().await.job, job);
    }
    let video = accept(&store, &job_in(&store, &id, "video")).await.job;
    let next = quiet.runs_soon().await.job;
    assert_eq!(next, video, "the fourth keeps its slot until it is settled");
    quiet.books.add_permits(1_000);
    assert_eq!(quiet.runs_soon().await.job, jobs[4]);
    quiet.end().await;
    assert_sound(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_in_one_partition_makes_no_claims_in_the_others() {
    // The counters are the server's, so it has to be this test's alone.
    let server = PrivateRedis::start(plain_redis()).expect("a private Redis");
    let store = eight_partitions_on(&server.url()).await;
    let accounts = accounts(&store).await;
    let mut quiet = Quiet::start(&store).await;
    let before = script_calls(&store).await;
    let jobs = 20;
    for id in accounts.iter().cycle().take(jobs) {
        accept(&store, &job_in(&store, id, "video")).await;
        quiet.go_on.add_permits(1);
        quiet.runs_soon().await;
    }
    let made = usize::try_from(script_calls(&store).await - before).expect("a number");
    // A submit, a settlement, a claim that finds it, one that looks again: asking all eight partitions
    // for each job would be ten calls and more. Some room for what beats and looks by the clock.
    assert!(made <= jobs * 6 + 40, "{made} script calls");
    quiet.end().await;
}

async fn script_calls(store: &Store) -> u64 {
    store.usage().await.expect("usage").calls["evalsha"]
}
