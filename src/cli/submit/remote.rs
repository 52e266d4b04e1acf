//! Submitting through a server.

use super::{Accepted, Args, Failure, Kind, Terms};
use crate::cli::server::{Server, job_id};
use crate::domain::credits::Ucr;
use crate::domain::ids::AccountId;
use crate::domain::job::State;
use crate::producer::Asking;
use crate::wire::JobRequest;

/// The job that the flags ask for.
pub(super) async fn job(
    server: &Server,
    account: AccountId,
    args: &Args,
) -> Result<JobRequest, Failure> {
    let account = Some(account);
    if let Some(quote) = &args.quote {
        return Ok(JobRequest {
            account,
            quote: Some(quote.clone()),
            ..JobRequest::default()
        });
    }
    let tool = args.request.tool()?;
    Ok(JobRequest {
        account,
        params: server.params(&tool, &args.request.params).await?,
        tool: Some(tool),
        route: args.request.route.clone(),
        ..JobRequest::default()
    })
}

/// A line of a file as a job.
pub(super) fn of_line(asking: Asking) -> JobRequest {
    JobRequest {
        account: Some(asking.account),
        tool: Some(asking.tool),
        params: asking.params,
        route: asking.route,
        ..JobRequest::default()
    }
}

/// Submits it. Over HTTP the key is the way to repeat a call: job ids are made by the server.
pub(super) async fn submit(
    server: &Server,
    job: &JobRequest,
    terms: &Terms,
) -> Result<Accepted, Failure> {
    if let Some(job) = &terms.job {
        let message =
            format!("job {job} was named to the store itself: repeat it there, with --redis URL");
        return Err(Failure::new(Kind::Usage, message));
    }
    let job = JobRequest {
        priority: terms.priority,
        delay_ms: terms.delay_ms,
        max_ucr: terms.max.map(Ucr::get),
        ..job.clone()
    };
    let key = terms.idempotency_key.as_ref();
    let answer = server.submit(&job, key).await.map_err(|failure| {
        if failure.kind() != Kind::UnknownOutcome {
            return failure;
        }
        let key = failure.json()["idempotency_key"].clone();
        let key = key.as_str().unwrap_or_default();
        failure.and_say(&format!(
            "the job may or may not be queued; repeat the same command with --idempotency-key {key}"
        ))
    })?;
    let accepted = answer.body;
    Ok(Accepted {
        job: job_id(&accepted.job)?,
        status: if accepted.status == "replayed" {
            "replayed"
        } else {
            "accepted"
        },
        hold_ucr: accepted.hold_ucr,
        state: State::from_word(&accepted.state).map_or("unknown", State::as_str),
    })
}

/// A key of the caller's own, where there is one, makes a repeated file the same jobs.
pub(super) async fn line(
    server: &Server,
    (asking, terms): (Asking, Terms),
) -> Result<Accepted, Failure> {
    submit(server, &of_line(asking), &terms).await
}
