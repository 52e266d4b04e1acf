//! `jobs`: the newest jobs that fit.

use serde_json::Value;

use super::Call;
use super::failure::{Exit, Failure};
use super::job::brief;
use super::output::{credits, note, rows, table};
use crate::domain::ids::AccountId;
use crate::domain::job::State;
use crate::store::{JobFilter, JobView};

/// List jobs, newest first
///
/// Where older jobs stand in a history that does not answer, it lists those that the store still has, says so
/// and exits with 1.
///
/// Through a server and without --account, they are the ones that end next, then those that ended last.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline jobs --account acme --state failed --limit 20")]
pub(super) struct Args {
    /// Only this account's
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<AccountId>,
    /// Only those in this state: scheduled, queued, running, succeeded, failed, timed_out or cancelled
    #[arg(long, value_name = "STATE", value_parser = state)]
    state: Option<State>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

fn state(word: &str) -> Result<State, String> {
    let known: Vec<&str> = State::ALL.iter().map(|state| state.as_str()).collect();
    State::from_word(word).ok_or_else(|| format!("it is one of {}", known.join(", ")))
}

pub(super) async fn run(call: &Call, args: Args) -> Result<Exit, Failure> {
    let filter = JobFilter {
        account: args.account,
        state: args.state,
        limit: args.limit,
    };
    let (found, away) = match call.server()? {
        Some(server) => (server.jobs(&filter).await?, None),
        None => {
            let house = call.house()?;
            let store = house.store().await?;
            if let Some(account) = &filter.account
                && store.account(account).await?.is_none()
            {
                return Err(Failure::unknown_account(account));
            }
            house.history(&store).jobs(&filter).await?
        }
    };
    let values: Vec<Value> = found.iter().map(brief).collect();
    call.out.show(&values, || text(&found))?;
    let Some(error) = away else {
        return Ok(Exit::Done);
    };
    note(&format!(
        "these are the jobs that the store still has; older ones are missing here: failed to {error}"
    ));
    Ok(Exit::Failed)
}

fn text(found: &[JobView]) -> String {
    let mut jobs = table(&[
        "job", "account", "tool", "state", "class", "held", "charged",
    ]);
    for view in found {
        jobs.add_row([
            view.job.to_string(),
            view.text("account").to_owned(),
            view.text("tool").to_owned(),
            view.text("state").to_owned(),
            view.text("fail_class").to_owned(),
            credits(view.number("hold_ucr")),
            credits(view.number("captured_ucr")),
        ]);
    }
    rows(&jobs, "no jobs")
}
