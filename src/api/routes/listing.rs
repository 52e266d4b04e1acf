//! Jobs in pages, with cursors that stay where they are while jobs come and go.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::shapes::{Job, Page, ProblemBody};
use crate::api::House;
use crate::api::extract::{Query, answer};
use crate::api::gate::Caller;
use crate::api::problem::{Kind, Problem};
use crate::api::text::{cursor, read_cursor};
use crate::domain::ids::{AccountId, JobId};
use crate::domain::job::State as JobState;
use crate::ledger::postgres::Listed;
use crate::store::{JobIndex, JobView, Place};

/// Jobs of a page, at most.
const LIMIT_MAX: usize = 100;
/// Jobs that history is asked for at a time.
const OLDER: usize = 100;
/// Pages of an index that one call looks through for jobs that fit: a filter that little fits makes short
/// pages, never slow ones.
const LOOKS_MAX: usize = 10;

/// Which jobs.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct Filter {
    /// Only this account's, the newest first. Without it: open ones by their deadline, then ended ones,
    /// the latest first.
    #[param(value_type = Option<String>, pattern = "^[A-Za-z0-9._@-]{1,64}$")]
    account: Option<AccountId>,
    /// Only those in this state.
    #[param(value_type = Option<String>, pattern = "^(scheduled|queued|running|succeeded|failed|timed_out|cancelled)$")]
    state: Option<JobState>,
    /// Only this tool's.
    tool: Option<String>,
    /// How many: 1 to 100, 20 where nothing is said. A page may have fewer and still not be the last.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Where a page ended.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct At {
    /// Ended jobs are being listed.
    ended: bool,
    /// The last job's time in its index, and its id.
    last: Option<(u64, String)>,
}

/// List jobs
#[utoipa::path(get, path = "/v1/jobs", operation_id = "list_jobs", tag = "jobs",
    security(("key" = ["produce", "operate"])), params(Filter),
    responses((status = 200, body = Page<Job>), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn list(
    State(house): State<Arc<House>>,
    caller: Caller,
    Query(mut filter): Query<Filter>,
) -> Result<Response, Problem> {
    let limit = limit(filter.limit)?;
    if caller.0.account.is_some() || filter.account.is_some() {
        filter.account = Some(caller.account(filter.account.take())?);
    }
    if let Some(account) = &filter.account {
        let found = house.store.account(account).await;
        if found.map_err(Problem::harmless)?.is_none() {
            return Err(Problem::unknown_account(account));
        }
    }
    let at: At = read_cursor(filter.cursor.as_deref())?.unwrap_or_default();
    let (found, next) = page(&house, &filter, at, limit).await?;
    let page = Page {
        data: found.iter().map(Job::of).collect(),
        next_cursor: next.map(|at| cursor(&at)),
    };
    Ok(answer(StatusCode::OK, &page))
}

/// How many a page may have.
pub(super) fn limit(asked: Option<usize>) -> Result<usize, Problem> {
    let limit = asked.unwrap_or(20);
    if (1..=LIMIT_MAX).contains(&limit) {
        return Ok(limit);
    }
    let detail = format!("limit: is {limit}, must be from 1 to {LIMIT_MAX}");
    Err(Problem::new(Kind::BadRequest, detail))
}

async fn page(
    house: &House,
    filter: &Filter,
    mut at: At,
    limit: usize,
) -> Result<(Vec<JobView>, Option<At>), Problem> {
    let has_ended = filter.state.map(JobState::is_terminal);
    if has_ended == Some(true) && filter.account.is_none() {
        at.ended = true;
    }
    let fits = |view: &JobView| {
        filter.state.is_none_or(|state| view.state() == Some(state))
            && filter
                .tool
                .as_ref()
                .is_none_or(|tool| view.text("tool") == tool)
    };
    let mut found = Vec::new();
    for _ in 0..LOOKS_MAX {
        let (jobs, is_end) = look(house, filter, &at).await?;
        for (at_ms, view) in jobs {
            at.last = Some((at_ms, view.job.to_string()));
            if fits(&view) {
                found.push(view);
                if found.len() == limit {
                    return Ok((found, Some(at)));
                }
            }
        }
        if is_end {
            if filter.account.is_some() || at.ended || has_ended == Some(false) {
                return Ok((found, None));
            }
            at = At {
                ended: true,
                last: None,
            };
        }
    }
    Ok((found, Some(at)))
}

/// The next jobs of an index over all partitions it stands in, in its order, and whether they are the last.
async fn look(
    house: &House,
    filter: &Filter,
    at: &At,
) -> Result<(Vec<(u64, JobView)>, bool), Problem> {
    let store = &house.store;
    let (index, partitions) = match &filter.account {
        Some(account) => {
            let partition = account.partition(store.partitions());
            (JobIndex::OfAccount(account.clone()), partition..=partition)
        }
        None => {
            let all = 0..=store.partitions().saturating_sub(1);
            let index = if at.ended {
                JobIndex::Ended
            } else {
                JobIndex::Open
            };
            (index, all)
        }
    };
    let earliest_first = index == JobIndex::Open;
    let place = at.last.clone().map(|(ms, job)| Place::behind(ms, job));
    let (mut jobs, mut is_end) = (Vec::new(), true);
    // Behind the end of a page that has more, nothing of other partitions is known to be next.
    let mut known_until: Option<(u64, String)> = None;
    for partition in partitions {
        let page = store.job_page(partition, &index, place.as_ref()).await;
        let page = page.map_err(Problem::harmless)?;
        if let Some(next) = &page.next {
            let (ms, job) = next.last();
            let end = (ms, job.to_owned());
            is_end = false;
            known_until = Some(match known_until {
                Some(before) if earliest_first => before.min(end),
                Some(before) => before.max(end),
                None => end,
            });
        }
        jobs.extend(page.jobs);
    }
    if index != JobIndex::Open {
        let older = older(house, filter, &index, at).await?;
        if older.len() >= OLDER {
            is_end = false;
            let end = older.last().map(|(ms, view)| (*ms, view.job.to_string()));
            known_until = known_until.max(end);
        }
        let known: BTreeSet<JobId> = jobs.iter().map(|(_, view)| view.job.clone()).collect();
        jobs.extend(
            older
                .into_iter()
                .filter(|(_, view)| !known.contains(&view.job)),
        );
    }
    let key = |one: &(u64, JobView)| (one.0, one.1.job.to_string());
    jobs.sort_by_cached_key(key);
    if !earliest_first {
        jobs.reverse();
    }
    if let Some(end) = known_until {
        jobs.retain(|one| {
            let own = key(one);
            if earliest_first {
                own <= end
            } else {
                own >= end
            }
        });
    }
    Ok((jobs, is_end))
}

/// The next ended jobs that history has, in the order of an index of the store. Asked behind the store: what
/// that forgets in between stands here.
async fn older(
    house: &House,
    filter: &Filter,
    index: &JobIndex,
    at: &At,
) -> Result<Vec<(u64, JobView)>, Problem> {
    let listed = Listed {
        account: filter.account.clone(),
        state: filter.state,
        by_end: *index == JobIndex::Ended,
        after: at.last.clone(),
        limit: OLDER,
    };
    Ok(house.history.ended(&listed).await?)
}
