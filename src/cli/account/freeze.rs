//! `account freeze`: an account stands still until somebody clears it.

use crate::cli::Call;
use crate::cli::failure::{Exit, Failure};
use crate::cli::freeze::{Signed, set};
use crate::domain::ids::AccountId;
use crate::store::Scope;

/// Freeze an account: nothing new is held for it and none of its jobs starts
///
/// What runs comes to its end and is charged; what waits stays, with its clocks running. `freeze
/// clear` lets it go on.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline account freeze acme --reason \"chargeback 4711\"")]
pub(in crate::cli) struct Args {
    account: AccountId,
    #[command(flatten)]
    signed: Signed,
}

pub(super) async fn run(call: &Call, args: Args) -> Result<Exit, Failure> {
    let scope = Scope::Account(args.account);
    set(call, scope, args.signed).await
}
