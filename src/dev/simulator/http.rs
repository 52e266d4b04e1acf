//! The routes of the simulated provider.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header::HOST;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::answers;
use super::book::{Book, Refusal, Submitted};
use super::files::{self, Output};
use super::generations::{Generation, Request, Status};

/// The simulated provider while it runs.
pub(super) struct Simulator {
    book: Mutex<Book>,
    /// Wakes those who wait for the end of a generation when one is cancelled.
    canceled: Notify,
    began: Instant,
}

/// The routes, with books of their own that are empty.
pub(super) fn router() -> Router {
    let simulator = Simulator {
        book: Mutex::new(Book::default()),
        canceled: Notify::new(),
        began: Instant::now(),
    };
    Router::new()
        .route("/v1/generations", post(submit))
        .route("/v1/blind/generations", post(submit_blind))
        .route("/v1/generations/{id}", get(show))
        .route("/v1/generations/{id}/cancel", post(cancel))
        .route("/v1/sync/{key}", put(submit_and_wait))
        .route("/v1/bytes", post(submit_for_bytes))
        .route("/files/{name}", get(fetch_file))
        .route("/_sim/submissions", get(count_started))
        .route("/_sim/replays", get(count_replays))
        .route("/_sim/health", get(|| async { StatusCode::OK }))
        .fallback(|| async { answers::not_found("page") })
        .with_state(Arc::new(simulator))
}

impl Simulator {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // No caller leaves the book half written: a panic elsewhere does not spoil it.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a submission and gives the id of its generation, or the answer that ends it.
    fn submit(&self, body: &[u8], key: Option<&str>) -> Result<String, Box<Response>> {
        let request: Request = serde_json::from_slice(body)
            .map_err(|error| Box::new(answers::refused(&Refusal::user_input(error.to_string()))))?;
        match self.book().submit(&request, key, self.now_ms()) {
            Submitted::Started { hang_up: true, .. } => Err(Box::new(answers::hang_up())),
            Submitted::Started { id, hang_up: false } | Submitted::Replayed { id } => Ok(id),
            Submitted::Refused(refusal) => Err(Box::new(answers::refused(&refusal))),
        }
    }

    /// Waits until a generation has ended, however long that takes.
    async fn ended(&self, id: &str) -> Option<Generation> {
        loop {
            let mut canceled = std::pin::pin!(self.canceled.notified());
            // From here on no cancel is missed, even one that comes before the wait below.
            canceled.as_mut().enable();
            let generation = self.book().get(id)?.clone();
            if generation.status(self.now_ms()).is_final() {
                return Some(generation);
            }
            // An end beyond what a clock can hold is no end.
            let after = generation.ends_ms().map(Duration::from_millis);
            match after.and_then(|after| self.began.checked_add(after)) {
                Some(end) => {
                    let _ = tokio::time::timeout_at(end, canceled).await;
                }
                None => canceled.await,
            }
        }
    }
}

/// The address under which the caller reached us.
fn base_url(headers: &HeaderMap) -> String {
    let host = headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or("127.0.0.1");
    format!("http://{host}")
}

async fn submit(
    State(simulator): State<Arc<Simulator>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let key = headers
        .get("idempotency-key")
        .and_then(|key| key.to_str().ok());
    match simulator.submit(&body, key) {
        Ok(id) => answers::accepted(&id, &base_url(&headers)),
        Err(answer) => *answer,
    }
}

async fn submit_blind(
    State(simulator): State<Arc<Simulator>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match simulator.submit(&body, None) {
        Ok(id) => answers::accepted(&id, &base_url(&headers)),
        Err(answer) => *answer,
    }
}

async fn show(
    State(simulator): State<Arc<Simulator>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let now_ms = simulator.now_ms();
    show_at(simulator.book().get(&id), now_ms, &base_url(&headers))
}

async fn cancel(
    State(simulator): State<Arc<Simulator>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let now_ms = simulator.now_ms();
    let mut book = simulator.book();
    if let Some(generation) = book.get_mut(&id) {
        generation.cancel(now_ms);
    }
    simulator.canceled.notify_waiters();
    show_at(book.get(&id), now_ms, &base_url(&headers))
}

fn show_at(generation: Option<&Generation>, now_ms: u64, base: &str) -> Response {
    match generation {
        Some(generation) if generation.status(now_ms) != Status::Lost => {
            let urls = answers::file_urls(generation, now_ms, base);
            Json(answers::view(generation, now_ms, urls)).into_response()
        }
        Some(_) | None => answers::not_found("generation"),
    }
}

async fn submit_and_wait(
    State(simulator): State<Arc<Simulator>>,
    Path(key): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let id = match simulator.submit(&body, Some(&key)) {
        Ok(id) => id,
        Err(answer) => return *answer,
    };
    let Some(generation) = simulator.ended(&id).await else {
        return answers::not_found("generation");
    };
    let now_ms = simulator.now_ms();
    // A huge file does not fit into an answer: it is linked instead.
    let inside =
        generation.status(now_ms) == Status::Succeeded && generation.knobs.huge_bytes.is_none();
    if !inside {
        return show_at(Some(&generation), now_ms, &base_url(&headers));
    }
    let made = {
        let generation = generation.clone();
        tokio::task::spawn_blocking(move || answers::data_urls(&generation)).await
    };
    match made {
        Ok(Ok(urls)) => Json(answers::view(&generation, now_ms, urls)).into_response(),
        Ok(Err(error)) => answers::broken(&error.to_string()),
        Err(error) => answers::broken(&error.to_string()),
    }
}

async fn submit_for_bytes(State(simulator): State<Arc<Simulator>>, body: Bytes) -> Response {
    let id = match simulator.submit(&body, None) {
        Ok(id) => id,
        Err(answer) => return *answer,
    };
    let Some(generation) = simulator.ended(&id).await else {
        return answers::not_found("generation");
    };
    match generation.status(simulator.now_ms()) {
        Status::Failed(class) => answers::failed(class),
        Status::Succeeded if generation.knobs.empty => StatusCode::OK.into_response(),
        Status::Succeeded => send(files::output(&generation, 0)).await,
        Status::Lost | Status::Canceled | Status::Queued | Status::Running => {
            answers::not_found("generation")
        }
    }
}

async fn fetch_file(State(simulator): State<Arc<Simulator>>, Path(name): Path<String>) -> Response {
    let output = {
        let now_ms = simulator.now_ms();
        let book = simulator.book();
        let generation = book
            .get(files::id_of(&name))
            .filter(|generation| generation.status(now_ms) == Status::Succeeded);
        generation.and_then(|generation| {
            let listed = files::names(generation)
                .into_iter()
                .find(|(listed, _)| *listed == name);
            listed.map(|(_name, index)| files::output(generation, index))
        })
    };
    match output {
        Some(output) => send(output).await,
        None => answers::not_found("file"),
    }
}

/// Makes a file away from the threads that answer, and sends it.
async fn send(output: Output) -> Response {
    match tokio::task::spawn_blocking(move || output.make()).await {
        Ok(Ok(bytes)) => answers::file(output, bytes),
        Ok(Err(error)) => answers::broken(&error.to_string()),
        Err(error) => answers::broken(&error.to_string()),
    }
}

async fn count_started(State(simulator): State<Arc<Simulator>>) -> Response {
    Json(simulator.book().started()).into_response()
}

async fn count_replays(State(simulator): State<Arc<Simulator>>) -> Response {
    Json(simulator.book().replays()).into_response()
}
