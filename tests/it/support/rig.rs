//! A whole house for a test: a store, the simulated provider over real HTTP, workers in this process.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use meterline::config::Settings;
use meterline::domain::ids::{AccountId, JobId};
use meterline::media::artifacts::ArtifactStore;
use meterline::media::fetch::{Fetcher, Limits};
use meterline::media::probe::child::Prober;
use meterline::producer::{Asking, Producer, Terms};
use meterline::provider::Providers;
use meterline::store::{JobView, Store, Submitted};
use meterline::worker::{Outputs, StepHook, Worker, WorkerOptions};
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::http::http_client;
use super::{assert_sound, fresh_url, options};

/// Longest time any job of a test may take to end.
const PATIENCE: Duration = Duration::from_secs(45);

/// The parts of one house.
pub(crate) struct Rig {
    pub(crate) url: String,
    pub(crate) store: Store,
    pub(crate) producer: Producer,
    pub(crate) provider_url: String,
    provider_files: Vec<(String, String)>,
    pub(crate) artifacts: tempfile::TempDir,
    _simulator: DropGuard,
    operations: AtomicU32,
}

impl Rig {
    pub(crate) async fn new() -> Self {
        Self::on(fresh_url()).await
    }

    /// A house on a given server.
    pub(crate) async fn on(url: String) -> Self {
        let dev = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/dev");
        Self::with_settings(url, &dev).await
    }

    /// A house whose jobs have a minute, so that a machine that is busy with other things fails none.
    pub(crate) async fn patient(url: String) -> Self {
        Self::timed(url, 60_000).await
    }

    /// A house whose jobs have a minute, and each of their submissions so long.
    pub(crate) async fn timed(url: String, submission_ms: u64) -> Self {
        let clocks = [("SUBMISSION_TIMEOUT", submission_ms), ("DEADLINE", 60_000)];
        let settings = ["IMAGE", "VIDEO"].map(|queue| {
            clocks.map(|(clock, ms)| {
                let name = format!("METERLINE__QUEUES__{queue}__{clock}_MS");
                (name, ms.to_string())
            })
        });
        let dev = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/dev");
        Self::with(url, &dev, settings.into_iter().flatten()).await
    }

    /// A house with the catalogue and the providers of this folder.
    pub(crate) async fn with_settings(url: String, folder: &Path) -> Self {
        Self::with(url, folder, []).await
    }

    async fn with(
        url: String,
        folder: &Path,
        settings: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        // Only the first test of the process installs it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut options = options();
        options.cancel_grace_ms = 2_000;
        let store = Store::open(&url, options).await.expect("a store");
        let loaded = Settings::load(Some(folder), settings).expect("the settings");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let provider_url = format!("http://{}", listener.local_addr().expect("an address"));
        let stop = CancellationToken::new();
        tokio::spawn(meterline::dev::simulator::serve(listener, stop.clone()));
        let retry = meterline::domain::retry::Policy {
            tries: 3,
            base_ms: 50,
            factor: 2,
            cap_ms: 200,
        };
        Self {
            url,
            producer: Producer::new(store.clone(), loaded.catalogue, retry),
            store,
            provider_url,
            provider_files: loaded.provider_files,
            artifacts: tempfile::tempdir().expect("a folder"),
            _simulator: stop.drop_guard(),
            operations: AtomicU32::new(0),
        }
    }

    /// A worker in this process: 1 s lease, so that deaths are noticed within a test's patience.
    pub(crate) fn worker(&self, hook: Option<StepHook>) -> Worker {
        self.worker_with(hook, 8)
    }

    pub(crate) fn worker_with(&self, hook: Option<StepHook>, slots: u32) -> Worker {
        self.worker_for(hook, slots, 20_000)
    }

    /// A worker that waits so long for requests under way when it leaves.
    pub(crate) fn worker_for(
        &self,
        hook: Option<StepHook>,
        slots: u32,
        drain_max_ms: u64,
    ) -> Worker {
        self.worker_of(self.store.clone(), hook, slots, drain_max_ms)
    }

    /// A worker with connections of its own.
    pub(crate) fn worker_of(
        &self,
        store: Store,
        hook: Option<StepHook>,
        slots: u32,
        drain_max_ms: u64,
    ) -> Worker {
        let queues = ["image", "video", "audio", "training"];
        let options = WorkerOptions {
            slots: queues.map(|queue| (queue.to_owned(), slots)).into(),
            lease_ms: 1_000,
            heartbeat_ms: 250,
            sweep_ms: 200,
            drain_max_ms,
        };
        let providers = self.providers();
        let artifacts = ArtifactStore::open(self.artifacts.path()).expect("the artifact folder");
        let limits = Limits {
            max_bytes: 64 * 1024 * 1024,
            ..Limits::default()
        };
        let prober = Prober::new(env!("CARGO_BIN_EXE_meterline"));
        let outputs = Outputs::new(Fetcher::new(limits), artifacts, prober);
        Worker::start(store, providers, outputs, options, hook)
    }

