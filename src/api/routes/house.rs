//! The house for its operators: queues, workers, providers, obligations, what was done, and how many
//! workers are needed.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::listing::limit;
use super::shapes::{Page, ProblemBody};
use crate::api::House;
use crate::api::extract::{Body, Query, answer, repeatable};
use crate::api::gate::Caller;
use crate::api::problem::{Kind, Problem};
use crate::api::text::rfc3339;
use crate::store::{Halt, QueueAct, QueueView, WorkerDrain, WorkerView};
use crate::wire::{DrainRequest, HaltAnswer, HaltRequest, Halted, Queue, Scale, Worker};

impl Queue {
    fn of(view: &QueueView) -> Self {
        let halted = |halt: &Halt| Halted {
            reason: halt.reason.clone(),
            actor: halt.actor.clone(),
            at: rfc3339(halt.at_ms),
            partly: halt.partly,
        };
        Self {
            queue: view.queue.clone(),
            paused: view.paused.as_ref().map(halted),
            draining: view.draining.as_ref().map(halted),
            ready: view.ready + view.due,
            lane: view.lane,
            scheduled: view.scheduled(),
            running: view.running,
            open: view.open,
            held_ucr: view.held_ucr,
            oldest_ms: view.oldest_ms,
            starts: view.start_waits_ms.len(),
            start_wait_p50_ms: view.start_wait_ms(50),
            start_wait_p95_ms: view.start_wait_ms(95),
        }
    }
}

/// The queues, those of the settings that never had a job included.
async fn queue_views(house: &House) -> Result<Vec<QueueView>, Problem> {
    let mut views = house.store.queue_views().await.map_err(Problem::harmless)?;
    for name in &house.queues {
        if !views.iter().any(|view| view.queue == *name) {
            views.push(QueueView {
                queue: name.clone(),
                ..QueueView::default()
            });
        }
    }
    views.sort_by(|a, b| a.queue.cmp(&b.queue));
    Ok(views)
}

