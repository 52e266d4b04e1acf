//! Credits that come in or go out by an operator's word: grants, corrections, clawbacks, rewards.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::shapes::ProblemBody;
use crate::api::House;
use crate::api::extract::{Body, Repeatable, repeatable};
use crate::api::gate::Caller;
use crate::api::problem::{Kind, Problem};
use crate::api::text::time_ms;
use crate::desk::money;
use crate::domain::credits::Ucr;
use crate::store::{AdjustRequest, Correction, GrantKind, GrantRequest, Reward};
use crate::wire::{AdjustBody, Adjusted, ClawbackBody, GrantBody, Granted};

/// Grant credits, once per idempotency key
#[utoipa::path(post, path = "/v1/accounts/{account}/grants", operation_id = "grant_credits", tag = "accounts",
    security(("key" = ["admin"])),
    params(("Idempotency-Key" = String, Header, pattern = "^[!-~]{1,128}$", description = "Makes it happen once: the payment's id, say")),
    request_body = GrantBody,
    responses((status = 201, body = Granted), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn grant(
    State(house): State<Arc<House>>,
    caller: Caller,
    repeat: Repeatable,
    Path(account): Path<String>,
    Body(body): Body<GrantBody>,
) -> Result<Response, Problem> {
    let kind = GrantKind::from_word(&body.kind);
    let kind = kind.ok_or_else(|| {
        let detail = format!("kind: there is no kind {:?} of credits", body.kind);
        Problem::new(Kind::BadRequest, detail)
    })?;
    let expires_at = body.expires_at.as_deref();
    let request = GrantRequest {
        account: caller.account_of(&account)?,
        operation: repeat.operation()?,
        amount: Ucr::new(body.amount_ucr)?,
        kind,
        expires_at_ms: expires_at.map(|at| time_ms("expires_at", at)).transpose()?,
        reason: body.reason,
        actor: caller.actor(),
    };
    let outcome = house.store.grant(&request).await?;
    let done = money::granted(&request, outcome)?;
    let granted = Granted {
        account,
        operation: request.operation.to_string(),
        grant: done.grant,
        granted_ucr: body.amount_ucr,
        available_ucr: done.available.get(),
        debt_ucr: done.debt.get(),
    };
    Ok(repeatable(StatusCode::CREATED, done.replayed, &granted))
}

/// Correct a balance, once per idempotency key
#[utoipa::path(post, path = "/v1/accounts/{account}/adjustments", operation_id = "adjust_balance", tag = "accounts",
    security(("key" = ["admin"])),
    params(("Idempotency-Key" = String, Header, pattern = "^[!-~]{1,128}$", description = "Makes it happen once: the ticket's id, say")),
    request_body = AdjustBody,
    responses((status = 201, body = Adjusted), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn adjust(
    State(house): State<Arc<House>>,
    caller: Caller,
    repeat: Repeatable,
    Path(account): Path<String>,
    Body(body): Body<AdjustBody>,
) -> Result<Response, Problem> {
    let size = Ucr::new(body.amount_ucr.checked_abs().unwrap_or(i64::MAX))?;
    let request = AdjustRequest {
        account: caller.account_of(&account)?,
        operation: repeat.operation()?,
        correction: if body.amount_ucr < 0 {
            Correction::Down(size)
        } else {
            Correction::Up(size)
        },
        reason: body.reason,
        actor: caller.actor(),
    };
    correct(&house, &request).await
}

/// Take back the credits of a payment
#[utoipa::path(post, path = "/v1/accounts/{account}/clawbacks", operation_id = "claw_back_payment", tag = "accounts",
    security(("key" = ["admin"])),
    params(("Idempotency-Key" = String, Header, pattern = "^[!-~]{1,128}$", description = "Makes it happen once: the dispute's id, say")),
    request_body = ClawbackBody,
    responses((status = 201, body = Adjusted), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn clawback(
    State(house): State<Arc<House>>,
    caller: Caller,
    repeat: Repeatable,
    Path(account): Path<String>,
    Body(body): Body<ClawbackBody>,
) -> Result<Response, Problem> {
    let request = AdjustRequest {
        account: caller.account_of(&account)?,
        operation: repeat.operation()?,
        correction: Correction::Clawback {
            payment: body.payment,
            amount: body.amount_ucr.map(Ucr::new).transpose()?,
        },
        reason: body.reason,
        actor: caller.actor(),
    };
    correct(&house, &request).await
}

async fn correct(house: &House, request: &AdjustRequest) -> Result<Response, Problem> {
    let outcome = house.store.adjust(request).await?;
    let done = money::adjusted(request, &outcome)?;
    let adjusted = Adjusted {
        account: request.account.to_string(),
        operation: request.operation.to_string(),
        adjusted_ucr: done.adjusted_ucr,
        debt_made_ucr: done.debt_made.get(),
        available_ucr: done.available.get(),
        debt_ucr: done.debt.get(),
    };
    Ok(repeatable(StatusCode::CREATED, done.replayed, &adjusted))
}

/// Take the reward of the day
///
/// Once per account and day of UTC, by the store's clock.
#[utoipa::path(post, path = "/v1/accounts/{account}/daily-reward", operation_id = "take_daily_reward", tag = "accounts",
    security(("key" = ["produce"])),
    responses((status = 201, body = Granted), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn daily(
    State(house): State<Arc<House>>,
    caller: Caller,
    Path(account): Path<String>,
) -> Result<Response, Problem> {
    let account = caller.account_of(&account)?;
    let amount = Ucr::from_credits(house.rewards.daily_credits);
    if amount.is_zero() {
        let detail = "the settings give no daily reward";
        return Err(Problem::new(Kind::NoReward, detail));
    }
    let (days, by) = (house.rewards.daily_expires_days, caller.actor());
    let outcome = house
        .store
        .reward(&account, Reward::Daily, amount, days, &by);
    let done = money::rewarded(&account, outcome.await?)?;
    let granted = Granted {
        account: account.to_string(),
        operation: done.operation,
        grant: done.grant,
        granted_ucr: amount.get(),
        available_ucr: done.available.get(),
        debt_ucr: done.debt.get(),
    };
    Ok(repeatable(StatusCode::CREATED, false, &granted))
}
