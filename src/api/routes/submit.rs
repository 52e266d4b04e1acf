//! Submitting jobs, one or many.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use futures_util::StreamExt;
use serde::Deserialize;
use utoipa::IntoParams;

use super::jobs::until_ended;
use super::shapes::{Job, ProblemBody};
use crate::api::House;
use crate::api::extract::{Body, Query, Repeatable, answer, repeatable};
use crate::api::gate::{Caller, Turn};
use crate::api::problem::{Kind, Problem};
use crate::domain::credits::Ucr;
use crate::domain::ids::IdempotencyKey;
use crate::producer::{Asking, Terms};
use crate::store::Submitted;
use crate::wire::{Accepted, BatchAnswer, BatchRequest, BatchResult, JobRequest};

/// Jobs of one batch.
const BATCH_MAX: usize = 1_000;
/// Jobs of one batch that are submitted at a time.
const BATCH_AT_ONCE: usize = 16;

/// How long to wait.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct Wait {
    /// Seconds to wait for the job's end; at most api.wait_max_ms.
    #[serde(default, deserialize_with = "wait_s")]
    #[param(maximum = 86400)]
    wait: u64,
}

/// A day is as good as for ever; more is a mistake in the unit.
fn wait_s<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let seconds = u64::deserialize(deserializer)?;
    if seconds > 86_400 {
        return Err(serde::de::Error::custom("wait: at most 86400 seconds"));
    }
    Ok(seconds)
}

impl Wait {
    /// As long as the settings allow; `None` where nobody waits.
    pub(super) fn time(&self, house: &House) -> Option<Duration> {
        let most = Duration::from_millis(house.settings.wait_max_ms);
        (self.wait > 0).then(|| Duration::from_secs(self.wait).min(most))
    }
}

