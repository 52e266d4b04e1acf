//! What the server says of itself: the OpenAPI document, a page that shows it, a page for each problem.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{Html, IntoResponse, Response};

use crate::api::House;
use crate::api::problem::{Kind, Problem};
use crate::wire::ProblemBody;

/// The page runs nothing and loads nothing.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// The OpenAPI 3.1 document
#[utoipa::path(get, path = "/v1/openapi.json", operation_id = "get_openapi", tag = "server",
    security(()), responses((status = 200, body = Object, content_type = "application/json")))]
pub(in crate::api) async fn openapi(State(house): State<Arc<House>>) -> Response {
    let media = "application/json";
    ([(CONTENT_TYPE, media)], house.document.text.clone()).into_response()
}

/// A page that shows the document
#[utoipa::path(get, path = "/reference", operation_id = "get_reference", tag = "server",
    security(()), responses((status = 200, body = String, content_type = "text/html")))]
pub(in crate::api) async fn reference(State(house): State<Arc<House>>) -> Response {
    let page = Html(house.document.reference.clone());
    ([(CONTENT_SECURITY_POLICY, POLICY)], page).into_response()
}

/// What a problem is, and what to do about it
#[utoipa::path(get, path = "/problems/{problem}", operation_id = "get_problem", tag = "server",
    security(()), responses((status = 200, body = String, content_type = "text/plain"), (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn problem(Path(word): Path<String>) -> Result<String, Problem> {
    let kind = Kind::ALL.iter().find(|kind| kind.word() == word);
    let kind = kind
        .ok_or_else(|| Problem::new(Kind::NoSuchRoute, format!("there is no problem {word:?}")))?;
    let (status, title, mend) = (kind.status(), kind.title(), kind.mend());
    Ok(format!("{word} ({status})\n\n{title}.\n\n{mend}\n"))
}
