//! What providers' work cost.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::civil::Date;
use serde::Deserialize;
use utoipa::IntoParams;

use super::shapes::ProblemBody;
use crate::api::House;
use crate::api::extract::{Query, answer};
use crate::api::problem::{Kind, Problem};
use crate::desk::costs::{Asked, Error, costs};
use crate::ledger::CostsBy;
use crate::wire::Costs;

/// Which stretch, and how it is sorted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct Days {
    /// `provider`, `route`, `tool` or `day`; `provider` where nothing is said.
    #[param(pattern = "^(provider|route|tool|day)$")]
    by: Option<String>,
    /// First day, of UTC; the first of this month where nothing is said.
    #[param(format = Date)]
    from: Option<String>,
    /// Last day, of UTC; today where nothing is said.
    #[param(format = Date)]
    to: Option<String>,
}

/// What providers' work cost, what of it was for nothing, and what was paid for the rest
///
/// Costs are booked for providers whose files have a table `[cost]`.
#[utoipa::path(get, path = "/v1/costs", operation_id = "get_costs", tag = "house",
    security(("key" = ["operate"])), params(Days),
    responses((status = 200, body = Costs), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn get(
    State(house): State<Arc<House>>,
    Query(days): Query<Days>,
) -> Result<Response, Problem> {
    let bad = |detail: String| Problem::new(Kind::BadRequest, detail);
    let by = days.by.as_deref().unwrap_or(CostsBy::Provider.as_str());
    let by = CostsBy::from_word(by)
        .ok_or_else(|| bad("by: it is provider, route, tool or day".to_owned()))?;
    let day = |name: &str, text: &Option<String>| {
        let day = text.as_deref().map(str::parse::<Date>).transpose();
        day.map_err(|_| bad(format!("{name}: write a day such as 2026-11-30")))
    };
    let asked = Asked {
        by,
        from: day("from", &days.from)?,
        to: day("to", &days.to)?,
    };
    let found = costs(&house.store, &house.history, asked, house.credit_usd_micros).await;
    let found = found.map_err(|error| match error {
        Error::Reversed(..) => bad(format!("from: {error}")),
        Error::OutOfReach(_) => bad(error.to_string()),
        Error::History(error) => error.into(),
    })?;
    Ok(answer(StatusCode::OK, &found))
}
