//! Messages of an endpoint: a test, those that were given up, and sending them again.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::listing::limit;
use super::shapes::{Page, ProblemBody};
use super::webhooks::{own, said_why, view};
use crate::api::House;
use crate::api::extract::{Body, Query, answer};
use crate::api::gate::Caller;
use crate::api::problem::Problem;
use crate::api::text::{cursor, read_cursor, rfc3339};
use crate::desk::endpoints;
use crate::store::{DeadMessage, EndpointAct, Redelivered};
use crate::wire::{
    EndpointTest, EndpointTestRequest, GivenUp, GivenUpQuery, RedeliverRequest, Redelivery,
};

impl GivenUp {
    fn of(dead: DeadMessage) -> Self {
        let time = |ms: i64| u64::try_from(ms).ok().and_then(rfc3339);
        Self {
            job: dead.happened.text("j").map(str::to_owned),
            happened_at: time(dead.happened.at_ms),
            given_up_at: time(dead.died_ms),
            entry: dead.entry,
            message: dead.happened.message,
            event: dead.happened.event,
            tries: dead.tries,
            why: dead.why,
        }
    }
}

/// Post a message of type webhook.test
///
/// Some process has to serve: it posts the message, and the endpoint's `test_result` says what came of it.
/// Where it is not taken it is tried again as any other.
#[utoipa::path(post, path = "/v1/webhooks/{endpoint}/test", operation_id = "test_webhook", tag = "webhooks",
    security(("key" = ["produce", "operate"])), request_body = Option<EndpointTestRequest>,
    responses((status = 202, body = EndpointTest), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn test(
    State(house): State<Arc<House>>,
    caller: Caller,
    Path(endpoint): Path<String>,
    Body(body): Body<EndpointTestRequest>,
) -> Result<Response, Problem> {
    let id = own(&house, &caller, &endpoint).await?;
    let message = format!("test_{}", uuid::Uuid::now_v7());
    let act = EndpointAct::Test {
        message: message.clone(),
    };
    let (reason, by) = (&body.reason, caller.actor());
    let outcome = house.store.act_on_endpoint(&id, &act, reason, &by).await?;
    endpoints::acted(&endpoint, outcome)?;
    let sent = EndpointTest { endpoint, message };
    Ok(answer(StatusCode::ACCEPTED, &sent))
}

/// List messages of an endpoint that were given up, the newest first
#[utoipa::path(get, path = "/v1/webhooks/{endpoint}/dead-letters", operation_id = "list_webhook_dead_letters", tag = "webhooks",
    security(("key" = ["produce", "operate"])), params(GivenUpQuery),
    responses((status = 200, body = Page<GivenUp>), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn dead(
    State(house): State<Arc<House>>,
    caller: Caller,
    Path(endpoint): Path<String>,
    Query(asked): Query<GivenUpQuery>,
) -> Result<Response, Problem> {
    let limit = limit(asked.limit)?;
    let before: Option<String> = read_cursor(asked.cursor.as_deref())?;
    let id = view(&house, &caller, &endpoint).await?.endpoint;
    // One more than is shown says whether there is a next page.
    let page = house
        .store
        .dead_messages(&id, limit + 1, before.as_deref())
        .await;
    let mut messages = page.map_err(Problem::harmless)?.messages;
    let more = messages.len() > limit;
    messages.truncate(limit);
    let last = messages.last().filter(|_| more);
    let next_cursor = last.map(|dead| cursor(&dead.entry));
    let data = messages.into_iter().map(GivenUp::of).collect();
    Ok(answer(StatusCode::OK, &Page { data, next_cursor }))
}

/// Send messages again that were given up
///
/// They are due at once, under the ids they had; those that are back are no dead letters any more, so that a
/// repeated call sends none twice. The outbox takes as many as it has room for.
#[utoipa::path(post, path = "/v1/webhooks/{endpoint}/redeliver", operation_id = "redeliver_webhook", tag = "webhooks",
    security(("key" = ["produce", "operate"])), request_body = RedeliverRequest,
    responses((status = 200, body = Redelivery), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn redeliver(
    State(house): State<Arc<House>>,
    caller: Caller,
    Path(endpoint): Path<String>,
    Body(body): Body<RedeliverRequest>,
) -> Result<Response, Problem> {
    said_why(&body.reason)?;
    let id = own(&house, &caller, &endpoint).await?;
    let (entry, room) = (body.entry.as_deref(), house.webhooks.outbox_max);
    let (reason, by) = (&body.reason, caller.actor());
    let done = house.store.redeliver(&id, entry, room, reason, &by).await?;
    let (redelivered, left) = match done {
        // All of none are none; one that was named has to be there.
        Redelivered::Nothing if entry.is_none() => (0, 0),
        done => endpoints::redelivered(&endpoint, done)?,
    };
    let again = Redelivery {
        endpoint,
        redelivered,
        left,
    };
    Ok(answer(StatusCode::OK, &again))
}
