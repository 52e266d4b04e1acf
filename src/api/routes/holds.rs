//! Open holds: what is set aside, for which job, out of which grants.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::listing::limit;
use super::shapes::ProblemBody;
use crate::api::House;
use crate::api::extract::{Query, answer};
use crate::api::problem::{Kind, Problem};
use crate::api::text::rfc3339;
use crate::store::HoldView;
use crate::wire::{Hold, HoldQuery, Holds, Pinned};

/// Nothing is held for longer, ms.
const AGE_MAX_MS: u64 = 3_155_760_000_000;

impl Hold {
    fn of(view: &HoldView) -> Self {
        let pinned = |(grant, pinned): &(String, crate::domain::credits::Ucr)| Pinned {
            grant: grant.clone(),
            pinned_ucr: pinned.get(),
        };
        Self {
            job: view.job.to_string(),
            account: view.account.clone(),
            tool: view.tool.clone(),
            state: view.state.to_string(),
            payer: view.payer.clone(),
            hold_ucr: view.amount.get(),
            since: rfc3339(view.since_ms),
            until: rfc3339(view.until_ms),
            grants: view.slices.iter().map(pinned).collect(),
        }
    }
}

/// List open holds, the oldest first
///
/// All that fit are counted and summed up, however many are listed.
#[utoipa::path(get, path = "/v1/holds", operation_id = "list_holds", tag = "house",
    security(("key" = ["operate"])), params(HoldQuery),
    responses((status = 200, body = Holds), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn list(
    State(house): State<Arc<House>>,
    Query(asked): Query<HoldQuery>,
) -> Result<Response, Problem> {
    let limit = limit(asked.limit)?;
    let older_than_ms = asked.older_than_ms.unwrap_or(0);
    if older_than_ms > AGE_MAX_MS {
        let detail = format!("older_than_ms: at most {AGE_MAX_MS}, a hundred years");
        return Err(Problem::new(Kind::BadRequest, detail));
    }
    if let Some(account) = &asked.account {
        let found = house.store.account(account).await;
        if found.map_err(Problem::harmless)?.is_none() {
            return Err(Problem::unknown_account(account));
        }
    }
    let oldest = house
        .store
        .oldest_holds(asked.account.as_ref(), older_than_ms, limit);
    let found = oldest.await.map_err(Problem::harmless)?;
    let holds = Holds {
        data: found.oldest.iter().map(Hold::of).collect(),
        holds: found.number,
        held_ucr: found.held_ucr,
    };
    Ok(answer(StatusCode::OK, &holds))
}
