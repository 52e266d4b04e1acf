//! `bench peer`: the three commands by which a harness drives one queue among others.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Subcommand;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::load::Load;
use super::slot::{self, Finished};
use super::{ACCOUNTS, Call};
use crate::cli::failure::{Exit, Failure};
use crate::cli::serve::Signals;
use crate::store::ClaimedJob;

/// Calls under way in `enqueue N par`, and when paced.
const PAR: usize = 50;
/// Calls under way in `enqueue N bulk`.
const BULK: usize = 500;

/// Be one of the queues that a harness drives
///
/// A job is a whole one: hold, queue, claim, settle, journal; only the provider is left out.
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Example:\n  meterline --redis redis://127.0.0.1:6390 bench peer enqueue 20000 par"
)]
pub(super) enum Command {
    Prepare(PrepareArgs),
    Enqueue(EnqueueArgs),
    Rate(RateArgs),
    Work(WorkArgs),
}

/// Open and fund the accounts, so that nothing else measures it
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline --redis URL bench peer prepare")]
pub(super) struct PrepareArgs {}

/// Submit N jobs and print how long it took
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline --redis URL bench peer enqueue 20000 bulk")]
pub(super) struct EnqueueArgs {
    /// How many
    jobs: u64,
    /// One awaited at a time, 50 or 500 calls under way; each job is a call with its own outcome
    #[arg(value_enum)]
    how: How,
    /// How long each job runs, ms
    #[arg(long, env = "SLEEP_MS", default_value_t = 0)]
    sleep_ms: u64,
}

/// Submit R jobs a second for some seconds
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline --redis URL bench peer rate 100 10")]
pub(super) struct RateArgs {
    /// Jobs a second
    rate: u32,
    /// Seconds
    seconds: u32,
    /// How long each job runs, ms
    #[arg(long, env = "SLEEP_MS", default_value_t = 0)]
    sleep_ms: u64,
}

/// Run jobs until told to stop
///
/// Each finished job appends 16 bytes to a file: microseconds from its submission to its slot, and to its
/// settlement, each a little-endian f64.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  OUT=/tmp/done meterline --redis URL bench peer work 100")]
pub(super) struct WorkArgs {
    /// Slots
    slots: u32,
    /// The file
    #[arg(long, env = "OUT", value_name = "FILE")]
    out: PathBuf,
    /// Write intent, handle and artifact down on the way, as a generation does
    #[arg(long)]
    checkpoints: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum How {
    Single,
    Par,
    Bulk,
}

pub(super) async fn run(call: &Call, command: Command) -> Result<Exit, Failure> {
    let house = call.house_with(Vec::new())?;
    let store = house.store().await?;
    match command {
        Command::Prepare(PrepareArgs {}) => Load::new(store, ACCOUNTS, 0)?.fund(0).await?,
        Command::Enqueue(args) => {
            let load = Load::new(store, ACCOUNTS, args.sleep_ms)?;
            load.fund(0).await?;
            let in_flight = match args.how {
                How::Single => 1,
                How::Par => PAR,
                How::Bulk => BULK,
            };
            let began = Instant::now();
            let submitting = load.submit_all(args.jobs, in_flight);
            submitting
                .try_for_each(|_| std::future::ready(Ok(())))
                .await?;
            let seconds = began.elapsed().as_secs_f64();
            call.out.json(&serde_json::json!({ "s": seconds }))?;
        }
        Command::Rate(args) => {
            let load = Load::new(store, ACCOUNTS, args.sleep_ms)?;
            load.fund(0).await?;
            paced(&load, args.rate, args.seconds).await?;
            call.out.json(&serde_json::json!({}))?;
        }
        Command::Work(args) => {
            let mut signals = Signals::new()?;
            Load::new(store.clone(), ACCOUNTS, 0)?.fund(0).await?;
            let out = File::options().append(true).create(true).open(&args.out)?;
            let sink = Arc::new(move |_: &ClaimedJob, finished: Finished| {
                let [start, end] = [finished.start_us, finished.end_us].map(f64::to_le_bytes);
                if let Err(error) = (&out).write_all(&[start, end].concat()) {
                    tracing::error!(%error, "failed to note a finished job");
                }
            });
            let settings = house.settings();
            let bench = slot::start(&store, settings, args.slots, args.checkpoints, sink).await?;
            signals.next().await;
            bench.worker.drain().await;
        }
    }
    Ok(Exit::Done)
}

/// Submits at an even pace. Returns how long each call took, us.
pub(super) async fn paced(load: &Load, rate: u32, seconds: u32) -> Result<Vec<u32>, Failure> {
    let every = Duration::from_secs(1) / rate.max(1);
    let began = tokio::time::Instant::now();
    stream::iter(0..u64::from(rate) * u64::from(seconds))
        .then(|n| async move {
            let due = every * u32::try_from(n).unwrap_or(u32::MAX);
            tokio::time::sleep_until(began + due).await;
            n
        })
        .map(|n| Ok(load.submit(n)))
        .try_buffer_unordered(PAR)
        .try_collect()
        .await
}
