//! Credit comes in, and corrections take it out again.

use super::account::Purse;
use super::book::Booking;
use super::{
    AMOUNT_MAX_UCR, AccountNo, AccountState, Book, Correction, EntryKind, GrantNo, Kept, Kind,
    OpNo, Partition, Print, Reply, Step, Trail,
};

impl Partition {
    pub(super) fn grant(
        &mut self,
        step: &mut Step<'_>,
        account: AccountNo,
        op: OpNo,
        ucr: i64,
        (kind, expires_ms): (Kind, u64),
    ) -> Reply {
        let Some(mut purse) = self.purse(account) else {
            return Reply::UnknownAccount;
        };
        let print = Print::Grant(ucr, kind, expires_ms);
        if let Some(before) = purse.account.done_before(op, print) {
            return before;
        }
        if purse.account.state == AccountState::Closed {
            return Reply::AccountClosed;
        }
        if ucr <= 0 {
            return Reply::Nothing;
        }
        if matches!(kind, Kind::Grace | Kind::House) {
            return Reply::NotGrantable;
        }
        if expires_ms > 0 && expires_ms <= step.now_ms {
            return Reply::ExpiredAlready;
        }
        if kind == Kind::Purchase && expires_ms > 0 {
            return Reply::PurchaseExpires;
        }
        purse.expire(step.now_ms);
        let (grant, paid) = match purse.add(step, kind, expires_ms, ucr) {
            Ok(added) => added,
            Err(refusal) => return refusal,
        };
        purse.account.granted_ucr += ucr;
        let source = match kind {
            Kind::Purchase | Kind::Plan | Kind::Adjustment => Book::World,
            Kind::Grace | Kind::Daily | Kind::Promo | Kind::Signup | Kind::House => Book::Promo,
        };
        let reply = Reply::Granted {
            grant,
            available_ucr: purse.account.available_ucr,
            debt_ucr: purse.account.debt_ucr,
            replayed: false,
        };
        purse.keep(op, print, ucr, &reply);
        let booking = Booking {
            kind: EntryKind::Grant,
            job: None,
            postings: vec![
                (source, -ucr),
                (Book::Available, ucr - paid),
                (Book::Debt, paid),
            ],
            trail: Trail {
                given: vec![(grant, ucr)],
                ..Trail::default()
            },
        };
        self.book(step, purse, booking);
        reply
    }

    pub(super) fn adjust(
        &mut self,
        step: &mut Step<'_>,
        account: AccountNo,
        op: OpNo,
        correction: Correction,
    ) -> Reply {
        let Some(mut purse) = self.purse(account) else {
            return Reply::UnknownAccount;
        };
        let print = Print::Adjust(correction);
        if let Some(before) = purse.account.done_before(op, print) {
            return before;
        }
        let is_up = matches!(correction, Correction::Up(_));
        if !is_up && (self.is_frozen || purse.account.state == AccountState::Frozen) {
            return Reply::AccountFrozen;
        }
        let (ucr, payment) = match purse.how_much(correction) {
            Ok(found) => found,
            Err(refusal) => return refusal,
        };
        if ucr <= 0 {
            return Reply::Nothing;
        }
        purse.expire(step.now_ms);
        let booked = if is_up {
            purse.correct_up(step, ucr)
        } else {
            purse.correct_down(ucr, payment.map(|(_, grant)| grant))
        };
        let (debt_made_ucr, booking) = match booked {
            Ok(booked) => booked,
            Err(refusal) => return refusal,
        };
        if let Some((payment, _)) = payment {
            *purse.account.clawed.entry(payment).or_default() += ucr;
        }
        let reply = Reply::Adjusted {
            ucr,
            debt_made_ucr,
            available_ucr: purse.account.available_ucr,
            debt_ucr: purse.account.debt_ucr,
            replayed: false,
        };
        purse.keep(op, print, ucr, &reply);
        self.book(step, purse, booking);
        reply
    }
}

