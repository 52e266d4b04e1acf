//! `serve`: the process that runs jobs.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use super::failure::{Exit, Failure, Kind};
use super::output::note;
use super::{Call, config};
use crate::config::{Flag, Settings};
use crate::ledger::Watch;
use crate::media::artifacts::ArtifactStore;
use crate::media::fetch::{Fetcher, Limits};
use crate::media::probe::child::Prober;
use crate::store::Store;
use crate::worker::{Outputs, Worker, WorkerOptions};

const EXAMPLES: &str = "Examples:
  meterline serve
  meterline serve --role worker --slots image=4,video=2 --artifacts /srv/outputs
  meterline serve --config config/dev --provider-url sim=http://127.0.0.1:9100";

/// Run jobs until told to stop
///
/// Prints `ready worker=<id>` on stderr once it claims. SIGTERM or SIGINT: it claims nothing more,
/// ends what it runs and exits with 0; a second signal ends it at once, and others take its jobs over.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// What this process does
    #[arg(long, value_enum, default_value_t = Role::All)]
    role: Role,
    /// Jobs to run at a time, by queue; queues that are not named are left to others
    #[arg(long, value_name = "QUEUE=N", value_delimiter = ',', value_parser = slot)]
    slots: Vec<(String, u32)>,
    /// Folder for the outputs
    #[arg(long, value_name = "DIR")]
    artifacts: Option<String>,
    /// Reach a provider at another address than its file says; may be repeated
    #[arg(long, value_name = "NAME=URL", value_parser = provider_url)]
    provider_url: Vec<(String, Url)>,
}

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Role {
    /// Everything there is.
    All,
    /// Runs jobs.
    Worker,
}

fn slot(text: &str) -> Result<(String, u32), String> {
    let wanted = || "write QUEUE=N, such as video=2".to_owned();
    let (queue, slots) = text.split_once('=').ok_or_else(wanted)?;
    Ok((queue.to_owned(), slots.parse().map_err(|_| wanted())?))
}

fn provider_url(text: &str) -> Result<(String, Url), String> {
    let wanted = || "write NAME=URL, such as sim=http://127.0.0.1:9100".to_owned();
    let (name, url) = text.split_once('=').ok_or_else(wanted)?;
    Ok((name.to_owned(), url.parse().map_err(|_| wanted())?))
}

pub(super) async fn run(call: &Call, args: Args) -> Result<Exit, Failure> {
    let mut house = call.house_with(flags(&args))?;
    if !args.slots.is_empty() {
        let named = |queue: &String| args.slots.iter().any(|(name, _)| name == queue);
        house
            .loaded
            .settings
            .worker
            .slots
            .retain(|queue, _| named(queue));
    }
    let providers = config::providers(&house)?;
    let outputs = outputs(house.settings())?;
    // From here on a signal is an order, also while the store is still being reached.
    let mut signals = Signals::new()?;
    let store = tokio::select! {
        store = house.store() => store?,
        () = signals.next() => return Ok(Exit::Done),
    };
    warn_of_the_server(&store).await?;
    match args.role {
        Role::All | Role::Worker => {}
    }
    let worker = Worker::start(
        store.clone(),
        providers,
        outputs,
        worker_options(house.settings()),
        None,
    );
    let audit = Audit::start(store, worker.id(), house.settings().audit.every_ms);
    tokio::select! {
        () = worker.claiming() => {
            note(&format!("ready worker={}", worker.id()));
            signals.next().await;
        }
        () = signals.next() => {}
    }
    audit.stop().await;
    drain(worker, &mut signals).await;
    Ok(Exit::Done)
}

/// The continuous audit, next to the worker.
struct Audit {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Audit {
    /// Starts it; every 0 ms means never.
    fn start(store: Store, auditor: &str, every_ms: u64) -> Self {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        if every_ms > 0 {
            tasks.spawn(Watch::new(store, auditor, every_ms).run(stop.clone()));
        }
        Self { stop, tasks }
    }

    /// It only reads, so that it can be left anywhere.
    async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// The flags as settings. Slots that the settings have for other queues are taken out by the caller.
fn flags(args: &Args) -> Vec<Flag> {
    let flag = |name: &str, key: String, value: &str| {
        let (name, value) = (name.to_owned(), value.to_owned());
        Flag { name, key, value }
    };
    let slots = args.slots.iter();
    let slots =
        slots.map(|(queue, n)| flag("--slots", format!("worker.slots.{queue}"), &n.to_string()));
    let urls = args.provider_url.iter();
    let urls = urls.map(|(name, url)| {
        flag(
            "--provider-url",
            format!("providers.{name}.base_url"),
            url.as_str(),
        )
    });
    let artifacts = args.artifacts.iter();
    let artifacts = artifacts.map(|dir| flag("--artifacts", "media.artifacts_dir".to_owned(), dir));
    slots.chain(urls).chain(artifacts).collect()
}

fn worker_options(settings: &Settings) -> WorkerOptions {
    let worker = &settings.worker;
    WorkerOptions {
        slots: worker.slots.clone(),
        lease_ms: worker.lease_ms,
        heartbeat_ms: worker.heartbeat_ms,
        sweep_ms: worker.sweep_ms,
        drain_max_ms: worker.drain_max_ms,
    }
}

/// Fetching, storing and measuring, with this very program as the probe.
fn outputs(settings: &Settings) -> Result<Outputs, Failure> {
    let media = &settings.media;
    let fetcher = Fetcher::new(Limits {
        max_bytes: media.max_bytes,
        total: Duration::from_millis(media.fetch_timeout_ms),
        idle: Duration::from_millis(media.idle_timeout_ms),
        connect: Duration::from_millis(media.connect_timeout_ms),
    });
    let store = ArtifactStore::open(&media.artifacts_dir).map_err(|error| {
        let dir = media.artifacts_dir.display();
        Failure::new(
            Kind::Io,
            format!("failed to open the artifact folder {dir}: {error}"),
        )
    })?;
    let mut prober = Prober::new(std::env::current_exe()?);
    prober.wall_limit = Duration::from_millis(media.probe_timeout_ms);
    Ok(Outputs::new(fetcher, store, prober))
}

async fn warn_of_the_server(store: &Store) -> Result<(), Failure> {
    for warning in store.server_report().await?.warnings() {
        tracing::warn!("{warning}");
    }
    Ok(())
}

/// Lets what runs come to its end. A second signal does not wait for it.
async fn drain(worker: Worker, signals: &mut Signals) {
    tracing::info!(
        running = worker.running(),
        "told to stop, claiming nothing more"
    );
    tokio::select! {
        left = worker.drain() => {
            if left > 0 {
                tracing::warn!(left, "stopped with jobs under way, others will take them over");
            }
        }
        () = signals.next() => {
            tracing::warn!("told to stop at once");
            std::process::exit(Exit::Failed.code().into());
        }
    }
}

/// The two signals that mean "stop".
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn new() -> Result<Self, Failure> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self {
            terminate,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
