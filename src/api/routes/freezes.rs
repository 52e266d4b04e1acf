//! What stands still, why, and letting it go on.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::shapes::{Page, ProblemBody};
use crate::api::House;
use crate::api::extract::{Body, Repeatable, answer, repeatable};
use crate::api::gate::Caller;
use crate::api::problem::{Kind, Problem};
use crate::api::text::rfc3339;
use crate::ledger;
use crate::store::{ClearOutcome, FreezeAct, FreezeOutcome, Frozen, Scope};
use crate::wire::{Cleared, Freeze, FreezeRequest};

impl Freeze {
    fn of(frozen: Frozen) -> Self {
        Self {
            partition: frozen.partition,
            account: frozen.account,
            at: rfc3339(frozen.at_ms),
            actor: frozen.actor,
            reason: frozen.reason,
            differed: frozen.differed,
        }
    }
}

/// List what stands still
#[utoipa::path(get, path = "/v1/freezes", operation_id = "list_freezes", tag = "house",
    security(("key" = ["operate"])),
    responses((status = 200, body = Page<Freeze>), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn list(State(house): State<Arc<House>>) -> Result<Response, Problem> {
    let mut data = Vec::new();
    for partition in 0..house.store.partitions() {
        let frozen = house.store.frozen(partition).await;
        data.extend(
            frozen
                .map_err(Problem::harmless)?
                .into_iter()
                .map(Freeze::of),
        );
    }
    let next_cursor = None;
    Ok(answer(StatusCode::OK, &Page { data, next_cursor }))
}

/// Let an account or a partition stand still
///
/// Nothing new is held for it and none of its jobs starts; what runs goes on and is settled. What was frozen
/// before stays so for the reason given then.
#[utoipa::path(post, path = "/v1/freezes", operation_id = "freeze", tag = "house",
    security(("key" = ["operate"])),
    params(("Idempotency-Key" = String, Header, pattern = "^[!-~]{1,128}$", description = "Makes it happen once")),
    request_body = FreezeRequest,
    responses((status = 200, body = Freeze), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn freeze(
    State(house): State<Arc<House>>,
    caller: Caller,
    repeat: Repeatable,
    Body(body): Body<FreezeRequest>,
) -> Result<Response, Problem> {
    let act = act(&house, &caller, repeat, body)?;
    let (frozen, replayed) = match house.store.freeze(&act, &[]).await? {
        FreezeOutcome::Frozen { frozen, replayed } => (frozen, replayed),
        FreezeOutcome::Already(frozen) => (frozen, true),
        FreezeOutcome::UnknownAccount => return Err(nobody(&act.scope)),
        FreezeOutcome::Mismatch => return Err(mismatch()),
    };
    Ok(repeatable(StatusCode::OK, replayed, &Freeze::of(frozen)))
}

/// Let an account or a partition go on
///
/// Jobs that had been put off are due at once. The answer says what an audit still finds to differ.
#[utoipa::path(post, path = "/v1/freezes/clear", operation_id = "clear_freeze", tag = "house",
    security(("key" = ["operate"])),
    params(("Idempotency-Key" = String, Header, pattern = "^[!-~]{1,128}$", description = "Makes it happen once")),
    request_body = FreezeRequest,
    responses((status = 200, body = Cleared), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn clear(
    State(house): State<Arc<House>>,
    caller: Caller,
    repeat: Repeatable,
    Body(body): Body<FreezeRequest>,
) -> Result<Response, Problem> {
    let act = act(&house, &caller, repeat, body)?;
    let (was, jobs_due, replayed) = match house.store.clear(&act).await? {
        ClearOutcome::Cleared {
            was,
            parked,
            replayed,
        } => (Freeze::of(was), parked, replayed),
        ClearOutcome::NotFrozen => {
            let detail = format!("{} is not frozen", subject(&act.scope));
            return Err(Problem::new(Kind::NotFrozen, detail));
        }
        ClearOutcome::Mismatch => return Err(mismatch()),
    };
    let still_differs = ledger::still_differs(&house.store, &act.scope).await;
    let cleared = Cleared {
        was,
        jobs_due,
        still_differs: still_differs.map_err(Problem::harmless)?,
    };
    Ok(repeatable(StatusCode::OK, replayed, &cleared))
}

fn act(
    house: &House,
    caller: &Caller,
    repeat: Repeatable,
    body: FreezeRequest,
) -> Result<FreezeAct, Problem> {
    let scope = match (body.account, body.partition) {
        (Some(account), None) => Scope::Account(account),
        (None, Some(partition)) if partition < house.store.partitions() => {
            Scope::Partition(partition)
        }
        (None, Some(partition)) => {
            let last = house.store.partitions() - 1;
            let detail = format!("partition: there is no {partition}; the last is {last}");
            return Err(Problem::new(Kind::BadRequest, detail));
        }
        (None, None) | (Some(_), Some(_)) => {
            let detail = "name an account or a partition, and not both";
            return Err(Problem::new(Kind::BadRequest, detail));
        }
    };
    if body.reason.trim().is_empty() {
        return Err(Problem::new(Kind::BadRequest, "reason: it must say why"));
    }
    Ok(FreezeAct {
        scope,
        reason: body.reason,
        actor: caller.actor(),
        operation: repeat.operation()?,
    })
}

fn subject(scope: &Scope) -> String {
    match scope {
        Scope::Account(account) => format!("account {account}"),
        Scope::Partition(partition) => format!("partition {partition}"),
    }
}

fn nobody(scope: &Scope) -> Problem {
    let detail = format!("there is no {}", subject(scope));
    Problem::new(Kind::UnknownAccount, detail)
}

fn mismatch() -> Problem {
    let detail = "the idempotency key was used for another operation";
    Problem::new(Kind::OperationMismatch, detail)
}
