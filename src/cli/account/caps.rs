//! `account caps`: how much an account may spend, and when it is told that little is left.

use serde_json::json;

use super::{Because, repeat};
use crate::cli::Call;
use crate::cli::failure::{Exit, Failure, Kind};
use crate::cli::request::positive_credits;
use crate::domain::credits::Ucr;
use crate::domain::ids::AccountId;
use crate::store::{Term, TermOutcome};

/// Set what an account may spend in a day and a month of UTC, and below which balance it is told
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  meterline account caps acme --day 100 --month 1000 --reason \"asked by the customer\"\n  meterline account caps acme --month none --reason \"asked by the customer\"\n  meterline account caps acme --low-balance 50 --reason \"wants a mail\""
)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true).args(["day", "month", "low_balance"]))]
pub(in crate::cli) struct Args {
    account: AccountId,
    /// Credits held and captured in a day at most, or `none`
    #[arg(long, value_name = "CREDITS", allow_hyphen_values = true)]
    day: Option<String>,
    /// Credits held and captured in a month at most, or `none`
    #[arg(long, value_name = "CREDITS", allow_hyphen_values = true)]
    month: Option<String>,
    /// Balance below which one event `low_balance` is written, or `none`
    #[arg(long, value_name = "CREDITS", allow_hyphen_values = true, conflicts_with_all = ["day", "month"])]
    low_balance: Option<String>,
    #[command(flatten)]
    because: Because,
}

pub(super) async fn run(call: &Call, args: Args) -> Result<Exit, Failure> {
    let amount = |text: Option<&str>| match text {
        None => Ok(None),
        Some("none") => Ok(Some(Ucr::ZERO)),
        Some(text) => positive_credits(text).map(Some),
    };
    let term = match amount(args.low_balance.as_deref())? {
        Some(threshold) => Term::LowBalance(threshold),
        None => Term::Caps {
            day: amount(args.day.as_deref())?,
            month: amount(args.month.as_deref())?,
        },
    };
    set(call, &args.account, &term, &args.because).await
}

/// Sets one thing about an account and says so.
pub(super) async fn set(
    call: &Call,
    account: &AccountId,
    term: &Term,
    because: &Because,
) -> Result<Exit, Failure> {
    let store = call.house()?.store().await?;
    let outcome = store.set_term(account, term, &because.reason, &because.actor);
    match outcome.await.map_err(|error| repeat(error.into()))? {
        TermOutcome::UnknownAccount => Err(Failure::unknown_account(account)),
        TermOutcome::BadValue => Err(Failure::new(
            Kind::Usage,
            "the store does not take this value",
        )),
        TermOutcome::Set { admitted, replayed } => {
            let status = if replayed { "replayed" } else { "set" };
            let value = json!({"account": account, "status": status, "admitted": admitted});
            call.out.show(&value, || match (replayed, admitted) {
                (true, _) => format!("it was so before for account {account}"),
                (false, 0) => format!("set for account {account}"),
                (false, n) => format!("set for account {account}; {n} waiting jobs went in"),
            })?;
            Ok(Exit::Done)
        }
    }
}
