//! `account close` and `account reopen`.

use serde_json::json;

use super::{Because, repeat};
use crate::cli::Call;
use crate::cli::failure::{Exit, Failure};
use crate::desk::money::stands;
use crate::domain::ids::AccountId;
use crate::store::{Error, StateOutcome};

/// Close an account that has no open jobs: nothing more is granted or submitted, its credits stay
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline account close acme --reason \"customer left\"")]
pub(in crate::cli) struct CloseArgs {
    account: AccountId,
    #[command(flatten)]
    because: Because,
}

/// Open a closed account again, with what it has left
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline account reopen acme --reason \"customer is back\"")]
pub(in crate::cli) struct ReopenArgs {
    account: AccountId,
    #[command(flatten)]
    because: Because,
}

pub(super) async fn close(call: &Call, args: CloseArgs) -> Result<Exit, Failure> {
    let store = call.house()?.store().await?;
    let Because { reason, actor } = &args.because;
    let outcome = store.close_account(&args.account, reason, actor).await;
    said(call, &args.account, "closed", outcome)
}

pub(super) async fn reopen(call: &Call, args: ReopenArgs) -> Result<Exit, Failure> {
    let store = call.house()?.store().await?;
    let Because { reason, actor } = &args.because;
    let outcome = store.reopen_account(&args.account, reason, actor).await;
    said(call, &args.account, "open", outcome)
}

fn said(
    call: &Call,
    account: &AccountId,
    state: &str,
    outcome: Result<StateOutcome, Error>,
) -> Result<Exit, Failure> {
    let outcome = outcome.map_err(|error| repeat(error.into()))?;
    let replayed = stands(account, outcome)?;
    let status = if replayed { "replayed" } else { "done" };
    let value = json!({"account": account, "state": state, "status": status});
    call.out.show(&value, || {
        let was = if replayed { "was" } else { "is" };
        format!("account {account} {was} {state}")
    })?;
    Ok(Exit::Done)
}
