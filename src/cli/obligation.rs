//! `obligation`: what providers may still be doing for us, and billing us for.

use clap::Subcommand;
use serde_json::{Value, json};

use super::Call;
use super::failure::{Exit, Failure};
use super::output::{duration, rows, table};
use crate::store::ObligationView;
use crate::worker::LeftOpen;

/// Look at work that providers may still be doing after we stopped waiting for it
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  meterline obligation ls")]
pub(super) enum Command {
    Ls(LsArgs),
}

/// List open obligations, the oldest first
///
/// The job of each has ended or gone on and its user was charged nothing for it; what the provider
/// bills for it is ours.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline obligation ls --limit 20 --output json")]
pub(super) struct LsArgs {
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
}

pub(super) async fn run(call: &Call, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Ls(args) => ls(call, &args).await,
    }
}

async fn ls(call: &Call, args: &LsArgs) -> Result<Exit, Failure> {
    let store = call.house()?.store().await?;
    let (found, open) = store.oldest_obligations(args.limit).await?;
    let now_ms = store.server_ms().await?;
    let age_ms = |view: &ObligationView| now_ms.saturating_sub(view.opened_at_ms);
    let values: Vec<Value> = found
        .iter()
        .map(|view| obligation_json(view, age_ms(view)))
        .collect();
    call.out.show(&values, || {
        let listed: Vec<_> = found.iter().map(|view| (view, age_ms(view))).collect();
        text(&listed, open)
    })?;
    Ok(Exit::Done)
}

fn obligation_json(view: &ObligationView, age_ms: u64) -> Value {
    let left = LeftOpen::read(&view.work);
    json!({
        "job": view.job,
        "submission": view.submission,
        "account": view.account,
        "provider": left.as_ref().map(|left| &left.provider),
        "route": left.as_ref().map(|left| &left.route),
        "model": left.as_ref().map(|left| &left.model),
        "has_handle": left.as_ref().is_some_and(|left| left.has_handle),
        "opened_at_ms": view.opened_at_ms,
        "age_ms": age_ms,
        "why": view.why,
    })
}

fn text(listed: &[(&ObligationView, u64)], open: u64) -> String {
    let mut list = table(&[
        "job",
        "submission",
        "account",
        "provider",
        "route",
        "age",
        "why",
        "can be followed",
    ]);
    for (view, age_ms) in listed {
        let left = LeftOpen::read(&view.work);
        let (provider, route) = left.as_ref().map_or(("?", "?"), |left| {
            (left.provider.as_str(), left.route.as_str())
        });
        let followed = left.as_ref().is_some_and(|left| left.has_handle);
        list.add_row([
            view.job.to_string(),
            view.submission.to_string(),
            view.account.to_string(),
            provider.to_owned(),
            route.to_owned(),
            duration(age_ms / 1000 * 1000),
            view.why.clone(),
            if followed { "yes" } else { "no" }.to_owned(),
        ]);
    }
    let mut text = rows(&list, "no open obligations");
    let more = open.saturating_sub(listed.len() as u64);
    if more > 0 {
        text += &format!("\n{more} more: see --limit");
    }
    text
}
