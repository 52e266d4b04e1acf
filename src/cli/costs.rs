//! `costs`: what providers' work cost, beside what was paid for it.

use jiff::civil::Date;
use serde_json::{Value, json};

use super::Call;
use super::failure::{Exit, Failure, Kind};
use super::output::{credits, rows, table};
use crate::desk::costs::{Asked, Error, costs};
use crate::ledger::CostsBy;
use crate::wire::{Costs, CostsLine};

/// Show what providers' work cost, what of it was for nothing, and what was paid for the rest
///
/// Costs are booked for providers whose files have a table [cost]. They come from the history in Postgres
/// where there is one (`postgres.url`), else from what the store still keeps (`costs.retention_days`).
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  meterline costs\n  meterline costs --by day --from 2026-11-01 --to 2026-11-30 --output json"
)]
pub(super) struct Args {
    /// What a line stands for
    #[arg(long, value_enum, default_value_t = ByArg::Provider)]
    by: ByArg,
    /// First day, of UTC [default: the first of this month]
    #[arg(long, value_name = "DATE", value_parser = date)]
    from: Option<Date>,
    /// Last day, of UTC [default: today]
    #[arg(long, value_name = "DATE", value_parser = date)]
    to: Option<Date>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ByArg {
    Provider,
    Route,
    Tool,
    Day,
}

impl From<ByArg> for CostsBy {
    fn from(by: ByArg) -> Self {
        match by {
            ByArg::Provider => Self::Provider,
            ByArg::Route => Self::Route,
            ByArg::Tool => Self::Tool,
            ByArg::Day => Self::Day,
        }
    }
}

fn date(text: &str) -> Result<Date, String> {
    text.parse()
        .map_err(|_| "write a day such as 2026-11-30".to_owned())
}

pub(super) async fn run(call: &Call, args: Args) -> Result<Exit, Failure> {
    let by = CostsBy::from(args.by);
    let found = match call.server()? {
        Some(server) => {
            let [from, to] = [args.from, args.to].map(|day| day.map(|day| day.to_string()));
            let asked = server
                .client
                .costs(by.as_str(), from.as_deref(), to.as_deref());
            asked.await?
        }
        None => {
            let house = call.house()?;
            let store = house.store().await?;
            let asked = Asked {
                by,
                from: args.from,
                to: args.to,
            };
            let credit = house.settings().costs.credit_usd_micros;
            costs(&store, &house.history(&store), asked, credit).await?
        }
    };
    call.out.show(&document(&found), || text(&found))?;
    Ok(Exit::Done)
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Reversed(..) => Self::new(Kind::Usage, format!("--from {error}")),
            Error::OutOfReach(_) => Self::new(Kind::Usage, error.to_string()),
            Error::History(error) => error.into(),
        }
    }
}

/// A line's name stands under what it is the name of.
fn document(found: &Costs) -> Value {
    let value = |line: &CostsLine, name: Option<&str>| {
        let mut value = json!(line);
        if let Some(members) = value.as_object_mut() {
            members.remove("name");
        }
        if let Some(name) = name {
            value[found.by.as_str()] = json!(name);
        }
        value
    };
    let lines = found.lines.iter();
    let lines: Vec<Value> = lines.map(|line| value(line, Some(&line.name))).collect();
    let mut document = json!(found);
    document["lines"] = json!(lines);
    document["total"] = value(&found.total, None);
    document
}

fn text(found: &Costs) -> String {
    let with_margin = found.credit_usd_micros > 0;
    let mut columns = vec![
        found.by.as_str(),
        "submissions",
        "for nothing",
        "cost",
        "waste",
        "paid",
    ];
    columns.extend(with_margin.then_some("margin"));
    let mut shown = table(&columns);
    for line in found.lines.iter().chain([&found.total]) {
        let mut row = vec![
            line.name.clone(),
            line.submissions.to_string(),
            line.wasted.to_string(),
            usd(i128::from(line.cost_usd_micros)),
            usd(i128::from(line.waste_usd_micros)),
            credits(line.paid_ucr),
        ];
        let margin = line.margin_usd_micros;
        row.extend(margin.map(|margin| usd(i128::from(margin))));
        shown.add_row(row);
    }
    let source = if found.source == "history" {
        "from the history in Postgres"
    } else {
        "from what the store still keeps; refunds and what the house paid are not taken off"
    };
    let table = rows(&shown, "no costs");
    format!("{table}\n{} to {}, UTC; {source}", found.from, found.to)
}

/// Dollars to the micro, at least to the cent.
fn usd(micros: i128) -> String {
    let (sign, size) = (if micros < 0 { "-" } else { "" }, micros.unsigned_abs());
    let whole = format!("{sign}${}.{:06}", size / 1_000_000, size % 1_000_000);
    let cents = whole.len() - 4;
    let kept = whole.trim_end_matches('0').len().max(cents);
    whole[..kept].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_shown_to_the_micro_and_at_least_to_the_cent() {
        for (micros, want) in [
            (0, "$0.00"),
            (1, "$0.000001"),
            (4_000, "$0.004"),
            (10_000, "$0.01"),
            (1_500_000, "$1.50"),
            (-265_000, "-$0.265"),
            (1_234_567_890, "$1234.56789"),
        ] {
            assert_eq!(usd(micros), want);
        }
    }
}
