//! Folding a partition's journal: from nothing but its entries to balances, grants and open holds.
//!
//! The fold trusts no entry: it checks the chain of hashes, both sequences, that postings sum to
//! zero, that a hold is opened once and ended once, for what it is, and that an opening says what the
//! entries before it do.
//!
//! A journal whose front was trimmed begins in or before a round of openings. An account's figures
//! begin with its first opening there; what stands before it is checked for its order alone, and holds
//! that were opened before are known as a sum.

use std::collections::{BTreeMap, HashMap, HashSet};

use sha1::{Digest, Sha1};

use super::compare::row_amounts;
use super::moved::{Moved, captured, post};
use crate::store::{JournalBody, JournalEntry, Opening, TrimmedHead};

/// Faults kept; more would say nothing more.
const FAULTS_MAX: usize = 1_000;

/// Something in the journal that cannot be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// The account it is about; empty where it is about the partition.
    pub(super) account: String,
    pub(super) what: String,
    pub(super) expected: String,
    pub(super) found: String,
}

/// What one account must have, micro-credits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Balances {
    pub(super) available: i64,
    pub(super) held: i64,
    pub(super) debt: i64,
    pub(super) granted: i64,
    pub(super) captured: i64,
    pub(super) expired: i64,
    pub(super) refunded: i64,
    pub(super) adjusted: i64,
}

/// A hold as the journal tells it, in the account's own sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hold {
    pub(super) account: String,
    pub(super) amount_ucr: i64,
    pub(super) opened_at: u64,
    pub(super) ended_at: Option<u64>,
}

impl Hold {
    /// Whether it was open right after the account's entry `seq`.
    pub(super) fn is_open_at(&self, seq: u64) -> bool {
        self.opened_at <= seq && self.ended_at.is_none_or(|ended| ended > seq)
    }
}

/// One account's side of the fold.
#[derive(Debug, Clone, Default)]
pub(super) struct AccountFold {
    /// The newest account sequence read.
    pub(super) seq: u64,
    /// The partition's sequence of its first entry.
    pub(super) opened_at: u64,
    /// Its figures are known: from its very first entry, or from an opening.
    pub(super) is_based: bool,
    pub(super) balances: Balances,
    pub(super) grants: BTreeMap<String, String>,
    /// The sum of its open holds, and the part of it that is known by job.
    pub(super) open_ucr: i64,
    pub(super) known_ucr: i64,
}

impl AccountFold {
    /// What is held by holds that were opened before the kept journal begins.
    pub(super) fn unknown_ucr(&self) -> i64 {
        self.open_ucr - self.known_ucr
    }
}

/// The fold of one partition, continued page by page.
#[derive(Debug, Default)]
pub(super) struct Fold {
    /// The newest sequence read, and the hash that stands with it.
    pub(super) seq: u64,
    pub(super) hash: String,
    /// The newest entry's id in the stream; `None` before the first.
    pub(super) last_id: Option<String>,
    pub(super) entries: u64,
    /// Sum of all postings by book, micro-credits.
    pub(super) books: BTreeMap<String, i128>,
    pub(super) accounts: HashMap<String, AccountFold>,
    /// Open holds by job; ended ones too while `keeps_ended` is set.
    pub(super) holds: BTreeMap<String, Hold>,
    pub(super) keeps_ended: bool,
    pub(super) faults: Vec<Fault>,
    /// Openings that do not say what the entries before them do: figures were wrong when they were
    /// written. Whether they still are is seen by comparing.
    pub(super) wrong_openings: u64,
    /// The sequence of the newest of them: no books can begin at or before it.
    pub(super) wrong_until: u64,
    /// Entries booked while something was frozen.
    pub(super) frozen_entries: u64,
    /// Accounts with entries since this was last emptied.
    pub(super) touched: HashSet<String>,
    /// The account of the newest entry.
    pub(super) last_account: String,
    /// Up to this sequence an account may have entries before its opening.
    trimmed_until: u64,
}

impl Fold {
    /// A fold that begins behind what was trimmed.
    pub(super) fn after(head: TrimmedHead) -> Self {
        Self {
            seq: head.seq,
            hash: head.hash,
            books: head.books,
            trimmed_until: head.until,
            ..Self::default()
        }
    }

    /// Forgets the holds that `keeps_ended` has kept.
    pub(super) fn drop_ended(&mut self) {
        self.keeps_ended = false;
        self.holds.retain(|_, hold| hold.ended_at.is_none());
    }

