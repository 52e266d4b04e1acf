//! `dead`: dead letters, jobs that failed or ran out of time: found, understood, retried, dropped.

mod bulk;
mod drop;
mod filter;
mod ls;
mod preview;
mod retry;
mod show;
mod through;

use clap::Subcommand;

use super::Call;
use super::failure::{Exit, Failure};
use crate::desk::Refused;
use crate::store::{Payer, RedriveRefusal};

/// Look at dead letters, retry them, drop them
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  meterline dead ls --group\n  meterline dead retry --class provider_fault --payer house --dry-run"
)]
pub(super) enum Command {
    Ls(ls::Args),
    Show(show::Args),
    Retry(retry::Args),
    Drop(drop::Args),
}

pub(super) async fn run(call: &Call, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Ls(args) => ls::run(call, args).await,
        Command::Show(args) => show::run(call, args).await,
        Command::Retry(args) => retry::run(call, args).await,
        Command::Drop(args) => drop::run(call, args).await,
    }
}

/// Who pays, as people are told.
fn payer_words(payer: Payer) -> &'static str {
    match payer {
        Payer::Account => "the account pays",
        Payer::House => "the house pays",
    }
}

/// So many of something, as people say it.
fn count(n: u64, one: &str) -> String {
    format!("{n} {one}{}", if n == 1 { "" } else { "s" })
}

impl From<RedriveRefusal> for Failure {
    fn from(refusal: RedriveRefusal) -> Self {
        Refused::from(refusal).into()
    }
}
