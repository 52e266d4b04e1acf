//! Accounts: opened, listed, looked at, limited.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::listing::limit;
use super::shapes::{Page, ProblemBody};
use crate::api::House;
use crate::api::extract::{Body, Query, answer, repeatable};
use crate::api::gate::Caller;
use crate::api::problem::{Kind, Problem};
use crate::api::text::{cursor, read_cursor, rfc3339};
use crate::desk::money;
use crate::domain::credits::Ucr;
use crate::domain::ids::AccountId;
use crate::store::{AccountView, CapView, Opened, StateOutcome, Term, TermOutcome};
use crate::wire::{Account, Cap, Grant, NewAccount, Plan};

impl Account {
    fn of(view: AccountView) -> Self {
        let cap = |cap: &CapView| Cap {
            cap_ucr: cap.cap_ucr,
            spent_ucr: cap.spent_ucr,
            until: cap.until_ms.and_then(rfc3339),
        };
        Self {
            day: cap(&view.day),
            month: cap(&view.month),
            plan: view.plan.map(|plan| Plan {
                until: rfc3339(plan.until_ms),
                lapsed: plan.lapsed,
                price: plan.price,
                plan: plan.plan,
            }),
            grants: view
                .grants
                .into_iter()
                .map(|grant| Grant {
                    grant: grant.grant,
                    kind: grant.kind,
                    remaining_ucr: grant.remaining_ucr,
                    pinned_ucr: grant.pinned_ucr,
                    expires_at: grant.expires_at_ms.and_then(rfc3339),
                })
                .collect(),
            sequence: view.sequence,
            account: view.account,
            state: view.state,
            available_ucr: view.available_ucr,
            held_ucr: view.held_ucr,
            debt_ucr: view.debt_ucr,
            granted_ucr: view.granted_ucr,
            captured_ucr: view.captured_ucr,
            expired_ucr: view.expired_ucr,
            refunded_ucr: view.refunded_ucr,
            adjusted_ucr: view.adjusted_ucr,
            max_active: view.max_active,
            queue_limits: view.queue_limits,
            low_balance_ucr: view.low_balance_ucr,
        }
    }
}

/// The account as it stands.
pub(super) async fn view(house: &House, account: &AccountId) -> Result<AccountView, Problem> {
    let view = house.store.account(account).await;
    view.map_err(Problem::harmless)?
        .ok_or_else(|| Problem::unknown_account(account))
}

