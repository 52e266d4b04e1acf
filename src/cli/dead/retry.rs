//! `dead retry`: dead letters are submitted again, and it is always said who pays.

use serde_json::json;

use super::bulk::{self, Done, Words};
use super::filter::{Asked, SelectArgs};
use super::payer_words;
use super::through;
use crate::cli::Call;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::credits;
use crate::desk::dead::Selection;
use crate::desk::look::preview;
use crate::domain::ids::JobId;
use crate::store::{Payer, Redrive, RedriveOutcome, Store};

const EXAMPLES: &str = "Examples:
  meterline dead retry JOB --payer account
  meterline dead retry --class provider_fault --payer house --reason \"outage of 3 May\" --dry-run
  meterline dead retry --all --payer account --yes --output json
With --output json there is one line a job, and a last one with the summary. Safe to interrupt and to
repeat: a dead letter becomes one new job, however often it is retried.";

/// Submit dead letters again as new jobs, with what was asked and at the price of then
///
/// The new job's hold is what the old one's was. With --payer account the account pays it like any job;
/// with --payer house the platform pays, and what is not used of it goes back to the platform.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    select: SelectArgs,
    /// Who pays for the new jobs
    #[arg(long, value_enum)]
    payer: PayerArg,
    /// Why, for the log of operators' acts
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    /// Who does it, for the log of operators' acts
    #[arg(long, env = "USER", default_value = "cli")]
    actor: String,
    /// Only look: how many, how many credits, which accounts could not pay
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum PayerArg {
    Account,
    House,
}

impl From<PayerArg> for Payer {
    fn from(payer: PayerArg) -> Self {
        match payer {
            PayerArg::Account => Self::Account,
            PayerArg::House => Self::House,
        }
    }
}

/// What is the same for all of them.
struct Order {
    payer: Payer,
    reason: String,
    actor: String,
}

pub(super) async fn run(call: &Call, args: Args) -> Result<Exit, Failure> {
    if let Some(server) = call.server()? {
        let order = through::Order {
            payer: args.payer,
            reason: args.reason,
            dry_run: args.dry_run,
            yes: args.yes,
        };
        return match args.select.through()? {
            Asked::Named(jobs) => through::named(call, &server, &jobs, &order).await,
            Asked::Fitting(filter) => through::fitting(call, &server, filter, &order).await,
        };
    }
    let store = call.house()?.store().await?;
    let selection = args.select.selection(&store).await?;
    let order = Order {
        payer: args.payer.into(),
        reason: args.reason,
        actor: args.actor,
    };
    if args.dry_run {
        let seen = preview(&store, &selection, order.payer).await?;
        let mut value = json!(seen);
        value["payer"] = json!(order.payer.as_str());
        value["dry_run"] = json!(true);
        call.out.show(&value, || seen.text(order.payer))?;
        return Ok(Exit::Done);
    }
    let total = match &selection {
        Selection::Named(jobs) if jobs.len() == 1 => {
            let done = retry(&store, &jobs[0], &order).await?;
            call.out.show(&done.value, || done.text.clone())?;
            return Ok(Exit::Done);
        }
        Selection::Named(jobs) => jobs.len() as u64,
        Selection::Fitting(_) => {
            let seen = preview(&store, &selection, order.payer).await?;
            if !bulk::confirm(&seen.text(order.payer), args.yes || seen.jobs == 0)? {
                return Ok(Exit::Failed);
            }
            seen.jobs
        }
    };
    let words = Words {
        verb: "retry",
        done: "retried",
    };
    let act = async |job: &JobId| retry(&store, job, &order).await;
    bulk::run(call, &store, &selection, &words, total, act).await
}

async fn retry(store: &Store, dead: &JobId, order: &Order) -> Result<Done, Failure> {
    let request = Redrive {
        dead: dead.clone(),
        job: store.successor_id(dead),
        payer: order.payer,
        reason: order.reason.clone(),
        actor: order.actor.clone(),
    };
    let redriven = match bulk::settled(async || store.redrive(&request).await).await? {
        RedriveOutcome::Redriven(redriven) => redriven,
        RedriveOutcome::Refused(refusal) => return Err(refusal.into()),
    };
    let hold_ucr = redriven.hold.get();
    let verb = if redriven.replayed {
        "was retried before as"
    } else {
        "is retried as"
    };
    Ok(Done {
        value: json!({
            "job": dead,
            "status": if redriven.replayed { "replayed" } else { "retried" },
            "new_job": redriven.job,
            "account": redriven.account,
            "payer": order.payer.as_str(),
            "hold_ucr": hold_ucr,
            "state": redriven.state,
        }),
        text: format!(
            "{dead} {verb} job {}, {} held, {}",
            redriven.job,
            credits(hold_ucr),
            payer_words(order.payer)
        ),
        replayed: redriven.replayed,
        hold_ucr,
    })
}
