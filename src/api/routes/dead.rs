//! Dead letters: found by a filter, looked at before anything is done, retried or dropped in the background.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::listing::limit;
use super::runs::{Deed, Order};
use super::shapes::{Page, ProblemBody};
use crate::api::House;
use crate::api::extract::{Body, Query, answer};
use crate::api::gate::Caller;
use crate::api::problem::{Kind, Problem};
use crate::api::text::{cursor, read_cursor, rfc3339, time_ms};
use crate::desk::dead::Selection;
use crate::desk::look::{self, preview};
use crate::domain::failure::FailureClass;
use crate::store::{DeadFilter, DeadLetter, Payer, Place, Sorting};
use crate::wire::{DeadFilter as Filter, DropRequest, Letter, Look, RetryRequest, Run, Short};

/// Pages that one call of the listing looks through.
const LOOKS_MAX: usize = 10;

impl Filter {
    /// As of the store's clock: nothing that ends from now on fits, so that a walk comes to an end.
    async fn read(&self, house: &House) -> Result<DeadFilter, Problem> {
        let class = self.class.as_deref().map(|word| {
            FailureClass::from_word(word).ok_or_else(|| {
                let known = FailureClass::ALL.map(FailureClass::as_str).join(", ");
                Problem::new(Kind::BadRequest, format!("class: it is one of {known}"))
            })
        });
        let time = |name: &str, text: &Option<String>| {
            text.as_deref().map(|text| time_ms(name, text)).transpose()
        };
        let now_ms = house.store.server_ms().await.map_err(Problem::harmless)?;
        let until_ms = time("until", &self.until)?.unwrap_or(now_ms).min(now_ms);
        Ok(DeadFilter {
            tool: self.tool.clone(),
            class: class.transpose()?,
            account: self.account.clone(),
            since_ms: time("since", &self.since)?,
            until_ms: Some(until_ms),
        })
    }
}

impl Letter {
    fn of(letter: DeadLetter) -> Self {
        Self {
            job: letter.job.to_string(),
            ended_at: rfc3339(letter.ended_ms),
            state: letter.state,
            account: letter.account.to_string(),
            tool: letter.tool,
            class: letter.class,
            message: letter.message,
            ceiling_ucr: letter.ceiling.get(),
            submissions: letter.submissions,
        }
    }
}

/// Where a walk over all partitions is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct At {
    partition: u16,
    last: Option<(u64, String)>,
}

/// The next dead letters of a walk, partition by partition, and where it is then; `None` at the end.
async fn turn(
    house: &House,
    filter: &DeadFilter,
    at: &At,
) -> Result<(Vec<DeadLetter>, Option<At>), Problem> {
    let partitions = house.store.partitions();
    let mut at = at.clone();
    while at.partition < partitions && !filter.may_be_in(at.partition, partitions) {
        at.partition += 1;
    }
    if at.partition >= partitions {
        return Ok((Vec::new(), None));
    }
    let place = at.last.take().map(|(ms, job)| Place::behind(ms, job));
    let store = &house.store;
    let page = store.dead_page(at.partition, filter, Sorting::Earliest, place.as_ref());
    let page = page.await.map_err(Problem::harmless)?;
    match &page.next {
        Some(next) => {
            let (ms, job) = next.last();
            at.last = Some((ms, job.to_owned()));
        }
        None => at.partition += 1,
    }
    let next = (at.partition < partitions).then_some(at);
    Ok((page.letters, next))
}

