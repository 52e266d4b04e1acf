//! Plans: an account goes on one, renews it, or leaves it.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::shapes::ProblemBody;
use crate::api::House;
use crate::api::extract::{Body, Repeatable, repeatable};
use crate::api::gate::Caller;
use crate::api::problem::{Kind, Problem};
use crate::api::text::time_ms;
use crate::desk::money;
use crate::domain::credits::Ucr;
use crate::store::PlanRequest;

/// A plan to go on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct PlanBody {
    /// A plan of the settings, or `none`.
    plan: String,
    /// When the period that was paid for ends, RFC 3339; one period from now where nothing is said.
    #[schema(format = DateTime)]
    until: Option<String>,
    /// Why, for the books.
    #[serde(default)]
    reason: String,
}

/// The plan as it is now.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Planned {
    /// The account.
    account: String,
    /// The plan.
    plan: String,
    /// The bucket that its credits went into.
    grant: Option<String>,
    /// When the period ends.
    until: Option<String>,
    /// Available right after it.
    available_ucr: i64,
}

/// Put an account on a plan, once per idempotency key
#[utoipa::path(post, path = "/v1/accounts/{account}/plan", operation_id = "set_plan", tag = "accounts",
    security(("key" = ["admin"])),
    params(("Idempotency-Key" = String, Header, pattern = "^[!-~]{1,128}$", description = "Makes it happen once: the invoice's id, say")),
    request_body = PlanBody,
    responses((status = 201, body = Planned), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn set(
    State(house): State<Arc<House>>,
    caller: Caller,
    repeat: Repeatable,
    Path(account): Path<String>,
    Body(body): Body<PlanBody>,
) -> Result<Response, Problem> {
    let plan = house.plans.get(&body.plan);
    if plan.is_none() && body.plan != "none" {
        let detail = format!("there is no plan {:?}", body.plan);
        return Err(Problem::new(Kind::UnknownPlan, detail));
    }
    let until = body.until.as_deref();
    let request = PlanRequest {
        account: caller.account_of(&account)?,
        operation: repeat.operation()?,
        plan: plan.map(|_| body.plan.clone()),
        amount: Ucr::from_credits(plan.map_or(0, |plan| plan.credits)),
        max_active: plan.map_or(0, |plan| plan.max_active),
        months: plan.map_or(1, |plan| plan.period.months()),
        until_ms: until.map(|at| time_ms("until", at)).transpose()?,
        price: plan.map(|plan| plan.price.clone()).unwrap_or_default(),
        reason: body.reason,
        actor: caller.actor(),
    };
    let outcome = house.store.set_plan(&request).await?;
    let done = money::planned(&request, outcome)?;
    let planned = Planned {
        account,
        plan: body.plan,
        grant: done.grant,
        until: done.until,
        available_ucr: done.available.get(),
    };
    Ok(repeatable(StatusCode::CREATED, done.replayed, &planned))
}
