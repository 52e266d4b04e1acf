//! `queue`: what waits and what runs; halting a queue and letting it go on.

use clap::Subcommand;
use serde_json::{Value, json};

use super::Call;
use super::failure::{Exit, Failure, Kind};
use super::house::House;
use super::output::{credits, duration, rfc3339, rows, table};
use super::worker::About;
use crate::store::{Halt, QueueAct, QueueView, Store, WorkerView};

/// Look at the queues, pause and drain them
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  meterline queue ls\n  meterline queue pause video --reason \"the provider is down\""
)]
pub(super) enum Command {
    Ls(LsArgs),
    /// Hand out nothing new; jobs are still taken, and what has begun goes on
    ///
    /// Neither clock of a job stops: one that waits too long is still timed out and refunded.
    #[command(
        after_help = "Example:\n  meterline queue pause video --reason \"the provider is down\""
    )]
    Pause(ActArgs),
    /// Take no new jobs; what is there is worked off
    #[command(
        after_help = "Example:\n  meterline queue drain training --reason \"moves to another store\""
    )]
    Drain(ActArgs),
    /// Let a paused or draining queue go on as ever
    #[command(
        after_help = "Example:\n  meterline queue resume video --reason \"the provider is back\""
    )]
    Resume(ActArgs),
}

/// List the queues: what waits, what runs, how long jobs wait for their start
///
/// `waiting` are jobs that could start now, `open` also those that are due later. Start times are of
/// the last 15 minutes, from when a job was due; half of the jobs did not wait longer than the first,
/// 95 of 100 not longer than the second.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline queue ls --output json")]
pub(super) struct LsArgs {}

#[derive(Debug, clap::Args)]
pub(super) struct ActArgs {
    /// The queue's name
    queue: String,
    /// Why, for whoever wonders later
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: String,
    /// Who does it
    #[arg(long, env = "USER", default_value = "cli")]
    actor: String,
}

pub(super) async fn run(call: &Call, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Ls(LsArgs {}) => ls(call).await,
        Command::Pause(args) => act(call, QueueAct::Pause, args).await,
        Command::Drain(args) => act(call, QueueAct::Drain, args).await,
        Command::Resume(args) => act(call, QueueAct::Resume, args).await,
    }
}

/// The queues of the settings and those of the store, by name.
async fn views(house: &House, store: &Store) -> Result<Vec<QueueView>, Failure> {
    let mut views = store.queue_views().await?;
    for queue in house.settings().queues.keys() {
        if !views.iter().any(|view| view.queue == *queue) {
            views.push(QueueView {
                queue: queue.clone(),
                ..QueueView::default()
            });
        }
    }
    views.sort_by(|one, other| one.queue.cmp(&other.queue));
    Ok(views)
}

async fn act(call: &Call, act: QueueAct, args: ActArgs) -> Result<Exit, Failure> {
    if let Some(server) = call.server()? {
        let halted = server.halt(&args.queue, act.as_str(), &args.reason).await?;
        let lines = server.queues().await?;
        let view = lines.into_iter().map(|line| line.view);
        let view = view.into_iter().find(|view| view.queue == args.queue);
        return show_act(call, &args.queue, view.as_ref(), halted.changed);
    }
    let house = call.house()?;
    let store = house.store().await?;
    let known = views(&house, &store).await?;
    if !known.iter().any(|view| view.queue == args.queue) {
        let names: Vec<&str> = known.iter().map(|view| view.queue.as_str()).collect();
        let message = format!(
            "there is no queue {}; there are {}",
            args.queue,
            names.join(", ")
        );
        return Err(Failure::new(Kind::UnknownQueue, message));
    }
    let done = store.act_on_queue(&args.queue, act, &args.reason, &args.actor);
    let changed = done.await.map_err(|error| {
        let failure = Failure::from(error);
        let again = "some partitions may have it; repeat the same command for the others";
        failure.and_say(again).with("queue", args.queue.as_str())
    })?;
    let known = views(&house, &store).await?;
    let view = known.into_iter().find(|view| view.queue == args.queue);
    show_act(call, &args.queue, view.as_ref(), changed)
}

fn show_act(
    call: &Call,
    queue: &str,
    view: Option<&QueueView>,
    changed: u16,
) -> Result<Exit, Failure> {
    let state = view.map(state).unwrap_or_default();
    let value = json!({
        "queue": queue,
        "state": state,
        "changed": changed > 0,
        "partitions_changed": changed,
    });
    call.out.show(&value, || {
        let already = if changed == 0 { " already" } else { "" };
        format!("queue {queue} is{already} {state}")
    })?;
    Ok(Exit::Done)
}

