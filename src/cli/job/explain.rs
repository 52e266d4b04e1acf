//! `job explain`: how a job's price came about, or what it waits for.

use serde_json::{Value, json};

use super::show::brief;
use crate::cli::Call;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{credits, duration, rfc3339, rows, table};
use crate::cli::worker::About;
use crate::domain::job::State;
use crate::domain::pricing::{RateKind, Rule};
use crate::store::{JobView, Store};

/// Explain a job: the rule it is priced by, what was measured, who got what, or what it waits for
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline job explain JOB --output json")]
pub(in crate::cli) struct Args {
    /// The job's id
    job: String,
}

/// A part of a hold: from which grant, and what became of it, in micro-credits.
#[derive(Debug, PartialEq, Eq)]
struct Slice {
    grant: String,
    held_ucr: i64,
    captured_ucr: i64,
}

pub(super) async fn run(call: &Call, args: Args) -> Result<Exit, Failure> {
    if let Some(server) = call.server()? {
        let view = server.job(&args.job).await?.view;
        let why = match view.state() {
            Some(State::Scheduled) => scheduled(&view),
            _ => explanation(&view),
        };
        return show(call, &view, &why);
    }
    let house = call.house()?;
    let store = house.store().await?;
    let view = super::find_ever(&store, &house.history(&store), &args.job).await?;
    let why = match view.state() {
        Some(state @ (State::Scheduled | State::Queued)) => waits(&store, &view, state).await?,
        Some(
            State::Running | State::Succeeded | State::Failed | State::TimedOut | State::Cancelled,
        )
        | None => explanation(&view),
    };
    show(call, &view, &why)
}

fn show(call: &Call, view: &JobView, why: &str) -> Result<Exit, Failure> {
    let rule: Option<Rule> = view.text("rule").parse().ok();
    let slices = slices(view);
    let value = explain_json(view, rule.as_ref(), &slices, why);
    call.out.show(&value, || text(view, &slices, why))?;
    Ok(Exit::Done)
}

/// How a job ended and why it costs what it costs; of an open one, where it stands.
fn explanation(view: &JobView) -> String {
    match view.state() {
        Some(state @ (State::Scheduled | State::Queued)) => format!("it is {state}"),
        Some(State::Running) if view.text("worker").is_empty() => "it runs".to_owned(),
        Some(State::Running) => format!("it runs on worker {}", view.text("worker")),
        Some(State::Succeeded) => price(view),
        Some(State::Failed) => {
            let class = Some(view.text("fail_class")).filter(|class| !class.is_empty());
            ending(
                view,
                &format!("it failed as {}", class.unwrap_or("unknown")),
            )
        }
        Some(State::TimedOut) => ending(view, "it ran out of time"),
        Some(State::Cancelled) => ending(view, "it was cancelled"),
        None => "its state is not one that this version knows".to_owned(),
    }
}

fn explain_json(view: &JobView, rule: Option<&Rule>, slices: &[Slice], why: &str) -> Value {
    let mut value = brief(view);
    let ended = view.state().is_some_and(State::is_terminal);
    value["rule"] = rule.map(rule_json).unwrap_or_default();
    value["asked_ms"] = json!(view.maybe("asked_ms"));
    value["asked_outputs"] = json!(view.maybe("asked_outputs"));
    value["ceiling_ucr"] = json!(view.number("hold_ucr"));
    value["slices"] = slices
        .iter()
        .map(|slice| {
            json!({
                "grant": slice.grant,
                "held_ucr": slice.held_ucr,
                "captured_ucr": slice.captured_ucr,
                "released_ucr": if ended { slice.held_ucr - slice.captured_ucr } else { 0 },
            })
        })
        .collect();
    value["why"] = json!(why);
    value
}

fn rule_json(rule: &Rule) -> Value {
    json!({
        "text": rule.to_string(),
        "kind": rule.kind(),
        "rate_ucr": rule.rate_ucr(),
        "quantum_ucr": rule.quantum_ucr(),
        "snap_ms": rule.snap_ms(),
        "increment_ms": rule.increment_ms(),
        "min_ucr": rule.min_ucr(),
        "billed_track": rule.track(),
    })
}

/// The slices in the order in which they are captured: from the front, as far as the charge goes.
fn slices(view: &JobView) -> Vec<Slice> {
    let mut left_ucr = view.number("captured_ucr");
    let parts = view
        .text("slices")
        .split(';')
        .filter_map(|part| part.split_once('='));
    parts
        .map(|(grant, amount)| {
            let held_ucr: i64 = amount.parse().unwrap_or(0);
            let captured_ucr = held_ucr.min(left_ucr);
            left_ucr -= captured_ucr;
            Slice {
                grant: grant.to_owned(),
                held_ucr,
                captured_ucr,
            }
        })
        .collect()
}

