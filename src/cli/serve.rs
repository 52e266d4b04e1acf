//! `serve`: the process that runs jobs, or answers requests, or both.

mod api;

use std::path::PathBuf;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use super::failure::{Exit, Failure, Kind};
use super::health::HealthFile;
use super::house::House;
use super::output::note;
use super::{Call, config};
use crate::config::{Flag, Settings};
use crate::ledger::Watch;
use crate::media::artifacts::ArtifactStore;
use crate::media::fetch::{Fetcher, Limits};
use crate::media::probe::child::Prober;
use crate::store::Store;
use crate::webhook;
use crate::worker::{
    Courier, CourierOptions, Drained, ObligationWatch, Outputs, WatchOptions, Worker, WorkerOptions,
};

const EXAMPLES: &str = "Examples:
  meterline serve
  meterline serve --role api --listen 127.0.0.1:8080
  meterline serve --role worker --slots image=4,video=2 --artifacts /srv/outputs
  meterline serve --role projector
  meterline serve --config config/dev --provider-url sim=http://127.0.0.1:9100";

/// Run jobs and serve the HTTP API until told to stop
///
/// Prints `listening http://...` on stderr once it answers requests. The role `projector` writes history to Postgres
/// (`postgres.url`) and prints `ready projector`; `all` does so too where that is set. A worker
/// prints `ready worker=<id>` on stderr once it claims. SIGTERM, SIGINT or `worker drain`: it claims
/// nothing more, hands over what others can go on with, waits for requests that are under way, says
/// what became of its jobs and exits with 0 (with 1 where time was up and jobs were left). A second
/// signal ends it at once, with 1, and others take its jobs over when its lease has lapsed.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// What this process does
    #[arg(long, value_enum, default_value_t = Role::All)]
    role: Role,
    /// Jobs to run at a time, by queue; queues that are not named are left to others
    #[arg(long, value_name = "QUEUE=N", value_delimiter = ',', value_parser = slot)]
    slots: Vec<(String, u32)>,
    /// Where the HTTP API listens [default: api.listen of the settings]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Folder for the outputs
    #[arg(long, value_name = "DIR")]
    artifacts: Option<String>,
    /// Reach a provider at another address than its file says; may be repeated
    #[arg(long, value_name = "NAME=URL", value_parser = provider_url)]
    provider_url: Vec<(String, Url)>,
    /// File to touch every second as long as the worker is well, for `meterline health`
    #[arg(long, value_name = "FILE")]
    health_file: Option<PathBuf>,
}

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Role {
    /// Everything there is.
    All,
    /// Answers requests.
    Api,
    /// Runs jobs.
    Worker,
    /// Writes history to Postgres.
    Projector,
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
    super::files::raise_limit();
    if !args.slots.is_empty() {
        let named = |queue: &String| args.slots.iter().any(|(name, _)| name == queue);
        house
            .loaded
            .settings
            .worker
            .slots
            .retain(|queue, _| named(queue));
    }
    if args.role == Role::Api {
        return answer_requests(&house, args.health_file).await;
    }
    if args.role == Role::Projector {
        return super::projector::run(&house).await;
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
    super::projector::hold_trimming(&house, &store).await?;
    let history = match args.role {
        Role::All => super::projector::History::start(&house, &store),
        Role::Api | Role::Worker | Role::Projector => super::projector::History::none(),
    };
    let worker = Worker::start(
        store.clone(),
        providers.clone(),
        outputs,
        worker_options(house.settings()),
        None,
    );
    let server = match args.role {
        Role::All => {
            let vital_sign = Box::new(worker.vital_sign());
            match api::start(&house, &store, Some(vital_sign)).await {
                Ok(server) => Some(server),
                Err(failure) => {
                    worker.abort().await;
                    return Err(failure);
                }
            }
        }
        Role::Api | Role::Worker | Role::Projector => None,
    };
    let mut health_file = None;
    let courier = courier(store.clone(), house.settings());
    let watch = ObligationWatch::start(store.clone(), providers, watch_options(house.settings()));
    let audit = Audit::start(store, worker.id(), house.settings().audit.every_ms);
    tokio::select! {
        () = worker.claiming() => {
            note(&format!("ready worker={}", worker.id()));
            health_file = keep_health_file(args.health_file, &worker)?;
            told_to_stop(&worker, &mut signals).await;
        }
        () = told_to_stop(&worker, &mut signals) => {}
    }
    // Nothing new is promised to anybody before the promises of before are seen to.
    if let Some(server) = server {
        server.stop().await;
    }
    audit.stop().await;
    history.stop().await;
    let (exit, _) = tokio::join!(leave(worker, &mut signals), async {
        tokio::join!(courier.stop(), watch.stop())
    });
    drop(health_file);
    Ok(exit)
}

/// Serves the API alone. A second signal does not wait for requests under way.
async fn answer_requests(house: &House, health_file: Option<PathBuf>) -> Result<Exit, Failure> {
    if health_file.is_some() {
        let message = "--health-file is about a worker: ask an API for /livez and /readyz";
        return Err(Failure::new(Kind::Usage, message));
    }
    let mut signals = Signals::new()?;
    let store = tokio::select! {
        store = house.store() => store?,
        () = signals.next() => return Ok(Exit::Done),
    };
    warn_of_the_server(&store).await?;
    let server = api::start(house, &store, None).await?;
    signals.next().await;
    tokio::select! {
        () = server.stop() => note("stopped"),
        () = signals.next() => note("told twice: requests under way are cut"),
    }
    Ok(Exit::Done)
}

fn keep_health_file(path: Option<PathBuf>, worker: &Worker) -> Result<Option<HealthFile>, Failure> {
    path.map(|path| HealthFile::keep(path, worker.id().to_owned(), worker.vital_sign()))
        .transpose()
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
    let listen = args.listen.iter();
    let listen = listen.map(|address| flag("--listen", "api.listen".to_owned(), address));
    slots.chain(urls).chain(artifacts).chain(listen).collect()
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

fn watch_options(settings: &Settings) -> WatchOptions {
    let costs = &settings.costs;
    WatchOptions {
        poll_ms: costs.poll_ms,
        watch_ms: settings.store.obligation_watch_ms,
        at_a_time: usize::try_from(costs.looks).unwrap_or(usize::MAX),
        keep_ms: costs.retention_days * 86_400_000,
    }
}

/// Posts what waits in outboxes.
fn courier(store: Store, settings: &Settings) -> Courier {
    let webhooks = &settings.webhooks;
    let limits = webhook::Limits {
        connect: Duration::from_millis(webhooks.connect_timeout_ms),
        total: Duration::from_millis(webhooks.timeout_ms),
    };
    let poster = webhook::Poster::new(limits, webhooks.allow_cidr.clone());
    let options = CourierOptions {
        senders: webhooks.senders,
        at_a_time: webhooks.at_a_time,
        outbox_max: webhooks.outbox_max,
        dead_letters_max: webhooks.dead_letters_max,
        poll_ms: webhooks.poll_ms,
        schedule_ms: webhooks.schedule_ms.clone(),
        disable_after_ms: webhooks.disable_after_ms,
    };
    Courier::start(store, poster, options)
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
    for (server, report) in store.server_reports().await? {
        for warning in report.warnings() {
            tracing::warn!(server, "{warning}");
        }
    }
    Ok(())
}

/// Waits for a signal, or for an operator's order through the store.
async fn told_to_stop(worker: &Worker, signals: &mut Signals) {
    let why = tokio::select! {
        () = signals.next() => "by a signal".to_owned(),
        order = worker.ordered_to_leave() => match order.reason.as_str() {
            "" => format!("by {}", order.actor),
            reason => format!("by {}: {reason}", order.actor),
        },
    };
    tracing::info!(
        running = worker.running(),
        "told to stop {why}; claiming nothing more"
    );
}

/// Hands over, waits for the rest, says what came of it. A second signal does not wait for it.
async fn leave(worker: Worker, signals: &mut Signals) -> Exit {
    let id = worker.id().to_owned();
    tokio::select! {
        drained = worker.leave() => {
            note(&format!("left worker={id} {}", words(drained)));
            if drained.left == 0 { Exit::Done } else { Exit::Failed }
        }
        () = signals.next() => {
            note(&format!("told twice: ended at once worker={id}; others take its jobs over when its lease has lapsed"));
            std::process::exit(Exit::Failed.code().into());
        }
    }
}

/// What became of a worker's jobs.
pub(super) fn words(drained: Drained) -> String {
    let Drained {
        finished,
        handed_over,
        left,
    } = drained;
    format!("finished={finished} handed_over={handed_over} left={left}")
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
