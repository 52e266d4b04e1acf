//! `job cancel`: ends a job uncharged.

use serde_json::json;

use crate::cli::Call;
use crate::cli::failure::{Exit, Failure, Kind};
use crate::cli::output::credits;
use crate::domain::credits::Ucr;
use crate::domain::ids::JobId;
use crate::domain::job::State;
use crate::store::CancelOutcome;

/// Cancel a job: nothing is charged, and what was held is given back
///
/// A waiting job ends at once; a running one when its worker has stopped it, at the latest after the
/// grace time of the settings.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline job cancel JOB")]
pub(in crate::cli) struct Args {
    /// The job's id
    job: String,
    /// Who cancels it, for its timeline
    #[arg(long, env = "USER", default_value = "cli")]
    actor: String,
}

pub(super) async fn run(call: &Call, args: Args) -> Result<Exit, Failure> {
    if let Some(server) = call.server()? {
        let job = super::super::server::job_id(&args.job).map_err(|_| super::unknown(&args.job))?;
        let answer = server.client.cancel_job(job.as_str()).await;
        let answer = answer.map_err(|error| repeat(error.into()))?;
        let released = Ucr::new(answer.body.released_ucr).unwrap_or(Ucr::ZERO);
        let outcome = match answer.body.outcome.as_str() {
            "cancelling" => CancelOutcome::Cancelling,
            _ if answer.replayed => CancelOutcome::Ended(State::Cancelled),
            _ => CancelOutcome::Cancelled { released },
        };
        return show(call, &job, &outcome);
    }
    let store = call.house()?.store().await?;
    let job = super::id(&store, &args.job)?;
    let outcome = store.cancel(&job, &args.actor).await;
    let outcome = outcome.map_err(|error| repeat(error.into()))?;
    show(call, &job, &outcome)
}

fn repeat(failure: Failure) -> Failure {
    match failure.kind() {
        Kind::UnknownOutcome => failure.and_say("repeat the same command to make sure"),
        _ => failure,
    }
}

fn show(call: &Call, job: &JobId, outcome: &CancelOutcome) -> Result<Exit, Failure> {
    match outcome {
        CancelOutcome::Cancelled { released } => {
            let value = json!({"job": job, "outcome": "cancelled", "released_ucr": released});
            call.out.show(&value, || {
                format!(
                    "job {job} is cancelled, {} given back",
                    credits(released.get())
                )
            })?;
        }
        CancelOutcome::Cancelling => {
            let value = json!({"job": job, "outcome": "cancelling"});
            call.out.show(&value, || {
                format!("job {job} runs and is being stopped; it will not be charged")
            })?;
        }
        CancelOutcome::Ended(State::Cancelled) => {
            let value = json!({"job": job, "outcome": "cancelled", "replayed": true});
            call.out
                .show(&value, || format!("job {job} had been cancelled before"))?;
        }
        CancelOutcome::Ended(state) => {
            let message = format!("job {job} has ended already: {state}");
            return Err(Failure::new(Kind::AlreadyEnded, message).with("state", state.as_str()));
        }
        CancelOutcome::UnknownJob => return Err(super::unknown(job.as_str())),
    }
    Ok(Exit::Done)
}
