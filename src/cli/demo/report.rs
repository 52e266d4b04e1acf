//! What the demo prints: events as they come, then every charge with its reason, then the books.

#![expect(clippy::print_stdout, reason = "printing is this file's subject")]

use std::time::Duration;

use comfy_table::{ContentArrangement, Table};

use super::Cast;
use super::scenario::{PAYERS, Play};
use crate::domain::credits::Ucr;
use crate::domain::pricing::{RateKind, Rule};
use crate::ledger::audit;
use crate::store::{Event, JobView, Store};

pub(super) fn line(text: &str) {
    println!("{text}");
}

/// One event; steps that every job takes are left out.
pub(super) fn event(event: &Event, play: &Play, after: Duration) {
    if matches!(
        event.event.as_str(),
        "intent" | "artifact" | "submitted" | "due"
    ) {
        return;
    }
    let tail: String = event
        .job
        .chars()
        .rev()
        .take(6)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .collect();
    println!(
        "{:>6.2}s  …{tail}  {:<6} {:<25} {:<10} {}",
        after.as_secs_f64(),
        play.account,
        play.tool,
        event.event,
        event.detail
    );
}

/// Prints everything. Returns whether all is as expected and the books are right.
pub(super) async fn print(store: &Store, cast: &[Cast], took: Duration) -> anyhow::Result<bool> {
    let mut wrong = 0;
    let mut table = new_table(&[
        "account",
        "tool",
        "what",
        "ended",
        "price",
        "measured",
        "held",
        "charged",
        "given back",
        "slices",
    ]);
    for member in cast {
        let view = match &member.job {
            Some(job) => store.job(job).await?,
            None => None,
        };
        let fits = member.as_expected(view.as_ref());
        wrong += u32::from(!fits);
        table.add_row(row(member, view.as_ref(), fits));
    }
    println!("\n{table}\n");
    balances(store).await?;
    let jobs = cast.len();
    if wrong == 0 {
        println!(
            "{jobs} jobs in {:.1} s, all ended as expected",
            took.as_secs_f64()
        );
    } else {
        println!("{wrong} of {jobs} jobs did not end as expected");
    }
    let report = audit(store).await?;
    println!("{}", crate::cli::audit::verdict(&report));
    Ok(wrong == 0 && report.ok)
}

fn row(member: &Cast, view: Option<&JobView>, fits: bool) -> Vec<String> {
    let play = &member.play;
    let ended = view.map_or("refused", |view| view.text("state"));
    let class = view.map_or("insufficient credits", |view| view.text("fail_class"));
    let mut ended = if class.is_empty() {
        ended.to_owned()
    } else {
        format!("{ended}: {class}")
    };
    if !fits {
        ended.push_str(" (NOT EXPECTED)");
    }
    let mut cells = vec![
        play.account.into(),
        play.tool.into(),
        play.what.into(),
        ended,
    ];
    if let Some(view) = view {
        let measured = view.maybe("measured_ms").map(|ms| format!("{ms} ms"));
        cells.extend([price(view), measured.unwrap_or_default()]);
        cells.extend(["hold_ucr", "captured_ucr", "released_ucr"].map(|f| credits(view.number(f))));
        cells.push(slices(view));
    }
    cells
}

/// The rule as people say it: credits for a second or for an output.
fn price(view: &JobView) -> String {
    let Ok(rule) = view.text("rule").parse::<Rule>() else {
        return String::new();
    };
    let per = match rule.kind() {
        RateKind::Flat => "each",
        RateKind::PerSecond => "/s",
    };
    format!("{} {per}", rule.rate_ucr().credits())
}

/// Which grants the hold had pinned.
fn slices(view: &JobView) -> String {
    let parts = view
        .text("slices")
        .split(';')
        .filter_map(|slice| slice.split_once('='));
    let said = parts.map(|(grant, ucr)| format!("{grant} {}", credits(ucr.parse().unwrap_or(0))));
    said.collect::<Vec<_>>().join(", ")
}

async fn balances(store: &Store) -> anyhow::Result<()> {
    let mut table = new_table(&["account", "granted", "charged", "available", "held"]);
    for payer in PAYERS {
        if let Some(view) = store.account(&payer.name.parse()?).await? {
            let cells = [
                view.granted_ucr,
                view.captured_ucr,
                view.available_ucr,
                view.held_ucr,
            ];
            table.add_row(std::iter::once(payer.name.to_owned()).chain(cells.map(credits)));
        }
    }
    println!("{table}\n");
    Ok(())
}

fn new_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header.iter().copied());
    table
}

fn credits(ucr: i64) -> String {
    Ucr::new(ucr)
        .map(Ucr::credits)
        .unwrap_or_else(|_| ucr.to_string())
}
