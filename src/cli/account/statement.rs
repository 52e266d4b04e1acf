//! `account statement`: what an account spent over a stretch of days.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::cli::Call;
use crate::cli::failure::{Exit, Failure, Kind};
use crate::cli::output::{Format, credits, note, rfc3339, rows, table};
use crate::cli::server::Server;
use crate::domain::ids::AccountId;
use crate::ledger::{By, History, Line, Statement, statement};
use crate::store::Store;

/// Show what was granted, charged, refunded, adjusted and expired, by day, tool or kind of grant
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  meterline account statement acme\n  meterline account statement acme --from 2026-11-01 --to 2026-11-30 --by tool --output csv"
)]
pub(in crate::cli) struct Args {
    account: AccountId,
    /// First day, of UTC [default: the first of this month]
    #[arg(long, value_name = "DATE", value_parser = date)]
    from: Option<Date>,
    /// Last day, of UTC [default: today]
    #[arg(long, value_name = "DATE", value_parser = date)]
    to: Option<Date>,
    /// What a line stands for
    #[arg(long, value_enum, default_value_t = ByArg::Day)]
    by: ByArg,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ByArg {
    Day,
    Tool,
    Grant,
}

impl ByArg {
    fn word(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Tool => "tool",
            Self::Grant => "grant",
        }
    }
}

impl From<ByArg> for By {
    fn from(by: ByArg) -> Self {
        match by {
            ByArg::Day => Self::Day,
            ByArg::Tool => Self::Tool,
            ByArg::Grant => Self::Grant,
        }
    }
}

fn date(text: &str) -> Result<Date, String> {
    text.parse()
        .map_err(|_| "write a day such as 2026-11-30".to_owned())
}

/// The columns after the first, as they are called in CSV and JSON.
const COLUMNS: [&str; 7] = [
    "jobs",
    "granted_ucr",
    "captured_ucr",
    "refunded_ucr",
    "adjusted_ucr",
    "expired_ucr",
    "net_ucr",
];

pub(super) async fn run(call: &Call, args: Args) -> Result<Exit, Failure> {
    let place = match call.server()? {
        Some(server) => Place::Server(server),
        None => {
            let house = call.house()?;
            let store = house.store().await?;
            Place::Store(house.history(&store), store)
        }
    };
    let today = place.today(&args.account).await?;
    let (from, to) = (
        args.from.unwrap_or_else(|| today.first_of_month()),
        args.to.unwrap_or(today),
    );
    let (from_ms, to_ms) = (starts(from)?, ends(to)?);
    if from_ms >= to_ms {
        let message = format!("--from {from} is after --to {to}");
        return Err(Failure::new(Kind::Usage, message));
    }
    let found = match &place {
        Place::Store(history, _) => {
            statement(history, &args.account, from_ms, to_ms, args.by.into()).await?
        }
        Place::Server(server) => {
            let stretch = (from_ms, to_ms);
            server
                .statement(&args.account, stretch, args.by.word())
                .await?
        }
    };
    let mut exit = Exit::Done;
    if let Some(error) = &found.history_away {
        exit = Exit::Failed;
        note(&format!(
            "older entries stand in history alone: failed to {error}"
        ));
    }
    let kept_from = found.kept_from_ms.and_then(|ms| i64::try_from(ms).ok());
    if let Some(at) = kept_from.and_then(rfc3339) {
        note(&format!(
            "the journal is kept from {at} on: what was before is missing here"
        ));
    }
    match call.out.format() {
        Format::Csv => call.out.text(csv(&found, args.by).trim_end())?,
        Format::Json => call
            .out
            .json(&document(&args.account, from, to, args.by, &found))?,
        Format::Table => call.out.text(&text(&found, args.by))?,
    }
    Ok(exit)
}

/// Where a statement comes from.
enum Place {
    Store(History, Store),
    Server(Server),
}

impl Place {
    /// The day of UTC that it is there, for an account that is there.
    async fn today(&self, account: &AccountId) -> Result<Date, Failure> {
        let now = match self {
            // Whether it is there is said with the statement.
            Self::Server(_) => Some(jiff::Timestamp::now()),
            Self::Store(_, store) => {
                if store.account(account).await?.is_none() {
                    return Err(Failure::unknown_account(account));
                }
                let now = i64::try_from(store.server_ms().await?).ok();
                now.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
            }
        };
        Ok(now.unwrap_or_default().to_zoned(TimeZone::UTC).date())
    }
}

/// When a day begins, ms since 1970.
fn starts(day: Date) -> Result<u64, Failure> {
    let out_of_reach = || Failure::new(Kind::Usage, format!("{day} is out of reach"));
    let zoned = day.to_zoned(TimeZone::UTC).map_err(|_| out_of_reach())?;
    u64::try_from(zoned.timestamp().as_millisecond()).map_err(|_| out_of_reach())
}

/// When a day is over, ms since 1970.
fn ends(day: Date) -> Result<u64, Failure> {
    let next = day.tomorrow();
    let next = next.map_err(|_| Failure::new(Kind::Usage, format!("{day} is out of reach")));
    starts(next?)
}

fn document(account: &AccountId, from: Date, to: Date, by: ByArg, found: &Statement) -> Value {
    let lines: Vec<Value> = found
        .lines
        .iter()
        .map(|(name, line)| {
            let mut value = json!(line);
            value[by.word()] = json!(name);
            value
        })
        .collect();
    json!({
        "account": account,
        "from": from.to_string(),
        "to": to.to_string(),
        "by": by.word(),
        "lines": lines,
        "total": found.total,
        "kept_from": found
            .kept_from_ms
            .and_then(|ms| i64::try_from(ms).ok())
            .and_then(rfc3339),
    })
}

/// The figures of a line, in the order of [`COLUMNS`] without the number of jobs.
fn figures(line: &Line) -> [i64; 6] {
    [
        line.granted_ucr,
        line.captured_ucr,
        line.refunded_ucr,
        line.adjusted_ucr,
        line.expired_ucr,
        line.net_ucr,
    ]
}

/// A line per row, without the total, which a spreadsheet makes itself.
fn csv(found: &Statement, by: ByArg) -> String {
    let mut text = format!("{},{}\n", by.word(), COLUMNS.join(","));
    for (name, line) in &found.lines {
        let figures = figures(line).map(|ucr| ucr.to_string()).join(",");
        text += &format!("{name},{},{figures}\n", line.jobs);
    }
    text
}

fn text(found: &Statement, by: ByArg) -> String {
    let mut listing = table(&[
        by.word(),
        "jobs",
        "granted",
        "charged",
        "refunded",
        "adjusted",
        "expired",
        "net",
    ]);
    if found.lines.is_empty() {
        return rows(&listing, "nothing moved");
    }
    let total = "total".to_owned();
    let lines = found.lines.iter().chain([(&total, &found.total)]);
    for (name, line) in lines {
        let figures = figures(line).map(credits);
        listing.add_row(
            [name.clone(), line.jobs.to_string()]
                .into_iter()
                .chain(figures),
        );
    }
    rows(&listing, "nothing moved")
}
