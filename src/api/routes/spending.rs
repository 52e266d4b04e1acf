//! Where an account's credits went: added up by day, tool or grant, and entry by entry.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use super::accounts::view;
use super::listing::limit;
use super::shapes::{Page, ProblemBody};
use crate::api::House;
use crate::api::extract::{Query, answer};
use crate::api::gate::Caller;
use crate::api::problem::{Kind, Problem};
use crate::api::text::{cursor, read_cursor, rfc3339, time_ms};
use crate::domain::ids::AccountId;
use crate::ledger::history::sequence;
use crate::ledger::{By, Line, statement as add_up};
use crate::store::JournalBody;
use crate::wire::{Entry, Posting, Statement, StatementLine};

/// Where nothing is said, a statement is of this long until now, ms.
const USUAL_MS: u64 = 30 * 86_400_000;
/// Journal entries that one page of a ledger looks at.
const LOOKS_MAX: usize = 10;
/// Entries of the journal read at a time.
const READ: usize = 1_000;

/// Which stretch, and how it is sorted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct Stretch {
    /// From when, RFC 3339, included; 30 days before `to` where nothing is said.
    #[param(format = DateTime)]
    from: Option<String>,
    /// Until when, RFC 3339, not included; now where nothing is said.
    #[param(format = DateTime)]
    to: Option<String>,
    /// `day` (of UTC), `tool` or `grant` (kind of credit); `day` where nothing is said.
    #[param(pattern = "^(day|tool|grant)$")]
    by: Option<String>,
}

impl StatementLine {
    fn of(name: &str, line: &Line) -> Self {
        Self {
            name: name.to_owned(),
            jobs: line.jobs,
            granted_ucr: line.granted_ucr,
            captured_ucr: line.captured_ucr,
            refunded_ucr: line.refunded_ucr,
            adjusted_ucr: line.adjusted_ucr,
            expired_ucr: line.expired_ucr,
            net_ucr: line.net_ucr,
        }
    }
}

/// Spending over time
#[utoipa::path(get, path = "/v1/accounts/{account}/statement", operation_id = "get_statement", tag = "accounts",
    security(("key" = ["produce", "operate"])), params(Stretch),
    responses((status = 200, body = Statement), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn statement(
    State(house): State<Arc<House>>,
    caller: Caller,
    Path(account): Path<String>,
    Query(stretch): Query<Stretch>,
) -> Result<Response, Problem> {
    let account = caller.account_of(&account)?;
    let by = match stretch.by.as_deref() {
        None | Some("day") => By::Day,
        Some("tool") => By::Tool,
        Some("grant") => By::Grant,
        Some(_) => {
            let detail = "by: it is day, tool or grant";
            return Err(Problem::new(Kind::BadRequest, detail));
        }
    };
    view(&house, &account).await?;
    let time = |name: &str, text: &Option<String>| {
        text.as_deref().map(|text| time_ms(name, text)).transpose()
    };
    let to_ms = match time("to", &stretch.to)? {
        Some(to_ms) => to_ms,
        // What is booked in this very millisecond belongs to it.
        None => house.store.server_ms().await.map_err(Problem::harmless)? + 1,
    };
    let from_ms = time("from", &stretch.from)?.unwrap_or(to_ms.saturating_sub(USUAL_MS));
    let found = add_up(&house.history, &account, from_ms, to_ms, by).await?;
    let statement = Statement {
        account: account.to_string(),
        from: rfc3339(from_ms),
        to: rfc3339(to_ms),
        lines: found
            .lines
            .iter()
            .map(|(name, line)| StatementLine::of(name, line))
            .collect(),
        total: StatementLine::of("total", &found.total),
        kept_from: found.kept_from_ms.and_then(rfc3339),
    };
    Ok(answer(StatusCode::OK, &statement))
}

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct Paging {
    /// How many: 1 to 100, 20 where nothing is said. A page may have fewer and still not be the last.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Every movement of an account's credits, the newest first
#[utoipa::path(get, path = "/v1/accounts/{account}/ledger", operation_id = "list_ledger", tag = "accounts",
    security(("key" = ["produce", "operate"])), params(Paging),
    responses((status = 200, body = Page<Entry>), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn ledger(
    State(house): State<Arc<House>>,
    caller: Caller,
    Path(account): Path<String>,
    Query(paging): Query<Paging>,
) -> Result<Response, Problem> {
    let (account, limit) = (caller.account_of(&account)?, limit(paging.limit)?);
    view(&house, &account).await?;
    let at: Option<String> = read_cursor(paging.cursor.as_deref())?;
    let mut from = at.unwrap_or_else(|| "+".to_owned());
    let partition = account.partition(house.store.partitions());
    let mut data = Vec::new();
    let behind = from.strip_prefix('(').and_then(sequence);
    let mut oldest = behind.unwrap_or(u64::MAX);
    for _ in 0..LOOKS_MAX {
        let page = house.store.journal_backwards(partition, &from, READ).await;
        let page = page.map_err(Problem::harmless)?;
        for entry in page.entries {
            oldest = sequence(&entry.id).unwrap_or(oldest);
            let Some(body) = entry.body_of(&account) else {
                continue;
            };
            from = format!("({}", entry.id);
            let is_first = body.account_seq == 1;
            data.push(Entry::of(entry.id, body));
            if is_first || data.len() == limit {
                let next_cursor = (!is_first).then(|| cursor(&from));
                return Ok(answer(StatusCode::OK, &Page { data, next_cursor }));
            }
        }
        match page.next {
            Some(next) => from = next,
            None => {
                let page = older(&house, &account, oldest, (data, limit)).await?;
                return Ok(answer(StatusCode::OK, &page));
            }
        }
    }
    let next_cursor = Some(cursor(&from));
    Ok(answer(StatusCode::OK, &Page { data, next_cursor }))
}

/// Fills a page up with what the store no longer has. Where that cannot be read now, the page ends before
/// it, and the next one says so.
async fn older(
    house: &House,
    account: &AccountId,
    oldest: u64,
    (mut data, limit): (Vec<Entry>, usize),
) -> Result<Page<Entry>, Problem> {
    let missing = limit - data.len();
    let older = match house.history.older(account, oldest, missing).await {
        Err(_) if !data.is_empty() => {
            let next_cursor = Some(cursor(&format!("(0-{oldest}")));
            return Ok(Page { data, next_cursor });
        }
        older => older?,
    };
    let is_full = older.len() == missing;
    data.extend(older.into_iter().map(|(id, body)| Entry::of(id, body)));
    let last = data.last().filter(|entry| is_full && entry.account_seq > 1);
    let next_cursor = last.map(|entry| cursor(&format!("({}", entry.entry)));
    Ok(Page { data, next_cursor })
}

impl Entry {
    fn of(entry: String, body: JournalBody) -> Self {
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        let posting = |(book, amount_ucr)| Posting { book, amount_ucr };
        Self {
            entry,
            account_seq: body.account_seq,
            at: rfc3339(body.at_ms),
            kind: body.kind,
            operation: some(body.op),
            job: some(body.job),
            reason: some(body.reason),
            postings: body.post.into_iter().map(posting).collect(),
        }
    }
}
