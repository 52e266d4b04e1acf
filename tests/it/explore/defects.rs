//! Ten defects that billing systems had, each seeded into the small house: whatever they were called
//! there, a promise has to notice.

use meterline::domain::failure::FailureClass;
use meterline::domain::job::{Stage, State};
use meterline::domain::reference::{Done, EntryKind, JobNo, Op, Partition, Reply};
use stateright::{Checker, Model};

use super::world::{Budget, House, RULES, Worker, World};

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Defect {
    /// The state is written first and the money in a second write, which a death in between loses.
    StateBeforeMoney,
    /// A release that fails is logged, and nothing tries it again.
    ReleaseIsTriedOnce,
    /// What no provider has a handle for is failed in bulk, and not given back.
    NoHandleNoRelease,
    /// The money is given back first and the state written in a second write, without comparing.
    MoneyBeforeState,
    /// That a job was settled is known to its worker's memory alone.
    EndsInMemory,
    /// A refund adds to the balance, as often as it is called.
    RefundsWithoutId,
    /// A settlement takes the price of today.
    PricesAnew,
    /// A settlement above the hold takes the rest from the balance, whatever is there.
    ChargesAboveTheHold,
    /// Who has enough needs no hold.
    RichNeedNoHold,
    /// What ran out of time is left to an administrator.
    LeftToAnAdministrator,
}

impl Defect {
    /// Whether the second write is an act of its own.
    pub(super) fn writes_twice(self) -> bool {
        matches!(self, Self::StateBeforeMoney | Self::MoneyBeforeState)
    }

    /// Does an operation as a house with this defect does it.
    pub(super) fn apply(self, world: &mut World, now_ms: u64, op: &Op) -> Done {
        let before = world.store.state.clone();
        let mut done = world.store.state.apply(&RULES, now_ms, op);
        let runner = op.job().and_then(|job| world.runner_of(job));
        let is_running = runner.is_some();
        let state = &mut world.store.state;
        match (self, op) {
            (Self::StateBeforeMoney, Op::Fail { job, .. })
                if is_running && done.has_ended(*job) =>
            {
                state.accounts.clone_from(&before.accounts);
                done.entries.clear();
                world.aside = runner.map(|worker| (worker, *job, Box::new(before)));
            }
            (Self::MoneyBeforeState, Op::Fail { job, .. })
                if is_running && done.has_ended(*job) =>
            {
                forget_the_end(state, *job, &before);
                world.aside = runner.map(|worker| (worker, *job, Box::new(before)));
            }
            (Self::EndsInMemory, Op::Settle { job, .. }) if done.has_ended(*job) => {
                world.aside = runner.map(|worker| (worker, *job, Box::new(before)));
            }
            (Self::ReleaseIsTriedOnce, Op::Tick { .. }) => {
                for job in done.ended_jobs() {
                    forget_the_end(state, job, &before);
                    state.deadlines.remove(&job);
                    state.accounts.clone_from(&before.accounts);
                }
                done.keep_only_expiry();
            }
            (Self::NoHandleNoRelease, Op::Tick { .. }) => {
                let has_none = |job: &JobNo| before.jobs[job].stage == Stage::Fresh;
                keep_the_money(state, &before, &mut done, has_none, State::Failed);
            }
            (Self::LeftToAnAdministrator, Op::Tick { .. }) => {
                keep_the_money(state, &before, &mut done, |_| true, State::TimedOut);
            }
            (Self::RefundsWithoutId, Op::Refund { job, .. }) => {
                *state = before;
                done.entries.clear();
                refund_blindly(state, *job);
            }
            (Self::ChargesAboveTheHold, Op::Settle { .. }) if done.reply == Reply::AboveCeiling => {
                done = charge_blindly(state, now_ms, op);
            }
            (Self::RichNeedNoHold, Op::Submit { .. }) if !done.entries.is_empty() => {
                state.accounts.clone_from(&before.accounts);
                done.entries.clear();
            }
            _ => {}
        }
        done
    }
}

/// The job that a worker's word is about.
trait About {
    fn job(&self) -> Option<JobNo>;
}

