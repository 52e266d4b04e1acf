//! `dead`: dead letters, jobs that failed or ran out of time: found, understood, retried, dropped.

mod bulk;
mod drop;
mod filter;
mod ls;
mod preview;
mod retry;
mod show;
mod through;
mod walk;

use clap::Subcommand;

use super::Call;
use super::failure::{Exit, Failure, Kind};
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
        let message = refusal.to_string();
        let of = |kind| Self::new(kind, message.clone());
        match refusal {
            RedriveRefusal::UnknownJob(_) => of(Kind::UnknownJob),
            RedriveRefusal::NotDead { state, .. } => of(Kind::NotADeadLetter).with("state", state),
            RedriveRefusal::Dropped(_) => of(Kind::NotADeadLetter).with("state", "dropped"),
            RedriveRefusal::OtherPayer { job, payer } => of(Kind::PayerMismatch)
                .with("new_job", job.as_str())
                .with("payer", payer.as_str()),
            RedriveRefusal::JobExists(_) => of(Kind::StoreError),
            RedriveRefusal::Overflow => of(Kind::Overflow),
            RedriveRefusal::Submit(refusal) => refusal.into(),
        }
    }
}
