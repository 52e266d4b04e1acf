//! Entries of the journal.

use std::collections::BTreeMap;

use super::account::Purse;
use super::{AccountNo, Grant, GrantNo, JobNo, Partition, Step};

/// A side of the double entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Book {
    /// What the account can spend.
    Available,
    /// What its open jobs hold.
    Held,
    /// What it owes, as a negative balance.
    Debt,
    /// What was charged.
    Revenue,
    /// What the house gives.
    Promo,
    /// What expired.
    Breakage,
    /// What we pay because a quote did not cover it.
    Absorbed,
    /// Everything outside.
    World,
}

impl Book {
    /// The word in the journal.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Held => "held",
            Self::Debt => "debt",
            Self::Revenue => "revenue",
            Self::Promo => "promo",
            Self::Breakage => "breakage",
            Self::Absorbed => "absorbed",
            Self::World => "world",
        }
    }
}

/// What an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// An account is opened.
    Open,
    /// Something is set; nothing moves.
    Set,
    /// Credit comes in.
    Grant,
    /// A correction.
    Adjust,
    /// Credit is held.
    Hold,
    /// A hold ends with a capture.
    Settle,
    /// A hold ends without one.
    Release,
    /// A capture goes back.
    Refund,
    /// Credit expires.
    Expire,
    /// The account's state; nothing moves.
    Opening,
}

impl EntryKind {
    /// The word in the journal.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Set => "set",
            Self::Grant => "grant",
            Self::Adjust => "adjust",
            Self::Hold => "hold",
            Self::Settle => "settle",
            Self::Release => "release",
            Self::Refund => "refund",
            Self::Expire => "expire",
            Self::Opening => "opening",
        }
    }
}

/// Which grants gave, lost or got how much, micro-credits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Trail {
    /// Pinned by a hold.
    pub slices: Vec<(GrantNo, i64)>,
    /// Given to.
    pub given: Vec<(GrantNo, i64)>,
    /// Captured or corrected from.
    pub taken: Vec<(GrantNo, i64)>,
    /// Expired out of.
    pub lost: Vec<(GrantNo, i64)>,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Entry {
    /// What it is about.
    pub kind: EntryKind,
    /// Whose.
    pub account: AccountNo,
    /// For which job.
    pub job: Option<JobNo>,
    /// What moved, micro-credits; they sum to zero.
    pub postings: BTreeMap<Book, i64>,
    /// The changed grants as they stand afterwards.
    pub grants: BTreeMap<GrantNo, Grant>,
    /// Which grants it went through.
    pub trail: Trail,
}

/// What is to be booked, and about what.
pub(super) struct Booking {
    pub(super) kind: EntryKind,
    pub(super) job: Option<JobNo>,
    pub(super) postings: Vec<(Book, i64)>,
    pub(super) trail: Trail,
}

impl Booking {
    /// An entry in which nothing moves.
    pub(super) fn still(kind: EntryKind) -> Self {
        Self {
            kind,
            job: None,
            postings: Vec::new(),
            trail: Trail::default(),
        }
    }
}

impl Partition {
    /// Books what expired on the way, then this, and puts the purse back. Returns whether something in it
    /// will expire.
    pub(super) fn book(&mut self, step: &mut Step<'_>, purse: Purse, booking: Booking) -> bool {
        self.book_expiry(step, &purse);
        self.enter(step, &purse, booking);
        self.put_back_purse(purse)
    }

    /// Books what expired, if anything did.
    pub(super) fn book_expiry(&mut self, step: &mut Step<'_>, purse: &Purse) {
        let expired: i64 = purse.expired_now.iter().map(|(_, ucr)| ucr).sum();
        if expired == 0 {
            return;
        }
        let booking = Booking {
            kind: EntryKind::Expire,
            job: None,
            postings: vec![(Book::Available, -expired), (Book::Breakage, expired)],
            trail: Trail {
                lost: purse.expired_now.clone(),
                ..Trail::default()
            },
        };
        self.enter(step, purse, booking);
    }

    fn enter(&mut self, step: &mut Step<'_>, purse: &Purse, booking: Booking) {
        self.last_ms = step.now_ms;
        let mut postings = BTreeMap::new();
        for (book, ucr) in booking.postings {
            *postings.entry(book).or_insert(0) += ucr;
        }
        postings.retain(|_, ucr| *ucr != 0);
        let grants = &purse.account.grants;
        let touched = purse.touched.iter();
        step.entries.push(Entry {
            kind: booking.kind,
            account: purse.no,
            job: booking.job,
            postings,
            grants: touched
                .filter_map(|no| grants.get(no).map(|grant| (*no, *grant)))
                .collect(),
            trail: booking.trail,
        });
    }

    /// Puts the purse back; an emptied grant is gone. Returns whether something in it will expire.
    pub(super) fn put_back_purse(&mut self, mut purse: Purse) -> bool {
        purse
            .account
            .grants
            .retain(|no, grant| !(purse.touched.contains(no) && grant.is_empty()));
        let live = purse.account.grants.values();
        let next_ms = live
            .filter(|grant| grant.expires_ms > 0 && grant.remaining_ucr > 0)
            .map(|grant| grant.expires_ms)
            .min();
        if let Some(next_ms) = next_ms {
            self.expiries.insert(purse.no, next_ms);
        }
        self.accounts.insert(purse.no, purse.account);
        next_ms.is_some()
    }
}