impl About for Op {
    fn job(&self) -> Option<JobNo> {
        match *self {
            Self::Fail { job, .. } | Self::Settle { job, .. } => Some(job),
            _ => None,
        }
    }
}

/// What a defect needs to know of what was done.
trait Ended {
    fn ended_jobs(&self) -> Vec<JobNo>;
    fn has_ended(&self, job: JobNo) -> bool;
    fn keep_only_expiry(&mut self);
}

impl Ended for Done {
    fn ended_jobs(&self) -> Vec<JobNo> {
        let ends = |kind| matches!(kind, EntryKind::Settle | EntryKind::Release);
        let entries = self.entries.iter().filter(|entry| ends(entry.kind));
        entries.filter_map(|entry| entry.job).collect()
    }

    fn has_ended(&self, job: JobNo) -> bool {
        self.ended_jobs().contains(&job)
    }

    fn keep_only_expiry(&mut self) {
        if !self.ended_jobs().is_empty() {
            self.entries.clear();
        }
    }
}

impl World {
    fn runner_of(&self, job: JobNo) -> Option<u8> {
        let runs = |worker: &Worker| matches!(worker, Worker::Runs { job: its, .. } if *its == job);
        self.workers
            .iter()
            .position(runs)
            .and_then(|n| u8::try_from(n).ok())
    }
}

/// The job, and where it stood, as before its end; the money stays as it is.
pub(super) fn forget_the_end(state: &mut Partition, no: JobNo, before: &Partition) {
    let Some(job) = before.jobs.get(&no) else {
        return;
    };
    state.finished.remove(&no);
    state.dead_letters.remove(&no);
    state.jobs.insert(no, job.clone());
    state.active.entry(job.account).or_default().insert(no);
    state
        .deadlines
        .extend(before.deadlines.get(&no).map(|at_ms| (no, *at_ms)));
    let streams = state.ready.iter_mut().zip(&before.ready);
    for (stream, _) in streams.filter(|(_, stood)| stood.contains(&no)) {
        stream.push(no);
    }
}

/// The second of two writes: what was left out of the first.
pub(super) fn write_the_rest(world: &mut World, defect: Defect, no: JobNo, before: &Partition) {
    let now_ms = world.now_ms();
    let mut whole = before.clone();
    let class = FailureClass::ProviderFault;
    let end = Op::ForceFail { job: no, class };
    if defect == Defect::StateBeforeMoney {
        whole.accounts.clone_from(&world.store.state.accounts);
        let done = whole.apply(&RULES, now_ms, &end);
        world.store.state.accounts = whole.accounts;
        world.read_journal([false; 2], &done);
    } else {
        let accounts = world.store.state.accounts.clone();
        world.store.state.apply(&RULES, now_ms, &end);
        world.store.state.accounts = accounts;
    }
}

/// Jobs that a sweep ended are in that state, and what they held stays held.
fn keep_the_money(
    state: &mut Partition,
    before: &Partition,
    done: &mut Done,
    meant: impl Fn(&JobNo) -> bool,
    how: State,
) {
    let meant: Vec<JobNo> = done.ended_jobs().into_iter().filter(meant).collect();
    if meant.is_empty() {
        return;
    }
    state.accounts.clone_from(&before.accounts);
    done.entries.clear();
    for no in meant {
        if let Some(job) = state.jobs.get_mut(&no) {
            job.state = how;
            job.released_ucr = 0;
        }
    }
}

fn refund_blindly(state: &mut Partition, no: JobNo) {
    let Some(job) = state.jobs.get_mut(&no) else {
        return;
    };
    let ucr = job.captured_ucr;
    job.refunded_ucr += ucr;
    if let Some(account) = state.accounts.get_mut(&job.account) {
        account.available_ucr += ucr;
        account.refunded_ucr += ucr;
    }
}

/// All that is asked for, out of the hold and then out of whatever is there.
fn charge_blindly(state: &mut Partition, now_ms: u64, op: &Op) -> Done {
    let Op::Settle { job, take, ucr, .. } = *op else {
        return state.apply(&RULES, now_ms, op);
    };
    let hold_ucr = state.jobs[&job].hold_ucr;
    let within = Op::Settle {
        job,
        take,
        ucr: hold_ucr,
        absorbed_ucr: 0,
    };
    let done = state.apply(&RULES, now_ms, &within);
    if let Some(known) = state.jobs.get_mut(&job) {
        known.captured_ucr = ucr;
        if let Some(account) = state.accounts.get_mut(&known.account) {
            account.available_ucr -= ucr - hold_ucr;
            account.captured_ucr += ucr - hold_ucr;
        }
    }
    done
}

