//! `dead drop`: dead letters are let go, and what was asked for with them.

use serde_json::json;

use super::bulk::{self, Done, Words};
use super::count;
use super::filter::{Asked, SelectArgs};
use super::through::{summary, until_done};
use crate::cli::Call;
use crate::cli::failure::{Exit, Failure, Kind};
use crate::cli::output::credits;
use crate::cli::server::Server;
use crate::desk::dead::{Selection, dropped};
use crate::desk::look::preview;
use crate::domain::ids::JobId;
use crate::store::{Payer, Store};
use crate::wire::DropRequest;

const EXAMPLES: &str = "Examples:
  meterline dead drop JOB --reason \"the customer has given up\"
  meterline dead drop --class user_input --older-than 168h --reason \"nothing to retry\" --dry-run
With --output json there is one line a job, and a last one with the summary.";

const WORDS: Words = Words {
    verb: "drop",
    done: "dropped",
};

/// Let dead letters go: what was asked for is forgotten at once and for good
///
/// Nobody's credits move: everything held was given back when the job ended. The job itself can still be
/// looked at for as long as any finished one.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    select: SelectArgs,
    /// Why, for the log of operators' acts
    #[arg(long)]
    reason: String,
    /// Who does it, for the log of operators' acts
    #[arg(long, env = "USER", default_value = "cli")]
    actor: String,
    /// Only look: how many there are
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
}

pub(super) async fn run(call: &Call, args: Args) -> Result<Exit, Failure> {
    if let Some(server) = call.server()? {
        return through(call, &server, args).await;
    }
    let store = call.house()?.store().await?;
    let selection = args.select.selection(&store).await?;
    let (reason, actor) = (args.reason, args.actor);
    let count = async || preview(&store, &selection, Payer::House).await;
    if args.dry_run {
        let seen = count().await?;
        let value = json!({"dry_run": true, "jobs": seen.jobs, "not_dead": seen.not_dead});
        call.out.show(&value, || question(seen.jobs))?;
        return Ok(Exit::Done);
    }
    let total = match &selection {
        Selection::Named(jobs) if jobs.len() == 1 => {
            let done = drop_one(&store, &jobs[0], &reason, &actor).await?;
            call.out.show(&done.value, || done.text.clone())?;
            return Ok(Exit::Done);
        }
        Selection::Named(jobs) => jobs.len() as u64,
        Selection::Fitting(_) => {
            let jobs = count().await?.jobs;
            if !bulk::confirm(&question(jobs), args.yes || jobs == 0)? {
                return Ok(Exit::Failed);
            }
            jobs
        }
    };
    let act = async |job: &JobId| drop_one(&store, job, &reason, &actor).await;
    bulk::run(call, &store, &selection, &WORDS, total, act).await
}

/// A server drops whatever fits, in its background; it has no word for jobs that are named.
async fn through(call: &Call, server: &Server, args: Args) -> Result<Exit, Failure> {
    let Asked::Fitting(filter) = args.select.through()? else {
        let message = "through a server, dead letters are dropped by a filter; name jobs at the \
             store itself with --redis URL";
        return Err(Failure::new(Kind::Usage, message));
    };
    let asked = DropRequest {
        filter,
        reason: args.reason,
        dry_run: args.dry_run,
    };
    let jobs = server.client.look_at_drop(&asked).await?.jobs;
    if args.dry_run {
        let value = json!({"dry_run": true, "jobs": jobs, "not_dead": 0});
        call.out.show(&value, || question(jobs))?;
        return Ok(Exit::Done);
    }
    if !bulk::confirm(&question(jobs), args.yes || jobs == 0)? {
        return Ok(Exit::Failed);
    }
    let begun = server.client.begin_drop(&asked).await?;
    let run = until_done(server, begun, jobs).await?;
    summary(call, &run, &WORDS)
}

fn question(jobs: u64) -> String {
    let letters = count(jobs, "dead letter");
    format!("{letters} would be dropped, and can then not be retried any more")
}

async fn drop_one(store: &Store, job: &JobId, reason: &str, actor: &str) -> Result<Done, Failure> {
    let outcome = bulk::settled(async || store.drop_dead(job, reason, actor).await).await?;
    let dropped = dropped(job, outcome)?;
    let verb = if dropped.replayed {
        "had been dropped before"
    } else {
        "is dropped"
    };
    Ok(Done {
        value: json!({
            "job": job,
            "status": if dropped.replayed { "replayed" } else { "dropped" },
            "account": dropped.account,
            "ceiling_ucr": dropped.ceiling_ucr,
        }),
        text: format!(
            "{job} of {} {verb}, {}",
            dropped.account,
            credits(dropped.ceiling_ucr)
        ),
        replayed: dropped.replayed,
        hold_ucr: 0,
    })
}
