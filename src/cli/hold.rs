//! `hold`: credits that are set aside for jobs that have not ended.

use clap::Subcommand;
use serde_json::{Value, json};

use super::Call;
use super::failure::{Exit, Failure};
use super::output::{credits, duration, note, rfc3339, rows, table};
use super::request::span_ms;
use crate::domain::ids::AccountId;
use crate::store::{HoldView, OldestHolds};
use crate::wire::HoldQuery;

/// Look at open holds
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  meterline hold ls --older-than 1h")]
pub(super) enum Command {
    Ls(LsArgs),
}

/// List open holds, oldest first: for which job, how much, out of which grants
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  meterline hold ls --account acme\n  meterline hold ls --older-than 1h --output json"
)]
pub(super) struct LsArgs {
    /// Only this account's
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<AccountId>,
    /// Only those that are held for at least so long, such as 1h
    #[arg(long, value_name = "TIME", value_parser = span_ms)]
    older_than: Option<u64>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

pub(super) async fn run(call: &Call, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Ls(args) => ls(call, args).await,
    }
}

async fn ls(call: &Call, args: LsArgs) -> Result<Exit, Failure> {
    let found = match call.server()? {
        Some(server) => {
            let asked = HoldQuery {
                account: args.account,
                older_than_ms: args.older_than,
                limit: Some(args.limit),
            };
            server.holds(asked).await?
        }
        None => at_the_store(call, args).await?,
    };
    let now_ms = found.now_ms;
    let values: Vec<Value> = found
        .oldest
        .iter()
        .map(|hold| value(hold, now_ms))
        .collect();
    call.out.show(&values, || text(&found.oldest, now_ms))?;
    if !call.out.is_json() && found.number > 0 {
        let (shown, held) = (found.oldest.len(), credits(found.held_ucr));
        note(&format!(
            "{shown} of {} shown, {held} held in all",
            found.number
        ));
    }
    Ok(Exit::Done)
}

async fn at_the_store(call: &Call, args: LsArgs) -> Result<OldestHolds, Failure> {
    let store = call.house()?.store().await?;
    if let Some(account) = &args.account
        && store.account(account).await?.is_none()
    {
        return Err(Failure::unknown_account(account));
    }
    let older_than_ms = args.older_than.unwrap_or(0);
    let found = store.oldest_holds(args.account.as_ref(), older_than_ms, args.limit);
    Ok(found.await?)
}

fn value(hold: &HoldView, now_ms: u64) -> Value {
    let time = |ms: u64| i64::try_from(ms).ok().and_then(rfc3339);
    let slices: Vec<Value> = hold
        .slices
        .iter()
        .map(|(grant, pinned)| json!({"grant": grant, "pinned_ucr": pinned}))
        .collect();
    json!({
        "job": hold.job,
        "account": hold.account,
        "tool": hold.tool,
        "state": hold.state,
        "payer": hold.payer,
        "hold_ucr": hold.amount,
        "age_ms": now_ms.saturating_sub(hold.since_ms),
        "since": time(hold.since_ms),
        "until": time(hold.until_ms),
        "grants": slices,
    })
}

fn text(holds: &[HoldView], now_ms: u64) -> String {
    let mut listed = table(&["job", "account", "tool", "state", "held", "age", "grants"]);
    for hold in holds {
        let slices = hold.slices.iter();
        let grants = slices.map(|(grant, pinned)| format!("{grant} {}", pinned.credits()));
        let mut grants = grants.collect::<Vec<_>>().join(", ");
        if hold.payer == "house" {
            grants += " (the house pays)";
        }
        let age_s = now_ms.saturating_sub(hold.since_ms) / 1000;
        listed.add_row([
            hold.job.to_string(),
            hold.account.clone(),
            hold.tool.clone(),
            hold.state.to_string(),
            credits(hold.amount.get()),
            duration(age_s * 1000),
            grants,
        ]);
    }
    rows(&listed, "no open holds")
}