/// List queues
#[utoipa::path(get, path = "/v1/queues", operation_id = "list_queues", tag = "house",
    security(("key" = ["operate"])),
    responses((status = 200, body = Page<Queue>), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn queues(State(house): State<Arc<House>>) -> Result<Response, Problem> {
    let views = queue_views(&house).await?;
    let data = views.iter().map(Queue::of).collect();
    let next_cursor = None;
    Ok(answer(StatusCode::OK, &Page { data, next_cursor }))
}

/// Pause a queue, drain it, or let it go on
#[utoipa::path(post, path = "/v1/queues/{queue}/halt", operation_id = "halt_queue", tag = "house",
    security(("key" = ["operate"])), request_body = HaltRequest,
    responses((status = 200, body = HaltAnswer), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn halt(
    State(house): State<Arc<House>>,
    caller: Caller,
    Path(queue): Path<String>,
    Body(body): Body<HaltRequest>,
) -> Result<Response, Problem> {
    let acts = [QueueAct::Pause, QueueAct::Drain, QueueAct::Resume];
    let act = acts.into_iter().find(|act| act.as_str() == body.act);
    let act =
        act.ok_or_else(|| Problem::new(Kind::BadRequest, "act: it is pause, drain or resume"))?;
    if !queue_views(&house)
        .await?
        .iter()
        .any(|view| view.queue == queue)
    {
        let detail = format!("there is no queue {queue}");
        return Err(Problem::new(Kind::UnknownQueue, detail));
    }
    let (reason, by) = (&body.reason, caller.actor());
    let changed = house.store.act_on_queue(&queue, act, reason, &by).await?;
    let done = HaltAnswer {
        queue,
        act: act.as_str().to_owned(),
        changed,
    };
    Ok(repeatable(StatusCode::OK, changed == 0, &done))
}

/// What a worker says of itself; what an older or newer one does not say is left at nothing.
#[derive(Default, Deserialize)]
#[serde(default)]
struct About {
    slots: BTreeMap<String, u32>,
    running: u64,
    draining: bool,
    version: String,
}

impl Worker {
    fn of(view: WorkerView) -> Self {
        let about: About = serde_json::from_str(&view.about).unwrap_or_default();
        Self {
            worker: view.worker,
            lease_left_ms: view.lease_left_ms,
            slots: about.slots,
            running: about.running,
            draining: about.draining,
            version: about.version,
        }
    }
}

/// List workers that have a lease
#[utoipa::path(get, path = "/v1/workers", operation_id = "list_workers", tag = "house",
    security(("key" = ["operate"])),
    responses((status = 200, body = Page<Worker>), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn workers(State(house): State<Arc<House>>) -> Result<Response, Problem> {
    let workers = house.store.workers().await.map_err(Problem::harmless)?;
    let data = workers.into_iter().map(Worker::of).collect();
    let next_cursor = None;
    Ok(answer(StatusCode::OK, &Page { data, next_cursor }))
}

/// Order a worker to hand its jobs over and to end
#[utoipa::path(post, path = "/v1/workers/{worker}/drain", operation_id = "drain_worker", tag = "house",
    security(("key" = ["operate"])), request_body = Option<DrainRequest>,
    responses((status = 202, description = "It has been told"), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn drain_worker(
    State(house): State<Arc<House>>,
    caller: Caller,
    Path(worker): Path<String>,
    Body(body): Body<DrainRequest>,
) -> Result<Response, Problem> {
    let (reason, by) = (&body.reason, caller.actor());
    let told = house.store.drain_worker(&worker, reason, &by).await?;
    let done = serde_json::json!({"worker": worker, "ordered": true});
    match told {
        WorkerDrain::Ordered => Ok(repeatable(StatusCode::ACCEPTED, false, &done)),
        WorkerDrain::Already => Ok(repeatable(StatusCode::ACCEPTED, true, &done)),
        WorkerDrain::Gone => {
            let detail = format!("no worker {worker} has a lease");
            Err(Problem::new(Kind::UnknownWorker, detail))
        }
    }
}

/// A provider and who sends jobs there.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Provider {
    /// The name of its file.
    provider: String,
    /// Tools and routes that use it: `tool/route`.
    routes: Vec<String>,
}

/// List providers
#[utoipa::path(get, path = "/v1/providers", operation_id = "list_providers", tag = "house",
    security(("key" = ["operate"])),
    responses((status = 200, body = Page<Provider>), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn providers(State(house): State<Arc<House>>) -> Response {
    let of_one = |name: &String| {
        let tools = house.producer.catalogue().tools();
        let routes = tools.flat_map(|tool| {
            let own = tool.routes.iter().filter(|route| route.provider == *name);
            own.map(|route| format!("{}/{}", tool.name, route.name))
        });
        Provider {
            provider: name.clone(),
            routes: routes.collect(),
        }
    };
    let data = house.providers.iter().map(of_one).collect();
    let next_cursor = None;
    answer(StatusCode::OK, &Page { data, next_cursor })
}

/// How many.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct Most {
    /// How many: 1 to 100, 20 where nothing is said.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<usize>,
}

/// What a provider may still be doing, and billing us for, after we stopped waiting.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Obligation {
    /// The job.
    job: String,
    /// The number of the submission within it.
    submission: u32,
    /// Whose job it was.
    account: String,
    /// Since when.
    opened_at: Option<String>,
    /// Why we stopped waiting.
    why: String,
}

/// Open obligations.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Obligations {
    /// The oldest ones.
    data: Vec<Obligation>,
    /// How many there are in all.
    open: u64,
}

/// List open obligations, the oldest first
#[utoipa::path(get, path = "/v1/obligations", operation_id = "list_obligations", tag = "house",
    security(("key" = ["operate"])), params(Most),
    responses((status = 200, body = Obligations), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn obligations(
    State(house): State<Arc<House>>,
    Query(most): Query<Most>,
) -> Result<Response, Problem> {
    let found = house.store.oldest_obligations(limit(most.limit)?).await;
    let (found, open) = found.map_err(Problem::harmless)?;
    let of_one = |view: crate::store::ObligationView| Obligation {
        job: view.job.to_string(),
        submission: view.submission,
        account: view.account.to_string(),
        opened_at: rfc3339(view.opened_at_ms),
        why: view.why,
    };
    let data = found.into_iter().map(of_one).collect();
    Ok(answer(StatusCode::OK, &Obligations { data, open }))
}

/// What an operator did.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Act {
    /// When.
    at: Option<String>,
    /// Who; `api:NAME` is the key of this name.
    actor: String,
    /// What.
    act: String,
    /// To whom or what.
    subject: String,
    /// Why.
    reason: String,
    /// What came of it.
    detail: String,
}

/// Which acts.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct ActsOf {
    /// Only this partition's: acts on accounts and jobs stand in theirs, acts on keys in 0.
    #[serde(default)]
    #[param(maximum = 255)]
    partition: u16,
    /// Only from then on, RFC 3339.
    #[param(format = DateTime)]
    since: Option<String>,
}

