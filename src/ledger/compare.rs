//! Comparing what the store holds with what its journal says it must hold.

use std::fmt::Display;

use serde::Serialize;

use super::fold::{AccountFold, Fold, Hold};
use crate::store::{AccountSnapshot, JobSnapshot};

/// One thing that is not as the journal says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Where.
    pub partition: u16,
    /// Whose; `None` where it is about the partition's journal as a whole.
    pub account: Option<String>,
    /// Which figure or fact.
    pub what: String,
    /// What the journal says.
    pub expected: String,
    /// What the store holds.
    pub found: String,
}

/// In words, without saying whose.
impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (what, expected, found) = (&self.what, &self.expected, &self.found);
        write!(
            f,
            "{what}: the journal says {expected}, the store holds {found}"
        )
    }
}

impl Difference {
    /// In words, with whose it is.
    pub fn with_account(&self) -> String {
        match &self.account {
            Some(account) => format!("{account}: {self}"),
            None => self.to_string(),
        }
    }
}

/// Collects the differences of one partition.
pub(super) struct Differences {
    partition: u16,
    found: Vec<Difference>,
}

impl Differences {
    pub(super) fn new(partition: u16) -> Self {
        Self {
            partition,
            found: Vec::new(),
        }
    }

    pub(super) fn into_found(self) -> Vec<Difference> {
        self.found
    }

    pub(super) fn add(
        &mut self,
        account: &str,
        what: impl Into<String>,
        expected: impl Display,
        found: impl Display,
    ) {
        self.found.push(Difference {
            partition: self.partition,
            account: (!account.is_empty()).then(|| account.to_owned()),
            what: what.into(),
            expected: expected.to_string(),
            found: found.to_string(),
        });
    }

    fn check<T: PartialEq + Display>(&mut self, account: &str, what: &str, expected: T, found: T) {
        if expected != found {
            self.add(account, what, expected, found);
        }
    }

    /// The journal's own faults.
    pub(super) fn journal(&mut self, fold: &Fold) {
        for fault in &fold.faults {
            self.add(&fault.account, &fault.what, &fault.expected, &fault.found);
        }
    }

    /// An account against its entries, its grants, and the identity of promise 1.
    pub(super) fn account(&mut self, shown: &AccountSnapshot, fold: Option<&AccountFold>) {
        let id = shown.account.as_str();
        let none = AccountFold::default();
        let fold = fold.unwrap_or(&none);
        if fold.seq != shown.seq {
            self.add(id, "entries in the journal", shown.seq, fold.seq);
        }
        if fold.seq > 0 && !fold.is_based {
            self.add(id, "opening of the books", "in the journal", "missing");
            return;
        }
        let sums = &fold.balances;
        for (name, expected) in [
            ("available", sums.available),
            ("held", sums.held),
            ("debt", sums.debt),
            ("granted", sums.granted),
            ("captured", sums.captured),
            ("expired", sums.expired),
            ("refunded", sums.refunded),
            ("adjusted", sums.adjusted),
        ] {
            self.check(id, name, expected, shown.ucr(name));
        }
        self.check(id, "sum of open holds", shown.ucr("held"), fold.open_ucr);
        self.grants(shown, fold);
        let ucr = |name| i128::from(shown.ucr(name));
        let gave = ucr("granted") + ucr("refunded") + ucr("adjusted");
        let took = ucr("captured") + ucr("expired");
        let has = ucr("available") + ucr("held") - ucr("debt");
        self.check(
            id,
            "granted + refunded + adjusted - captured - expired",
            has,
            gave - took,
        );
        if shown.ucr("refunded") > shown.ucr("captured") {
            let at_most = format!("at most {}", shown.ucr("captured"));
            self.add(id, "refunded", at_most, shown.ucr("refunded"));
        }
        for name in ["available", "held", "debt"] {
            if shown.ucr(name) < 0 {
                self.add(id, name, "not below zero", shown.ucr(name));
            }
        }
    }

    fn grants(&mut self, shown: &AccountSnapshot, fold: &AccountFold) {
        let id = shown.account.as_str();
        let (mut remaining, mut pinned) = (0, 0);
        for (grant, row) in &shown.grants {
            match row_amounts(row) {
                Some((free, kept)) => {
                    remaining += free;
                    pinned += kept;
                }
                None => self.add(id, format!("grant {grant}"), "a grant's row", row),
            }
        }
        self.check(
            id,
            "sum of grants remaining",
            shown.ucr("available"),
            remaining,
        );
        self.check(id, "sum of grants pinned", shown.ucr("held"), pinned);
        if shown.grants != fold.grants {
            let names = shown.grants.keys().chain(fold.grants.keys());
            let names: std::collections::BTreeSet<&String> = names.collect();
            for name in names {
                let row = |rows: &std::collections::BTreeMap<String, String>| {
                    rows.get(name).map_or("none", String::as_str).to_owned()
                };
                self.check(
                    id,
                    &format!("grant {name}"),
                    row(&fold.grants),
                    row(&shown.grants),
                );
            }
        }
    }

    /// A job against its hold: an open job has exactly one, of its amount, and an ended one has none.
    /// `unknown_ucr` is what its account has in holds that the kept journal does not open.
    pub(super) fn job(&mut self, shown: &JobSnapshot, hold: Option<&Hold>, unknown_ucr: i64) {
        let is_open = shown.state.is_some_and(|state| !state.is_terminal());
        let hold = match hold {
            // A job that is gone has no account to say as of when: what is open now is open for nobody.
            Some(hold) if shown.account.is_empty() => {
                Some(hold).filter(|hold| hold.ended_at.is_none())
            }
            Some(hold) => Some(hold).filter(|hold| hold.is_open_at(shown.account_seq)),
            None => None,
        };
        let state = shown.state.map_or("no job", |state| state.as_str());
        match (is_open, hold) {
            (true, None) if shown.hold_ucr > 0 && shown.hold_ucr <= unknown_ucr => {}
            (true, None) => {
                self.add(
                    &shown.account,
                    format!("hold of open job {}", shown.job),
                    shown.hold_ucr,
                    0,
                );
            }
            (false, Some(hold)) => {
                let what = format!("job {} of an open hold", shown.job);
                self.add(&hold.account, what, "an open job", state);
            }
            (true, Some(hold)) => {
                let what = format!("hold of job {}", shown.job);
                self.check(&hold.account, &what, hold.amount_ucr, shown.hold_ucr);
                let what = format!("account of job {}", shown.job);
                self.check(
                    &hold.account,
                    &what,
                    hold.account.as_str(),
                    shown.account.as_str(),
                );
                if !shown.in_deadlines {
                    let what = format!("job {} in the deadlines", shown.job);
                    self.add(&hold.account, what, "there", "missing");
                }
            }
            (false, None) => {}
        }
    }
}

/// What remains in a grant and what is pinned, from `kind|remaining|pinned|...`.
pub(super) fn row_amounts(row: &str) -> Option<(i64, i64)> {
    let mut parts = row.split('|').skip(1);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}
