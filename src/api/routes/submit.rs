//! Submitting jobs, one or many.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::jobs::until_ended;
use super::shapes::{Job, ProblemBody};
use crate::api::House;
use crate::api::extract::{Body, Query, Repeatable, answer, repeatable};
use crate::api::gate::{Caller, Turn};
use crate::api::problem::{Kind, Problem};
use crate::domain::credits::Ucr;
use crate::domain::ids::{AccountId, IdempotencyKey};
use crate::domain::job::Priority;
use crate::producer::{Asking, Terms};
use crate::store::Submitted;

/// Jobs of one batch.
const BATCH_MAX: usize = 1_000;
/// Jobs of one batch that are submitted at a time.
const BATCH_AT_ONCE: usize = 16;

/// A job to be: a quote's id, or a tool with its parameters.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct JobRequest {
    /// Who pays. Keys and tokens for one account may leave it out.
    #[schema(value_type = Option<String>)]
    account: Option<AccountId>,
    /// A quote that still stands; then tool, params and route are its own.
    quote: Option<String>,
    /// The tool's name.
    tool: Option<String>,
    /// Its parameters.
    #[serde(default)]
    #[schema(value_type = Object)]
    params: Map<String, Value>,
    /// One of the tool's routes, pinned.
    route: Option<String>,
    /// `high`, `normal` (the default) or `low`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    priority: Priority,
    /// How long it waits before it is due.
    #[serde(default)]
    delay_ms: u64,
    /// Refused where more would be held.
    max_ucr: Option<i64>,
    /// In a batch: the job's own key. Without one it is the batch's key with the job's number.
    #[schema(value_type = Option<String>)]
    idempotency_key: Option<IdempotencyKey>,
}

/// A job that is held for and queued.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Accepted {
    /// Its id.
    job: String,
    /// `accepted`, or `replayed` where the idempotency key had been before.
    status: &'static str,
    /// What is held, or was.
    hold_ucr: i64,
    /// Where it stands.
    state: String,
    /// With `wait`: the job as it stood when it ended or the time was up.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Job>,
}

/// How long to wait.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct Wait {
    /// Seconds to wait for the job's end; at most api.wait_max_ms.
    #[serde(default)]
    wait: u64,
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
    params(("Idempotency-Key" = Option<String>, Header, description = "An id of your own, 1 to 255 printable ASCII characters"), Wait),
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
    if body.idempotency_key.is_some() {
        let detail = "idempotency_key: send the header Idempotency-Key instead";
        return Err(Problem::new(Kind::BadRequest, detail));
    }
    let submitted = submit(&house, &caller, body, repeat.key()?).await?;
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
            },
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

/// Jobs to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct BatchRequest {
    /// At most 1,000.
    jobs: Vec<JobRequest>,
}

/// What came of each.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct BatchAnswer {
    /// Held and queued now.
    accepted: usize,
    /// Had been before.
    replayed: usize,
    /// Refused, or with an unknown outcome.
    failed: usize,
    /// In the order of the request.
    results: Vec<BatchResult>,
}

/// What came of one.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct BatchResult {
    /// Its place in the request, from 0.
    index: usize,
    /// The job, where it was accepted.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    accepted: Option<Accepted>,
    /// The problem, where it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    problem: Option<Value>,
}

/// Submit up to 1,000 jobs
///
/// Each is accepted or refused for itself; the answer is 200 and says it of each. Repeat the whole batch
/// with the same `Idempotency-Key`, and what was accepted before is found again.
#[utoipa::path(post, path = "/v1/jobs/batch", operation_id = "submit_batch", tag = "jobs",
    security(("key" = ["produce"])),
    params(("Idempotency-Key" = Option<String>, Header, description = "An id of your own for the whole batch; a job's own key stands above it")),
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
    let (house, caller, batch_key) = (&house, &caller, repeat.text());
    let one = |(index, job): (usize, JobRequest)| async move {
        let own = job.idempotency_key.clone().map(Ok);
        let of_batch = || batch_key.map(|key| IdempotencyKey::try_from(format!("{key}#{index}")));
        let key = own.or_else(of_batch).transpose();
        let outcome = match key {
            Ok(key) => submit(house, caller, job, key).await,
            Err(error) => Err(error.into()),
        };
        let accepted = outcome.as_ref().ok().map(Accepted::of);
        let problem = outcome.err().map(|problem| problem.json());
        BatchResult {
            index,
            accepted,
            problem,
        }
    };
    let jobs = futures_util::stream::iter(body.jobs.into_iter().enumerate());
    let results: Vec<BatchResult> = jobs.map(one).buffered(BATCH_AT_ONCE).collect().await;
    let count = |status| {
        let fits = |one: &&BatchResult| one.accepted.as_ref().is_some_and(|a| a.status == status);
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
