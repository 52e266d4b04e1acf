//! `job force-fail`: an operator ends a job that does not end by itself.

use serde_json::json;

use crate::cli::Call;
use crate::cli::failure::{Exit, Failure, Kind};
use crate::cli::output::credits;
use crate::cli::request::failure_class;
use crate::domain::failure::FailureClass;
use crate::store::ForceFailOutcome;

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
    let store = call.house()?.store().await?;
    let job = super::id(&store, &args.job)?;
    let outcome = store
        .force_fail(&job, args.class, &args.reason, &args.actor)
        .await
        .map_err(|error| {
            let failure = Failure::from(error);
            match failure.kind() {
                Kind::UnknownOutcome => failure.and_say("repeat the same command to make sure"),
                _ => failure,
            }
        })?;
    match outcome {
        ForceFailOutcome::Ended {
            state,
            released,
            replayed,
        } => {
            let value = json!({
                "job": job,
                "status": if replayed { "replayed" } else { "ended" },
                "state": state,
                "released_ucr": released,
            });
            call.out.show(&value, || {
                let verb = if replayed { "had been" } else { "is" };
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
