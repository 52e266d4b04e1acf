//! `postgres`: the tables of history, and how far it is.

use serde_json::json;

use super::Call;
use super::failure::{Exit, Failure, Kind};
use super::output::{rows, table};
use crate::ledger::postgres::{self, Lag};

/// History in Postgres: make its tables, see how far it is
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Example:\n  meterline postgres check")]
pub(super) enum Command {
    Migrate(MigrateArgs),
    Check(CheckArgs),
}

/// Make or update the tables (a projector does so too when it starts)
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline postgres migrate")]
pub(super) struct MigrateArgs {}

/// Show how far history is behind each partition's journal; exit 1 where anything is wrong
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline postgres check --output json")]
pub(super) struct CheckArgs {}

pub(super) async fn run(call: &Call, command: Command) -> Result<Exit, Failure> {
    let house = call.house_with(Vec::new())?;
    let Some(url) = house.settings().postgres.address() else {
        let message = "there is no Postgres: set postgres.url (METERLINE__POSTGRES__URL)";
        return Err(Failure::new(Kind::Usage, message));
    };
    match command {
        Command::Migrate(MigrateArgs {}) => {
            let done = postgres::migrate(url).await?;
            let names: Vec<String> = done
                .iter()
                .map(|step| format!("{:03} {}", step.number, step.name))
                .collect();
            call.out.show(&json!({"applied": names}), || {
                if names.is_empty() {
                    "nothing to do: the tables are those of this version".to_owned()
                } else {
                    format!("applied {}", names.join(", "))
                }
            })?;
            Ok(Exit::Done)
        }
        Command::Check(CheckArgs {}) => {
            let store = house.store().await?;
            let lags = postgres::lags(&store, url).await?;
            call.out.show(&lags, || text(&lags))?;
            let wrong = lags.iter().any(|lag| lag.wrong.is_some());
            Ok(if wrong { Exit::Failed } else { Exit::Done })
        }
    }
}

fn text(lags: &[Lag]) -> String {
    let mut shown = table(&[
        "partition",
        "store",
        "history",
        "behind",
        "written by",
        "wrong",
    ]);
    for lag in lags {
        shown.add_row([
            lag.partition.to_string(),
            lag.store_seq.to_string(),
            lag.history_seq
                .map_or("-".to_owned(), |seq| seq.to_string()),
            lag.behind.to_string(),
            if lag.has_writer {
                "a projector"
            } else {
                "nobody"
            }
            .to_owned(),
            lag.wrong.clone().unwrap_or_default(),
        ]);
    }
    rows(&shown, "the store has no partitions")
}