/// `open`, or what it was halted by; `partly` where not all partitions know of it.
fn state(view: &QueueView) -> String {
    let word = |halt: &Option<Halt>, word: &str| {
        let partly = if halt.as_ref()?.partly { "partly " } else { "" };
        Some(format!("{partly}{word}"))
    };
    let words = [
        word(&view.paused, "paused"),
        word(&view.draining, "draining"),
    ];
    let words: Vec<String> = words.into_iter().flatten().collect();
    if words.is_empty() {
        return "open".to_owned();
    }
    words.join(", ")
}

/// Slots of the workers that live and are not about to leave, by queue.
fn slots(workers: &[WorkerView], queue: &str) -> u64 {
    About::of_processes(workers)
        .values()
        .filter(|about| !about.draining)
        .filter_map(|about| about.slots.get(queue))
        .map(|n| u64::from(*n))
        .sum()
}

async fn ls(call: &Call) -> Result<Exit, Failure> {
    let lines = match call.server()? {
        Some(server) => server.queues().await?,
        None => {
            let house = call.house()?;
            let store = house.store().await?;
            let workers = store.workers().await?;
            let views = views(&house, &store).await?.into_iter();
            let line = |view: QueueView| QueueLine {
                slots: slots(&workers, &view.queue),
                starts: view.start_waits_ms.len(),
                start_p50_ms: view.start_wait_ms(50),
                start_p95_ms: view.start_wait_ms(95),
                view,
            };
            views.map(line).collect()
        }
    };
    let values: Vec<Value> = lines.iter().map(as_json).collect();
    call.out.show(&values, || text(&lines))?;
    Ok(Exit::Done)
}

/// A queue as it is listed.
pub(super) struct QueueLine {
    pub(super) view: QueueView,
    /// Of the workers that live and are not about to leave.
    pub(super) slots: u64,
    /// Recent starts.
    pub(super) starts: usize,
    /// The wait that half of them did not pass, ms.
    pub(super) start_p50_ms: Option<u64>,
    /// The same of 95 of 100, ms.
    pub(super) start_p95_ms: Option<u64>,
}

fn as_json(line: &QueueLine) -> Value {
    let view = &line.view;
    json!({
        "queue": view.queue,
        "state": state(view),
        "paused": view.paused.as_ref().map(halt_json),
        "draining": view.draining.as_ref().map(halt_json),
        "waiting": view.waiting(),
        "ready": view.ready,
        "lane": view.lane,
        "due": view.due,
        "scheduled": view.scheduled(),
        "running": view.running,
        "open": view.open,
        "slots": line.slots,
        "oldest_ms": view.oldest_ms,
        "starts": line.starts,
        "start_p50_ms": line.start_p50_ms,
        "start_p95_ms": line.start_p95_ms,
        "held_ucr": view.held_ucr,
    })
}

fn halt_json(halt: &Halt) -> Value {
    json!({
        "reason": halt.reason,
        "actor": halt.actor,
        "since": since(halt),
        "partly": halt.partly,
    })
}

fn since(halt: &Halt) -> Option<String> {
    i64::try_from(halt.at_ms).ok().and_then(rfc3339)
}

fn text(lines: &[QueueLine]) -> String {
    let mut queues = table(&[
        "queue",
        "state",
        "waiting",
        "oldest",
        "running",
        "slots",
        "open",
        "start p50",
        "p95",
        "held",
    ]);
    for line in lines {
        let view = &line.view;
        let wait = |ms: Option<u64>| ms.map(duration).unwrap_or_default();
        queues.add_row([
            view.queue.clone(),
            state(view),
            view.waiting().to_string(),
            view.oldest_ms.map(duration).unwrap_or_default(),
            view.running.to_string(),
            line.slots.to_string(),
            view.open.to_string(),
            wait(line.start_p50_ms),
            wait(line.start_p95_ms),
            credits(view.held_ucr),
        ]);
    }
    let mut text = rows(&queues, "no queues");
    for QueueLine { view, .. } in lines {
        for (word, halt) in [("paused", &view.paused), ("draining", &view.draining)] {
            let Some(halt) = halt else { continue };
            let since = since(halt).unwrap_or_default();
            let (queue, actor, reason) = (&view.queue, &halt.actor, &halt.reason);
            text.push_str(&format!("\n{queue}: {word} by {actor}, {since}: {reason}"));
            if halt.partly {
                text.push_str(
                    "\n  not in every partition: repeat the command, or resume the queue",
                );
            }
        }
    }
    text
}