/// Submit a job
///
/// The ceiling is held and the job queued in one step, or neither. With `Idempotency-Key` a repeated call
/// is the same job, and says so by `Idempotent-Replayed: true`.
#[utoipa::path(post, path = "/v1/jobs", operation_id = "submit_job", tag = "jobs",
    security(("key" = ["produce"])),
    params(("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,255}$", description = "An id of your own, 1 to 255 printable ASCII characters"), Wait),
    request_body = JobRequest,
    responses((status = 201, body = Accepted), (status = "4XX", body = ProblemBody, content_type = "application/problem+json"), (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn create(
    State(house): State<Arc<House>>,
    caller: Caller,
    turn: Turn,
    repeat: Repeatable,
    Query(wait): Query<Wait>,
    Body(body): Body<JobRequest>,
) -> Result<Response, Problem> {
    let key = match (repeat.key()?, &body.idempotency_key) {
        (Some(header), Some(own)) if header != *own => {
            let detail = "idempotency_key: the header Idempotency-Key says another";
            return Err(Problem::new(Kind::BadRequest, detail));
        }
        (header, own) => header.or_else(|| own.clone()),
    };
    let submitted = submit(&house, &caller, body, key).await?;
    let mut accepted = Accepted::of(&submitted);
    if let Some(time) = wait.time(&house) {
        let view = until_ended(&house, &turn, &submitted.job, time).await?;
        accepted.result = Some(Job::of(&view));
    }
    let mut response = repeatable(StatusCode::CREATED, submitted.replayed, &accepted);
    if let Ok(place) = HeaderValue::from_str(&format!("/v1/jobs/{}", accepted.job)) {
        response.headers_mut().insert(LOCATION, place);
    }
    Ok(response)
}

impl Accepted {
    fn of(submitted: &Submitted) -> Self {
        Self {
            job: submitted.job.to_string(),
            status: if submitted.replayed {
                "replayed"
            } else {
                "accepted"
            }
            .to_owned(),
            hold_ucr: submitted.hold.get(),
            state: submitted.state.to_string(),
            result: None,
        }
    }
}

async fn submit(
    house: &House,
    caller: &Caller,
    body: JobRequest,
    key: Option<IdempotencyKey>,
) -> Result<Submitted, Problem> {
    let account = caller.account(body.account)?;
    let job = house.store.new_job_id(&account);
    let terms = Terms {
        job: Some(job.clone()),
        idempotency_key: key,
        priority: body.priority,
        delay_ms: body.delay_ms,
        max: body.max_ucr.map(Ucr::new).transpose()?,
    };
    let outcome = match (body.quote, body.tool) {
        (Some(quote), None) if body.params.is_empty() && body.route.is_none() => {
            house.producer.submit_quote(&account, &quote, &terms).await
        }
        (None, Some(tool)) => {
            let asking = Asking {
                account,
                tool,
                params: body.params,
                route: body.route,
            };
            house.producer.submit(&asking, &terms).await
        }
        (Some(_), _) => {
            let detail = "quote: a quote has its own tool, params and route: leave them out";
            return Err(Problem::new(Kind::BadRequest, detail));
        }
        (None, None) => {
            let detail = "tool: missing field; send a tool with its params, or a quote";
            return Err(Problem::new(Kind::BadRequest, detail));
        }
    };
    outcome.map_err(|error| {
        let problem = Problem::from(error);
        match problem.kind() {
            // Where there was no key, this is how to find out.
            Kind::UnknownOutcome => problem.with("job", job.as_str()),
            _ => problem,
        }
    })
}

/// Submit up to 1,000 jobs
///
/// Each is accepted or refused for itself; the answer is 200 and says it of each. Repeat the whole batch
/// with the same `Idempotency-Key`, and what was accepted before is found again.
#[utoipa::path(post, path = "/v1/jobs/batch", operation_id = "submit_batch", tag = "jobs",
    security(("key" = ["produce"])),
    params(("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,251}$", description = "An id of your own for the whole batch; a job's own key stands above it")),
    request_body = BatchRequest,
    responses((status = 200, body = BatchAnswer), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn batch(
    State(house): State<Arc<House>>,
    caller: Caller,
    repeat: Repeatable,
    Body(body): Body<BatchRequest>,
) -> Result<Response, Problem> {
    if body.jobs.is_empty() || body.jobs.len() > BATCH_MAX {
        let detail = format!(
            "jobs: are {}, must be from 1 to {BATCH_MAX}",
            body.jobs.len()
        );
        return Err(Problem::new(Kind::BadRequest, detail));
    }
    if let Some(key) = repeat.text() {
        IdempotencyKey::try_from(key.to_owned())?;
        // The last job's own key is the longest.
        IdempotencyKey::try_from(format!("{key}#{}", BATCH_MAX - 1))?;
    }
    let (house, caller, batch_key) = (&house, &caller, repeat.text());
    let one = |(index, job): (usize, JobRequest)| async move {
        let own = job.idempotency_key.clone().map(Ok);
        let of_batch = || batch_key.map(|key| IdempotencyKey::try_from(format!("{key}#{index}")));
        let key = own.or_else(of_batch).transpose();
        let outcome = match key {
            Ok(key) => submit(house, caller, job, key).await,
            Err(error) => Err(error.into()),
        };
        match outcome.map(|submitted| Accepted::of(&submitted)) {
            Ok(accepted) => BatchResult {
                index,
                job: Some(accepted.job),
                status: Some(accepted.status),
                hold_ucr: Some(accepted.hold_ucr),
                state: Some(accepted.state),
                problem: None,
            },
            Err(problem) => BatchResult {
                index,
                problem: Some(problem.body()),
                ..BatchResult::default()
            },
        }
    };
    let jobs = futures_util::stream::iter(body.jobs.into_iter().enumerate());
    let results: Vec<BatchResult> = jobs.map(one).buffered(BATCH_AT_ONCE).collect().await;
    let count = |status| {
        let fits = |one: &&BatchResult| one.status.as_deref() == Some(status);
        results.iter().filter(fits).count()
    };
    let answered = BatchAnswer {
        accepted: count("accepted"),
        replayed: count("replayed"),
        failed: results.iter().filter(|one| one.problem.is_some()).count(),
        results,
    };
    Ok(answer(StatusCode::OK, &answered))
}
