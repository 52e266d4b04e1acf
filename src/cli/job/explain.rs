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
    let store = call.house()?.store().await?;
    let view = super::find(&store, &args.job).await?;
    let rule: Option<Rule> = view.text("rule").parse().ok();
    let slices = slices(&view);
    let why = match view.state() {
        Some(state @ (State::Scheduled | State::Queued)) => waits(&store, &view, state).await?,
        Some(_) | None => explanation(&view),
    };
    let value = explain_json(&view, rule.as_ref(), &slices, &why);
    call.out.show(&value, || text(&view, &slices, &why))?;
    Ok(Exit::Done)
}

/// How a job ended and why it costs what it costs; of an open one, where it stands.
pub(in crate::cli) fn explanation(view: &JobView) -> String {
    match view.state() {
        Some(state @ (State::Scheduled | State::Queued)) => format!("it is {state}"),
        Some(State::Running) => format!("it runs on worker {}", view.text("worker")),
        Some(State::Succeeded) => price(view),
        Some(State::Failed | State::TimedOut | State::Cancelled) => ending(view),
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
    let rule: Option<Rule> = view.text("rule").parse().ok();
    let charged = credits(view.number("captured_ucr"));
    let length = |field| view.maybe(field).and_then(|ms| u64::try_from(ms).ok());
    let mut why = match (rule.map(|rule| (rule, rule.kind())), length("measured_ms")) {
        (Some((rule, RateKind::Flat)), _) => {
            format!(
                "{} for each stored output makes {charged}",
                credits(rule.rate_ucr().get())
            )
        }
        (Some((rule, RateKind::PerSecond)), Some(measured_ms)) => {
            let billable_ms = length("billable_ms").unwrap_or(0);
            format!(
                "{} were measured, {} of them are covered by the quote; at {} a second, whole seconds \
                 passed by at most {} ms counting as such, in steps of {}, that makes {charged}",
                duration(measured_ms),
                duration(billable_ms),
                credits(rule.rate_ucr().get()),
                rule.snap_ms(),
                credits(rule.quantum_ucr().get()),
            )
        }
        (Some((_, RateKind::PerSecond)), None) => {
            "the output has no length that can be trusted, so nothing is charged".to_owned()
        }
        (None, _) => format!("{charged} are charged"),
    };
    why += &format!(
        "; {} of {} held are given back",
        credits(view.number("released_ucr")),
        credits(view.number("hold_ucr"))
    );
    if view.number("absorbed_ucr") > 0 {
        why += &format!(
            "; {} above the quote are ours to pay",
            credits(view.number("absorbed_ucr"))
        );
    }
    why
}

/// Why a job that did not succeed costs nothing.
fn ending(view: &JobView) -> String {
    let (state, class, message) = (
        view.text("state"),
        view.text("fail_class"),
        view.text("message"),
    );
    let class = if class.is_empty() {
        String::new()
    } else {
        format!(" ({class})")
    };
    let message = if message.is_empty() {
        String::new()
    } else {
        format!(": {message}")
    };
    let released = credits(view.number("released_ucr"));
    format!(
        "it {}{class}{message}; all {released} held are given back",
        state.replace('_', " ")
    )
}

/// What a waiting job waits for.
async fn waits(store: &Store, view: &JobView, state: State) -> Result<String, Failure> {
    let queue = view.text("queue");
    if state == State::Scheduled {
        let due = rfc3339(view.number("due_at")).unwrap_or_default();
        let class = view.text("fail_class");
        return Ok(if class.is_empty() {
            format!("it is scheduled until {due}")
        } else {
            format!(
                "it is tried again at {due}, after {class}: {}",
                view.text("message")
            )
        });
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
