//! One job: looked at, waited for, stopped, retried, explained, refunded.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use tokio::time::Instant;

use super::shapes::{Job, ProblemBody};
use super::submit::Wait;
use crate::api::House;
use crate::api::extract::{Body, Query, Repeatable, answer, repeatable};
use crate::api::gate::{Caller, Turn};
use crate::api::problem::{Kind, Problem};
use crate::api::refusals::job_id;
use crate::api::text::rfc3339;
use crate::desk::money;
use crate::domain::credits::Ucr;
use crate::domain::failure::FailureClass;
use crate::domain::ids::JobId;
use crate::domain::job::State as JobState;
use crate::store::{
    CancelOutcome, ForceFailOutcome, JobView, Payer, Redrive, RedriveOutcome, RefundRequest,
};
use crate::wire::{
    Cancelled, Explanation, ForceFailRequest, ForceFailed, Line, RefundBody, Refunded, Retried,
    Slice,
};

/// A job is looked at again after so long without news.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A job that the caller sees. One of somebody else is not there.
pub(super) async fn find(house: &House, caller: &Caller, text: &str) -> Result<JobView, Problem> {
    let id = job_id(&house.store, text)?;
    let view = house.history.job(&id).await?;
    view.filter(|view| caller.sees(view.text("account")))
        .ok_or_else(|| Problem::unknown_job(text))
}

/// Waits until a job has ended or the time is up; returns it as it stands then.
pub(super) async fn until_ended(
    house: &House,
    turn: &Turn,
    job: &JobId,
    longest: Duration,
) -> Result<JobView, Problem> {
    let look = async || -> Result<JobView, Problem> {
        let view = house.store.job(job).await.map_err(Problem::harmless)?;
        view.ok_or_else(|| Problem::unknown_job(job.as_str()))
    };
    let view = look().await?;
    let has_ended = |view: &JobView| view.state().is_none_or(JobState::is_terminal);
    if has_ended(&view) {
        return Ok(view);
    }
    let _waiting = turn.waits(house, longest)?;
    let until = Instant::now() + longest;
    let mut news = house.hub.follow(view.text("account"));
    loop {
        let view = look().await?;
        if has_ended(&view) || Instant::now() >= until || house.stop.is_cancelled() {
            return Ok(view);
        }
        let look_at = until.min(Instant::now() + LOOK_EVERY);
        loop {
            let heard = tokio::select! {
                heard = news.recv() => heard,
                () = tokio::time::sleep_until(look_at) => break,
                () = house.stop.cancelled() => break,
            };
            match heard {
                Ok(crate::api::hub::News::Event(event)) if event.event.job != job.as_str() => {}
                _ => break,
            }
        }
    }
}

