//! The audit: every balance re-derived from the journal, and compared with what the store holds.

use std::collections::BTreeMap;

use serde::Serialize;

use super::books::{Books, Scope};
use super::compare::Difference;
use crate::store::{self, Error, Store};

/// How often a partition with differences is looked at before they are reported.
const LOOKS: u32 = 3;

/// What an audit found. Amounts are micro-credits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether there is no difference at all.
    pub ok: bool,
    /// Partitions read.
    pub partitions: u16,
    /// Accounts compared.
    pub accounts: u64,
    /// Journal entries read.
    pub entries: u64,
    /// Open holds at the end of the journal.
    pub open_holds: u64,
    /// Entries that were booked while their account or its partition was frozen.
    pub booked_while_frozen: u64,
    /// Openings written while an account's figures were wrong: no books will begin there.
    pub wrong_openings: u64,
    /// Everything that is not as it must be.
    pub differences: Vec<Difference>,
    /// Sum of all postings by book, of trimmed entries too; the sums add up to zero.
    pub books: BTreeMap<String, i128>,
}

/// Audits every partition. An error says only that the store could not be read; a difference is a
/// finding, in the report.
pub async fn audit(store: &Store) -> Result<Report, Error> {
    let all: Vec<u16> = (0..store.partitions()).collect();
    audit_partitions(store, &all, &mut |_, _| {}).await
}

/// Audits some partitions. `progress` is told the partition and how many of its entries were read.
pub async fn audit_partitions(
    store: &Store,
    partitions: &[u16],
    progress: &mut (dyn FnMut(u16, u64) + Send),
) -> Result<Report, Error> {
    let mut report = Report {
        partitions: u16::try_from(partitions.len()).unwrap_or(u16::MAX),
        ..Report::default()
    };
    for partition in partitions {
        let mut read = |entries| progress(*partition, entries);
        let (found, _) = look_afresh(store, *partition, &mut read).await?;
        report.add(found);
    }
    report.ok = report.differences.is_empty();
    Ok(report)
}

/// Audits one partition.
pub async fn audit_partition(store: &Store, partition: u16) -> Result<Report, Error> {
    audit_partitions(store, &[partition], &mut |_, _| {}).await
}

/// What an audit of the partition finds now about an account or a whole partition, in words, twenty at most:
/// the continuous audit will freeze it again.
pub async fn still_differs(house: &Store, scope: &store::Scope) -> Result<Vec<String>, Error> {
    let partition = match scope {
        store::Scope::Account(account) => account.partition(house.partitions()),
        store::Scope::Partition(partition) => *partition,
    };
    let report = audit_partition(house, partition).await?;
    let about = |difference: &&Difference| match scope {
        store::Scope::Account(account) => difference.account.as_deref() == Some(account.as_str()),
        store::Scope::Partition(_) => true,
    };
    let found = report.differences.iter().filter(about).take(20);
    Ok(found.map(Difference::with_account).collect())
}

/// Reads a partition's whole journal and compares everything. What differs is looked at again, and only
/// what differs each time is reported. Returns the books as they were read last.
pub(super) async fn look_afresh(
    store: &Store,
    partition: u16,
    read: &mut (dyn FnMut(u64) + Send),
) -> Result<(Report, Books), Error> {
    let mut looks = 0;
    let mut before: Option<Vec<Difference>> = None;
    loop {
        looks += 1;
        let mut books = Books::open(store, partition).await?;
        let mut report = books.look(store, Scope::All, read).await?;
        if let Some(before) = &before {
            let again = |one: &Difference| {
                let same =
                    |other: &Difference| (&one.account, &one.what) == (&other.account, &other.what);
                before.iter().any(same)
            };
            report.differences.retain(again);
        }
        report.ok = report.differences.is_empty();
        if report.ok || looks == LOOKS {
            return Ok((report, books));
        }
        before = Some(report.differences);
    }
}

impl Report {
    fn add(&mut self, one: Self) {
        self.accounts += one.accounts;
        self.entries += one.entries;
        self.open_holds += one.open_holds;
        self.booked_while_frozen += one.booked_while_frozen;
        self.wrong_openings += one.wrong_openings;
        self.differences.extend(one.differences);
        for (book, sum) in one.books {
            *self.books.entry(book).or_default() += sum;
        }
    }
}
