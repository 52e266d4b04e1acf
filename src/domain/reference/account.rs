//! An account and its grants, and how credit gets into and out of them outside of holds.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    AMOUNT_MAX_UCR, AccountNo, Caps, Correction, GrantNo, JobNo, OpNo, Partition, Reply, Spent,
};

/// What an account may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccountState {
    /// Everything.
    Open,
    /// Spend nothing and get nothing new.
    Closed,
    /// Nothing until somebody has looked.
    Frozen,
}

/// Where credit comes from, in the order in which it burns among equals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Came back for our fault after it had expired.
    Grace,
    /// A daily reward.
    Daily,
    /// A promotion.
    Promo,
    /// A welcome.
    Signup,
    /// A plan's.
    Plan,
    /// A correction.
    Adjustment,
    /// Bought.
    Purchase,
    /// The house's, for one hold alone: never has anything remaining.
    House,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Grace,
        Self::Daily,
        Self::Promo,
        Self::Signup,
        Self::Plan,
        Self::Adjustment,
        Self::Purchase,
        Self::House,
    ];

    /// The word in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grace => "grace",
            Self::Daily => "daily",
            Self::Promo => "promo",
            Self::Signup => "signup",
            Self::Plan => "plan",
            Self::Adjustment => "adjustment",
            Self::Purchase => "purchase",
            Self::House => "house",
        }
    }
}

/// A bucket of credit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Grant {
    /// Its kind.
    pub kind: Kind,
    /// What can be spent, micro-credits.
    pub remaining_ucr: i64,
    /// What open holds have of it, micro-credits.
    pub pinned_ucr: i64,
    /// When what remains is gone, ms; 0 = never.
    pub expires_ms: u64,
}

impl Grant {
    pub(super) fn is_due(&self, now_ms: u64) -> bool {
        self.expires_ms > 0 && self.expires_ms <= now_ms
    }

    pub(super) fn is_empty(&self) -> bool {
        self.remaining_ucr == 0 && self.pinned_ucr == 0
    }
}

/// What an operation id stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Print {
    /// This credit, of this kind and expiry.
    Grant(i64, Kind, u64),
    /// This correction.
    Adjust(Correction),
    /// A refund of so much of a job; `None` = all that was left.
    Refund(JobNo, Option<i64>),
}

/// What was done under an operation id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Kept {
    /// What it was asked for.
    pub print: Print,
    /// What it came to, micro-credits.
    pub ucr: i64,
    /// The first answer.
    pub reply: Reply,
}

/// An account. Amounts in micro-credits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Account {
    /// What it may do.
    pub state: AccountState,
    /// What can be spent.
    pub available_ucr: i64,
    /// What open jobs hold.
    pub held_ucr: i64,
    /// What is owed.
    pub debt_ucr: i64,
    /// All that was ever given.
    pub granted_ucr: i64,
    /// All that was ever charged.
    pub captured_ucr: i64,
    /// All that ever expired.
    pub expired_ucr: i64,
    /// All that was ever given back of charges.
    pub refunded_ucr: i64,
    /// All corrections, up and down.
    pub adjusted_ucr: i64,
    /// The number of its next grant.
    pub next_grant: GrantNo,
    /// Its own limit of active jobs; 0 = none.
    pub max_active: u32,
    /// What it may spend.
    pub caps: Caps,
    /// What it has spent; `None` before its first hold.
    pub spent: Option<Spent>,
    /// Its grants, by age.
    pub grants: BTreeMap<GrantNo, Grant>,
    /// What was done under which operation id.
    pub operations: BTreeMap<OpNo, Kept>,
    /// What was clawed back of which payment.
    pub clawed: BTreeMap<OpNo, i64>,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            state: AccountState::Open,
            available_ucr: 0,
            held_ucr: 0,
            debt_ucr: 0,
            granted_ucr: 0,
            captured_ucr: 0,
            expired_ucr: 0,
            refunded_ucr: 0,
            adjusted_ucr: 0,
            next_grant: 1,
            max_active: 0,
            caps: Caps::default(),
            spent: None,
            grants: BTreeMap::new(),
            operations: BTreeMap::new(),
            clawed: BTreeMap::new(),
        }
    }
}