/// What operators did, the oldest first, at most 1,000
#[utoipa::path(get, path = "/v1/acts", operation_id = "list_acts", tag = "house",
    security(("key" = ["admin"])), params(ActsOf),
    responses((status = 200, body = Page<Act>), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn acts(
    State(house): State<Arc<House>>,
    Query(of): Query<ActsOf>,
) -> Result<Response, Problem> {
    if of.partition >= house.store.partitions() {
        let detail = format!("partition: there are {}", house.store.partitions());
        return Err(Problem::new(Kind::BadRequest, detail));
    }
    let since = of.since.as_deref();
    let since = since
        .map(|at| crate::api::text::time_ms("since", at))
        .transpose()?;
    let from = since.map_or_else(|| "-".to_owned(), |ms| ms.to_string());
    let acts = house.store.acts(of.partition, &from, 1_000).await;
    let of_one = |act: crate::store::Act| Act {
        at: rfc3339(act.at_ms),
        actor: act.actor,
        act: act.act,
        subject: act.subject,
        reason: act.reason,
        detail: act.detail,
    };
    let data = acts
        .map_err(Problem::harmless)?
        .into_iter()
        .map(of_one)
        .collect();
    let next_cursor = None;
    Ok(answer(StatusCode::OK, &Page { data, next_cursor }))
}

/// Which queue.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct ScaleOf {
    /// The queue.
    queue: String,
}

/// How many slots a queue needs, for autoscalers (KEDA: `metrics-api` with `valueLocation: value`)
#[utoipa::path(get, path = "/v1/scale", operation_id = "get_scale", tag = "house",
    security(("key" = ["operate"])), params(ScaleOf),
    responses((status = 200, body = Scale), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn scale(
    State(house): State<Arc<House>>,
    Query(of): Query<ScaleOf>,
) -> Result<Response, Problem> {
    let views = queue_views(&house).await?;
    let view = views.iter().find(|view| view.queue == of.queue);
    let view = view.ok_or_else(|| {
        Problem::new(
            Kind::UnknownQueue,
            format!("there is no queue {}", of.queue),
        )
    })?;
    let workers = house.store.workers().await.map_err(Problem::harmless)?;
    let workers = workers.into_iter().map(Worker::of);
    let here = workers.filter(|worker| worker.lease_left_ms > 0 && !worker.draining);
    let slots = here.filter_map(|worker| worker.slots.get(&of.queue).copied());
    let waiting = if view.paused.is_some() {
        0
    } else {
        view.waiting()
    };
    let scale = Scale {
        value: waiting + view.running,
        waiting: view.waiting(),
        running: view.running,
        slots: slots.map(u64::from).sum(),
        queue: of.queue,
    };
    Ok(answer(StatusCode::OK, &scale))
}
