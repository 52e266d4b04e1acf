//! What goes on in the background: an order for all dead letters of a filter, its progress, and where to ask.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::jobs::redrive;
use super::shapes::ProblemBody;
use crate::api::House;
use crate::api::extract::answer;
use crate::api::problem::{Kind, Problem};
use crate::desk::dead::{Selection, Walk, dropped};
use crate::domain::ids::JobId;
use crate::store::{DeadFilter, DeadLetter, Payer};
use crate::wire::Run;

/// Runs that are remembered, and that may go on at a time.
const RUNS_KEPT: usize = 100;
const RUNS_AT_ONCE: usize = 4;

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
            let detail = "as many runs go on as may";
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
            dropped: 0,
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

/// What is done to each dead letter.
#[derive(Debug, Clone, Copy)]
pub(super) enum Deed {
    /// It becomes a new job, at this payer's cost.
    Retry(Payer),
    /// It is let go.
    Drop,
}

/// Something to be done to all dead letters that fit.
pub(super) struct Order {
    pub(super) filter: DeadFilter,
    pub(super) deed: Deed,
    pub(super) reason: String,
    pub(super) actor: String,
}

impl Order {
    /// Goes on in the background from here.
    pub(super) fn begin(self, house: &Arc<House>) -> Result<Run, Problem> {
        let run = house.runs.begin()?;
        tokio::spawn(self.carry_out(Arc::clone(house), run.clone()));
        Ok(run)
    }

    async fn carry_out(self, house: Arc<House>, mut run: Run) {
        let done = self.walk(&house, &mut run).await;
        if done { "done" } else { "broken" }.clone_into(&mut run.state);
        house.runs.note(&run);
    }

    /// Does it to all; false where the store is away, or this process stops.
    async fn walk(&self, house: &House, run: &mut Run) -> bool {
        let mut walk = Walk::over(&house.store, &Selection::Fitting(self.filter.clone()));
        loop {
            let letter = match walk.next().await {
                Ok(None) => return true,
                Ok(Some(step)) => step.letter,
                Err(_) => return false,
            };
            let Some(letter) = letter else { continue };
            if house.stop.is_cancelled() || !self.one(house, &letter, run).await {
                return false;
            }
            house.runs.note(run);
        }
    }

    /// Does it to one; false where the store, and not the job, is the trouble.
    async fn one(&self, house: &House, letter: &DeadLetter, run: &mut Run) -> bool {
        run.seen += 1;
        let (reason, actor) = (&self.reason, &self.actor);
        let done = match self.deed {
            Deed::Retry(payer) => {
                let retried = redrive(house, &letter.job, payer, reason, actor).await;
                retried.map(|(retried, replayed)| (retried.hold_ucr, replayed))
            }
            Deed::Drop => drop_one(house, &letter.job, reason, actor).await,
        };
        match done {
            Ok((_, true)) => run.replayed += 1,
            Ok((hold_ucr, false)) => {
                match self.deed {
                    Deed::Retry(_) => run.retried += 1,
                    Deed::Drop => run.dropped += 1,
                }
                run.hold_ucr = run.hold_ucr.saturating_add(hold_ucr);
            }
            Err(problem) => match problem.kind() {
                Kind::StoreUnavailable | Kind::UnknownOutcome | Kind::StoreFull => return false,
                kind => *run.refused.entry(kind.word().to_owned()).or_default() += 1,
            },
        }
        true
    }
}

/// Lets one go: nothing is held for it, and whether it had been dropped before.
async fn drop_one(
    house: &House,
    job: &JobId,
    reason: &str,
    actor: &str,
) -> Result<(i64, bool), Problem> {
    let outcome = house.store.drop_dead(job, reason, actor).await?;
    Ok((0, dropped(job, outcome)?.replayed))
}

/// How far a run has come
#[utoipa::path(get, path = "/v1/runs/{run}", operation_id = "get_run", tag = "house",
    security(("key" = ["operate"])),
    responses((status = 200, body = Run), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn get(
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