/// Open an account; one that is there already stays as it is
#[utoipa::path(post, path = "/v1/accounts", operation_id = "create_account", tag = "accounts",
    security(("key" = ["admin"])), request_body = NewAccount,
    responses((status = 201, body = Account), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn create(
    State(house): State<Arc<House>>,
    Body(body): Body<NewAccount>,
) -> Result<Response, Problem> {
    let opened = house
        .store
        .open_account(&body.account, body.max_active)
        .await?;
    let account = Account::of(view(&house, &body.account).await?);
    let replayed = opened == Opened::Exists;
    Ok(repeatable(StatusCode::CREATED, replayed, &account))
}

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct Paging {
    /// How many: 1 to 100, 20 where nothing is said.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List accounts, partition by partition, the oldest first
#[utoipa::path(get, path = "/v1/accounts", operation_id = "list_accounts", tag = "accounts",
    security(("key" = ["operate"])), params(Paging),
    responses((status = 200, body = Page<Account>), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn list(
    State(house): State<Arc<House>>,
    Query(paging): Query<Paging>,
) -> Result<Response, Problem> {
    let limit = limit(paging.limit)?;
    // Accounts are only added: a rank is a place that stays.
    let at: Option<(u16, usize)> = read_cursor(paging.cursor.as_deref())?;
    let (mut partition, mut rank) = at.unwrap_or((0, 0));
    let mut data = Vec::new();
    while partition < house.store.partitions() && data.len() < limit {
        let missing = limit - data.len();
        let names = house.store.accounts_page(partition, rank, missing).await;
        let names = names.map_err(Problem::harmless)?;
        rank += names.len();
        if names.len() < missing {
            (partition, rank) = (partition + 1, 0);
        }
        for name in &names {
            data.push(Account::of(view(&house, name).await?));
        }
    }
    let more = partition < house.store.partitions();
    let next_cursor = more.then(|| cursor(&(partition, rank)));
    Ok(answer(StatusCode::OK, &Page { data, next_cursor }))
}

/// Look at an account: balances, grants, caps
#[utoipa::path(get, path = "/v1/accounts/{account}", operation_id = "get_account", tag = "accounts",
    security(("key" = ["produce", "operate"])),
    responses((status = 200, body = Account), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn get(
    State(house): State<Arc<House>>,
    caller: Caller,
    Path(account): Path<String>,
) -> Result<Response, Problem> {
    let account = caller.account_of(&account)?;
    let account = Account::of(view(&house, &account).await?);
    Ok(answer(StatusCode::OK, &account))
}

/// What is to be set. What is missing stays as it is; 0 takes a limit or cap away.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Terms {
    /// `open` or `closed`.
    #[schema(pattern = "^(open|closed)$")]
    state: Option<String>,
    /// Jobs that are active at a time in a queue.
    #[schema(value_type = Option<u64>, maximum = 4294967295u64)]
    max_active: Option<u32>,
    /// What may be spent in a day of UTC.
    #[schema(minimum = 0, maximum = 9007199254740991u64)]
    day_cap_ucr: Option<i64>,
    /// What may be spent in a month of UTC.
    #[schema(minimum = 0, maximum = 9007199254740991u64)]
    month_cap_ucr: Option<i64>,
    /// Balance below which an event `low_balance` is written.
    #[schema(minimum = 0, maximum = 9007199254740991u64)]
    low_balance_ucr: Option<i64>,
    /// Why, for the books.
    reason: String,
}

/// Limit an account, close it, open it again
///
/// What is named is set one by one; the same call again changes nothing.
#[utoipa::path(post, path = "/v1/accounts/{account}/terms", operation_id = "set_account_terms", tag = "accounts",
    security(("key" = ["admin"])), request_body = Terms,
    responses((status = 200, body = Account), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn set(
    State(house): State<Arc<House>>,
    caller: Caller,
    Path(account): Path<String>,
    Body(body): Body<Terms>,
) -> Result<Response, Problem> {
    let (account, by) = (caller.account_of(&account)?, caller.actor());
    let amount = |ucr: Option<i64>| ucr.map(Ucr::new).transpose();
    let (day, month) = (amount(body.day_cap_ucr)?, amount(body.month_cap_ucr)?);
    let terms = [
        body.max_active.map(Term::MaxActive),
        (day.is_some() || month.is_some()).then_some(Term::Caps { day, month }),
        amount(body.low_balance_ucr)?.map(Term::LowBalance),
    ];
    let state = match body.state.as_deref() {
        None => None,
        Some("closed") => Some(true),
        Some("open") => Some(false),
        Some(_) => {
            return Err(Problem::new(
                Kind::BadRequest,
                "state: it is open or closed",
            ));
        }
    };
    for term in terms.into_iter().flatten() {
        match house
            .store
            .set_term(&account, &term, &body.reason, &by)
            .await?
        {
            TermOutcome::Set { .. } => {}
            TermOutcome::UnknownAccount => return Err(Problem::unknown_account(&account)),
            TermOutcome::BadValue => {
                let detail = "the store does not take this value";
                return Err(Problem::new(Kind::BadRequest, detail));
            }
        }
    }
    let store = &house.store;
    let outcome = match state {
        None => StateOutcome::Done { replayed: true },
        Some(true) => store.close_account(&account, &body.reason, &by).await?,
        Some(false) => store.reopen_account(&account, &body.reason, &by).await?,
    };
    money::stands(&account, outcome)?;
    let account = Account::of(view(&house, &account).await?);
    Ok(answer(StatusCode::OK, &account))
}