/// Nothing goes wrong but the defect.
const CALM: Budget = Budget {
    deaths: 0,
    unheard: 0,
    echoes: 0,
    stalls: 0,
    failures: 0,
    cancels: 0,
    refunds: 0,
    sleeps: 0,
    fail_overs: 0,
    price_rises: 0,
};
const A_FAILURE: Budget = Budget {
    failures: 1,
    ..CALM
};
const A_DEATH: Budget = Budget { deaths: 1, ..CALM };

/// The promise that notices, and how the walk came there.
#[expect(clippy::print_stderr, reason = "scripts/explore shows who noticed")]
fn assert_noticed(defect: Defect, budget: Budget, promise: &'static str) {
    let house = House {
        budget,
        defect: Some(defect),
    };
    let found = stateright::HasDiscoveries::AnyOf([promise].into_iter().collect());
    let checker = house.checker().finish_when(found).spawn_bfs().join();
    let path = checker.assert_any_discovery(promise);
    eprintln!(
        "{defect:?} breaks {promise:?} after {:?}",
        path.into_actions()
    );
}

#[test]
fn a_state_written_before_its_money_is_noticed() {
    assert_noticed(
        Defect::StateBeforeMoney,
        A_FAILURE,
        "held is what open jobs hold",
    );
}

#[test]
fn a_death_between_two_writes_that_loses_the_release_is_noticed_in_the_end() {
    assert_noticed(
        Defect::StateBeforeMoney,
        Budget {
            deaths: 1,
            ..A_FAILURE
        },
        "in the end every job has ended and nothing is held",
    );
}

#[test]
fn a_release_that_failed_and_is_not_tried_again_is_noticed() {
    assert_noticed(
        Defect::ReleaseIsTriedOnce,
        CALM,
        "in the end every job has ended and nothing is held",
    );
}

#[test]
fn jobs_without_a_handle_that_are_failed_without_a_release_are_noticed() {
    assert_noticed(
        Defect::NoHandleNoRelease,
        CALM,
        "an ended job kept or gave back all of its hold",
    );
}

#[test]
fn a_double_release_for_want_of_a_comparison_is_noticed() {
    assert_noticed(
        Defect::MoneyBeforeState,
        Budget {
            echoes: 1,
            ..A_FAILURE
        },
        "a hold ends once",
    );
}

#[test]
fn an_end_that_only_a_dead_process_remembered_is_noticed() {
    assert_noticed(
        Defect::EndsInMemory,
        A_DEATH,
        "never both charged and given back in full",
    );
}

#[test]
fn a_refund_that_counts_twice_is_noticed() {
    assert_noticed(
        Defect::RefundsWithoutId,
        Budget { refunds: 2, ..CALM },
        "a refund is never above its capture",
    );
}

#[test]
fn a_settlement_at_todays_price_is_noticed() {
    assert_noticed(
        Defect::PricesAnew,
        Budget {
            price_rises: 1,
            ..CALM
        },
        "a job is charged the price it was submitted at",
    );
}

#[test]
fn a_charge_above_the_hold_is_noticed() {
    assert_noticed(
        Defect::ChargesAboveTheHold,
        CALM,
        "a capture is never above its ceiling",
    );
}

#[test]
fn a_balance_that_such_a_charge_takes_below_zero_is_noticed() {
    assert_noticed(Defect::ChargesAboveTheHold, CALM, "nothing is below zero");
}

#[test]
fn a_job_without_a_hold_is_noticed() {
    assert_noticed(Defect::RichNeedNoHold, CALM, "held is what open jobs hold");
}

#[test]
fn a_hold_that_is_left_to_an_administrator_is_noticed() {
    assert_noticed(
        Defect::LeftToAnAdministrator,
        CALM,
        "in the end every job has ended and nothing is held",
    );
}
