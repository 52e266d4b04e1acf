//! `worker drain`: orders workers to hand their jobs over and to end, and waits until they have.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::About;
use super::ground::Ground;
use crate::cli::Call;
use crate::cli::failure::{Exit, Failure, Kind};
use crate::cli::output::note;
use crate::cli::request::span_ms;
use crate::cli::serve::words;
use crate::store::{WorkerDrain, WorkerView};
use crate::worker::Drained;

/// Time between two looks at who is still there: leaving announces itself nowhere but in the store.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Order workers to hand their jobs over and to end
///
/// A worker claims nothing more, hands over what others can go on with, waits for requests that are
/// under way (at most worker.drain_max_ms) and ends; whatever starts it may start it again. The command
/// waits until it is gone. Exit code 1 where the time is up: the order stands.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  meterline worker drain WORKER --reason \"new version\"\n  meterline worker drain --all --timeout 2m"
)]
pub(in crate::cli) struct Args {
    /// The worker's id, as `worker ls` shows it
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    worker: Option<String>,
    /// Every worker that has a lease now
    #[arg(long)]
    all: bool,
    /// Why, for whoever wonders later
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    reason: String,
    /// Who does it
    #[arg(long, env = "USER", default_value = "cli")]
    actor: String,
    /// Wait at most this long until they are gone; 0s does not wait
    #[arg(long = "timeout", value_name = "TIME", value_parser = span_ms, default_value = "11m")]
    timeout_ms: u64,
}

pub(super) async fn run(call: &Call, args: Args) -> Result<Exit, Failure> {
    let ground = Ground::of(call).await?;
    let ordered = order(&ground, &args).await?;
    let until = Instant::now() + Duration::from_millis(args.timeout_ms);
    let mut left = ordered.clone();
    let mut said = BTreeMap::new();
    loop {
        let workers = ground.workers().await?;
        left.retain(|id| workers.iter().any(|worker| worker.worker == *id));
        if left.is_empty() || Instant::now() >= until {
            break;
        }
        progress(&workers, &left, &mut said);
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let last_words = ground.last_words().await?;
    let ends = |id: &String| -> Option<Drained> { serde_json::from_str(last_words.get(id)?).ok() };
    let lines: Vec<(String, bool, Option<Drained>)> = ordered
        .into_iter()
        .map(|id| match left.contains(&id) {
            true => (id, false, None),
            false => (id.clone(), true, ends(&id)),
        })
        .collect();
    let values: Vec<Value> = lines.iter().map(as_json).collect();
    call.out.show(&values, || text(&lines))?;
    if left.is_empty() || args.timeout_ms == 0 {
        return Ok(Exit::Done);
    }
    let who: Vec<&str> = left.iter().map(String::as_str).collect();
    let message = format!(
        "the time is up and the order stands: {} still there",
        who.join(", ")
    );
    Err(Failure::new(Kind::TimeIsUp, message))
}

/// Gives the order. Returns whom it was given to.
async fn order(ground: &Ground, args: &Args) -> Result<BTreeSet<String>, Failure> {
    let wanted: Vec<String> = match &args.worker {
        Some(worker) => vec![worker.clone()],
        None => {
            let workers = ground.workers().await?;
            workers.into_iter().map(|worker| worker.worker).collect()
        }
    };
    let mut ordered = BTreeSet::new();
    for worker in wanted {
        let told = ground.drain(&worker, &args.reason, &args.actor).await;
        let may_stand = "an order may stand; repeat the same command";
        match told.map_err(|failure| failure.and_say(may_stand))? {
            WorkerDrain::Ordered | WorkerDrain::Already => {
                ordered.insert(worker);
            }
            // Gone since it was listed.
            WorkerDrain::Gone if args.all => {}
            WorkerDrain::Gone => {
                let message = format!("no worker {worker} has a lease; see `worker ls`");
                return Err(Failure::new(Kind::UnknownWorker, message));
            }
        }
    }
    Ok(ordered)
}

/// Says on stderr what changed.
fn progress(workers: &[WorkerView], left: &BTreeSet<String>, said: &mut BTreeMap<String, usize>) {
    for worker in workers
        .iter()
        .filter(|worker| left.contains(&worker.worker))
    {
        let running = About::of(worker).running;
        if said.insert(worker.worker.clone(), running) != Some(running) {
            note(&format!("waiting for {}, {running} running", worker.worker));
        }
    }
}

fn as_json((worker, gone, ends): &(String, bool, Option<Drained>)) -> Value {
    json!({
        "worker": worker,
        "gone": gone,
        "finished": ends.map(|ends| ends.finished),
        "handed_over": ends.map(|ends| ends.handed_over),
        "left": ends.map(|ends| ends.left),
    })
}

fn text(lines: &[(String, bool, Option<Drained>)]) -> String {
    let line = |(worker, gone, ends): &(String, bool, Option<Drained>)| match (gone, ends) {
        (true, Some(ends)) => format!("{worker} is gone: {}", words(*ends)),
        (true, None) => format!("{worker} is gone"),
        (false, _) => format!("{worker} has been told"),
    };
    let lines: Vec<String> = lines.iter().map(line).collect();
    if lines.is_empty() {
        return "no workers".to_owned();
    }
    lines.join("\n")
}
