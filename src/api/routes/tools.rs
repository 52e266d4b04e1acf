//! Tools: what can be asked for, and what it costs.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::shapes::{Page, ProblemBody};
use crate::api::House;
use crate::api::extract::answer;
use crate::api::problem::{Kind, Problem};
use crate::domain::catalogue;
use crate::domain::pricing::RateKind;
use crate::wire::{Price, Tool};

impl Tool {
    fn of(tool: &catalogue::Tool) -> Self {
        let rates = &tool.rates;
        Self {
            tool: tool.name.clone(),
            title: tool.title.clone(),
            queue: tool.queue.clone(),
            rate: match rates.base.kind() {
                RateKind::Flat => "flat",
                RateKind::PerSecond => "per_second",
            }
            .to_owned(),
            rate_ucr: rates.base.rate_ucr().get(),
            priced_by: rates.by.clone(),
            prices: rates
                .rules
                .iter()
                .map(|(values, rule)| Price {
                    values: values.clone(),
                    rate_ucr: rule.rate_ucr().get(),
                })
                .collect(),
            longest_ms: tool.longest_ms,
            count_max: tool.count_max,
            routes: tool.routes.iter().map(|route| route.name.clone()).collect(),
            parameters: tool.parameters.schema().clone(),
        }
    }
}

/// The catalogue only changes with the process: its version is the tag.
fn tagged(house: &House, headers: &HeaderMap, body: &impl Serialize) -> Response {
    let tag = format!("\"{}\"", house.producer.catalogue().price_version());
    let known = headers
        .get(IF_NONE_MATCH)
        .and_then(|tags| tags.to_str().ok());
    let is_known = known.is_some_and(|known| {
        known
            .split(',')
            .any(|one| one.trim().trim_start_matches("W/") == tag)
    });
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        answer(StatusCode::OK, body)
    };
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    response
}

/// List the tools
#[utoipa::path(get, path = "/v1/tools", operation_id = "list_tools", tag = "jobs",
    security(("key" = ["produce", "operate"])),
    responses((status = 200, body = Page<Tool>), (status = 304, description = "As the ETag says, nothing changed"), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn list(State(house): State<Arc<House>>, headers: HeaderMap) -> Response {
    let page = Page {
        data: house.producer.catalogue().tools().map(Tool::of).collect(),
        next_cursor: None,
    };
    tagged(&house, &headers, &page)
}

/// Look at a tool
#[utoipa::path(get, path = "/v1/tools/{tool}", operation_id = "get_tool", tag = "jobs",
    security(("key" = ["produce", "operate"])),
    responses((status = 200, body = Tool), (status = 304, description = "As the ETag says, nothing changed"), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn get(
    State(house): State<Arc<House>>,
    headers: HeaderMap,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let tool = house.producer.catalogue().tool(&name);
    let tool =
        tool.ok_or_else(|| Problem::new(Kind::UnknownTool, format!("there is no tool {name:?}")))?;
    Ok(tagged(&house, &headers, &Tool::of(tool)))
}
