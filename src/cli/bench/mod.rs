//! `bench`: what a job costs, from its hold to its settlement, without any provider.

mod door;
mod finding;
mod http;
mod lifecycle;
mod load;
mod measure;
mod peer;
mod slot;
mod streams;
mod trials;

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Call;
use super::failure::{Exit, Failure, Kind};
use super::house::{House, store_options};
use crate::dev::redis::{PrivateRedis, RedisOptions};
use crate::store::Store;

/// Accounts that submit, unless said otherwise.
const ACCOUNTS: u32 = 1_000;

const EXAMPLES: &str = "Examples:
  meterline bench
  meterline bench --jobs 50000 --aof --output json
  meterline bench --redis redis://127.0.0.1:6390/3";

/// Measure what a job costs: hold, queue, claim, settle, journal
///
/// Runs on a private Redis of its own; with --redis on that one, where it leaves its accounts
/// (bench-0000, ...), jobs and journal behind: give it an empty database.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Jobs in each phase
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    jobs: u64,
    /// Accounts that submit them
    #[arg(long, default_value_t = ACCOUNTS, value_parser = clap::value_parser!(u32).range(1..))]
    accounts: u32,
    /// Submits under way at a time
    #[arg(long, default_value_t = 50)]
    in_flight: usize,
    /// Slots of the worker
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    slots: u32,
    /// Jobs a second while latencies are taken
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// How long latencies are taken, s
    #[arg(long, default_value_t = 10)]
    rate_seconds: u32,
    /// Write intent, handle and artifact down for each job, as a generation does
    #[arg(long)]
    checkpoints: bool,
    /// Let the private Redis keep an append-only file, fsync once a second
    #[arg(long)]
    aof: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(subcommand)]
    Peer(peer::Command),
    Backlog(trials::BacklogArgs),
    Inflight(trials::InflightArgs),
    Takeover(trials::TakeoverArgs),
    Http(http::Args),
    Streams(streams::Args),
}

/// The store that is measured, and the private server that ends with it.
struct Ground {
    house: House,
    store: Store,
    url: String,
    _server: Option<PrivateRedis>,
}

pub(super) async fn run(call: &Call, args: Args) -> Result<Exit, Failure> {
    match args.command {
        Some(Command::Peer(command)) => peer::run(call, command).await,
        Some(Command::Backlog(args)) => trials::backlog(call, args).await,
        Some(Command::Inflight(args)) => trials::inflight(call, args).await,
        Some(Command::Takeover(args)) => trials::takeover(call, args).await,
        Some(Command::Http(args)) => http::run(call, args).await,
        Some(Command::Streams(args)) => streams::run(call, args).await,
        None => {
            let ground = Ground::of(call, args.aof).await?;
            let report = lifecycle::run(&ground.store, ground.house.settings(), &args).await?;
            call.out.show(&report, || report.text())?;
            Ok(Exit::Done)
        }
    }
}

impl Ground {
    /// The server of `--redis`, or a private one. A variable that names a store for daily work is not
    /// taken: a bench leaves a thousand accounts behind.
    async fn of(call: &Call, append_only: bool) -> Result<Self, Failure> {
        let house = call.house_with(Vec::new())?;
        let named = call.global.redis.as_ref();
        if let Some(url) = named.filter(|_| call.redis_origin == "--redis") {
            return Ok(Self {
                store: house.store().await?,
                house,
                url: url.clone(),
                _server: None,
            });
        }
        let extra = Vec::new();
        let start = move || PrivateRedis::start(RedisOptions { append_only, extra });
        let server = tokio::task::spawn_blocking(start)
            .await
            .map_err(|error| Failure::new(Kind::Io, error.to_string()))?
            .map_err(|error| Failure::new(Kind::Io, format!("failed to {error}")))?;
        let url = server.url();
        let store = Store::open(&url, store_options(house.settings())).await?;
        Ok(Self {
            house,
            store,
            url,
            _server: Some(server),
        })
    }
}

/// A bar where people watch.
fn progress(jobs: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(jobs), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{msg:20} {wide_bar} {pos}/{len}") {
        bar.set_style(style);
    }
    bar
}