    /// Reads the next entry.
    pub(super) fn add(&mut self, entry: &JournalEntry) {
        self.entries += 1;
        self.last_id = Some(entry.id.clone());
        let mut sha = Sha1::new();
        sha.update(self.hash.as_bytes());
        sha.update(entry.body.as_bytes());
        let hash = hex::encode(sha.finalize());
        if hash != entry.hash {
            self.fault("", format!("hash of entry {}", entry.id), hash, &entry.hash);
        }
        self.hash.clone_from(&entry.hash);
        let Some(body) = entry.body() else {
            self.fault(
                "",
                format!("body of entry {}", entry.id),
                "a journal body",
                &entry.body,
            );
            self.seq += 1;
            return;
        };
        let id_seq = entry.id.rsplit('-').next().and_then(|seq| seq.parse().ok());
        if body.seq != self.seq + 1 || id_seq != Some(body.seq) {
            let expected = self.seq + 1;
            self.fault(
                "",
                "sequence".to_owned(),
                expected,
                format!("{} in {}", body.seq, entry.id),
            );
        }
        self.seq = body.seq;
        self.book(&body);
    }

    fn book(&mut self, body: &JournalBody) {
        let mut sum = 0i128;
        for (book, delta) in &body.post {
            sum += i128::from(*delta);
            *self.books.entry(book.clone()).or_default() += i128::from(*delta);
        }
        if sum != 0 {
            self.fault(
                &body.account,
                format!("postings of entry {}", body.seq),
                0,
                sum,
            );
        }
        if let Some(strange) = strange_book(body) {
            let what = format!("books of entry {} ({})", body.seq, body.kind);
            self.fault(&body.account, what, "its own", strange);
        }
        self.last_account.clone_from(&body.account);
        self.touched.insert(body.account.clone());
        self.frozen_entries += u64::from(body.frozen);
        let account = self.accounts.entry(body.account.clone()).or_default();
        let mut expected = account.seq + 1;
        if account.seq == 0 {
            account.opened_at = body.seq;
            account.is_based = body.account_seq == 1;
            if body.seq <= self.trimmed_until {
                expected = body.account_seq;
            }
        }
        account.seq = body.account_seq;
        if body.account_seq != expected {
            let found = body.account_seq;
            self.fault(
                &body.account,
                "account sequence".to_owned(),
                expected,
                found,
            );
        }
        if let Some(opening) = &body.opening {
            self.begin_or_check(body, opening);
            return;
        }
        self.hold_or_end(body);
        if let Some(account) = self.accounts.get_mut(&body.account)
            && account.is_based
        {
            account.add(body);
        }
    }

    /// An opening begins an account's figures, or says what is known already.
    fn begin_or_check(&mut self, body: &JournalBody, opening: &Opening) {
        let Some(account) = self.accounts.get_mut(&body.account) else {
            return;
        };
        if account.begin_or_agree(body, opening) {
            return;
        }
        self.wrong_until = body.seq;
        self.wrong_openings += 1;
    }

    /// Opens a hold, or ends it.
    fn hold_or_end(&mut self, body: &JournalBody) {
        let held = post(body, "held");
        match body.kind.as_str() {
            "hold" => {
                let hold = Hold {
                    account: body.account.clone(),
                    amount_ucr: held,
                    opened_at: body.account_seq,
                    ended_at: None,
                };
                if let Some(account) = self.accounts.get_mut(&body.account) {
                    account.known_ucr += held;
                }
                let before = self.holds.insert(body.job.clone(), hold);
                if before.is_some_and(|hold| hold.ended_at.is_none()) {
                    self.fault(
                        &body.account,
                        format!("hold of {}", body.job),
                        "one",
                        "a second one",
                    );
                }
            }
            "settle" | "release" => self.end_hold(body, held),
            _ if held != 0 => {
                let what = format!("held in entry {} ({})", body.seq, body.kind);
                self.fault(&body.account, what, 0, held);
            }
            _ => {}
        }
    }

    fn end_hold(&mut self, body: &JournalBody, held: i64) {
        let open = self
            .holds
            .get_mut(&body.job)
            .filter(|hold| hold.ended_at.is_none());
        let Some(hold) = open else {
            let trimmed = self.trimmed_until > 0;
            let account = self.accounts.get(&body.account).filter(|_| trimmed);
            if account.is_some_and(|account| account.could_hold(body, held)) {
                self.check_captured(body, body.hold_ucr);
                return;
            }
            self.fault(
                &body.account,
                format!("hold of {}", body.job),
                "open",
                "ended again",
            );
            return;
        };
        let amount = hold.amount_ucr;
        hold.ended_at = Some(body.account_seq);
        if let Some(account) = self.accounts.get_mut(&hold.account) {
            account.known_ucr -= amount;
        }
        if !self.keeps_ended {
            self.holds.remove(&body.job);
        }
        if held != -amount || body.hold_ucr != amount {
            let found = format!("{} of {}", -held, body.hold_ucr);
            self.fault(
                &body.account,
                format!("end of the hold of {}", body.job),
                amount,
                found,
            );
        }
        self.check_captured(body, amount);
    }

