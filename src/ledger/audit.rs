//! The audit: every balance re-derived from the journal, and compared with what the store holds.
//!
//! It reads while the store is in use and stops nobody. Accounts are looked at first and the journal
//! is read afterwards, so that it holds at least what each account shows; an account is compared as of
//! the entry that it shows, whatever was booked since. A job is looked at together with its account's
//! sequence, and its hold is compared as of that entry.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::compare::{Difference, Differences};
use super::fold::Fold;
use crate::domain::ids::JobId;
use crate::store::{AccountSnapshot, Error, JobSnapshot, Store};

/// Entries read at a time.
const PAGE: usize = 1_000;
/// Accounts or jobs looked at in one step.
const CHUNK: usize = 100;
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
    /// Everything that is not as it must be.
    pub differences: Vec<Difference>,
    /// Sum of all postings by book; the sums add up to zero.
    pub books: BTreeMap<String, i128>,
}

/// Audits every partition. An error says only that the store could not be read; a difference is a
/// finding, in the report.
pub async fn audit(store: &Store) -> Result<Report, Error> {
    let mut report = Report {
        partitions: store.partitions(),
        ..Report::default()
    };
    for partition in 0..store.partitions() {
        let mut found = audit_partition(store, partition).await?;
        for _ in 1..LOOKS {
            if found.differences.is_empty() {
                break;
            }
            found = audit_partition(store, partition).await?;
        }
        report.add(found);
    }
    report.ok = report.differences.is_empty();
    Ok(report)
}

impl Report {
    fn add(&mut self, one: Self) {
        self.accounts += one.accounts;
        self.entries += one.entries;
        self.open_holds += one.open_holds;
        self.differences.extend(one.differences);
        for (book, sum) in one.books {
            *self.books.entry(book).or_default() += sum;
        }
    }
}

/// Audits one partition, once.
pub async fn audit_partition(store: &Store, partition: u16) -> Result<Report, Error> {
    // The head first: whatever it names must be found in the journal and among the accounts.
    let head = store.journal_head(partition).await?;
    let accounts = account_snapshots(store, partition).await?;
    let open_jobs = store.open_jobs(partition).await?;
    let shown = accounts.iter().map(|a| (a.account.to_string(), a.seq));
    let mut fold = Fold::up_to(shown.collect());
    let mut differences = Differences::new(partition);
    let at_head = read_on(store, partition, &mut fold, head.0).await?;
    if fold.seq < head.0 || at_head.as_ref() != Some(&head.1) {
        let found = format!("{} {}", fold.seq, at_head.unwrap_or_default());
        differences.add(
            "",
            "end of the journal",
            format!("{} {}", head.0, head.1),
            found,
        );
    }
    fold.keeps_ended = true;
    let jobs = job_snapshots(store, partition, &fold, open_jobs).await?;
    read_on(store, partition, &mut fold, 0).await?;

    differences.journal(&fold);
    for account in &accounts {
        differences.account(account, fold.accounts.get(account.account.as_str()));
    }
    let known: BTreeSet<&str> = accounts.iter().map(|a| a.account.as_str()).collect();
    for (account, folded) in &fold.accounts {
        if folded.opened_at <= head.0 && !known.contains(account.as_str()) {
            differences.add(account, "account", "there", "missing");
        }
    }
    for job in &jobs {
        differences.job(job, fold.holds.get(job.job.as_str()));
    }
    let open = fold.holds.values().filter(|hold| hold.ended_at.is_none());
    Ok(Report {
        ok: false,
        partitions: 1,
        accounts: accounts.len() as u64,
        entries: fold.entries,
        open_holds: open.count() as u64,
        differences: differences.into_found(),
        books: fold.books,
    })
}

/// Continues the fold to the end of the journal. Returns the hash of the entry `watch`; for 0, which
/// stands before all entries, the empty hash.
async fn read_on(
    store: &Store,
    partition: u16,
    fold: &mut Fold,
    watch: u64,
) -> Result<Option<String>, Error> {
    let mut seen = (watch == 0).then(String::new);
    let mut from = fold.last_id.as_ref().map(|id| format!("({id}"));
    loop {
        let page = store
            .journal(partition, from.as_deref().unwrap_or("-"), PAGE)
            .await?;
        for entry in &page.entries {
            fold.add(entry);
            if fold.seq == watch {
                seen = Some(entry.hash.clone());
            }
        }
        match page.next {
            Some(next) => from = Some(next),
            None => return Ok(seen),
        }
    }
}

async fn account_snapshots(store: &Store, partition: u16) -> Result<Vec<AccountSnapshot>, Error> {
    let names = store.accounts_in(partition).await?;
    let mut all = Vec::with_capacity(names.len());
    for chunk in names.chunks(CHUNK) {
        all.extend(store.account_snapshots(partition, chunk).await?);
    }
    Ok(all)
}

/// Every job that has an open hold, and every job that stands among the open ones.
async fn job_snapshots(
    store: &Store,
    partition: u16,
    fold: &Fold,
    open_jobs: Vec<JobId>,
) -> Result<Vec<JobSnapshot>, Error> {
    let held = fold
        .holds
        .keys()
        .cloned()
        .filter_map(|id| JobId::try_from(id).ok());
    let jobs: BTreeSet<JobId> = open_jobs.into_iter().chain(held).collect();
    let jobs: Vec<JobId> = jobs.into_iter().collect();
    let mut all = Vec::with_capacity(jobs.len());
    for chunk in jobs.chunks(CHUNK) {
        all.extend(store.job_snapshots(partition, chunk).await?);
    }
    Ok(all)
}
