//! `costs`: what providers' work cost, beside what was paid for it.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::Call;
use super::failure::{Exit, Failure, Kind};
use super::output::{credits, rows, table};
use crate::ledger::postgres::costs_in_history;
use crate::ledger::{CostLine, CostsBy, costs_in_store};

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

impl ByArg {
    fn word(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Route => "route",
            Self::Tool => "tool",
            Self::Day => "day",
        }
    }
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

/// What is shown, and where it is from.
struct Found {
    by: ByArg,
    from: Date,
    to: Date,
    in_history: bool,
    lines: BTreeMap<String, CostLine>,
    total: CostLine,
    credit_usd_micros: u64,
}

pub(super) async fn run(call: &Call, args: Args) -> Result<Exit, Failure> {
    let house = call.house()?;
    let store = house.store().await?;
    let now = i64::try_from(store.server_ms().await?).ok();
    let now = now.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let today = now.unwrap_or_default().to_zoned(TimeZone::UTC).date();
    let (from, to) = (
        args.from.unwrap_or_else(|| today.first_of_month()),
        args.to.unwrap_or(today),
    );
    let stretch = (
        starts(from)?,
        starts(to.saturating_add(jiff::Span::new().days(1)))?,
    );
    if stretch.0 >= stretch.1 {
        let message = format!("--from {from} is after --to {to}");
        return Err(Failure::new(Kind::Usage, message));
    }
    let history = house.settings().postgres.address();
    let lines = match history {
        Some(url) => costs_in_history(url, args.by.into(), stretch).await?,
        None => costs_in_store(&store, args.by.into(), stretch).await?,
    };
    let mut total = CostLine::default();
    for line in lines.values() {
        total.plus(*line);
    }
    let found = Found {
        by: args.by,
        from,
        to,
        in_history: history.is_some(),
        lines,
        total,
        credit_usd_micros: house.settings().costs.credit_usd_micros,
    };
    call.out.show(&found.document(), || found.text())?;
    Ok(Exit::Done)
}

/// When a day begins, ms since 1970.
fn starts(day: Date) -> Result<u64, Failure> {
    let out_of_reach = || Failure::new(Kind::Usage, format!("{day} is out of reach"));
    let zoned = day.to_zoned(TimeZone::UTC).map_err(|_| out_of_reach())?;
    u64::try_from(zoned.timestamp().as_millisecond()).map_err(|_| out_of_reach())
}

impl Found {
    fn value(&self, line: &CostLine) -> Value {
        let mut value = json!(line);
        value["margin_usd_micros"] = json!(line.margin_usd_micros(self.credit_usd_micros));
        value
    }

    fn document(&self) -> Value {
        let lines: Vec<Value> = self
            .lines
            .iter()
            .map(|(name, line)| {
                let mut value = self.value(line);
                value[self.by.word()] = json!(name);
                value
            })
            .collect();
        json!({
            "by": self.by.word(),
            "from": self.from.to_string(),
            "to": self.to.to_string(),
            "source": if self.in_history { "history" } else { "store" },
            "credit_usd_micros": self.credit_usd_micros,
            "lines": lines,
            "total": self.value(&self.total),
        })
    }

    fn text(&self) -> String {
        let with_margin = self.credit_usd_micros > 0;
        let mut columns = vec![
            self.by.word(),
            "submissions",
            "for nothing",
            "cost",
            "waste",
            "paid",
        ];
        columns.extend(with_margin.then_some("margin"));
        let mut shown = table(&columns);
        let total = "total".to_owned();
        let lines = self.lines.iter().chain([(&total, &self.total)]);
        for (name, line) in lines {
            let mut row = vec![
                name.clone(),
                line.submissions.to_string(),
                line.wasted.to_string(),
                usd(i128::from(line.cost_usd_micros)),
                usd(i128::from(line.waste_usd_micros)),
                credits(line.paid_ucr),
            ];
            let margin = line.margin_usd_micros(self.credit_usd_micros);
            row.extend(margin.map(|margin| usd(i128::from(margin))));
            shown.add_row(row);
        }
        let source = if self.in_history {
            "from the history in Postgres"
        } else {
            "from what the store still keeps; refunds and what the house paid are not taken off"
        };
        let table = rows(&shown, "no costs");
        format!("{table}\n{} to {}, UTC; {source}", self.from, self.to)
    }
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