/// List dead letters, partition by partition, the oldest first
#[utoipa::path(get, path = "/v1/dead-letters", operation_id = "list_dead_letters", tag = "house",
    security(("key" = ["operate"])), params(Filter),
    responses((status = 200, body = Page<Letter>), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn list(
    State(house): State<Arc<House>>,
    Query(asked): Query<Filter>,
) -> Result<Response, Problem> {
    let (limit, filter) = (limit(asked.limit)?, asked.read(&house).await?);
    let mut at: Option<At> = Some(read_cursor(asked.cursor.as_deref())?.unwrap_or_default());
    let mut data = Vec::new();
    for _ in 0..LOOKS_MAX {
        let Some(here) = at.take() else { break };
        let (letters, next) = turn(&house, &filter, &here).await?;
        let missing = limit - data.len();
        if letters.len() > missing {
            // The rest of the page is the next one's.
            let last = &letters[missing - 1];
            let last = Some((last.ended_ms, last.job.to_string()));
            at = Some(At {
                partition: letters[missing - 1].job.partition(),
                last,
            });
        } else {
            at = next;
        }
        data.extend(letters.into_iter().take(missing).map(Letter::of));
        if data.len() == limit {
            break;
        }
    }
    let next_cursor = at.map(|at| cursor(&at));
    Ok(answer(StatusCode::OK, &Page { data, next_cursor }))
}

/// Retry dead letters by a filter
///
/// With `dry_run` the answer says what would happen. Otherwise the work goes on in the background and the
/// answer names its run. A dead letter becomes one new job however often it is retried.
#[utoipa::path(post, path = "/v1/dead-letters/retry", operation_id = "retry_dead_letters", tag = "house",
    security(("key" = ["operate"])), request_body = RetryRequest,
    responses((status = 200, body = Look), (status = 202, body = Run), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn retry(
    State(house): State<Arc<House>>,
    caller: Caller,
    Body(body): Body<RetryRequest>,
) -> Result<Response, Problem> {
    let Some(payer) = Payer::from_word(&body.payer) else {
        return Err(Problem::new(
            Kind::BadRequest,
            "payer: it is account or house",
        ));
    };
    limit(body.filter.limit)?;
    let filter = body.filter.read(&house).await?;
    if body.dry_run {
        let look = look(&house, filter, payer).await?;
        return Ok(answer(StatusCode::OK, &look));
    }
    let order = Order {
        filter,
        deed: Deed::Retry(payer),
        reason: body.reason,
        actor: caller.actor(),
    };
    let run = order.begin(&house)?;
    Ok(answer(StatusCode::ACCEPTED, &run))
}

/// Let dead letters go by a filter
///
/// What was asked for is forgotten at once and for good; nobody's credits move. With `dry_run` the answer
/// says how many there are. Otherwise the work goes on in the background and the answer names its run.
#[utoipa::path(post, path = "/v1/dead-letters/drop", operation_id = "drop_dead_letters", tag = "house",
    security(("key" = ["operate"])), request_body = DropRequest,
    responses((status = 200, body = Look), (status = 202, body = Run), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn drop_all(
    State(house): State<Arc<House>>,
    caller: Caller,
    Body(body): Body<DropRequest>,
) -> Result<Response, Problem> {
    if body.reason.trim().is_empty() {
        return Err(Problem::new(Kind::BadRequest, "reason: it must say why"));
    }
    limit(body.filter.limit)?;
    let filter = body.filter.read(&house).await?;
    if body.dry_run {
        let look = look(&house, filter, Payer::House).await?;
        return Ok(answer(StatusCode::OK, &look));
    }
    let order = Order {
        filter,
        deed: Deed::Drop,
        reason: body.reason,
        actor: caller.actor(),
    };
    let run = order.begin(&house)?;
    Ok(answer(StatusCode::ACCEPTED, &run))
}

/// What would happen, as the command line says it too.
async fn look(house: &House, filter: DeadFilter, payer: Payer) -> Result<Look, Problem> {
    let seen = preview(&house.store, &Selection::Fitting(filter), payer).await;
    let seen = seen.map_err(Problem::harmless)?;
    let short = |one: look::Short| Short {
        account: one.account,
        state: one.state,
        jobs: one.jobs,
        need_ucr: one.need_ucr,
        available_ucr: one.available_ucr,
        payable_jobs: one.payable_jobs,
    };
    Ok(Look {
        dry_run: true,
        jobs: seen.jobs,
        hold_ucr: seen.hold_ucr,
        payable_jobs: seen.payable_jobs,
        payable_ucr: seen.payable_ucr,
        short: seen.short.into_iter().map(short).collect(),
    })
}
