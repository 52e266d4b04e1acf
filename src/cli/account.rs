//! `account`: who pays, what they have, what they may do, and how it came about.

mod adjust;
mod caps;
mod create;
mod daily;
mod freeze;
mod grant;
mod ledger;
mod limits;
mod plan;
mod refund;
mod show;
mod state;
mod statement;

use clap::Subcommand;

use super::Call;
use super::failure::{Exit, Failure, Kind};
use crate::domain::ids::OperationId;

/// Open accounts, look at them, give them credits, correct them, limit them
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  meterline account show acme")]
pub(super) enum Command {
    Create(create::Args),
    Show(show::Args),
    Grant(grant::Args),
    Daily(daily::Args),
    Plan(plan::Args),
    Adjust(adjust::Args),
    Clawback(adjust::ClawbackArgs),
    Refund(refund::Args),
    Limits(limits::Args),
    Caps(caps::Args),
    Close(state::CloseArgs),
    Reopen(state::ReopenArgs),
    Ledger(ledger::Args),
    Statement(statement::Args),
    Freeze(freeze::Args),
}

pub(super) async fn run(call: &Call, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Create(args) => create::run(call, args).await,
        Command::Show(args) => show::run(call, args).await,
        Command::Grant(args) => grant::run(call, args).await,
        Command::Daily(args) => daily::run(call, args).await,
        Command::Plan(args) => plan::run(call, args).await,
        Command::Adjust(args) => adjust::run(call, args).await,
        Command::Clawback(args) => adjust::clawback(call, args).await,
        Command::Refund(args) => refund::run(call, args).await,
        Command::Limits(args) => limits::run(call, args).await,
        Command::Caps(args) => caps::run(call, args).await,
        Command::Close(args) => state::close(call, args).await,
        Command::Reopen(args) => state::reopen(call, args).await,
        Command::Ledger(args) => ledger::run(call, args).await,
        Command::Statement(args) => statement::run(call, args).await,
        Command::Freeze(args) => freeze::run(call, args).await,
    }
}

/// Who does it, and why, for the books.
#[derive(Debug, Clone, clap::Args)]
struct Because {
    /// Why, for the books
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Who does it, for the books
    #[arg(long, env = "USER", default_value = "cli")]
    actor: String,
}

/// A lost answer of a call that can simply be repeated.
fn repeat(failure: Failure) -> Failure {
    match failure.kind() {
        Kind::UnknownOutcome => failure.and_say("repeat the same command to make sure"),
        _ => failure,
    }
}

/// A lost answer of a call that its operation id makes safe to repeat.
fn repeat_with(failure: Failure, operation: &OperationId) -> Failure {
    match failure.kind() {
        Kind::UnknownOutcome => failure
            .and_say(&format!("repeat with --op-id {operation}"))
            .with("op_id", operation.as_str()),
        _ => failure,
    }
}
