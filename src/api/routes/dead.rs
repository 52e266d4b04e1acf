//! Dead letters: found by a filter, looked at before anything is done, retried in the background.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::jobs::redrive;
use super::listing::limit;
use super::shapes::{Page, ProblemBody};
use crate::api::House;
use crate::api::extract::{Body, Query, answer};
use crate::api::gate::Caller;
use crate::api::problem::{Kind, Problem};
use crate::api::text::{cursor, read_cursor, rfc3339, time_ms};
use crate::domain::failure::FailureClass;
use crate::domain::ids::AccountId;
use crate::store::{DeadFilter, DeadLetter, Payer, Place, Sorting};
use crate::wire::{DeadFilter as Filter, Letter, Look, RetryRequest, Run, Short};

/// Runs that are remembered, and that may go on at a time.
const RUNS_KEPT: usize = 100;
const RUNS_AT_ONCE: usize = 4;
/// Pages that one call of the listing looks through.
const LOOKS_MAX: usize = 10;
/// Accounts that a look names one by one.
const SHORT_MAX: usize = 100;

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

/// Runs by id, those that have ended included.
#[derive(Default)]
pub(in crate::api) struct Runs(Mutex<BTreeMap<String, Run>>);

impl Runs {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Run>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new one, where there is room.
    fn begin(&self) -> Result<Run, Problem> {
        let mut runs = self.lock();
        if runs.values().filter(|run| run.state == "running").count() >= RUNS_AT_ONCE {
            let detail = "as many retries go on as may";
            return Err(Problem::new(Kind::Overloaded, detail).retry_after(5));
        }
        while runs.len() >= RUNS_KEPT {
            // Ids sort by time; those that go on are few.
            let oldest = runs.iter().find(|(_, run)| run.state != "running");
            let Some(oldest) = oldest.map(|(id, _)| id.clone()) else {
                break;
            };
            runs.remove(&oldest);
        }
        let run = Run {
            run: format!("r{}", uuid::Uuid::now_v7().simple()),
            state: "running".to_owned(),
            seen: 0,
            retried: 0,
            replayed: 0,
            hold_ucr: 0,
            refused: BTreeMap::new(),
        };
        runs.insert(run.run.clone(), run.clone());
        Ok(run)
    }

    fn note(&self, run: &Run) {
        self.lock().insert(run.run.clone(), run.clone());
    }
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
        let look = look(&house, &filter, payer).await?;
        return Ok(answer(StatusCode::OK, &look));
    }
    let run = house.runs.begin()?;
    let order = Order {
        filter,
        payer,
        reason: body.reason,
        actor: caller.actor(),
    };
    tokio::spawn(order.carry_out(Arc::clone(&house), run.clone()));
    Ok(answer(StatusCode::ACCEPTED, &run))
}

struct Order {
    filter: DeadFilter,
    payer: Payer,
    reason: String,
    actor: String,
}

impl Order {
    async fn carry_out(self, house: Arc<House>, mut run: Run) {
        let mut at = Some(At::default());
        while let Some(here) = at.take() {
            let Ok((letters, next)) = turn(&house, &self.filter, &here).await else {
                "broken".clone_into(&mut run.state);
                break;
            };
            for letter in letters {
                if house.stop.is_cancelled() || !self.one(&house, &letter, &mut run).await {
                    "broken".clone_into(&mut run.state);
                    house.runs.note(&run);
                    return;
                }
                house.runs.note(&run);
            }
            at = next;
        }
        if run.state == "running" {
            "done".clone_into(&mut run.state);
        }
        house.runs.note(&run);
    }

    /// Retries one; false where the store, and not the job, is the trouble.
    async fn one(&self, house: &House, letter: &DeadLetter, run: &mut Run) -> bool {
        run.seen += 1;
        let (reason, actor) = (&self.reason, &self.actor);
        match redrive(house, &letter.job, self.payer, reason, actor).await {
            Ok((_, true)) => run.replayed += 1,
            Ok((retried, false)) => {
                run.retried += 1;
                run.hold_ucr = run.hold_ucr.saturating_add(retried.hold_ucr);
            }
            Err(problem) => match problem.kind() {
                Kind::StoreUnavailable | Kind::UnknownOutcome | Kind::StoreFull => return false,
                kind => *run.refused.entry(kind.word().to_owned()).or_default() += 1,
            },
        }
        true
    }
}

/// Looks at everything that fits. One number for each account is in memory.
async fn look(house: &House, filter: &DeadFilter, payer: Payer) -> Result<Look, Problem> {
    let mut look = Look {
        dry_run: true,
        ..Look::default()
    };
    // What each account could still spend, and what it is short of.
    let mut purses: HashMap<AccountId, (Short, i64)> = HashMap::new();
    let mut at = Some(At::default());
    while let Some(here) = at.take() {
        let (letters, next) = turn(house, filter, &here).await?;
        for letter in letters {
            if !purses.contains_key(&letter.account) {
                purses.insert(letter.account.clone(), purse(house, &letter.account).await?);
            }
            let Some((short, left_ucr)) = purses.get_mut(&letter.account) else {
                continue;
            };
            let need_ucr = letter.ceiling.get();
            look.jobs += 1;
            look.hold_ucr = look.hold_ucr.saturating_add(need_ucr);
            short.jobs += 1;
            short.need_ucr = short.need_ucr.saturating_add(need_ucr);
            let can_pay = payer == Payer::House || *left_ucr >= need_ucr;
            if can_pay && short.state == "open" {
                *left_ucr -= need_ucr;
                short.payable_jobs += 1;
                look.payable_jobs += 1;
                look.payable_ucr = look.payable_ucr.saturating_add(need_ucr);
            }
        }
        at = next;
    }
    let short = purses
        .into_values()
        .filter(|(short, _)| short.payable_jobs < short.jobs);
    look.short = short.map(|(short, _)| short).collect();
    look.short.sort_by(|a, b| a.account.cmp(&b.account));
    look.short.truncate(SHORT_MAX);
    Ok(look)
}

async fn purse(house: &House, account: &AccountId) -> Result<(Short, i64), Problem> {
    let view = house.store.account(account).await;
    let view = view.map_err(Problem::harmless)?;
    let (state, available_ucr) = view.map_or_else(
        || ("unknown".to_owned(), 0),
        |view| (view.state, view.available_ucr - view.debt_ucr),
    );
    let short = Short {
        account: account.to_string(),
        state,
        jobs: 0,
        need_ucr: 0,
        available_ucr,
        payable_jobs: 0,
    };
    Ok((short, available_ucr))
}

/// How far a retry has come
#[utoipa::path(get, path = "/v1/runs/{run}", operation_id = "get_run", tag = "house",
    security(("key" = ["operate"])),
    responses((status = 200, body = Run), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn run(
    State(house): State<Arc<House>>,
    Path(run): Path<String>,
) -> Result<Response, Problem> {
    let found = house.runs.lock().get(&run).cloned();
    let found = found.ok_or_else(|| {
        Problem::new(
            Kind::UnknownRun,
            format!("there is no run {run} in this process"),
        )
    })?;
    Ok(answer(StatusCode::OK, &found))
}
