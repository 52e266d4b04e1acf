//! Quotes: the price before anything is held.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::shapes::ProblemBody;
use crate::api::House;
use crate::api::extract::{Body, answer};
use crate::api::gate::Caller;
use crate::api::problem::Problem;
use crate::api::text::rfc3339;
use crate::producer::Asking;
use crate::wire::{Quote, QuoteRequest};

/// Price a request
///
/// Nothing is held. A job that is submitted with the quote is priced by it, whatever the catalogue says by
/// then.
#[utoipa::path(post, path = "/v1/quotes", operation_id = "create_quote", tag = "jobs",
    security(("key" = ["produce"])),
    request_body = QuoteRequest,
    responses((status = 201, body = Quote), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn create(
    State(house): State<Arc<House>>,
    caller: Caller,
    Body(body): Body<QuoteRequest>,
) -> Result<Response, Problem> {
    let asking = Asking {
        account: caller.account(body.account)?,
        tool: body.tool,
        params: body.params,
        route: body.route,
    };
    let quote = house.producer.quote(&asking).await?;
    let quote = Quote {
        quote: quote.quote,
        ceiling_ucr: quote.ceiling_ucr,
        price_version: quote.price_version,
        expires_at: rfc3339(quote.expires_at_ms),
    };
    Ok(answer(StatusCode::CREATED, &quote))
}
