//! `audit`: every balance re-derived from the journal.

use super::Call;
use super::failure::{Exit, Failure};
use super::output::{credits, rows, table};
use crate::ledger::audit::{Report, audit};

/// Re-derive every balance from the journal and compare it with what the store holds
///
/// Reads only, while the store is in use. Exit code 1 where anything differs.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline audit --output json")]
pub(super) struct Args {}

pub(super) async fn run(call: &Call, Args {}: Args) -> Result<Exit, Failure> {
    let store = call.house()?.store().await?;
    let report = audit(&store)
        .await
        .map_err(|error| Failure::from(error).harmless())?;
    call.out.show(&report, || text(&report))?;
    Ok(if report.ok { Exit::Done } else { Exit::Failed })
}

fn text(report: &Report) -> String {
    let mut books = table(&["book", "sum"]);
    for (book, sum) in &report.books {
        books.add_row([
            book.clone(),
            credits(i64::try_from(*sum).unwrap_or(i64::MAX)),
        ]);
    }
    let mut differences = table(&["partition", "account", "what", "expected", "found"]);
    for one in &report.differences {
        let account = one.account.clone().unwrap_or_default();
        let partition = one.partition.to_string();
        differences.add_row([
            partition,
            account,
            one.what.clone(),
            one.expected.clone(),
            one.found.clone(),
        ]);
    }
    format!(
        "{}\n\n{}\n\n{}",
        rows(&books, "no books yet"),
        rows(&differences, "no differences"),
        verdict(report),
    )
}

/// What was read and whether it fits, in one sentence.
pub(super) fn verdict(report: &Report) -> String {
    let verdict = if report.ok {
        "ok".to_owned()
    } else {
        format!("{} DIFFERENCES", report.differences.len())
    };
    format!(
        "audit: {verdict}, {} accounts, {} journal entries and {} open holds re-derived",
        report.accounts, report.entries, report.open_holds,
    )
}
