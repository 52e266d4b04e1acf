//! What producers and operators do with one job: cancel it, end it, submit its dead letter again, let it go.

use super::admission::Request;
use super::ending::Ending;
use super::{JobNo, Partition, Reply, Step};
use crate::domain::failure::FailureClass;
use crate::domain::job::State;

impl Partition {
    pub(super) fn cancel(&mut self, step: &mut Step<'_>, no: JobNo) -> Reply {
        let Some(job) = self.jobs.get_mut(&no) else {
            return Reply::UnknownJob;
        };
        if job.state.is_terminal() {
            return Reply::Over(job.state);
        }
        if job.state != State::Running {
            // The deadline stands above a cancel, also before the sweep has come by.
            if step.now_ms >= job.over_ms() {
                self.end(
                    step,
                    no,
                    Ending::by_the_house(State::TimedOut, Some(FailureClass::Timeout)),
                );
                return Reply::Over(State::TimedOut);
            }
            job.cancel_ms = step.now_ms;
            let released_ucr = self.end(step, no, Ending::by_the_house(State::Cancelled, None));
            return Reply::Cancelled { released_ucr };
        }
        if job.cancel_ms == 0 {
            job.cancel_ms = step.now_ms;
            let until_ms = job
                .deadline_ms
                .min(step.now_ms + step.rules.cancel_grace_ms);
            self.deadlines.insert(no, until_ms);
            if let Some(worker) = job.worker {
                self.stops.entry(worker).or_default().insert(no);
            }
        }
        Reply::Cancelling
    }

    pub(super) fn force_fail(
        &mut self,
        step: &mut Step<'_>,
        no: JobNo,
        class: FailureClass,
    ) -> Reply {
        let Some(job) = self.jobs.get(&no) else {
            return Reply::UnknownJob;
        };
        if job.state.is_terminal() && job.is_forced {
            return Reply::ForceEnded {
                state: job.state,
                released_ucr: job.released_ucr,
                replayed: true,
            };
        }
        if job.state.is_terminal() {
            return Reply::Over(job.state);
        }
        let (state, class) = if step.now_ms >= job.over_ms() {
            (State::TimedOut, Some(FailureClass::Timeout))
        } else if job.cancel_ms > 0 {
            (State::Cancelled, None)
        } else {
            (State::Failed, Some(class))
        };
        let released_ucr = self.end(step, no, Ending::by_the_house(state, class));
        if let Some(job) = self.jobs.get_mut(&no) {
            job.is_forced = true;
        }
        Reply::ForceEnded {
            state,
            released_ucr,
            replayed: false,
        }
    }

    pub(super) fn redrive(
        &mut self,
        step: &mut Step<'_>,
        dead: JobNo,
        new: JobNo,
        house: bool,
    ) -> Reply {
        let Some(old) = self.jobs.get(&dead) else {
            return Reply::UnknownJob;
        };
        let (account, ucr, priority) = (old.account, old.hold_ucr, old.priority);
        if let Some((job, is_house)) = old.redriven_as {
            if is_house != house {
                return Reply::OtherPayer { job };
            }
            return Reply::Redriven {
                job,
                hold_ucr: ucr,
                state: self.jobs.get(&job).map_or(State::Queued, |job| job.state),
                replayed: true,
            };
        }
        if old.is_dropped {
            return Reply::WasDropped;
        }
        if !self.dead_letters.contains_key(&dead) {
            return Reply::NotDead { state: old.state };
        }
        if self.jobs.contains_key(&new) {
            return Reply::JobExists;
        }
        let request = Request {
            account,
            job: new,
            ucr,
            priority,
            delay_ms: 0,
            key: None,
            redrive_of: Some(dead),
            payer_is_house: Some(house),
        };
        if let Err(refusal) = self.admit_new(step, &request) {
            return refusal;
        }
        self.let_go(step, dead);
        if let Some(old) = self.jobs.get_mut(&dead) {
            old.redriven_as = Some((new, house));
        }
        Reply::Redriven {
            job: new,
            hold_ucr: ucr,
            state: self.jobs.get(&new).map_or(State::Queued, |job| job.state),
            replayed: false,
        }
    }

    pub(super) fn drop_dead(&mut self, step: &Step<'_>, no: JobNo) -> Reply {
        let Some(job) = self.jobs.get(&no) else {
            return Reply::UnknownJob;
        };
        if job.is_dropped {
            return Reply::Dropped { replayed: true };
        }
        if let Some((job, _)) = job.redriven_as {
            return Reply::RedrivenAs { job };
        }
        if !self.dead_letters.contains_key(&no) {
            return Reply::NotDead { state: job.state };
        }
        self.let_go(step, no);
        if let Some(job) = self.jobs.get_mut(&no) {
            job.is_dropped = true;
        }
        Reply::Dropped { replayed: false }
    }

    /// A dead letter no more; its record stays as long as any other's.
    fn let_go(&mut self, step: &Step<'_>, no: JobNo) {
        self.dead_letters.remove(&no);
        self.finished.insert(no, step.now_ms);
        if let Some(job) = self.jobs.get_mut(&no) {
            job.has_payload = false;
        }
    }
}
