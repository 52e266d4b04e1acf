//! `queue`: what waits and what runs.

use clap::Subcommand;

use super::Call;
use super::failure::{Exit, Failure};
use super::output::{duration, rows, table};
use crate::store::QueueView;

/// Look at the queues
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  meterline queue ls")]
pub(super) enum Command {
    Ls(LsArgs),
}

/// List the queues: what is ready, what waits in lanes, what runs
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline queue ls --output json")]
pub(super) struct LsArgs {}

pub(super) async fn run(call: &Call, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Ls(LsArgs {}) => ls(call).await,
    }
}

async fn ls(call: &Call) -> Result<Exit, Failure> {
    let house = call.house()?;
    let mut views = house.store().await?.queue_views().await?;
    for queue in house.settings().queues.keys() {
        if !views.iter().any(|view| view.queue == *queue) {
            views.push(QueueView {
                queue: queue.clone(),
                ..QueueView::default()
            });
        }
    }
    views.sort_by(|one, other| one.queue.cmp(&other.queue));
    call.out.show(&views, || {
        let mut queues = table(&["queue", "ready", "in lanes", "running", "oldest"]);
        for view in &views {
            queues.add_row([
                view.queue.clone(),
                view.ready.to_string(),
                view.lane.to_string(),
                view.running.to_string(),
                view.oldest_ready_ms.map(duration).unwrap_or_default(),
            ]);
        }
        rows(&queues, "no queues")
    })?;
    Ok(Exit::Done)
}
