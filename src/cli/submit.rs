//! `submit`: one job by flags, or many from a file.

mod batch;
mod line;
mod remote;

use std::path::PathBuf;

use clap::ArgGroup;
use serde::Serialize;

use super::Call;
use super::failure::{Exit, Failure, Kind};
use super::output::credits;
use super::request::{RequestArgs, positive_credits, span_ms};
use crate::domain::ids::{AccountId, IdempotencyKey, JobId};
use crate::domain::job::Priority;
use crate::producer::{self, Producer, Terms};
use crate::store::{Store, Submitted};

const EXAMPLES: &str = "Examples:
  meterline submit --account acme --quote QUOTE --idempotency-key click-1
  meterline submit --account acme --tool text-to-image --param prompt=\"a red fox\" --max-credits 7
  meterline submit --file jobs.jsonl --output json
A line of the file: {\"account\":\"acme\",\"tool\":\"text-to-image\",\"params\":{\"prompt\":\"a red fox\"},
  \"idempotency_key\":\"k1\",\"priority\":\"low\",\"max_credits\":7}";

/// Hold a request's ceiling and queue the job, both or neither
///
/// Safe to repeat: the same --idempotency-key is the same job. Without one the key is the job id,
/// which is printed where the outcome stays unknown.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[command(group = ArgGroup::new("one").args(["quote", "tool", "file"]).required(true))]
pub(super) struct Args {
    /// Who pays
    #[arg(long, value_name = "ACCOUNT", required_unless_present = "file")]
    account: Option<AccountId>,
    /// Confirm a quote, at its price
    #[arg(long, value_name = "QUOTE", conflicts_with_all = ["params", "route"])]
    quote: Option<String>,
    /// Submit every line of a JSONL file, `-` for standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "account", "params", "route", "idempotency_key", "job", "max_credits", "priority", "delay_ms",
    ])]
    file: Option<PathBuf>,
    #[command(flatten)]
    request: RequestArgs,
    /// Your own key for this click
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<IdempotencyKey>,
    /// The job id of an earlier call whose outcome is unknown
    #[arg(long, value_name = "JOB", conflicts_with = "idempotency_key")]
    job: Option<JobId>,
    /// Refuse the job where more than this would be held
    #[arg(long, value_name = "CREDITS", allow_hyphen_values = true)]
    max_credits: Option<String>,
    /// How urgent it is: high, normal or low [default: normal]
    #[arg(long, value_name = "PRIORITY")]
    priority: Option<Priority>,
    /// How long it waits before it is due, such as 10s
    #[arg(long = "delay", id = "delay_ms", value_name = "TIME", value_parser = span_ms)]
    delay_ms: Option<u64>,
}

/// A job that stands in the store.
#[derive(Debug, Serialize)]
struct Accepted {
    job: JobId,
    status: &'static str,
    hold_ucr: i64,
    state: &'static str,
}

impl From<Submitted> for Accepted {
    fn from(submitted: Submitted) -> Self {
        Self {
            job: submitted.job,
            status: if submitted.replayed {
                "replayed"
            } else {
                "accepted"
            },
            hold_ucr: submitted.hold.get(),
            state: submitted.state.as_str(),
        }
    }
}

pub(super) async fn run(call: &Call, mut args: Args) -> Result<Exit, Failure> {
    if let Some(path) = args.file.take() {
        return batch::run(call, &path).await;
    }
    let account = args.account.take();
    let account = account.ok_or_else(|| Failure::new(Kind::Usage, "--account is missing"))?;
    if let Some(server) = call.server()? {
        let job = remote::job(&server, account, &args).await?;
        return show(call, &remote::submit(&server, &job, &terms(&args)?).await?);
    }
    let house = call.house()?;
    let terms = terms(&args)?;
    let asking = match &args.quote {
        Some(_) => None,
        None => Some(
            args.request
                .asking(account.clone(), &house.loaded.catalogue)?,
        ),
    };
    let store = house.store().await?;
    let terms = with_job(terms, &store, &account)?;
    let producer = house.producer(store);
    let submitted = match (&asking, &args.quote) {
        (Some(asking), _) => producer.submit(asking, &terms).await,
        (None, quote) => {
            let quote = quote.as_deref().unwrap_or_default();
            producer.submit_quote(&account, quote, &terms).await
        }
    };
    let accepted = Accepted::from(submitted.map_err(|error| failure(error, &terms))?);
    show(call, &accepted)
}

fn show(call: &Call, accepted: &Accepted) -> Result<Exit, Failure> {
    call.out.show(accepted, || {
        let verb = if accepted.status == "replayed" {
            "was submitted before"
        } else {
            "is submitted"
        };
        format!(
            "job {} {verb} ({}), {} held",
            accepted.job,
            accepted.state,
            credits(accepted.hold_ucr)
        )
    })?;
    Ok(Exit::Done)
}

fn terms(args: &Args) -> Result<Terms, Failure> {
    Ok(Terms {
        idempotency_key: args.idempotency_key.clone(),
        job: args.job.clone(),
        priority: args.priority.unwrap_or_default(),
        delay_ms: args.delay_ms.unwrap_or(0),
        max: args
            .max_credits
            .as_deref()
            .map(positive_credits)
            .transpose()?,
    })
}

/// The terms with a job id that is known before the call, so that the call can be repeated.
///
/// Without a key the job id is the key: a key that is a job id means that job.
fn with_job(mut terms: Terms, store: &Store, account: &AccountId) -> Result<Terms, Failure> {
    if let Some(job) = terms
        .idempotency_key
        .as_ref()
        .and_then(|key| key.as_str().parse().ok())
    {
        terms.job = Some(job);
        terms.idempotency_key = None;
    }
    let job = terms.job.get_or_insert_with(|| store.new_job_id(account));
    if job.partition() == account.partition(store.partitions()) {
        return Ok(terms);
    }
    Err(Failure::new(
        Kind::Usage,
        format!("job {job} is not one of account {account}"),
    ))
}

/// What went wrong, and with which key the call can be repeated where that is the way to find out.
fn failure(error: producer::Error, terms: &Terms) -> Failure {
    let failure = Failure::from(error);
    if failure.kind() != Kind::UnknownOutcome {
        return failure;
    }
    let job = terms.job.as_ref().map(JobId::as_str);
    let key = terms
        .idempotency_key
        .as_ref()
        .map(IdempotencyKey::as_str)
        .or(job);
    let key = key.unwrap_or_default();
    let say = format!(
        "the job may or may not be queued; repeat the same command with --idempotency-key {key}"
    );
    failure.and_say(&say).with("idempotency_key", key)
}