    fn check_captured(&mut self, body: &JournalBody, amount: i64) {
        let captured = captured(body);
        if captured < 0 || captured > amount || (body.kind == "release" && captured != 0) {
            let expected = if body.kind == "release" { 0 } else { amount };
            let what = format!("captured for {}", body.job);
            self.fault(&body.account, what, format!("at most {expected}"), captured);
        }
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "numbers and borrowed texts, as the caller has them"
    )]
    fn fault(
        &mut self,
        account: &str,
        what: String,
        expected: impl ToString,
        found: impl ToString,
    ) {
        if self.faults.len() >= FAULTS_MAX {
            return;
        }
        self.faults.push(Fault {
            account: account.to_owned(),
            what,
            expected: expected.to_string(),
            found: found.to_string(),
        });
    }
}

impl From<&Opening> for Balances {
    fn from(opening: &Opening) -> Self {
        Self {
            available: opening.available,
            held: opening.held,
            debt: opening.debt,
            granted: opening.granted,
            captured: opening.captured,
            expired: opening.expired,
            refunded: opening.refunded,
            adjusted: opening.adjusted,
        }
    }
}

impl AccountFold {
    /// Whether the end of a hold that the kept journal does not open can be right.
    fn could_hold(&self, body: &JournalBody, held: i64) -> bool {
        held == -body.hold_ucr && (!self.is_based || body.hold_ucr <= self.unknown_ucr())
    }

    /// An opening begins the figures where they are not known; otherwise says whether it agrees.
    pub(super) fn begin_or_agree(&mut self, body: &JournalBody, opening: &Opening) -> bool {
        let balances = Balances::from(opening);
        if !self.is_based {
            self.is_based = true;
            self.open_ucr = opening.held;
            self.balances = balances;
            self.grants.clone_from(&body.grants);
            return true;
        }
        // Entries carry rows as the store had them: one that was changed by hand stands in the entries
        // booked since. After a clear the rows of the store count, where they add up to what the
        // postings say: in which grant credit stands is the operator's word, how much there is never.
        let is_cleared = opening.round == 0 && add_up(&body.grants, &balances);
        let agrees = balances == self.balances && (body.grants == self.grants || is_cleared);
        if agrees {
            self.grants.clone_from(&body.grants);
        }
        agrees
    }

    /// Books an entry that is no opening.
    pub(super) fn add(&mut self, body: &JournalBody) {
        let (available, held, debt) = (
            post(body, "available"),
            post(body, "held"),
            post(body, "debt"),
        );
        let sums = &mut self.balances;
        sums.available += available;
        sums.held += held;
        // A payment of debt is posted as plus.
        sums.debt -= debt;
        let moved = Moved::of(body);
        sums.granted += moved.granted;
        sums.refunded += moved.refunded;
        sums.adjusted += moved.adjusted;
        sums.captured += moved.captured;
        sums.expired += moved.expired;
        if matches!(body.kind.as_str(), "hold" | "settle" | "release") {
            self.open_ucr += held;
        }
        for (grant, row) in &body.grants {
            if is_spent(row) {
                self.grants.remove(grant);
            } else {
                self.grants.insert(grant.clone(), row.clone());
            }
        }
    }
}

/// A book that an entry of this kind has no business with.
fn strange_book(body: &JournalBody) -> Option<&str> {
    let own: &[&str] = match body.kind.as_str() {
        "open" | "set" => &[],
        "grant" => &["world", "promo", "available", "debt"],
        "adjust" => &["world", "available", "debt"],
        "refund" => &["revenue", "available", "debt", "breakage"],
        "expire" => &["available", "breakage"],
        "hold" => &["available", "held", "promo"],
        "settle" => &[
            "held",
            "revenue",
            "absorbed",
            "available",
            "debt",
            "breakage",
            "promo",
        ],
        "release" => &["held", "available", "debt", "breakage", "promo"],
        _ => return None,
    };
    let mut books = body.post.iter().map(|(book, _)| book.as_str());
    books.find(|book| !own.contains(book))
}

