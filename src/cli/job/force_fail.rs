//! `job force-fail`: an operator ends a job that does not end by itself.

use serde_json::json;

use crate::cli::Call;
use crate::cli::failure::{Exit, Failure, Kind};
use crate::cli::output::credits;
use crate::cli::request::failure_class;
use crate::cli::server::job_id;
use crate::domain::credits::Ucr;
use crate::domain::failure::FailureClass;
use crate::domain::ids::JobId;
use crate::domain::job::State;
use crate::store::ForceFailOutcome;
use crate::wire::ForceFailRequest;

/// End an open job as failed, whatever it is doing: nothing is charged, everything held is given back
///
/// Its worker is told to stop, and whatever it says afterwards does not count. What a provider may still
/// be doing for it is written down as an obligation. The job is then a dead letter.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  meterline job force-fail JOB --reason \"hangs since the outage\"\n  meterline job force-fail JOB --class content_policy --reason \"reported\""
)]
pub(in crate::cli) struct Args {
    /// The job's id
    job: String,
    /// Why, for the log of operators' acts and the dead letter; the job's owner is not told
    #[arg(long)]
    reason: String,
    /// Whose fault it is. For all but user_input and content_policy, credit that expired while it was
    /// held comes back
    #[arg(long, value_name = "CLASS", default_value = "lost", value_parser = failure_class)]
    class: FailureClass,
    /// Who ends it
    #[arg(long, env = "USER", default_value = "cli")]
    actor: String,
}

pub(super) async fn run(call: &Call, args: Args) -> Result<Exit, Failure> {
    let repeat = |failure: Failure| match failure.kind() {
        Kind::UnknownOutcome => failure.and_say("repeat the same command to make sure"),
        _ => failure,
    };
    if let Some(server) = call.server()? {
        let why = ForceFailRequest {
            reason: args.reason,
            class: Some(args.class.as_str().to_owned()),
        };
        let answer = server.client.force_fail_job(&args.job, &why).await;
        let answer = answer.map_err(|error| repeat(error.into()))?;
        let (job, ended) = (job_id(&args.job)?, answer.body);
        let outcome = ForceFailOutcome::Ended {
            state: State::from_word(&ended.state).unwrap_or(State::Failed),
            released: Ucr::new(ended.released_ucr).unwrap_or(Ucr::ZERO),
            replayed: answer.replayed,
        };
        return show(call, &job, &outcome);
    }
    let store = call.house()?.store().await?;
    let job = super::id(&store, &args.job)?;
    let outcome = store
        .force_fail(&job, args.class, &args.reason, &args.actor)
        .await;
    let outcome = outcome.map_err(|error| repeat(error.into()))?;
    show(call, &job, &outcome)
}

fn show(call: &Call, job: &JobId, outcome: &ForceFailOutcome) -> Result<Exit, Failure> {
    match outcome {
        ForceFailOutcome::Ended {
            state,
            released,
            replayed,
        } => {
            let value = json!({
                "job": job,
                "status": if *replayed { "replayed" } else { "ended" },
                "state": state,
                "released_ucr": released,
            });
            call.out.show(&value, || {
                let verb = if *replayed { "had been" } else { "is" };
                let released = credits(released.get());
                format!("job {job} {verb} ended ({state}), {released} given back")
            })?;
            Ok(Exit::Done)
        }
        ForceFailOutcome::Over(state) => {
            let message = format!("job {job} has ended already: {state}");
            Err(Failure::new(Kind::AlreadyEnded, message).with("state", state.as_str()))
        }
        ForceFailOutcome::UnknownJob => Err(super::unknown(job.as_str())),
    }
}
