//! The one way in which a job ends.

use super::book::Booking;
use super::{Book, EntryKind, JobNo, Partition, Step};
use crate::domain::failure::FailureClass;
use crate::domain::job::{Stage, State};

/// How a job ends.
#[derive(Clone, Copy)]
pub(super) struct Ending {
    pub(super) state: State,
    pub(super) class: Option<FailureClass>,
    pub(super) capture_ucr: i64,
    pub(super) absorbed_ucr: i64,
    /// Its own worker says so, and knows; anybody else has to tell the worker.
    pub(super) by_worker: bool,
    /// The provider is done with the last submission.
    pub(super) has_verdict: bool,
}

impl Ending {
    /// An end that no worker asked for.
    pub(super) fn by_the_house(state: State, class: Option<FailureClass>) -> Self {
        Self {
            by_worker: false,
            ..Self::by_its_worker(state, class)
        }
    }

    /// An end without a charge, at its worker's word.
    pub(super) fn by_its_worker(state: State, class: Option<FailureClass>) -> Self {
        Self {
            state,
            class,
            capture_ucr: 0,
            absorbed_ucr: 0,
            by_worker: true,
            has_verdict: false,
        }
    }

    /// Whether credit that expired while it was held comes back: not for what the user did or wanted, nor
    /// as the tail of a capture.
    fn is_our_fault(&self) -> bool {
        match self.class {
            None | Some(FailureClass::UserInput | FailureClass::ContentPolicy) => false,
            Some(
                FailureClass::RateLimited
                | FailureClass::Capacity
                | FailureClass::ProviderFault
                | FailureClass::OurAuth
                | FailureClass::OurBalance
                | FailureClass::Lost
                | FailureClass::UnknownOutcome
                | FailureClass::Timeout,
            ) => true,
        }
    }
}

impl Partition {
    /// Ends an open job: its hold, its place, everything that stands for it. Returns what was given back.
    pub(super) fn end(&mut self, step: &mut Step<'_>, no: JobNo, ending: Ending) -> i64 {
        let Some(job) = self.jobs.get(&no).cloned() else {
            return 0;
        };
        let Some(mut purse) = self.purse(job.account) else {
            return 0;
        };
        purse.expire(step.now_ms);
        let mut hold = purse.end_hold(
            &job.slices,
            ending.capture_ucr,
            ending.is_our_fault(),
            step.now_ms,
        );
        purse.uncount(job.counted_in, hold.released_ucr);
        let absorbed = ending.absorbed_ucr;
        hold.postings
            .extend([(Book::Absorbed, -absorbed), (Book::Revenue, absorbed)]);
        let is_success = ending.state == State::Succeeded;
        let booking = Booking {
            kind: if is_success {
                EntryKind::Settle
            } else {
                EntryKind::Release
            },
            job: Some(no),
            postings: hold.postings,
            trail: hold.trail,
        };
        self.book(step, purse, booking);

        let freed = usize::from(self.is_active(no, job.account));
        let next = self.next_of_lane(step, job.account, freed, Some(no));
        if job.has_open_submission && !ending.has_verdict && !is_success {
            self.obligations.insert((no, job.submissions), step.now_ms);
        }
        self.tell_worker(no, ending.by_worker);
        self.take_out(no);
        self.finished.insert(no, step.now_ms);
        let is_dead_letter = matches!(ending.state, State::Failed | State::TimedOut);
        if is_dead_letter {
            self.dead_letters.insert(no, step.now_ms);
        }
        if let Some(job) = self.jobs.get_mut(&no) {
            job.state = ending.state;
            job.class = ending.class;
            job.captured_ucr = ending.capture_ucr;
            job.absorbed_ucr = absorbed;
            job.released_ucr = hold.released_ucr;
            job.finished_ms = step.now_ms;
            job.stage = Stage::Fresh;
            job.has_open_submission = false;
            (job.has_intent, job.has_handle) = (false, false);
            job.has_payload = is_dead_letter;
            job.take = job.take.filter(|_| ending.by_worker);
            if is_success {
                job.taken_from = hold.taken_from;
            }
        }
        self.admit(job.account, &next);
        hold.released_ucr
    }

    /// A worker is told of what it did not decide, and no longer of what it did.
    fn tell_worker(&mut self, no: JobNo, by_worker: bool) {
        let Some(worker) = self.jobs.get(&no).and_then(|job| job.worker) else {
            return;
        };
        if by_worker {
            let is_empty = self.stops.get_mut(&worker).is_some_and(|stops| {
                stops.remove(&no);
                stops.is_empty()
            });
            if is_empty {
                self.stops.remove(&worker);
            }
        } else {
            self.stops.entry(worker).or_default().insert(no);
        }
    }

    /// Out of every place that an open job can have.
    fn take_out(&mut self, no: JobNo) {
        let Some(account) = self.jobs.get(&no).map(|job| job.account) else {
            return;
        };
        self.drop_entry(no);
        self.deadlines.remove(&no);
        self.due.remove(&no);
        self.leave_lane(no, account);
        self.set_inactive(no, account);
    }
}