/// Whether the rows of all grants come to what is available and held.
fn add_up(grants: &BTreeMap<String, String>, balances: &Balances) -> bool {
    let (mut remaining, mut pinned) = (0, 0);
    for row in grants.values() {
        let Some((free, kept)) = row_amounts(row) else {
            return false;
        };
        remaining += free;
        pinned += kept;
    }
    (remaining, pinned) == (balances.available, balances.held)
}

/// A row with nothing remaining and nothing pinned is taken out of the grants.
fn is_spent(row: &str) -> bool {
    let mut parts = row.split('|').skip(1);
    parts.next() == Some("0") && parts.next() == Some("0")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kind, account sequence, job, postings.
    type Row = (
        &'static str,
        u64,
        &'static str,
        &'static [(&'static str, i64)],
    );

    /// A well-made journal of these entries.
    fn journal(rows: &[Row]) -> Vec<JournalEntry> {
        let mut hash = String::new();
        let mut entries = Vec::new();
        for (n, (kind, account_seq, job, post)) in rows.iter().enumerate() {
            let held = post.iter().find(|(book, _)| *book == "held");
            let body = serde_json::json!({
                "seq": n + 1, "at_ms": 1, "kind": kind, "op": "", "account": "acme",
                "account_seq": account_seq, "job": job, "post": post, "grants": {},
                "hold_ucr": held.map_or(0, |(_, delta)| delta.abs()),
            })
            .to_string();
            hash = hex::encode(Sha1::digest(format!("{hash}{body}")));
            entries.push(JournalEntry {
                id: format!("1-{}", n + 1),
                body,
                hash: hash.clone(),
            });
        }
        entries
    }

    const GOOD: [Row; 4] = [
        ("open", 1, "", &[]),
        ("grant", 2, "", &[("world", -9), ("available", 9)]),
        ("hold", 3, "j1", &[("available", -5), ("held", 5)]),
        (
            "settle",
            4,
            "j1",
            &[
                ("held", -5),
                ("revenue", 6),
                ("absorbed", -2),
                ("available", 1),
            ],
        ),
    ];

    fn fold(entries: &[JournalEntry]) -> Fold {
        let mut fold = Fold::default();
        entries.iter().for_each(|entry| fold.add(entry));
        fold
    }

    fn faults(entries: &[JournalEntry]) -> Vec<String> {
        fold(entries)
            .faults
            .into_iter()
            .map(|fault| fault.what)
            .collect()
    }

    #[test]
    fn balances_follow_from_the_entries_alone() {
        let fold = fold(&journal(&GOOD));
        assert_eq!(fold.faults, []);
        let acme = &fold.accounts["acme"];
        assert_eq!(acme.balances.available, 5);
        assert_eq!(acme.balances.captured, 4);
        assert_eq!(acme.balances.granted, 9);
        assert_eq!((acme.balances.held, acme.open_ucr), (0, 0));
        assert_eq!(fold.books["absorbed"], -2);
        assert!(fold.holds.is_empty());
    }

    #[test]
    fn a_changed_body_breaks_the_chain() {
        let mut entries = journal(&GOOD);
        entries[1].body = entries[1].body.replace("-9", "-8").replace(",9]", ",8]");
        assert_eq!(faults(&entries), ["hash of entry 1-2"]);
    }

    #[test]
    fn a_missing_entry_leaves_a_gap_in_both_sequences() {
        let mut entries = journal(&GOOD);
        entries.remove(1);
        assert_eq!(
            faults(&entries),
            ["hash of entry 1-3", "sequence", "account sequence"]
        );
    }

    #[test]
    fn postings_that_do_not_sum_to_zero_are_found() {
        let entries = journal(&[("open", 1, "", &[]), ("grant", 2, "", &[("available", 1)])]);
        assert_eq!(faults(&entries), ["postings of entry 2"]);
    }

    #[test]
    fn a_hold_ends_once_and_for_what_it_is() {
        let twice: [Row; 3] = [
            ("hold", 1, "j1", &[("available", -5), ("held", 5)]),
            ("release", 2, "j1", &[("held", -5), ("available", 5)]),
            ("release", 3, "j1", &[("held", -5), ("available", 5)]),
        ];
        assert_eq!(faults(&journal(&twice)), ["hold of j1"]);
        let other: [Row; 2] = [
            ("hold", 1, "j1", &[("available", -5), ("held", 5)]),
            ("settle", 2, "j1", &[("held", -6), ("revenue", 6)]),
        ];
        assert_eq!(
            faults(&journal(&other)),
            ["end of the hold of j1", "captured for j1"]
        );
    }
}
