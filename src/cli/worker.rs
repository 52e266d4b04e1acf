//! `worker`: who runs jobs.

use std::collections::BTreeMap;

use clap::Subcommand;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Call;
use super::failure::{Exit, Failure};
use super::output::{duration, rows, table};
use crate::store::WorkerView;

/// Look at the workers
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  meterline worker ls")]
pub(super) enum Command {
    Ls(LsArgs),
}

/// List the workers that have a lease
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline worker ls --output json")]
pub(super) struct LsArgs {}

/// What a worker says of itself. What an older or newer one does not say is left at nothing.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct About {
    pub(super) pid: u32,
    pub(super) slots: BTreeMap<String, u32>,
    pub(super) running: usize,
    pub(super) version: String,
}

impl About {
    pub(super) fn of(worker: &WorkerView) -> Self {
        serde_json::from_str(&worker.about).unwrap_or_default()
    }
}

pub(super) async fn run(call: &Call, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Ls(LsArgs {}) => ls(call).await,
    }
}

async fn ls(call: &Call) -> Result<Exit, Failure> {
    let workers = call.house()?.store().await?.workers().await?;
    let values: Vec<Value> = workers.iter().map(worker_json).collect();
    call.out.show(&values, || text(&workers))?;
    Ok(Exit::Done)
}

fn worker_json(worker: &WorkerView) -> Value {
    let about = About::of(worker);
    json!({
        "worker": worker.worker,
        "lease_left_ms": worker.lease_left_ms,
        "slots": about.slots,
        "running": about.running,
        "pid": about.pid,
        "version": about.version,
    })
}

fn text(workers: &[WorkerView]) -> String {
    let mut list = table(&["worker", "running", "slots", "lease left"]);
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
            about.running.to_string(),
            slots.join(","),
            left,
        ]);
    }
    rows(&list, "no workers")
}