/// Look at a job
///
/// With `wait` the answer comes when the job has ended, or when the time is up.
#[utoipa::path(get, path = "/v1/jobs/{job}", operation_id = "get_job", tag = "jobs",
    security(("key" = ["produce", "operate"])), params(Wait),
    responses((status = 200, body = Job), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn get(
    State(house): State<Arc<House>>,
    caller: Caller,
    turn: Turn,
    Path(job): Path<String>,
    Query(wait): Query<Wait>,
) -> Result<Response, Problem> {
    let mut view = find(&house, &caller, &job).await?;
    if let Some(time) = wait.time(&house) {
        view = until_ended(&house, &turn, &view.job, time).await?;
    }
    Ok(answer(StatusCode::OK, &Job::of(&view)))
}

/// Cancel a job
///
/// Nothing is charged, and what was held is given back: at once where it waits, when its worker has stopped
/// it where it runs, at the latest after store.cancel_grace_ms.
#[utoipa::path(post, path = "/v1/jobs/{job}/cancel", operation_id = "cancel_job", tag = "jobs",
    security(("key" = ["produce", "operate"])),
    responses((status = 200, body = Cancelled), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn cancel(
    State(house): State<Arc<House>>,
    caller: Caller,
    Path(job): Path<String>,
) -> Result<Response, Problem> {
    let id = find(&house, &caller, &job).await?.job;
    let (outcome, released_ucr, replayed) = match house.store.cancel(&id, &caller.actor()).await? {
        CancelOutcome::Cancelled { released } => ("cancelled", released.get(), false),
        CancelOutcome::Cancelling => ("cancelling", 0, false),
        CancelOutcome::Ended(JobState::Cancelled) => ("cancelled", 0, true),
        CancelOutcome::Ended(state) => {
            let problem = Problem::new(Kind::AlreadyEnded, format!("job {job} is {state}"));
            return Err(problem.with("state", state.as_str()));
        }
        CancelOutcome::UnknownJob => return Err(Problem::unknown_job(&job)),
    };
    let cancelled = Cancelled {
        job,
        outcome: outcome.to_owned(),
        released_ucr,
    };
    Ok(repeatable(StatusCode::OK, replayed, &cancelled))
}

/// Submits a dead letter again. The same one again is answered with the job it became.
pub(super) async fn redrive(
    house: &House,
    dead: &JobId,
    payer: Payer,
    reason: &str,
    actor: &str,
) -> Result<(Retried, bool), Problem> {
    let request = Redrive {
        dead: dead.clone(),
        job: house.store.successor_id(dead),
        payer,
        reason: reason.to_owned(),
        actor: actor.to_owned(),
    };
    match house.store.redrive(&request).await? {
        RedriveOutcome::Refused(refusal) => Err(refusal.into()),
        RedriveOutcome::Redriven(redriven) => Ok((
            Retried {
                job: dead.to_string(),
                new_job: redriven.job.to_string(),
                hold_ucr: redriven.hold.get(),
                payer: payer.as_str().to_owned(),
                state: redriven.state.to_string(),
            },
            redriven.replayed,
        )),
    }
}

/// Retry a failed job as a new one
///
/// What was asked, at the price of then; the account pays as for any job. A job is retried once: the same
/// call again answers with the same new job.
#[utoipa::path(post, path = "/v1/jobs/{job}/retry", operation_id = "retry_job", tag = "jobs",
    security(("key" = ["produce", "operate"])),
    responses((status = 201, body = Retried), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn retry(
    State(house): State<Arc<House>>,
    caller: Caller,
    Path(job): Path<String>,
) -> Result<Response, Problem> {
    let id = find(&house, &caller, &job).await?.job;
    let by = caller.actor();
    let (retried, replayed) = redrive(&house, &id, Payer::Account, "", &by).await?;
    Ok(repeatable(StatusCode::CREATED, replayed, &retried))
}

/// Explain a job: its rule, its slices, its timeline
#[utoipa::path(get, path = "/v1/jobs/{job}/explain", operation_id = "explain_job", tag = "jobs",
    security(("key" = ["produce", "operate"])),
    responses((status = 200, body = Explanation), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn explain(
    State(house): State<Arc<House>>,
    caller: Caller,
    Path(job): Path<String>,
) -> Result<Response, Problem> {
    let view = find(&house, &caller, &job).await?;
    let timeline = house.history.timeline(&view.job).await?;
    let explanation = Explanation {
        job: Job::of(&view),
        rule: Some(view.text("rule").to_owned()).filter(|rule| !rule.is_empty()),
        asked_ms: view.maybe("asked_ms"),
        asked_outputs: view.maybe("asked_outputs"),
        slices: slices(&view),
        timeline: timeline
            .into_iter()
            .map(|line| Line {
                at: rfc3339(line.at_ms),
                event: line.event,
                detail: line.detail,
            })
            .collect(),
    };
    Ok(answer(StatusCode::OK, &explanation))
}

/// The slices in the order in which they are captured: from the front, as far as the charge goes.
fn slices(view: &JobView) -> Vec<Slice> {
    let mut left_ucr = view.number("captured_ucr");
    let parts = view.text("slices").split(';');
    parts
        .filter_map(|part| part.split_once('='))
        .map(|(grant, amount)| {
            let held_ucr: i64 = amount.parse().unwrap_or(0);
            let captured_ucr = held_ucr.min(left_ucr);
            left_ucr -= captured_ucr;
            Slice {
                grant: grant.to_owned(),
                held_ucr,
                captured_ucr,
            }
        })
        .collect()
}

/// End an open job as failed, whatever it is doing
#[utoipa::path(post, path = "/v1/jobs/{job}/force-fail", operation_id = "force_fail_job", tag = "jobs",
    security(("key" = ["operate"])), request_body = ForceFailRequest,
    responses((status = 200, body = ForceFailed), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn force_fail(
    State(house): State<Arc<House>>,
    caller: Caller,
    Path(job): Path<String>,
    Body(body): Body<ForceFailRequest>,
) -> Result<Response, Problem> {
    let class = body.class.as_deref().unwrap_or("lost");
    let Some(class) = FailureClass::from_word(class) else {
        let known = FailureClass::ALL.map(FailureClass::as_str).join(", ");
        let detail = format!("class: it is one of {known}");
        return Err(Problem::new(Kind::BadRequest, detail));
    };
    let id = find(&house, &caller, &job).await?.job;
    let by = caller.actor();
    match house
        .store
        .force_fail(&id, class, &body.reason, &by)
        .await?
    {
        ForceFailOutcome::UnknownJob => Err(Problem::unknown_job(&job)),
        ForceFailOutcome::Over(state) => {
            let problem = Problem::new(Kind::AlreadyEnded, format!("job {job} is {state}"));
            Err(problem.with("state", state.as_str()))
        }
        ForceFailOutcome::Ended {
            state,
            released,
            replayed,
        } => {
            let (state, released_ucr) = (state.to_string(), released.get());
            let failed = ForceFailed {
                job,
                state,
                released_ucr,
            };
            Ok(repeatable(StatusCode::OK, replayed, &failed))
        }
    }
}

/// Refund a job's charge, or a part of it
#[utoipa::path(post, path = "/v1/jobs/{job}/refund", operation_id = "refund_job", tag = "jobs",
    security(("key" = ["admin"])),
    params(("Idempotency-Key" = String, Header, pattern = "^[!-~]{1,128}$", description = "Makes it happen once")),
    request_body = RefundBody,
    responses((status = 201, body = Refunded), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn refund(
    State(house): State<Arc<House>>,
    caller: Caller,
    repeat: Repeatable,
    Path(job): Path<String>,
    Body(body): Body<RefundBody>,
) -> Result<Response, Problem> {
    let request = RefundRequest {
        job: job_id(&house.store, &job)?,
        operation: repeat.operation()?,
        amount: body.amount_ucr.map(Ucr::new).transpose()?,
        reason: body.reason,
        actor: caller.actor(),
    };
    let outcome = house.store.refund(&request).await?;
    let done = money::refunded(&request, outcome)?;
    let refunded = Refunded {
        job,
        refunded_ucr: done.amount.get(),
        expired_ucr: done.expired.get(),
        available_ucr: done.available.get(),
        debt_ucr: done.debt.get(),
        left_ucr: done.left.get(),
    };
    Ok(repeatable(StatusCode::CREATED, done.replayed, &refunded))
}
