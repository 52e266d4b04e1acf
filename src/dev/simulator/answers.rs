//! What the simulated provider says: its JSON objects, errors and files.

use axum::Json;
use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::domain::failure::FailureClass;

use super::book::Refusal;
use super::files::{self, Output};
use super::generations::{Generation, Status};
use super::making;

/// Marks an answer that is not to be sent: the connection is closed instead.
#[derive(Debug, Clone, Copy)]
pub(super) struct HangUp;

/// An answer that never leaves.
pub(super) fn hang_up() -> Response {
    let mut response = StatusCode::ACCEPTED.into_response();
    response.extensions_mut().insert(HangUp);
    response
}

/// The answer to a submission that is worked on.
pub(super) fn accepted(id: &str, base: &str) -> Response {
    let get = format!("{base}/v1/generations/{id}");
    let cancel = format!("{get}/cancel");
    let body = json!({"id": id, "status": "queued", "urls": {"get": get, "cancel": cancel}});
    (StatusCode::ACCEPTED, Json(body)).into_response()
}

/// Something that was asked for and is not there.
pub(super) fn not_found(what: &str) -> Response {
    error(
        StatusCode::NOT_FOUND,
        "not_found",
        &format!("there is no such {what}"),
    )
}

/// A file that could not be made.
pub(super) fn broken(error_text: &str) -> Response {
    error(
        StatusCode::INTERNAL_SERVER_ERROR,
        FailureClass::ProviderFault.as_str(),
        error_text,
    )
}

/// A submission that started nothing.
pub(super) fn refused(refusal: &Refusal) -> Response {
    let status = http_status(refusal.class);
    let mut response = error(status, refusal.class.as_str(), &refusal.message);
    if let Some(seconds) = refusal.retry_after_s {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// A generation's failure as the answer itself, where there is no object to carry it.
pub(super) fn failed(class: FailureClass) -> Response {
    match class {
        FailureClass::Lost => not_found("generation"),
        FailureClass::UserInput
        | FailureClass::ContentPolicy
        | FailureClass::RateLimited
        | FailureClass::Capacity
        | FailureClass::ProviderFault
        | FailureClass::OurAuth
        | FailureClass::OurBalance
        | FailureClass::UnknownOutcome
        | FailureClass::Timeout => error(http_status(class), class.as_str(), FAILURE_MESSAGE),
    }
}

const FAILURE_MESSAGE: &str = "this failure was asked for";

fn http_status(class: FailureClass) -> StatusCode {
    match class {
        FailureClass::UserInput => StatusCode::BAD_REQUEST,
        FailureClass::OurAuth => StatusCode::UNAUTHORIZED,
        FailureClass::OurBalance => StatusCode::PAYMENT_REQUIRED,
        FailureClass::Lost => StatusCode::NOT_FOUND,
        FailureClass::ContentPolicy => StatusCode::UNPROCESSABLE_ENTITY,
        FailureClass::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        FailureClass::Capacity => StatusCode::SERVICE_UNAVAILABLE,
        FailureClass::ProviderFault | FailureClass::UnknownOutcome | FailureClass::Timeout => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

fn error(status: StatusCode, code: &str, message: &str) -> Response {
    (
        status,
        Json(json!({"error": {"code": code, "message": message}})),
    )
        .into_response()
}

/// A generation as its address shows it; `output_urls` stand in the order of its outputs.
pub(super) fn view(generation: &Generation, now_ms: u64, output_urls: Vec<String>) -> Value {
    let (word, failure) = match generation.status(now_ms) {
        Status::Queued => ("queued", None),
        Status::Running => ("running", None),
        Status::Succeeded => ("succeeded", None),
        Status::Failed(class) => ("failed", Some(class)),
        Status::Lost => ("failed", Some(FailureClass::Lost)),
        Status::Canceled => ("canceled", None),
    };
    let content_type = generation.kind.content_type();
    let output = |url: String| json!({"url": url, "content_type": content_type});
    let mut view = json!({
        "id": generation.id,
        "status": word,
        "progress": generation.progress(now_ms),
        "output": output_urls.into_iter().map(output).collect::<Vec<Value>>(),
        "error": failure.map(|class| json!({"code": class, "message": FAILURE_MESSAGE})),
    });
    if let (Status::Succeeded, Some(ms)) = (generation.status(now_ms), generation.reported_ms()) {
        view["duration_ms"] = ms.into();
    }
    let cost = generation.knobs.cost_usd_micros;
    if let Some(micros) = cost.filter(|_| generation.status(now_ms).is_final()) {
        view["metrics"] = json!({"cost_usd": f64::from(micros) / 1e6});
    }
    view
}

/// The addresses of the outputs of a generation that succeeded; none before that.
pub(super) fn file_urls(generation: &Generation, now_ms: u64, base: &str) -> Vec<String> {
    if generation.status(now_ms) != Status::Succeeded {
        return Vec::new();
    }
    let names = files::names(generation).into_iter();
    names
        .map(|(name, _index)| format!("{base}/files/{name}"))
        .collect()
}

/// The outputs of a generation inside the answer itself.
///
/// # Errors
/// Those of making a file.
pub(super) fn data_urls(generation: &Generation) -> Result<Vec<String>, making::Error> {
    let content_type = generation.kind.content_type();
    let encode = |(_name, index): (String, u32)| {
        let file = files::output(generation, index).make()?;
        Ok(format!(
            "data:{content_type};base64,{}",
            STANDARD.encode(&file)
        ))
    };
    files::names(generation).into_iter().map(encode).collect()
}

/// A file as the whole answer.
pub(super) fn file(output: Output, bytes: bytes::Bytes) -> Response {
    let claimed_bytes = output.claimed_bytes().unwrap_or(bytes.len() as u64);
    let body = match output.claimed_bytes() {
        Some(claimed) => {
            Body::from_stream(files::filled(bytes, claimed).map(Ok::<_, std::convert::Infallible>))
        }
        None => Body::from(bytes),
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static(output.kind.content_type()),
    );
    headers.insert(CONTENT_LENGTH, HeaderValue::from(claimed_bytes));
    response
}
