//! A job comes in: its hold and its place, both or neither.

use super::account::Purse;
use super::book::Booking;
use super::{
    AccountNo, AccountState, Book, Class, EntryKind, GrantNo, Job, JobNo, KeyNo, Op, Partition,
    Reply, Step, Trail,
};
use crate::domain::job::{Priority, Stage, State};

/// The ends of the day and the month that a hold counts in, ms; `None` where it counts in none.
type Periods = Option<(u64, u64)>;

/// What is asked for.
pub(super) struct Request {
    pub(super) account: AccountNo,
    pub(super) job: JobNo,
    pub(super) ucr: i64,
    pub(super) priority: Priority,
    pub(super) delay_ms: u64,
    pub(super) key: Option<KeyNo>,
    pub(super) redrive_of: Option<JobNo>,
    pub(super) payer_is_house: Option<bool>,
}

impl Partition {
    pub(super) fn submit(&mut self, step: &mut Step<'_>, op: &Op) -> Reply {
        let Op::Submit {
            account,
            job,
            ucr,
            priority,
            delay_ms,
            key,
        } = *op
        else {
            return Reply::Nothing;
        };
        let made = key.and_then(|key| self.keys.get(&(account, key)).copied());
        let before = made.unwrap_or(job);
        if let Some(known) = self.jobs.get(&before) {
            if known.hold_ucr != ucr {
                return Reply::KeyMismatch { job: before };
            }
            return Reply::Held {
                job: before,
                hold_ucr: known.hold_ucr,
                state: known.state,
                replayed: true,
            };
        }
        let request = Request {
            account,
            job,
            ucr,
            priority,
            delay_ms,
            key,
            redrive_of: None,
            payer_is_house: None,
        };
        if let Err(refusal) = self.admit_new(step, &request) {
            return refusal;
        }
        if let Some(key) = key {
            self.keys.insert((account, key), job);
        }
        Reply::Held {
            job,
            hold_ucr: ucr,
            state: self.jobs.get(&job).map_or(State::Queued, |job| job.state),
            replayed: false,
        }
    }

    /// An account that may spend, or why it may not.
    pub(super) fn spender(&self, account: AccountNo) -> Result<Purse, Reply> {
        let purse = self.purse(account).ok_or(Reply::UnknownAccount)?;
        if self.is_frozen {
            return Err(Reply::Frozen { account: None });
        }
        match purse.account.state {
            AccountState::Open => Ok(purse),
            AccountState::Frozen => Err(Reply::Frozen {
                account: Some(account),
            }),
            AccountState::Closed => Err(Reply::AccountClosed),
        }
    }

    /// Holds and queues, or says why not.
    pub(super) fn admit_new(
        &mut self,
        step: &mut Step<'_>,
        request: &Request,
    ) -> Result<(), Reply> {
        let mut purse = self.spender(request.account)?;
        let is_house = request.payer_is_house == Some(true);
        if is_house && purse.account.overflows(request.ucr) {
            return Err(Reply::Overflow);
        }
        if self.deadlines.len() >= step.rules.open_max {
            return Err(Reply::QueueFull);
        }
        let spent = (!is_house).then(|| purse.account.spent_at(step.now_ms));
        if let Some(refusal) = spent.and_then(|spent| purse.account.over_cap(&spent, request.ucr)) {
            return Err(refusal);
        }
        purse.expire(step.now_ms);
        if !is_house && (purse.account.debt_ucr > 0 || purse.account.available_ucr < request.ucr) {
            return Err(Reply::Insufficient {
                need_ucr: request.ucr,
                available_ucr: purse.account.available_ucr - purse.account.debt_ucr,
            });
        }
        let waiting = self
            .lanes
            .get(&request.account)
            .map_or(0, std::collections::BTreeMap::len);
        let has_room = waiting == 0
            && self.active_count(request.account) < self.active_max(step, request.account);
        if request.delay_ms == 0 && !has_room && waiting >= step.rules.lane_max {
            return Err(Reply::LaneFull);
        }
        let slices = if is_house {
            purse.pin_house(request.ucr)
        } else {
            purse.pin(request.ucr)
        };
        let counted_in = spent.map(|spent| purse.count(spent, request.ucr));
        let source = if is_house {
            Book::Promo
        } else {
            Book::Available
        };
        let booking = Booking {
            kind: EntryKind::Hold,
            job: Some(request.job),
            postings: vec![(source, -request.ucr), (Book::Held, request.ucr)],
            trail: Trail {
                slices: slices.clone(),
                ..Trail::default()
            },
        };
        self.book(step, purse, booking);
        self.place_new(step, request, has_room, (slices, counted_in));
        Ok(())
    }

    fn place_new(
        &mut self,
        step: &Step<'_>,
        request: &Request,
        has_room: bool,
        (slices, counted_in): (Vec<(GrantNo, i64)>, Periods),
    ) {
        let due_ms = step.now_ms + request.delay_ms;
        let ttl_ms = due_ms + step.rules.queue_ttl_ms;
        let job = Job {
            account: request.account,
            priority: request.priority,
            state: State::Scheduled,
            hold_ucr: request.ucr,
            slices,
            counted_in,
            key: request.key,
            stream: None,
            is_front: false,
            created_ms: step.now_ms,
            due_ms,
            ttl_ms,
            started_ms: 0,
            deadline_ms: 0,
            cancel_ms: 0,
            finished_ms: 0,
            take: None,
            takes: 0,
            worker: None,
            tries: 0,
            takeovers: 0,
            stage: Stage::Fresh,
            submissions: 0,
            has_open_submission: false,
            has_intent: false,
            has_handle: false,
            has_artifact: false,
            has_payload: true,
            class: None,
            captured_ucr: 0,
            released_ucr: 0,
            absorbed_ucr: 0,
            refunded_ucr: 0,
            taken_from: Vec::new(),
            redrive_of: request.redrive_of,
            payer_is_house: request.payer_is_house,
            redriven_as: None,
            is_dropped: false,
            is_forced: false,
        };
        let no = request.job;
        self.jobs.insert(no, job);
        self.deadlines.insert(no, ttl_ms);
        if request.delay_ms > 0 {
            self.due.insert(no, due_ms);
        } else if has_room {
            self.set_active(no, request.account);
            self.enqueue(no, Class::of(request.priority));
        } else {
            self.enter_lane(step, no, request.account);
        }
    }
}
