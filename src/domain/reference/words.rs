//! What a worker says about its job. Only the latest claim's words count.

use super::ending::Ending;
use super::{Class, Job, JobNo, Note, Op, Partition, Reply, Step};
use crate::domain::failure::FailureClass;
use crate::domain::job::{Stage, State};

/// The end that stands above whatever a worker says: the deadline first, then a cancel.
fn overruled(job: &Job, now_ms: u64) -> Option<(State, Option<FailureClass>)> {
    if now_ms >= job.deadline_ms {
        Some((State::TimedOut, Some(FailureClass::Timeout)))
    } else if job.cancel_ms > 0 {
        Some((State::Cancelled, None))
    } else {
        None
    }
}

impl Partition {
    /// A running job of this claim.
    fn running(&self, no: JobNo, take: u32) -> Option<Job> {
        let job = self.jobs.get(&no)?;
        (job.state == State::Running && job.is_taken_by(take)).then(|| job.clone())
    }

    pub(super) fn note(&mut self, step: &Step<'_>, no: JobNo, take: u32, note: Note) -> Reply {
        let Some(mut job) = self.running(no, take) else {
            return Reply::Fenced;
        };
        match note {
            Note::Intent(submission) => {
                if job.cancel_ms > 0 {
                    return Reply::Ended(State::Cancelled);
                }
                if step.now_ms >= job.deadline_ms {
                    return Reply::Ended(State::TimedOut);
                }
                let is_again = submission == job.submissions && job.stage == Stage::Intent;
                let is_next = submission == job.submissions + 1 && !job.has_open_submission;
                if !is_again && !is_next {
                    return Reply::OutOfOrder;
                }
                job.stage = Stage::Intent;
                job.submissions = submission;
                job.has_open_submission = true;
                (job.has_intent, job.has_handle, job.has_artifact) = (true, false, false);
            }
            Note::Handle => {
                job.stage = Stage::Handle;
                job.has_handle = true;
            }
            Note::Artifact => {
                job.stage = Stage::Artifact;
                job.has_artifact = true;
            }
        }
        self.jobs.insert(no, job);
        Reply::Noted
    }

    pub(super) fn settle(
        &mut self,
        step: &mut Step<'_>,
        no: JobNo,
        take: u32,
        (ucr, absorbed_ucr): (i64, i64),
    ) -> Reply {
        let Some(job) = self.jobs.get(&no).filter(|job| job.is_taken_by(take)) else {
            return Reply::Fenced;
        };
        match job.state {
            State::Succeeded if (job.captured_ucr, job.absorbed_ucr) == (ucr, absorbed_ucr) => {
                return Reply::Settled {
                    captured_ucr: ucr,
                    released_ucr: job.hold_ucr - ucr,
                    replayed: true,
                };
            }
            State::Succeeded => {
                return Reply::SettledOtherwise {
                    captured_ucr: job.captured_ucr,
                };
            }
            State::TimedOut | State::Cancelled => return Reply::Ended(job.state),
            State::Failed | State::Scheduled | State::Queued => return Reply::Fenced,
            State::Running => {}
        }
        if let Some((state, class)) = overruled(job, step.now_ms) {
            self.end(step, no, Ending::by_its_worker(state, class));
            return Reply::Ended(state);
        }
        if ucr > job.hold_ucr {
            return Reply::AboveCeiling;
        }
        let ending = Ending {
            capture_ucr: ucr,
            absorbed_ucr,
            ..Ending::by_its_worker(State::Succeeded, None)
        };
        let released_ucr = self.end(step, no, ending);
        if let Some(job) = self.jobs.get_mut(&no) {
            job.has_artifact = true;
        }
        Reply::Settled {
            captured_ucr: ucr,
            released_ucr,
            replayed: false,
        }
    }

    pub(super) fn fail(&mut self, step: &mut Step<'_>, op: &Op) -> Reply {
        let Op::Fail {
            job: no,
            take,
            class,
            again,
            has_verdict,
        } = *op
        else {
            return Reply::Nothing;
        };
        let Some(job) = self.jobs.get(&no).filter(|job| job.is_taken_by(take)) else {
            return Reply::Fenced;
        };
        match job.state {
            State::Failed | State::TimedOut | State::Cancelled => return Reply::Ended(job.state),
            State::Succeeded | State::Scheduled | State::Queued => return Reply::Fenced,
            State::Running => {}
        }
        let overruled = overruled(job, step.now_ms);
        let (state, class_kept) = overruled.unwrap_or((State::Failed, Some(class)));
        if let (Some((delay_ms, tries)), None) = (again, overruled) {
            self.retry(step, no, (class, delay_ms, tries), has_verdict);
            return Reply::Rescheduled;
        }
        let ending = Ending {
            has_verdict,
            ..Ending::by_its_worker(state, class_kept)
        };
        self.end(step, no, ending);
        Reply::Ended(state)
    }

    /// Again later with the same hold: it makes room meanwhile, and comes back to the front of its lane.
    fn retry(
        &mut self,
        step: &Step<'_>,
        no: JobNo,
        (class, delay_ms, tries): (FailureClass, u64, u32),
        has_verdict: bool,
    ) {
        let Some(account) = self.jobs.get(&no).map(|job| job.account) else {
            return;
        };
        let freed = usize::from(self.is_active(no, account));
        let next = self.next_of_lane(step, account, freed, Some(no));
        self.drop_entry(no);
        self.set_inactive(no, account);
        let due_ms = step.now_ms + delay_ms;
        self.due.insert(no, due_ms);
        if let Some(job) = self.jobs.get_mut(&no) {
            if job.has_open_submission && !has_verdict {
                self.obligations.insert((no, job.submissions), step.now_ms);
            }
            job.state = State::Scheduled;
            (job.take, job.worker) = (None, None);
            job.forget_submission();
            job.tries = tries;
            job.due_ms = due_ms;
            job.class = Some(class);
            job.is_front = true;
        }
        self.admit(account, &next);
    }

    pub(super) fn defer(
        &mut self,
        step: &mut Step<'_>,
        (no, take): (JobNo, u32),
        delay_ms: u64,
        keep: bool,
        ahead: bool,
    ) -> Reply {
        let Some(mut job) = self.running(no, take) else {
            return Reply::Fenced;
        };
        if let Some((state, class)) = overruled(&job, step.now_ms) {
            let ending = Ending {
                has_verdict: !keep,
                ..Ending::by_its_worker(state, class)
            };
            self.end(step, no, ending);
            return Reply::Ended(state);
        }
        self.drop_entry(no);
        job.state = State::Scheduled;
        (job.take, job.worker, job.stream) = (None, None, None);
        job.due_ms = step.now_ms + delay_ms;
        if !keep {
            job.forget_submission();
        }
        let class = if ahead {
            Class::Resume
        } else {
            Class::again(job.stage, job.priority)
        };
        let due_ms = job.due_ms;
        self.jobs.insert(no, job);
        if delay_ms > 0 {
            self.due.insert(no, due_ms);
        } else {
            self.enqueue(no, class);
        }
        Reply::Deferred
    }
}

impl Job {
    fn forget_submission(&mut self) {
        self.stage = Stage::Fresh;
        self.has_open_submission = false;
        (self.has_intent, self.has_handle, self.has_artifact) = (false, false, false);
    }
}
