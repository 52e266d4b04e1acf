//! Cog's HTTP server as it was seen (0.23.1, one slot): word for word in what it answers, and the same
//! in what it forgets.
//!
//! The input says what the model does: `work_ms` of work, a `fail` message, whether it is `stubborn`
//! and does not stop when it is told to, and what its `output` is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;

/// A running server. It stops when it is dropped.
pub(crate) struct Cog {
    pub(crate) url: String,
    house: Arc<House>,
    serving: AbortHandle,
}

#[derive(Default)]
struct House {
    log: Mutex<Vec<String>>,
    /// What runs in the one slot.
    running: Mutex<Option<Running>>,
    said: Notify,
}

struct Running {
    id: String,
    input: Value,
    stop: Arc<Notify>,
}

impl Cog {
    pub(crate) async fn start() -> Self {
        let house = Arc::new(House::default());
        let router = Router::new()
            .route("/predictions/{id}", put(predict))
            .route("/predictions/{id}/cancel", post(cancel))
            .route("/health-check", get(health))
            .with_state(Arc::clone(&house));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let serving = tokio::spawn(async { axum::serve(listener, router).await });
        Self {
            url,
            house,
            serving: serving.abort_handle(),
        }
    }

    /// What happened, line by line: `start`, `end`, `stop`, `joined`, `busy` or `cancel`, and the id.
    pub(crate) fn log(&self) -> Vec<String> {
        lock(&self.house.log).clone()
    }

    /// Waits until a line begins with these words for the n-th time.
    pub(crate) async fn says(&self, words: &str, times: usize) {
        let waiting = async {
            loop {
                let mut said = std::pin::pin!(self.house.said.notified());
                said.as_mut().enable();
                let found = self.log().iter().filter(|l| l.starts_with(words)).count();
                if found >= times {
                    return;
                }
                said.await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), waiting)
            .await
            .unwrap_or_else(|_| panic!("no {words}: {:?}", self.log()));
    }
}

impl Drop for Cog {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl House {
    fn say(&self, word: &str, id: &str) {
        lock(&self.log).push(format!("{word} {id}"));
        self.said.notify_waiters();
    }

    /// Does the work in the slot that is already taken, until its end or until it is told to stop.
    async fn work(self: Arc<Self>, id: String, input: Value, stop: Arc<Notify>) -> Value {
        let work = Duration::from_millis(input["work_ms"].as_u64().unwrap_or(0));
        let stubborn = input["stubborn"] == true;
        let told = async {
            stop.notified().await;
            if stubborn {
                std::future::pending::<()>().await;
            }
        };
        let is_done = tokio::select! {
            () = tokio::time::sleep(work) => true,
            () = told => false,
        };
        *lock(&self.running) = None;
        self.say(if is_done { "end" } else { "stop" }, &id);
        let metrics = json!({"predict_time": work.as_secs_f64()});
        match (is_done, input["fail"].as_str()) {
            (false, _) => json!({"id": id, "logs": "", "metrics": metrics, "status": "canceled"}),
            (true, Some(text)) => {
                let error = format!("Prediction failed: Prediction failed: ValueError: {text}");
                json!({"error": error, "id": id, "logs": "", "metrics": metrics, "status": "failed"})
            }
            (true, None) => json!({"id": id, "logs": "set up\n", "metrics": metrics,
                                   "output": input["output"], "status": "succeeded"}),
        }
    }
}

/// Tells the work to stop when the caller goes away.
struct Caller(Arc<Notify>);

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

async fn predict(
    State(house): State<Arc<House>>,
    Path(id): Path<String>,
    Json(body): Json<BTreeMap<String, Value>>,
) -> Response {
    let input = body.get("input").cloned().unwrap_or_default();
    if let Some(text) = input["work_ms"].as_str() {
        let msg = format!("\"{text}\" is not of type \"number\"");
        let detail =
            json!([{"loc": ["body", "input", "work_ms"], "msg": msg, "type": "value_error"}]);
        return (
            StatusCode::UNPROCESSABLE_ENTITY,
            Json(json!({"detail": detail})),
        )
            .into_response();
    }
    let stop = Arc::new(Notify::new());
    {
        let mut running = lock(&house.running);
        if let Some(other) = running.as_ref() {
            let (is_same, input) = (other.id == id, other.input.clone());
            drop(running);
            if is_same {
                house.say("joined", &id);
                let now = json!({"id": id, "input": input, "logs": "", "metrics": {}, "status": "processing"});
                return (StatusCode::ACCEPTED, Json(now)).into_response();
            }
            house.say("busy", &id);
            let full =
                json!({"error": "At capacity - all prediction slots busy", "status": "failed"});
            return (StatusCode::CONFLICT, Json(full)).into_response();
        }
        *running = Some(Running {
            id: id.clone(),
            input: input.clone(),
            stop: Arc::clone(&stop),
        });
    }
    house.say("start", &id);
    let _caller = Caller(Arc::clone(&stop));
    let (done, result) = oneshot::channel();
    tokio::spawn(async move {
        let _ = done.send(house.work(id, input, stop).await);
    });
    match result.await {
        Ok(answer) => Json(answer).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn cancel(State(house): State<Arc<House>>, Path(id): Path<String>) -> Response {
    house.say("cancel", &id);
    let running = lock(&house.running);
    let status = match running.as_ref().filter(|running| running.id == id) {
        Some(running) => {
            running.stop.notify_one();
            StatusCode::OK
        }
        None => StatusCode::NOT_FOUND,
    };
    (status, Json(json!({}))).into_response()
}

async fn health(State(house): State<Arc<House>>) -> Response {
    let is_busy = lock(&house.running).is_some();
    let status = if is_busy { "BUSY" } else { "READY" };
    Json(
        json!({"status": status, "setup": {"status": "succeeded", "logs": ""},
                "version": {"coglet": "0.23.1", "python_sdk": "0.23.1", "python": "3.11.7"}}),
    )
    .into_response()
}