    /// The providers as a worker of this house has them.
    pub(crate) fn providers(&self) -> Providers {
        let base_urls = BTreeMap::from([("sim".to_owned(), self.provider_url.clone())]);
        Providers::load(&self.provider_files, &base_urls, &|_| None).expect("the presets")
    }

    pub(crate) async fn fund(&self, account: &AccountId, credits: u32) {
        self.store.open_account(account, 0).await.expect("open");
        let n = self.operations.fetch_add(1, Ordering::Relaxed);
        let kind = meterline::store::GrantKind::Purchase;
        super::give(
            &self.store,
            account,
            credits,
            kind,
            None,
            &format!("rig-{n}"),
        )
        .await;
    }

    pub(crate) async fn submit_on(
        &self,
        account: &AccountId,
        tool: &str,
        params: Value,
        route: Option<&str>,
    ) -> Submitted {
        let Value::Object(params) = params else {
            panic!("parameters are an object")
        };
        let asking = Asking {
            account: account.clone(),
            tool: tool.to_owned(),
            params,
            route: route.map(str::to_owned),
        };
        self.producer
            .submit(&asking, &Terms::default())
            .await
            .expect("accepted")
    }

    pub(crate) async fn submit(&self, account: &AccountId, tool: &str, params: Value) -> Submitted {
        self.submit_on(account, tool, params, None).await
    }

    /// An image job with knobs for the simulated provider.
    pub(crate) async fn image(&self, account: &AccountId, sim: Value) -> Submitted {
        self.submit(account, "text-to-image", json!({"prompt": "x", "sim": sim}))
            .await
    }

    /// A video job with knobs for the simulated provider.
    pub(crate) async fn video(
        &self,
        account: &AccountId,
        duration_ms: u64,
        sim: Value,
    ) -> Submitted {
        self.submit(account, "image-to-video", video(duration_ms, sim))
            .await
    }

    /// Waits for the job's end, by its events.
    pub(crate) async fn ended(&self, job: &JobId) -> JobView {
        self.follow_until(job, None).await;
        self.store.job(job).await.expect("a view").expect("the job")
    }

    /// Waits until the job's timeline shows an event so many times.
    pub(crate) async fn seen(&self, job: &JobId, event: &str, times: usize) {
        self.follow_until(job, Some((event, times))).await;
    }

    /// Looks again after each event: for the job's end, or for an event so many times. A store that is
    /// away for a moment is asked again when it is back.
    async fn follow_until(&self, job: &JobId, wanted: Option<(&str, usize)>) {
        let waiting = async {
            loop {
                let Ok(mut events) = self.store.follow(job).await else {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                };
                loop {
                    if self.is_there(job, wanted).await {
                        return;
                    }
                    if events.next(500).await.is_err() {
                        break;
                    }
                }
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            let view = self.store.job(job).await;
            let timeline = self.store.timeline(job).await;
            panic!("{job} does not get there in time: {view:#?}\n{timeline:#?}");
        }
    }

    async fn is_there(&self, job: &JobId, wanted: Option<(&str, usize)>) -> bool {
        match wanted {
            None => {
                let view = self.store.job(job).await.ok().flatten();
                view.and_then(|view| view.state())
                    .is_some_and(|state| state.is_terminal())
            }
            Some((event, times)) => {
                let timeline = self.store.timeline(job).await.unwrap_or_default();
                timeline.iter().filter(|line| line.event == event).count() >= times
            }
        }
    }

    /// How many generations the provider started, by submission key.
    pub(crate) async fn started(&self) -> BTreeMap<String, u64> {
        self.count("submissions").await
    }

    pub(crate) async fn count(&self, what: &str) -> BTreeMap<String, u64> {
        let url = format!("{}/_sim/{what}", self.provider_url);
        let client = http_client();
        client
            .get(url)
            .send()
            .await
            .expect("an answer")
            .json()
            .await
            .expect("counts")
    }

    /// The books are right, and no job was started more than once.
    pub(crate) async fn assert_sound(&self) {
        assert_sound(&self.store).await;
    }

    /// How many generations were started for one job.
    pub(crate) async fn started_for(&self, job: &JobId) -> u64 {
        let started = self.started().await;
        started
            .iter()
            .filter(|(key, _)| key.starts_with(job.as_str()))
            .map(|(_, n)| n)
            .sum()
    }
}

pub(crate) fn video(duration_ms: u64, sim: Value) -> Value {
    let mut params = json!({"image_url": "http://127.0.0.1/x.png", "duration_ms": duration_ms});
    params["sim"] = sim;
    params
}

/// A hook that lets a worker die at a named point: the first `deaths` times it is reached, time stops
/// there for that attempt.
pub(crate) fn dies_at(
    name: &'static str,
    phase: meterline::worker::StepPhase,
) -> (StepHook, Arc<tokio::sync::Notify>) {
    let reached = Arc::new(tokio::sync::Notify::new());
    let notify = Arc::clone(&reached);
    let hook: StepHook = Arc::new(move |point| {
        let here = point.name == name && point.phase == phase;
        if here {
            notify.notify_one();
        }
        Box::pin(async move {
            if here {
                std::future::pending::<()>().await;
            }
        })
    });
    (hook, reached)
}
