//! `worker`: who runs jobs, and who is to stop.

mod drain;
mod ground;

use std::collections::BTreeMap;

use clap::Subcommand;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Call;
use super::failure::{Exit, Failure};
use super::output::{duration, rows, table};
use crate::store::WorkerView;
use ground::Ground;

/// Look at the workers, let them leave
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  meterline worker ls\n  meterline worker drain --all")]
pub(super) enum Command {
    Ls(LsArgs),
    Drain(drain::Args),
}

/// List the workers that have a lease
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline worker ls --output json")]
pub(super) struct LsArgs {}

/// What a worker says of itself. What an older or newer one does not say is left at nothing.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct About {
    /// The id it was born with: after a lapsed lease it goes by another in some partitions.
    pub(super) process: String,
    pub(super) pid: u32,
    pub(super) slots: BTreeMap<String, u32>,
    pub(super) running: usize,
    /// It hands its jobs over and ends.
    pub(super) draining: bool,
    pub(super) version: String,
}

impl About {
    pub(super) fn of(worker: &WorkerView) -> Self {
        serde_json::from_str(&worker.about).unwrap_or_default()
    }

    /// Each living process once, by the id it was born with.
    pub(super) fn of_processes(workers: &[WorkerView]) -> BTreeMap<String, Self> {
        let alive = workers.iter().filter(|worker| worker.lease_left_ms > 0);
        alive
            .map(|worker| {
                let about = Self::of(worker);
                let born = match about.process.as_str() {
                    "" => worker.worker.clone(),
                    id => id.to_owned(),
                };
                (born, about)
            })
            .collect()
    }
}

pub(super) async fn run(call: &Call, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Ls(LsArgs {}) => ls(call).await,
        Command::Drain(args) => drain::run(call, args).await,
    }
}

async fn ls(call: &Call) -> Result<Exit, Failure> {
    let workers = Ground::of(call).await?.workers().await?;
    let values: Vec<Value> = workers.iter().map(worker_json).collect();
    call.out.show(&values, || text(&workers))?;
    Ok(Exit::Done)
}

/// What it is about to do, as far as it has said so.
fn state(worker: &WorkerView, about: &About) -> &'static str {
    match (worker.lease_left_ms > 0, about.draining) {
        (false, _) => "lapsed",
        (true, true) => "draining",
        (true, false) => "claiming",
    }
}

fn worker_json(worker: &WorkerView) -> Value {
    let about = About::of(worker);
    json!({
        "worker": worker.worker,
        "state": state(worker, &about),
        "lease_left_ms": worker.lease_left_ms,
        "slots": about.slots,
        "running": about.running,
        "draining": about.draining,
        "pid": (about.pid > 0).then_some(about.pid),
        "version": about.version,
    })
}

fn text(workers: &[WorkerView]) -> String {
    let mut list = table(&["worker", "state", "running", "slots", "lease left"]);
    for worker in workers {
        let about = About::of(worker);
        let slots: Vec<String> = about
            .slots
            .iter()
            .map(|(queue, n)| format!("{queue}={n}"))
            .collect();
        let left =
            u64::try_from(worker.lease_left_ms).map_or_else(|_| "lapsed".to_owned(), duration);
        list.add_row([
            worker.worker.clone(),
            state(worker, &about).to_owned(),
            about.running.to_string(),
            slots.join(","),
            left,
        ]);
    }
    rows(&list, "no workers")
}
