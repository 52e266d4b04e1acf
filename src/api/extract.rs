//! What handlers take out of a request, with problems instead of plain texts where it does not fit.

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::House;
use super::gate::{Caller, Turn};
use super::problem::{Kind, Problem};
use crate::domain::ids::{AccountId, IdempotencyKey, OperationId};
use crate::wire::Object;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub(super) const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// A body of JSON. No body at all is an empty object.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<House>> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, house: &Arc<House>) -> Result<Self, Problem> {
        let media = request.headers().get(CONTENT_TYPE).cloned();
        let max = house.settings.body_max_bytes;
        let bytes = axum::body::to_bytes(request.into_body(), max).await;
        let bytes = bytes.map_err(|_| {
            // Too long, or the connection broke: then nobody reads this.
            let detail = format!("a body has at most {max} bytes");
            Problem::new(Kind::BodyTooLarge, detail).with("max_bytes", max)
        })?;
        if bytes.is_empty() {
            return parse(b"{}").map(Self);
        }
        let media = media.as_ref().and_then(|media| media.to_str().ok());
        let is_json = media.is_some_and(|media| {
            let essence = media.split(';').next().unwrap_or_default().trim();
            essence.eq_ignore_ascii_case("application/json") || essence.ends_with("+json")
        });
        if !is_json {
            let detail = "send the body with Content-Type: application/json";
            return Err(Problem::new(Kind::UnsupportedMedia, detail));
        }
        parse(&bytes).map(Self)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value: Object<T> = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let (path, inner) = (error.path().to_string(), error.inner().to_string());
        let detail = if path == "." {
            inner
        } else {
            format!("{path}: {inner}")
        };
        Problem::new(Kind::BadRequest, detail)
    })?;
    reader
        .end()
        .map_err(|error| Problem::new(Kind::BadRequest, error.to_string()))?;
    Ok(value.0)
}

/// The parameters behind the question mark.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<House>> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<House>) -> Result<Self, Problem> {
        let query = axum::extract::Query::<T>::try_from_uri(&parts.uri);
        query
            .map(|axum::extract::Query(query)| Self(query))
            .map_err(|error| Problem::new(Kind::BadRequest, error.body_text()))
    }
}

/// The header `Idempotency-Key`, where there is one.
pub(super) struct Repeatable(Option<String>);

impl Repeatable {
    /// For a submission.
    pub(super) fn key(self) -> Result<Option<IdempotencyKey>, Problem> {
        Ok(self.0.map(IdempotencyKey::try_from).transpose()?)
    }

    /// For what moves credits: it has to be there.
    pub(super) fn operation(self) -> Result<OperationId, Problem> {
        let Some(text) = self.0 else {
            let detail = "send Idempotency-Key with an id of your own";
            return Err(Problem::new(Kind::IdempotencyKeyRequired, detail));
        };
        Ok(OperationId::try_from(text)?)
    }

    /// As it was sent.
    pub(super) fn text(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl FromRequestParts<Arc<House>> for Repeatable {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<House>) -> Result<Self, Problem> {
        let Some(header) = parts.headers.get(IDEMPOTENCY_KEY) else {
            return Ok(Self(None));
        };
        let text = header.to_str().map_err(|_| {
            let detail = "Idempotency-Key has other than printable ASCII characters";
            Problem::new(Kind::BadRequest, detail)
        })?;
        Ok(Self(Some(text.trim().to_owned())))
    }
}

/// Who calls. Only behind the gate.
impl FromRequestParts<Arc<House>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<House>) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| Problem::new(Kind::Unauthorized, "the key is missing"))
    }
}

impl FromRequestParts<Arc<House>> for Turn {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<House>) -> Result<Self, Problem> {
        let turn = parts.extensions.get::<Self>().cloned();
        turn.ok_or_else(|| Problem::new(Kind::Internal, "the request has no turn"))
    }
}

impl Caller {
    /// An account that the caller named: its own where it named none; one that it does not see is not there.
    pub(super) fn account(&self, named: Option<AccountId>) -> Result<AccountId, Problem> {
        match (named, &self.0.account) {
            (Some(named), _) if self.sees(named.as_str()) => Ok(named),
            (Some(named), _) => Err(Problem::unknown_account(&named)),
            (None, Some(own)) => Ok(own.clone()),
            (None, None) => Err(Problem::new(Kind::BadRequest, "account: missing field")),
        }
    }

    /// An account out of a path.
    pub(super) fn account_of(&self, text: &str) -> Result<AccountId, Problem> {
        let named: AccountId = text.parse().map_err(|_| {
            // A text that can be no id is simply not there.
            Problem::new(Kind::UnknownAccount, format!("there is no account {text}"))
        })?;
        self.account(Some(named))
    }
}

/// A JSON answer.
pub(super) fn answer(status: StatusCode, body: &impl Serialize) -> Response {
    (status, axum::Json(body)).into_response()
}

/// A JSON answer that says whether it is the first call's once more.
pub(super) fn repeatable(status: StatusCode, replayed: bool, body: &impl Serialize) -> Response {
    let mut response = answer(status, body);
    if replayed {
        let yes = HeaderValue::from_static("true");
        response.headers_mut().insert(REPLAYED, yes);
    }
    response
}

/// The header `Last-Event-ID`.
pub(super) fn last_event_id(headers: &HeaderMap) -> Option<&str> {
    let header = headers.get("last-event-id")?;
    header.to_str().ok().filter(|id| !id.is_empty())
}
