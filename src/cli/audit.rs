//! `audit`: every balance re-derived from the journal; what the continuous audit found; who did what.

mod acts;
mod last;

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use clap::Subcommand;

use super::Call;
use super::failure::{Exit, Failure, Kind};
use super::output::{credits, rows, table};
use crate::ledger::{Difference, Report, audit_partitions};
use crate::store::Store;

/// An audit that takes longer says on a terminal how far it is.
const SILENT_FOR: Duration = Duration::from_secs(2);

/// Re-derive every balance from the journal and compare it with what the store holds
///
/// Reads only, while the store is in use. Exit code 1 where anything differs.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  meterline audit --output json\n  meterline audit --partition 3\n  meterline audit --last\n  meterline audit acts --since 2027-01-01T00:00:00Z"
)]
pub(super) struct Args {
    /// Only this partition
    #[arg(long, value_name = "N")]
    partition: Option<u16>,
    /// Show what the continuous audit found last, instead of auditing now
    #[arg(long)]
    last: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What else there is to look at.
#[derive(Debug, Subcommand)]
enum Command {
    Acts(acts::Args),
}

pub(super) async fn run(call: &Call, args: Args) -> Result<Exit, Failure> {
    if let Some(Command::Acts(args)) = args.command {
        return acts::run(call, &args).await;
    }
    let store = call.house()?.store().await?;
    let partitions = partitions(&store, args.partition)?;
    if args.last {
        return last::run(call, &store, &partitions).await;
    }
    let mut progress = Progress::new();
    let report = audit_partitions(&store, &partitions, &mut |partition, entries| {
        progress.say(partition, entries);
    })
    .await;
    progress.end();
    let report = report.map_err(|error| Failure::from(error).harmless())?;
    call.out.show(&report, || text(&report))?;
    Ok(if report.ok { Exit::Done } else { Exit::Failed })
}

/// The partition that was named, or all of them.
fn partitions(store: &Store, named: Option<u16>) -> Result<Vec<u16>, Failure> {
    match named {
        None => Ok((0..store.partitions()).collect()),
        Some(partition) if partition < store.partitions() => Ok(vec![partition]),
        Some(partition) => Err(no_partition(partition, store)),
    }
}

/// The store has fewer partitions.
pub(super) fn no_partition(partition: u16, store: &Store) -> Failure {
    let last = store.partitions().saturating_sub(1);
    let message = format!("there is no partition {partition}: they are 0 to {last}");
    Failure::new(Kind::Usage, message)
}

/// A line on stderr that is written over, for people who wait.
struct Progress {
    began: Instant,
    wanted: bool,
    said: bool,
}

impl Progress {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            wanted: std::io::stderr().is_terminal(),
            said: false,
        }
    }

    fn say(&mut self, partition: u16, entries: u64) {
        if self.wanted && self.began.elapsed() >= SILENT_FOR {
            self.said = true;
            over(&format!("partition {partition}: {entries} entries read"));
        }
    }

    fn end(&self) {
        if self.said {
            over("");
        }
    }
}

/// Writes over the line on stderr. With stderr closed there is nobody left to tell.
fn over(text: &str) {
    use std::io::Write;
    let mut stderr = std::io::stderr().lock();
    let _ = write!(stderr, "\r\u{1b}[K{text}");
    let _ = stderr.flush();
}

fn text(report: &Report) -> String {
    let mut books = table(&["book", "sum"]);
    for (book, sum) in &report.books {
        books.add_row([
            book.clone(),
            credits(i64::try_from(*sum).unwrap_or(i64::MAX)),
        ]);
    }
    format!(
        "{}\n\n{}\n\n{}",
        rows(&books, "no books yet"),
        differences(&report.differences),
        verdict(report),
    )
}

/// What differs, as a table.
fn differences(all: &[Difference]) -> String {
    let mut list = table(&["partition", "account", "what", "expected", "found"]);
    for one in all {
        let account = one.account.clone().unwrap_or_default();
        let partition = one.partition.to_string();
        list.add_row([
            partition,
            account,
            one.what.clone(),
            one.expected.clone(),
            one.found.clone(),
        ]);
    }
    rows(&list, "no differences")
}

/// What was read and whether it fits, in one sentence.
pub(super) fn verdict(report: &Report) -> String {
    let verdict = if report.ok {
        "ok".to_owned()
    } else {
        format!("{} DIFFERENCES", report.differences.len())
    };
    let frozen = match report.booked_while_frozen {
        0 => String::new(),
        n => format!("; {n} entries were booked while something was frozen"),
    };
    format!(
        "audit: {verdict}, {} accounts, {} journal entries and {} open holds re-derived{frozen}",
        report.accounts, report.entries, report.open_holds,
    )
}
