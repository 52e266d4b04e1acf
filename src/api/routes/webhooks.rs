//! Endpoints, where accounts are told of their jobs: made, looked at, changed.
//!
//! They belong to their account's owner, so that a key of that account may do all of it. A token may only
//! look: it ends by itself, and what it would leave behind does not.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use sha2::{Digest, Sha256};

use super::shapes::{Page, ProblemBody};
use crate::api::House;
use crate::api::extract::{Body, Repeatable, answer, repeatable};
use crate::api::gate::Caller;
use crate::api::problem::{Kind, Problem};
use crate::api::repeats::shown_once;
use crate::api::text::rfc3339;
use crate::desk::endpoints;
use crate::domain::ids::{AccountId, EndpointId};
use crate::domain::webhook::Topics;
use crate::store::{CreateEndpoint, EndpointAct, EndpointView, KeyKind};
use crate::wire::{
    Endpoint, EndpointRequest, EndpointRotateRequest, EndpointSecret, EndpointState,
    EndpointStateRequest,
};

/// Longest time that two secrets sign side by side, ms.
const OVERLAP_MAX_MS: u64 = 30 * 24 * 3_600_000;
/// Longest description, characters.
const DESCRIPTION_MAX: usize = 200;

impl Endpoint {
    fn of(view: EndpointView) -> Self {
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        Self {
            endpoint: view.endpoint.to_string(),
            state: view.state().to_owned(),
            events: view.topics.words().into_iter().map(str::to_owned).collect(),
            account: view.account,
            url: view.url,
            description: some(view.description),
            why: some(view.why),
            waiting: view.waiting,
            dead: view.dead,
            delivered: view.delivered,
            failed: view.failed,
            dropped: view.dropped,
            failing_since: rfc3339(view.failing_since_ms),
            throttled_until: rfc3339(view.throttled_until_ms),
            last_at: rfc3339(view.last_ms),
            last: some(view.last),
            test: some(view.test),
            test_result: some(view.test_result),
            old_secret_until: rfc3339(view.old_until_ms),
            created_at: rfc3339(view.created_ms),
            changed_at: rfc3339(view.changed_ms),
        }
    }
}

