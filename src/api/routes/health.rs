//! Whether the server lives, and whether it can do its work. Asked without a key and without a place.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde_json::json;

use crate::api::House;
use crate::api::extract::answer;
use crate::store::Error;
use crate::wire::Readiness;

/// The store has so long to answer.
const STORE_MAX: Duration = Duration::from_millis(1_500);

pub(in crate::api) fn router() -> Router<Arc<House>> {
    Router::new()
        .route("/livez", get(lives))
        .route("/readyz", get(is_ready))
}

/// The process answers.
async fn lives() -> Response {
    answer(StatusCode::OK, &json!({"ok": true}))
}

/// 200 where all of it works, 503 with what does not.
async fn is_ready(State(house): State<Arc<House>>) -> Response {
    let store = match tokio::time::timeout(STORE_MAX, house.store.check()).await {
        Ok(Ok(())) => "ok",
        Ok(Err(Error::Incompatible(_))) => "of another version",
        Ok(Err(_)) | Err(_) => "away",
    };
    let worker = match house.vital_sign.as_ref().map(|works| works()) {
        None => "none here",
        Some(true) => "ok",
        Some(false) => "stalled",
    };
    let server = if house.stop.is_cancelled() {
        "stopping"
    } else {
        "ok"
    };
    let is_well = store == "ok" && worker != "stalled" && server == "ok";
    let status = if is_well {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = Readiness {
        ok: is_well,
        store: store.to_owned(),
        worker: worker.to_owned(),
        server: server.to_owned(),
    };
    answer(status, &body)
}
