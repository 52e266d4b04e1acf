//! `job`: one job, what came of it, and why.

mod cancel;
mod explain;
mod force_fail;
mod show;
mod watch;
mod watch_server;

use clap::Subcommand;

use super::Call;
use super::failure::{Exit, Failure, Kind};
use crate::domain::ids::JobId;
use crate::ledger::History;
use crate::store::{JobView, Store};

pub(super) use show::{brief, event_json};

/// Look at one job, follow it, stop it, understand its price
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  meterline job show JOB --output json")]
pub(super) enum Command {
    Show(show::Args),
    Watch(watch::Args),
    Cancel(cancel::Args),
    Explain(explain::Args),
    ForceFail(force_fail::Args),
}

pub(super) async fn run(call: &Call, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Show(args) => show::run(call, args).await,
        Command::Watch(args) => watch::run(call, args).await,
        Command::Cancel(args) => cancel::run(call, args).await,
        Command::Explain(args) => explain::run(call, args).await,
        Command::ForceFail(args) => force_fail::run(call, args).await,
    }
}

fn unknown(job: &str) -> Failure {
    Failure::new(Kind::UnknownJob, format!("there is no job {job}"))
}

/// The id, where it can be one of this store. Ids are made by the store's own clients: a text that is
/// none is simply not there.
pub(super) fn id(store: &Store, text: &str) -> Result<JobId, Failure> {
    let id: Option<JobId> = text.parse().ok();
    id.filter(|id| id.partition() < store.partitions())
        .ok_or_else(|| unknown(text))
}

pub(super) async fn find(store: &Store, text: &str) -> Result<JobView, Failure> {
    let id = id(store, text)?;
    store.job(&id).await?.ok_or_else(|| unknown(text))
}

/// A job, also one that only history still has.
pub(super) async fn find_ever(
    store: &Store,
    history: &History,
    text: &str,
) -> Result<JobView, Failure> {
    let id = id(store, text)?;
    history.job(&id).await?.ok_or_else(|| unknown(text))
}