/// Tell an account's server of its jobs
///
/// The answer has the secret that messages are signed with, this once. With an `Idempotency-Key` a repeated
/// call makes no second endpoint; its answer has the secret only where the request brought it.
#[utoipa::path(post, path = "/v1/accounts/{account}/webhooks", operation_id = "create_webhook", tag = "webhooks",
    security(("key" = ["produce", "operate"])),
    params(("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,128}$", description = "Makes it happen once")),
    request_body = EndpointRequest,
    responses((status = 201, body = EndpointSecret), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn create(
    State(house): State<Arc<House>>,
    caller: Caller,
    Path(account): Path<String>,
    repeat: Repeatable,
    Body(body): Body<EndpointRequest>,
) -> Result<Response, Problem> {
    let account = caller.account_of(&account)?;
    no_token(&caller)?;
    let own_secret = body.secret.is_some();
    let new = endpoint(&house, &caller, account, &repeat, body)?;
    let outcome = house.store.create_endpoint(&new).await?;
    let replayed = endpoints::created(&new, outcome)?;
    if replayed {
        let stands = view(&house, &caller, new.endpoint.as_str()).await?;
        if stands.topics != new.topics || stands.description != new.description {
            return Err(endpoints::another(&new.endpoint).into());
        }
    }
    let made = EndpointSecret {
        endpoint: new.endpoint.to_string(),
        secret: (!replayed || own_secret).then_some(new.secret),
        overlap_ms: None,
    };
    Ok(repeatable(StatusCode::CREATED, replayed, &made))
}

fn endpoint(
    house: &House,
    caller: &Caller,
    account: AccountId,
    repeat: &Repeatable,
    body: EndpointRequest,
) -> Result<CreateEndpoint, Problem> {
    let bad = |detail: String| Problem::new(Kind::BadRequest, detail);
    let url = endpoints::address(&body.url, &house.webhooks.allow_cidr)?;
    let topics = body.events.map(|words| words.join(",").parse::<Topics>());
    let topics = topics
        .unwrap_or_else(|| Ok(Topics::endings()))
        .map_err(|error| bad(format!("events: {error}")))?;
    if body.description.chars().count() > DESCRIPTION_MAX {
        let detail = format!("description: at most {DESCRIPTION_MAX} characters");
        return Err(bad(detail));
    }
    let endpoint = match repeat.text() {
        Some(key) if (1..=128).contains(&key.len()) => {
            named(&account, key, house.store.partitions())
        }
        Some(_) => return Err(bad("Idempotency-Key: 1 to 128 characters".to_owned())),
        None => house.store.new_endpoint_id(&account),
    };
    Ok(CreateEndpoint {
        secret: secret(body.secret.as_deref())?,
        account,
        endpoint,
        url,
        topics,
        description: body.description,
        endpoints_max: house.webhooks.endpoints_max,
        reason: body.reason,
        actor: caller.actor(),
    })
}

/// The endpoint that an idempotency key of an account stands for.
fn named(account: &AccountId, key: &str, partitions: u16) -> EndpointId {
    let digest = Sha256::digest(format!("webhook\0{account}\0{key}"));
    let mut nonce = [0; 8];
    nonce.copy_from_slice(&digest[..8]);
    EndpointId::new(account.partition(partitions), u64::from_be_bytes(nonce))
}

/// A secret as given, or a new one.
fn secret(given: Option<&str>) -> Result<String, Problem> {
    let secret = endpoints::secret(given);
    let secret =
        secret.map_err(|error| Problem::new(Kind::BadRequest, format!("secret: {error}")))?;
    Ok(secret.expose().to_owned())
}

/// List an account's endpoints
#[utoipa::path(get, path = "/v1/accounts/{account}/webhooks", operation_id = "list_webhooks", tag = "webhooks",
    security(("key" = ["produce", "operate"])),
    responses((status = 200, body = Page<Endpoint>), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn list(
    State(house): State<Arc<House>>,
    caller: Caller,
    Path(account): Path<String>,
) -> Result<Response, Problem> {
    let account = caller.account_of(&account)?;
    let views = house.store.endpoints(&account).await;
    let views = views.map_err(Problem::harmless)?;
    if views.is_empty() {
        // None of an account that is there is not the same as no account.
        super::accounts::view(&house, &account).await?;
    }
    let data = views.into_iter().map(Endpoint::of).collect();
    let next_cursor = None;
    Ok(answer(StatusCode::OK, &Page { data, next_cursor }))
}

/// Look at an endpoint: what waits, what was given up, how the last try went
#[utoipa::path(get, path = "/v1/webhooks/{endpoint}", operation_id = "get_webhook", tag = "webhooks",
    security(("key" = ["produce", "operate"])),
    responses((status = 200, body = Endpoint), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn get(
    State(house): State<Arc<House>>,
    caller: Caller,
    Path(endpoint): Path<String>,
) -> Result<Response, Problem> {
    let view = view(&house, &caller, &endpoint).await?;
    Ok(answer(StatusCode::OK, &Endpoint::of(view)))
}

/// An endpoint that the caller sees; another's is as one that is not there.
pub(super) async fn view(
    house: &House,
    caller: &Caller,
    endpoint: &str,
) -> Result<EndpointView, Problem> {
    let Ok(id) = endpoint.parse::<EndpointId>() else {
        return Err(unknown(endpoint));
    };
    let view = house.store.endpoint(&id).await.map_err(Problem::harmless)?;
    view.filter(|view| caller.sees(&view.account))
        .ok_or_else(|| unknown(endpoint))
}

fn unknown(endpoint: &str) -> Problem {
    endpoints::unknown(&endpoint).into()
}

/// An endpoint that the caller may change.
pub(super) async fn own(
    house: &House,
    caller: &Caller,
    endpoint: &str,
) -> Result<EndpointId, Problem> {
    let view = view(house, caller, endpoint).await?;
    no_token(caller)?;
    Ok(view.endpoint)
}

fn no_token(caller: &Caller) -> Result<(), Problem> {
    if caller.0.kind == KeyKind::Token {
        let problem = Problem::new(Kind::Forbidden, "a token changes no endpoints");
        return Err(problem.with("scope", "produce"));
    }
    Ok(())
}

pub(super) fn said_why(reason: &str) -> Result<(), Problem> {
    if reason.trim().is_empty() {
        return Err(Problem::new(Kind::BadRequest, "reason: it must say why"));
    }
    Ok(())
}

/// Enable, disable or remove an endpoint
#[utoipa::path(post, path = "/v1/webhooks/{endpoint}/state", operation_id = "set_webhook_state", tag = "webhooks",
    security(("key" = ["produce", "operate"])), request_body = EndpointStateRequest,
    responses((status = 200, body = EndpointState), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn set_state(
    State(house): State<Arc<House>>,
    caller: Caller,
    Path(endpoint): Path<String>,
    Body(body): Body<EndpointStateRequest>,
) -> Result<Response, Problem> {
    let act = match body.state.as_str() {
        "enabled" => EndpointAct::Enable,
        "disabled" => EndpointAct::Disable,
        "removed" => EndpointAct::Remove,
        _ => {
            let detail = "state: it is enabled, disabled or removed";
            return Err(Problem::new(Kind::BadRequest, detail));
        }
    };
    said_why(&body.reason)?;
    let id = own(&house, &caller, &endpoint).await?;
    let (reason, by) = (&body.reason, caller.actor());
    let outcome = house.store.act_on_endpoint(&id, &act, reason, &by).await?;
    let changed = endpoints::acted(&endpoint, outcome)?;
    let state = EndpointState {
        endpoint,
        state: body.state,
        changed,
    };
    Ok(repeatable(StatusCode::OK, !changed, &state))
}

/// Give an endpoint a new secret
///
/// The one before it signs beside it for a while. The answer to a repetition has the secret only where the
/// request brought it.
#[utoipa::path(post, path = "/v1/webhooks/{endpoint}/rotate", operation_id = "rotate_webhook", tag = "webhooks",
    security(("key" = ["produce", "operate"])), request_body = EndpointRotateRequest,
    responses((status = 201, body = EndpointSecret), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn rotate(
    State(house): State<Arc<House>>,
    caller: Caller,
    Path(endpoint): Path<String>,
    Body(body): Body<EndpointRotateRequest>,
) -> Result<Response, Problem> {
    said_why(&body.reason)?;
    let overlap_ms = body.overlap_ms.unwrap_or(house.webhooks.overlap_ms);
    if overlap_ms > OVERLAP_MAX_MS {
        let detail = format!("overlap_ms: at most {OVERLAP_MAX_MS}");
        return Err(Problem::new(Kind::BadRequest, detail));
    }
    let own_secret = body.secret.is_some();
    let secret = secret(body.secret.as_deref())?;
    let id = own(&house, &caller, &endpoint).await?;
    let act = EndpointAct::Rotate {
        secret: secret.clone(),
        overlap_ms,
    };
    let (reason, by) = (&body.reason, caller.actor());
    let outcome = house.store.act_on_endpoint(&id, &act, reason, &by).await?;
    let replayed = !endpoints::acted(&endpoint, outcome)?;
    let rotated = EndpointSecret {
        endpoint,
        secret: Some(secret),
        overlap_ms: Some(overlap_ms),
    };
    if replayed {
        return Ok(repeatable(StatusCode::CREATED, true, &rotated));
    }
    let kept = EndpointSecret {
        secret: rotated.secret.clone().filter(|_| own_secret),
        ..rotated.clone()
    };
    Ok(shown_once(StatusCode::CREATED, &rotated, &kept))
}