/// Why a job that succeeded costs what it costs.
fn price(view: &JobView) -> String {
    let charged = credits(view.number("captured_ucr"));
    let rule: Option<Rule> = view.text("rule").parse().ok();
    let mut why = match rule.as_ref().map(|rule| (rule, rule.kind())) {
        Some((rule, RateKind::Flat)) => {
            format!(
                "{charged}, at {} for each stored output",
                credits(rule.rate_ucr().get())
            )
        }
        Some((rule, RateKind::PerSecond)) => format!("{charged}: {}", length(view, rule)),
        None => charged,
    };
    let (held, released) = (view.number("hold_ucr"), view.number("released_ucr"));
    if released > 0 {
        why += &format!(
            "; {} of {} held are given back",
            credits(released),
            credits(held)
        );
    }
    if view.number("absorbed_ucr") > 0 {
        let absorbed = credits(view.number("absorbed_ucr"));
        why += &format!("; {absorbed} above the quote are paid by the platform");
    }
    why
}

/// From the measured length to the one that is charged.
fn length(view: &JobView, rule: &Rule) -> String {
    let length = |field| view.maybe(field).and_then(|ms| u64::try_from(ms).ok());
    let (Some(measured_ms), Some(billable_ms)) = (length("measured_ms"), length("billable_ms"))
    else {
        return "no length of the output can be trusted".to_owned();
    };
    let mut text = format!("{} measured", duration(measured_ms));
    if billable_ms < measured_ms {
        text += &format!(", {} covered by the quote", duration(billable_ms));
    }
    let counted_ms = u64::try_from(rule.counted_ms(billable_ms)).unwrap_or(billable_ms);
    // Several outputs are counted one by one, and only their sum is kept.
    if counted_ms != billable_ms && view.number("asked_outputs") == 1 {
        text += &format!(", counted as {}", duration(counted_ms));
    }
    let (rate, quantum) = (rule.rate_ucr().get(), rule.quantum_ucr().get());
    text + &format!(
        ", at {} a second, rounded up to whole {}",
        credits(rate),
        steps(quantum)
    )
}

fn steps(quantum_ucr: i64) -> String {
    if quantum_ucr == 1_000_000 {
        return "credits".to_owned();
    }
    format!("steps of {}", credits(quantum_ucr))
}

/// Why a job that did not succeed costs nothing.
fn ending(view: &JobView, how: &str) -> String {
    let message = Some(view.text("message")).filter(|message| !message.is_empty());
    let message = message.map(|text| format!(": {text}")).unwrap_or_default();
    let released = credits(view.number("released_ucr"));
    format!("{how}{message}; all {released} held are given back")
}

/// What a job that is not due waits for.
fn scheduled(view: &JobView) -> String {
    let due = rfc3339(view.number("due_at")).unwrap_or_default();
    match view.text("fail_class") {
        "" => format!("it is scheduled until {due}"),
        class => {
            let message = view.text("message");
            format!("it is tried again at {due}, after {class}: {message}")
        }
    }
}

/// What a waiting job waits for.
async fn waits(store: &Store, view: &JobView, state: State) -> Result<String, Failure> {
    let queue = view.text("queue");
    if state == State::Scheduled {
        return Ok(scheduled(view));
    }
    if view.text("entry").is_empty() {
        let most = view.number("max_active");
        return Ok(format!(
            "it waits in its account's lane: {most} jobs of the account may be active in queue {queue}"
        ));
    }
    let workers = store.workers().await?;
    let serving = workers.iter().filter(|worker| worker.lease_left_ms > 0);
    let slots: u32 = serving
        .filter_map(|worker| About::of(worker).slots.get(queue).copied())
        .sum();
    Ok(if slots == 0 {
        format!("no worker serves queue {queue}; start one with: meterline serve --slots {queue}=1")
    } else {
        format!("it is ready in queue {queue}, for the next free one of {slots} slots")
    })
}

fn text(view: &JobView, slices: &[Slice], why: &str) -> String {
    let mut pinned = table(&["grant", "held", "charged"]);
    for slice in slices {
        pinned.add_row([
            slice.grant.clone(),
            credits(slice.held_ucr),
            credits(slice.captured_ucr),
        ]);
    }
    let submissions = view.number("submissions");
    format!(
        "job {} ({}): {why}\n{submissions} submissions, {} tries, {} takeovers\n\n{}",
        view.job,
        view.text("state"),
        view.number("tries"),
        view.number("takeovers"),
        rows(&pinned, "no slices"),
    )
}
