//! Credit on its way through a hold: pinned, captured, given back.

use super::account::Purse;
use super::{Book, DAY_MS, GrantNo, Kind, TakenFrom, Trail};

/// What the end of a hold came to.
pub(super) struct HoldEnd {
    pub(super) postings: Vec<(Book, i64)>,
    pub(super) trail: Trail,
    pub(super) taken_from: Vec<TakenFrom>,
    pub(super) released_ucr: i64,
}

impl Purse {
    /// Pins what a hold needs, in burn order; it is there.
    pub(super) fn pin(&mut self, ucr: i64) -> Vec<(GrantNo, i64)> {
        let order = self.burn_order();
        let slices = self.drain(&order, ucr);
        for (no, part) in &slices {
            self.pin_in(*no, *part);
        }
        self.account.available_ucr -= ucr;
        self.account.held_ucr += ucr;
        slices
    }

    /// Pins what the house gives for this one hold. Its grant has expired long ago, so that nothing of it
    /// can ever be the account's.
    pub(super) fn pin_house(&mut self, ucr: i64) -> Vec<(GrantNo, i64)> {
        if ucr == 0 {
            return Vec::new();
        }
        let no = self.grant_for(Kind::House, 1);
        self.pin_in(no, ucr);
        self.account.granted_ucr += ucr;
        self.account.held_ucr += ucr;
        vec![(no, ucr)]
    }

    fn pin_in(&mut self, no: GrantNo, ucr: i64) {
        self.touched.insert(no);
        if let Some(grant) = self.account.grants.get_mut(&no) {
            grant.pinned_ucr += ucr;
        }
    }

    /// Ends a hold: the front of its slices is captured, the tail goes back in reverse.
    pub(super) fn end_hold(
        &mut self,
        slices: &[(GrantNo, i64)],
        capture_ucr: i64,
        our_fault: bool,
        now_ms: u64,
    ) -> HoldEnd {
        let held_ucr: i64 = slices.iter().map(|(_, ucr)| ucr).sum();
        let mut end = HoldEnd {
            postings: vec![(Book::Held, -held_ucr), (Book::Revenue, capture_ucr)],
            trail: Trail::default(),
            taken_from: Vec::new(),
            released_ucr: held_ucr - capture_ucr,
        };
        let mut left = capture_ucr;
        let mut to_give_back = Vec::new();
        for (no, ucr) in slices {
            let taken = left.min(*ucr);
            left -= taken;
            self.pin_in(*no, -ucr);
            if let Some(grant) = self.account.grants.get(no).filter(|_| taken > 0) {
                end.trail.taken.push((*no, taken));
                end.taken_from.push(TakenFrom {
                    grant: *no,
                    kind: grant.kind,
                    expires_ms: grant.expires_ms,
                    ucr: taken,
                });
            }
            to_give_back.push((*no, ucr - taken));
        }
        self.account.held_ucr -= held_ucr;
        self.account.captured_ucr += capture_ucr;
        for (no, ucr) in to_give_back.into_iter().rev().filter(|(_, ucr)| *ucr > 0) {
            self.give_back(no, ucr, our_fault, now_ms, &mut end);
        }
        end
    }

    fn give_back(
        &mut self,
        no: GrantNo,
        ucr: i64,
        our_fault: bool,
        now_ms: u64,
        end: &mut HoldEnd,
    ) {
        let Some(grant) = self.account.grants.get(&no).copied() else {
            return;
        };
        let grace_until_ms = grant.expires_ms + DAY_MS;
        let to = if grant.kind == Kind::House {
            self.account.granted_ucr -= ucr;
            end.postings.push((Book::Promo, ucr));
            return;
        } else if !grant.is_due(now_ms) {
            Some(no)
        } else if our_fault && grant.kind != Kind::Grace && grace_until_ms > now_ms {
            Some(self.grant_for(Kind::Grace, grace_until_ms))
        } else {
            None
        };
        if let Some(to) = to {
            let paid = self.make_available(to, ucr);
            end.postings.push((Book::Debt, paid));
            end.postings.push((Book::Available, ucr - paid));
        } else {
            self.account.expired_ucr += ucr;
            end.postings.push((Book::Breakage, ucr));
            end.trail.lost.push((no, ucr));
        }
    }
}
