//! What every request passes: an id, a place among those under way, a time limit, a line in the log and in
//! the metrics; and, before a handler sees it, the key that may call it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::House;
use super::limits::Left;
use super::problem::{Kind, Problem};
use crate::store::{ApiSecret, KeyScope, KeyView};

/// Longest request id that is taken over from a caller, bytes.
const REQUEST_ID_MAX: usize = 64;

pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Who calls.
#[derive(Debug, Clone)]
pub(super) struct Caller(pub(super) Arc<KeyView>);

impl Caller {
    /// As whom it stands in the books.
    pub(super) fn actor(&self) -> String {
        format!("api:{}", self.0.name)
    }

    /// Whether this account is there for it.
    pub(super) fn sees(&self, account: &str) -> bool {
        self.0.sees(account)
    }
}

/// A request's place among those under way, and until when it may take.
#[derive(Clone)]
pub(super) struct Turn(Arc<Mutex<Inner>>);

struct Inner {
    place: Option<OwnedSemaphorePermit>,
    until: Instant,
}

impl Turn {
    /// Waits for something from now on: the place among the working ones goes to another request, and the
    /// time limit counts from the wait's end. What is returned is a place among the waiting ones.
    pub(super) fn waits(
        &self,
        house: &House,
        longest: Duration,
    ) -> Result<OwnedSemaphorePermit, Problem> {
        let waiting = Arc::clone(&house.streams).try_acquire_owned();
        let waiting = waiting.map_err(|_| {
            let detail = "too many event streams and long polls are open";
            Problem::new(Kind::Overloaded, detail)
        })?;
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.until += longest;
        inner.place = None;
        Ok(waiting)
    }

    fn until(&self) -> Instant {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).until
    }
}

/// Around everything.
pub(super) async fn pass(
    State(house): State<Arc<House>>,
    mut request: Request,
    next: Next,
) -> Response {
    let (began, method) = (Instant::now(), request.method().clone());
    let path = request.extensions().get::<MatchedPath>();
    let path = path.map_or("-", |path| path.as_str()).to_owned();
    let id = request_id(&request);
    let mut response = match Arc::clone(&house.requests).try_acquire_owned() {
        Ok(place) => {
            let turn = Turn(Arc::new(Mutex::new(Inner {
                place: Some(place),
                until: began + Duration::from_millis(house.settings.request_timeout_ms),
            })));
            request.extensions_mut().insert(turn.clone());
            in_time(&turn, &method, next.run(request)).await
        }
        Err(_) => {
            let detail = "too many requests are under way";
            Problem::new(Kind::Overloaded, detail).into_response()
        }
    };
    let problem = response.extensions().get::<Kind>().map(|kind| kind.word());
    let (status, took) = (response.status(), began.elapsed());
    house.metrics.request(&method, &path, status, took);
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    if status.is_server_error() {
        tracing::warn!(http.method = %method, http.path = path, http.status = status.as_u16(), problem, duration_ms = took_ms, request.id = id, "a request failed");
    } else {
        tracing::debug!(http.method = %method, http.path = path, http.status = status.as_u16(), problem, duration_ms = took_ms, request.id = id, "a request is answered");
    }
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(X_REQUEST_ID, id);
    }
    response
}

/// The caller's own id where it is a decent one.
fn request_id(request: &Request) -> String {
    let given = request.headers().get(X_REQUEST_ID);
    let given = given.and_then(|id| id.to_str().ok()).filter(|id| {
        (1..=REQUEST_ID_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())
    });
    given.map_or_else(|| uuid::Uuid::now_v7().simple().to_string(), str::to_owned)
}

/// The answer, or a problem where it takes too long.
async fn in_time(turn: &Turn, method: &Method, answer: impl Future<Output = Response>) -> Response {
    let mut answer = std::pin::pin!(answer);
    loop {
        let until = turn.until();
        tokio::select! {
            response = answer.as_mut() => return response,
            () = tokio::time::sleep_until(until) => {}
        }
        if turn.until() <= Instant::now() {
            let kind = if method.is_safe() {
                Kind::StoreUnavailable
            } else {
                Kind::UnknownOutcome
            };
            return Problem::new(kind, "no answer within api.request_timeout_ms").into_response();
        }
    }
}

/// Around every route that needs a key: who calls, may it, and is it within its limit.
pub(super) async fn check_key(
    State(house): State<Arc<House>>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    let path = path.map_or("", |path| path.as_str());
    let Some(scopes) = house.document.scopes(request.method(), path) else {
        // Not in the document: nobody may call it.
        return Problem::new(Kind::NoSuchRoute, "there is nothing here").into_response();
    };
    if scopes.is_empty() {
        return next.run(request).await;
    }
    let header = request.headers().get(AUTHORIZATION).cloned();
    let caller = match caller(&house, header).await {
        Ok(caller) => caller,
        Err(problem) => return problem.into_response(),
    };
    let left = house.limits.take(&caller.0.key, Instant::now());
    let mut response = match checked(&caller, scopes, left) {
        Err(problem) => problem.into_response(),
        Ok(()) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
    };
    if let Some(left) = left {
        let policy = format!("\"key\";q={};w=60", left.quota);
        let rest = format!("\"key\";r={};t={}", left.remaining, left.reset_s);
        for (name, value) in [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, rest)] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
    }
    response
}

fn checked(caller: &Caller, scopes: &[KeyScope], left: Option<Left>) -> Result<(), Problem> {
    if let Some(seconds) = left.and_then(|left| left.refused_for_s) {
        let detail = "the key has made as many requests as it may";
        return Err(Problem::new(Kind::RateLimited, detail).retry_after(seconds));
    }
    if scopes.iter().any(|scope| caller.0.may(*scope)) {
        return Ok(());
    }
    let words: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
    let detail = format!("this needs a key with the scope {}", words.join(" or "));
    Err(Problem::new(Kind::Forbidden, detail).with("scope", words.join(" ")))
}

async fn caller(house: &House, header: Option<HeaderValue>) -> Result<Caller, Problem> {
    let refused = |detail: &str| {
        let problem = Problem::new(Kind::Unauthorized, detail);
        problem.header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    };
    let Some(header) = header.as_ref().and_then(|header| header.to_str().ok()) else {
        return Err(refused(
            "the header Authorization: Bearer mlk_... is missing",
        ));
    };
    let token = header
        .split_once(' ')
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let secret = token.and_then(|(_, text)| ApiSecret::parse(text.trim()));
    let Some(secret) = secret else {
        return Err(refused(
            "the header Authorization holds no key of this server",
        ));
    };
    match house.store.authenticate(&secret).await {
        Ok(Some(key)) => Ok(Caller(Arc::new(key))),
        // The same words for a key that never was and for one that is no more.
        Ok(None) => Err(refused("the key is not valid")),
        Err(error) => Err(Problem::harmless(error)),
    }
}
