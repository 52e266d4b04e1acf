//! Dead letters through a server: retried or dropped there in the background, watched from here.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget};
use serde_json::{Value, json};

use super::bulk::{self, Words};
use super::retry::PayerArg;
use crate::cli::Call;
use crate::cli::failure::{Exit, Failure, Kind};
use crate::cli::output::{credits, note};
use crate::cli::server::Server;
use crate::desk::look::Preview;
use crate::store::Payer;
use crate::wire::{DeadFilter, RetryRequest, Run};

/// A run is looked at again after so long.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What is to be done, as flags say it.
pub(super) struct Order {
    pub(super) payer: PayerArg,
    pub(super) reason: String,
    pub(super) dry_run: bool,
    pub(super) yes: bool,
}

/// Retries jobs one by one, at their accounts' expense: for the house's there is only a retry by filter.
pub(super) async fn named(
    call: &Call,
    server: &Server,
    jobs: &[String],
    order: &Order,
) -> Result<Exit, Failure> {
    if Payer::from(order.payer) != Payer::Account || order.dry_run {
        let message = "through a server, jobs that are named are retried with --payer account and \
             without --dry-run; use a filter, or the store itself with --redis URL";
        return Err(Failure::new(Kind::Usage, message));
    }
    let mut all_done = true;
    for job in jobs {
        match one(server, job).await {
            Ok((value, text)) => call.out.show(&value, || text)?,
            Err(failure) if jobs.len() == 1 => return Err(failure),
            Err(failure) => {
                all_done = false;
                let value = json!({"job": job, "error": failure.json()});
                call.out
                    .show(&value, || format!("{job}: {}", failure.message()))?;
            }
        }
    }
    Ok(if all_done { Exit::Done } else { Exit::Failed })
}

async fn one(server: &Server, job: &str) -> Result<(Value, String), Failure> {
    let answer = server.client.retry_job(job).await?;
    let (done, replayed) = (answer.body, answer.replayed);
    let verb = if replayed {
        "was retried before as"
    } else {
        "is retried as"
    };
    let text = format!(
        "{job} {verb} job {}, {} held, {}",
        done.new_job,
        credits(done.hold_ucr),
        super::payer_words(Payer::Account)
    );
    let value = json!({
        "job": job,
        "status": if replayed { "replayed" } else { "retried" },
        "new_job": done.new_job,
        "account": server.job(&done.new_job).await?.view.text("account"),
        "payer": done.payer,
        "hold_ucr": done.hold_ucr,
        "state": done.state,
    });
    Ok((value, text))
}

/// Retries whatever fits: shown first, asked about, done in the background of the server.
pub(super) async fn fitting(
    call: &Call,
    server: &Server,
    filter: DeadFilter,
    order: &Order,
) -> Result<Exit, Failure> {
    let payer = Payer::from(order.payer);
    let asked = RetryRequest {
        filter,
        payer: payer.as_str().to_owned(),
        reason: order.reason.clone(),
        dry_run: true,
    };
    let seen = Preview::of(server.client.look_at_retry(&asked).await?);
    if order.dry_run {
        let mut value = json!(seen);
        value["payer"] = json!(payer.as_str());
        value["dry_run"] = json!(true);
        call.out.show(&value, || seen.text(payer))?;
        return Ok(Exit::Done);
    }
    if !bulk::confirm(&seen.text(payer), order.yes || seen.jobs == 0)? {
        return Ok(Exit::Failed);
    }
    let begun = server.client.begin_retry(&asked).await?;
    let run = until_done(server, begun, seen.jobs).await?;
    let words = Words {
        verb: "retry",
        done: "retried",
    };
    summary(call, &run, &words)
}

pub(super) async fn until_done(server: &Server, mut run: Run, total: u64) -> Result<Run, Failure> {
    let bar = ProgressBar::new(total);
    bar.set_draw_target(ProgressDrawTarget::stderr());
    while run.state == "running" {
        tokio::time::sleep(LOOK_EVERY).await;
        run = server.client.run(&run.run).await.map_err(|error| {
            let failure = Failure::from(error);
            failure.and_say("the run may go on; the same command again does what is left")
        })?;
        bar.set_position(run.seen);
    }
    bar.finish_and_clear();
    Ok(run)
}

pub(super) fn summary(call: &Call, run: &Run, words: &Words) -> Result<Exit, Failure> {
    let refused: u64 = run.refused.values().sum();
    // A run does one of the two.
    let done = run.retried + run.dropped;
    let broken = run.state != "done";
    if call.out.is_json() {
        call.out.json(&json!({"summary": {
            words.done: done,
            "replayed": run.replayed,
            "hold_ucr": run.hold_ucr,
            "refused": run.refused,
            "interrupted": broken,
        }}))?;
    } else {
        let mut text = format!("{done} {}", words.done);
        if run.hold_ucr > 0 {
            text += &format!(", {} held", credits(run.hold_ucr));
        }
        if run.replayed > 0 {
            text += &format!(", {} had been {} before", run.replayed, words.done);
        }
        if refused > 0 {
            let each = run.refused.iter().map(|(kind, n)| format!("{kind} {n}"));
            let each = each.collect::<Vec<_>>().join(", ");
            text += &format!(", {refused} refused: {each}");
        }
        if broken {
            text += &format!(
                "; interrupted, {} the rest with the same command",
                words.verb
            );
        }
        note(&text);
    }
    Ok(if broken || refused > 0 {
        Exit::Failed
    } else {
        Exit::Done
    })
}