impl Purse {
    pub(super) fn keep(&mut self, op: OpNo, print: Print, ucr: i64, reply: &Reply) {
        let kept = Kept {
            print,
            ucr,
            reply: reply.clone(),
        };
        self.account.operations.insert(op, kept);
    }

    /// How much is corrected, and for a clawback which payment and the grant it went into.
    fn how_much(&self, correction: Correction) -> Result<(i64, Option<(OpNo, GrantNo)>), Reply> {
        let (payment, ucr) = match correction {
            Correction::Up(ucr) | Correction::Down(ucr) => return Ok((ucr, None)),
            Correction::Clawback { payment, ucr } => (payment, ucr),
        };
        let Some((given, grant)) =
            self.account
                .operations
                .get(&payment)
                .and_then(|kept| match kept.reply {
                    Reply::Granted { grant, .. } => Some((kept.ucr, grant)),
                    _ => None,
                })
        else {
            return Err(Reply::UnknownPayment);
        };
        let left_ucr = given - self.account.clawed.get(&payment).copied().unwrap_or(0);
        let ucr = ucr.unwrap_or(left_ucr);
        if ucr > left_ucr {
            return Err(Reply::AbovePayment { left_ucr });
        }
        Ok((ucr, Some((payment, grant))))
    }

    fn correct_up(&mut self, step: &Step<'_>, ucr: i64) -> Result<(i64, Booking), Reply> {
        let (grant, paid) = self.add(step, Kind::Adjustment, 0, ucr)?;
        self.account.adjusted_ucr += ucr;
        let booking = Booking {
            kind: EntryKind::Adjust,
            job: None,
            postings: vec![
                (Book::World, -ucr),
                (Book::Available, ucr - paid),
                (Book::Debt, paid),
            ],
            trail: Trail {
                given: vec![(grant, ucr)],
                ..Trail::default()
            },
        };
        Ok((0, booking))
    }

    /// Takes what no hold has pinned, out of `first` before the others; the rest becomes debt.
    fn correct_down(&mut self, ucr: i64, first: Option<GrantNo>) -> Result<(i64, Booking), Reply> {
        if self.account.debt_ucr + self.account.adjusted_ucr.abs() + ucr > AMOUNT_MAX_UCR {
            return Err(Reply::Overflow);
        }
        let mut order = self.burn_order();
        order.sort_by_key(|no| Some(*no) != first);
        let taken = self.drain(&order, ucr);
        let taken_ucr: i64 = taken.iter().map(|(_, ucr)| ucr).sum();
        let made = ucr - taken_ucr;
        self.account.available_ucr -= taken_ucr;
        self.account.debt_ucr += made;
        self.account.adjusted_ucr -= ucr;
        let booking = Booking {
            kind: EntryKind::Adjust,
            job: None,
            postings: vec![
                (Book::Available, -taken_ucr),
                (Book::Debt, -made),
                (Book::World, ucr),
            ],
            trail: Trail {
                taken,
                ..Trail::default()
            },
        };
        Ok((made, booking))
    }

    /// New credit in the grant of this kind and expiry: which, and what went to debt.
    fn add(
        &mut self,
        step: &Step<'_>,
        kind: Kind,
        expires_ms: u64,
        ucr: i64,
    ) -> Result<(GrantNo, i64), Reply> {
        let balance_ucr = self.account.available_ucr + self.account.held_ucr;
        if self.account.overflows(balance_ucr + ucr) {
            return Err(Reply::Overflow);
        }
        let live: Vec<_> = self
            .account
            .grants
            .values()
            .filter(|grant| !grant.is_empty())
            .collect();
        let is_known = live
            .iter()
            .any(|grant| grant.kind == kind && grant.expires_ms == expires_ms);
        if !is_known && live.len() >= step.rules.grants_max {
            return Err(Reply::TooManyGrants);
        }
        let grant = self.grant_for(kind, expires_ms);
        let paid = self.make_available(grant, ucr);
        Ok((grant, paid))
    }
}
