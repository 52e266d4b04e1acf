//! A capture goes back into the grants it came from.

use super::account::Purse;
use super::book::Booking;
use super::{
    Book, EntryKind, GrantNo, JobNo, OpNo, Partition, Print, Reply, Step, TakenFrom, Trail,
};
use crate::domain::job::State;

impl Partition {
    pub(super) fn refund(
        &mut self,
        step: &mut Step<'_>,
        no: JobNo,
        op: OpNo,
        ucr: Option<i64>,
    ) -> Reply {
        let Some(job) = self.jobs.get(&no).cloned() else {
            return Reply::UnknownJob;
        };
        let Some(mut purse) = self.purse(job.account) else {
            return Reply::UnknownJob;
        };
        let print = Print::Refund(no, ucr);
        if let Some(before) = purse.account.done_before(op, print) {
            return before;
        }
        if job.state != State::Succeeded
            || job.captured_ucr == 0
            || job.payer_is_house == Some(true)
        {
            return Reply::NotCaptured;
        }
        let left_ucr = job.captured_ucr - job.refunded_ucr;
        let ucr = ucr.unwrap_or(left_ucr);
        if ucr > left_ucr {
            return Reply::AboveCaptured { left_ucr };
        }
        if ucr <= 0 {
            return Reply::Nothing;
        }
        if purse.account.overflows(ucr) {
            return Reply::Overflow;
        }
        purse.expire(step.now_ms);
        let (expired_ucr, booking) =
            purse.un_capture(no, &job.taken_from, job.refunded_ucr, ucr, step.now_ms);
        purse.uncount(job.counted_in, ucr);
        let reply = Reply::Refunded {
            ucr,
            expired_ucr,
            available_ucr: purse.account.available_ucr,
            debt_ucr: purse.account.debt_ucr,
            left_ucr: left_ucr - ucr,
            replayed: false,
        };
        purse.keep(op, print, ucr, &reply);
        self.book(step, purse, booking);
        if let Some(job) = self.jobs.get_mut(&no) {
            job.refunded_ucr += ucr;
        }
        reply
    }
}

impl Purse {
    /// Gives back in reverse of how it was collected, behind what earlier refunds gave back, at the
    /// original expiry. Returns what expires at once.
    fn un_capture(
        &mut self,
        job: JobNo,
        taken_from: &[TakenFrom],
        before_ucr: i64,
        ucr: i64,
        now_ms: u64,
    ) -> (i64, Booking) {
        let (mut skip, mut need, mut expired_ucr) = (before_ucr, ucr, 0);
        let mut postings = vec![(Book::Revenue, -ucr)];
        let mut trail = Trail::default();
        for slice in taken_from.iter().rev() {
            let skipped = slice.ucr.min(skip);
            let back = (slice.ucr - skipped).min(need);
            skip -= skipped;
            need -= back;
            if back == 0 {
                continue;
            }
            let grant = self.grant_again(slice);
            trail.given.push((grant, back));
            if slice.expires_ms > 0 && slice.expires_ms <= now_ms {
                self.touched.insert(grant);
                self.account.expired_ucr += back;
                expired_ucr += back;
                postings.push((Book::Breakage, back));
                trail.lost.push((grant, back));
            } else {
                let paid = self.make_available(grant, back);
                postings.extend([(Book::Debt, paid), (Book::Available, back - paid)]);
            }
        }
        self.account.refunded_ucr += ucr;
        let booking = Booking {
            kind: EntryKind::Refund,
            job: Some(job),
            postings,
            trail,
        };
        (expired_ucr, booking)
    }

    /// The grant as it was when it was captured from, also where nothing is left of it.
    fn grant_again(&mut self, slice: &TakenFrom) -> GrantNo {
        if self.account.grants.contains_key(&slice.grant) {
            return slice.grant;
        }
        let grants = self.account.grants.iter();
        let same =
            |grant: &super::Grant| grant.kind == slice.kind && grant.expires_ms == slice.expires_ms;
        if let Some((no, _)) = grants.clone().find(|(_, grant)| same(grant)) {
            return *no;
        }
        self.restore_grant(slice.grant, slice.kind, slice.expires_ms);
        slice.grant
    }
}
