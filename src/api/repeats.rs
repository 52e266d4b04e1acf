//! Idempotency keys of whatever has none in the books: the first answer is kept for a day and given again.
//!
//! Kept is only what was done (2xx): a refusal changed nothing, so that a repetition may find it possible. What
//! moves credits does not come by here: its key is the operation's id in the books, and stands for ever.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::House;
use super::extract::{REPLAYED, Repeatable, answer};
use super::gate::Caller;
use super::problem::{Kind, Problem};
use crate::store::{AnswerBegun, KeptAnswer, Repetition};

/// Added to the longest time of a request: by then it is answered, or its process is gone.
const LEASE_MARGIN_MS: u64 = 5_000;
/// Answers that are kept are shorter than this, bytes.
const ANSWER_MAX_BYTES: usize = 1024 * 1024;
/// When it may be asked again whether a request under way has ended, s.
const AGAIN_S: u64 = 1;

/// Of an answer with a secret: what is kept of it instead, JSON.
#[derive(Clone)]
struct Kept(String);

/// An answer that is shown once. `kept` is what a repetition is told.
pub(super) fn shown_once(
    status: StatusCode,
    body: &impl serde::Serialize,
    kept: &impl serde::Serialize,
) -> Response {
    let mut response = answer(status, body);
    let kept = serde_json::to_string(kept).unwrap_or_default();
    response.extensions_mut().insert(Kept(kept));
    response
}

/// Around every route that needs a key.
pub(super) async fn once(
    State(house): State<Arc<House>>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    let is_kept = path.is_some_and(|path| house.document.keeps_answers(path.as_str()));
    if request.method() != Method::POST || !is_kept {
        return next.run(request).await;
    }
    match begin(&house, request).await {
        Ok((None, request)) => next.run(request).await,
        Ok((Some(attempt), request)) => {
            let response = next.run(request).await;
            end(&house, &attempt, response).await
        }
        Err(response) => response,
    }
}

/// The request, to be carried out, and its attempt where it has a key; or what there is to answer.
async fn begin(
    house: &Arc<House>,
    request: Request,
) -> Result<(Option<Repetition>, Request), Response> {
    let (mut parts, body) = request.into_parts();
    let repeat = Repeatable::from_request_parts(&mut parts, house).await;
    let key = repeat
        .and_then(Repeatable::key)
        .map_err(IntoResponse::into_response)?;
    let Some(key) = key else {
        return Ok((None, Request::from_parts(parts, body)));
    };
    let caller = Caller::from_request_parts(&mut parts, house).await;
    let caller = caller.map_err(IntoResponse::into_response)?;
    let max = house.settings.body_max_bytes;
    let body = axum::body::to_bytes(body, max).await.map_err(|_| {
        let detail = format!("a body has at most {max} bytes");
        let problem = Problem::new(Kind::BodyTooLarge, detail).with("max_bytes", max);
        problem.into_response()
    })?;
    let asked = parts.uri.path_and_query();
    let asked = asked.map_or("", |asked| asked.as_str()).as_bytes();
    let attempt = Repetition::new(&caller.0.key, key.as_str(), &[asked, &body]);
    let lease_ms = house.settings.request_timeout_ms + LEASE_MARGIN_MS;
    let begun = house.store.begin_answer(&attempt, lease_ms).await;
    match begun.map_err(|error| Problem::harmless(error).into_response())? {
        AnswerBegun::First => Ok((Some(attempt), Request::from_parts(parts, Body::from(body)))),
        AnswerBegun::Done(kept) => Err(replayed(kept)),
        AnswerBegun::UnderWay => {
            let detail = "the first request with this key has no answer yet";
            let problem = Problem::new(Kind::RequestUnderWay, detail).retry_after(AGAIN_S);
            Err(problem.into_response())
        }
        AnswerBegun::Another => {
            let detail = "another path or another body was sent with this key";
            Err(Problem::new(Kind::KeyMismatch, detail).into_response())
        }
    }
}

fn replayed(kept: KeptAnswer) -> Response {
    let status = StatusCode::from_u16(kept.status).unwrap_or(StatusCode::OK);
    let json = HeaderValue::from_static("application/json");
    let mut response = (status, [(CONTENT_TYPE, json)], kept.body).into_response();
    let headers = response.headers_mut();
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    let location = kept
        .location
        .and_then(|place| HeaderValue::from_str(&place).ok());
    if let Some(location) = location {
        headers.insert(LOCATION, location);
    }
    response
}

/// Keeps the answer, where something was done. Should that fail it is given all the same: a repetition is
/// refused until the attempt's time is up, and then carried out.
async fn end(house: &House, attempt: &Repetition, response: Response) -> Response {
    let (response, kept) = read(response).await;
    if let Err(error) = house.store.end_answer(attempt, kept.as_ref()).await {
        tracing::warn!("an answer is not kept for its repetitions: failed to {error}");
    }
    response
}

async fn read(response: Response) -> (Response, Option<KeptAnswer>) {
    if !response.status().is_success() {
        return (response, None);
    }
    let (parts, body) = response.into_parts();
    let Ok(body) = axum::body::to_bytes(body, ANSWER_MAX_BYTES).await else {
        let detail = "the answer is longer than any that is kept";
        let problem = Problem::new(Kind::Internal, detail);
        return (problem.into_response(), None);
    };
    let text = match parts.extensions.get::<Kept>() {
        Some(Kept(text)) => Some(text.clone()),
        None => text(&body),
    };
    let location = parts
        .headers
        .get(LOCATION)
        .and_then(|place| place.to_str().ok());
    let kept = text.map(|body| KeptAnswer {
        status: parts.status.as_u16(),
        body,
        location: location.map(str::to_owned),
    });
    (Response::from_parts(parts, Body::from(body)), kept)
}

fn text(body: &Bytes) -> Option<String> {
    String::from_utf8(body.to_vec()).ok()
}