/// An account in an operation's hands: a copy, until it is booked.
#[derive(Debug, Clone)]
pub(super) struct Purse {
    pub(super) no: AccountNo,
    pub(super) account: Account,
    pub(super) touched: BTreeSet<GrantNo>,
    pub(super) expired_now: Vec<(GrantNo, i64)>,
}

impl Partition {
    pub(super) fn purse(&self, no: AccountNo) -> Option<Purse> {
        let account = self.accounts.get(&no)?.clone();
        Some(Purse {
            no,
            account,
            touched: BTreeSet::new(),
            expired_now: Vec::new(),
        })
    }
}

impl Account {
    /// The first answer to an operation, or that it was another one; `None` where the id is new.
    pub(super) fn done_before(&self, op: OpNo, print: Print) -> Option<Reply> {
        let kept = self.operations.get(&op)?;
        Some(if kept.print == print {
            kept.reply.clone().again()
        } else {
            Reply::Mismatch { ucr: kept.ucr }
        })
    }

    /// Whether totals that are to rise by so much leave the range.
    pub(super) fn overflows(&self, more_ucr: i64) -> bool {
        self.granted_ucr + self.refunded_ucr + self.adjusted_ucr.abs() + more_ucr > AMOUNT_MAX_UCR
    }
}

impl Purse {
    /// Takes out what has expired and is not pinned. Booked with whatever comes next.
    pub(super) fn expire(&mut self, now_ms: u64) {
        for (no, grant) in &mut self.account.grants {
            if grant.is_due(now_ms) && grant.remaining_ucr > 0 {
                self.expired_now.push((*no, grant.remaining_ucr));
                self.touched.insert(*no);
                self.account.available_ucr -= grant.remaining_ucr;
                self.account.expired_ucr += grant.remaining_ucr;
                grant.remaining_ucr = 0;
            }
        }
    }

    /// The grant of this kind and expiry, made if there is none.
    pub(super) fn grant_for(&mut self, kind: Kind, expires_ms: u64) -> GrantNo {
        let grants = &mut self.account.grants;
        let same = grants
            .iter()
            .find(|(_, grant)| grant.kind == kind && grant.expires_ms == expires_ms);
        if let Some((no, _)) = same {
            return *no;
        }
        let no = self.account.next_grant;
        self.account.next_grant += 1;
        self.restore_grant(no, kind, expires_ms);
        no
    }

    /// Puts an empty grant in place.
    pub(super) fn restore_grant(&mut self, no: GrantNo, kind: Kind, expires_ms: u64) {
        let empty = Grant {
            kind,
            remaining_ucr: 0,
            pinned_ucr: 0,
            expires_ms,
        };
        self.account.grants.insert(no, empty);
    }

    /// Makes credit available in a grant; debt is paid first. Returns what went to debt.
    pub(super) fn make_available(&mut self, no: GrantNo, ucr: i64) -> i64 {
        let paid = self.account.debt_ucr.min(ucr);
        self.account.debt_ucr -= paid;
        self.account.available_ucr += ucr - paid;
        self.touched.insert(no);
        if let Some(grant) = self.account.grants.get_mut(&no) {
            grant.remaining_ucr += ucr - paid;
        }
        paid
    }

    /// Grants with something to spend, in burn order: what expires soonest first, then by kind, then by age.
    pub(super) fn burn_order(&self) -> Vec<GrantNo> {
        let live = self.account.grants.iter();
        let mut order: Vec<_> = live
            .filter(|(_, grant)| grant.remaining_ucr > 0)
            .map(|(no, grant)| (grant.expires_ms == 0, grant.expires_ms, grant.kind, *no))
            .collect();
        order.sort_unstable();
        order.into_iter().map(|(.., no)| no).collect()
    }

    /// Takes up to so much out of what remains in these grants, in their order.
    pub(super) fn drain(&mut self, order: &[GrantNo], ucr: i64) -> Vec<(GrantNo, i64)> {
        let (mut left, mut taken) = (ucr, Vec::new());
        for no in order {
            let Some(grant) = self.account.grants.get_mut(no) else {
                continue;
            };
            let part = grant.remaining_ucr.min(left);
            if part > 0 {
                grant.remaining_ucr -= part;
                left -= part;
                self.touched.insert(*no);
                taken.push((*no, part));
            }
        }
        taken
    }
}
