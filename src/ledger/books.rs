//! The books of one partition: its journal folded so far, and what the store holds compared with it.
//!
//! It reads while the store is in use and stops nobody. An account is looked at together with its own
//! sequence, after the journal was read to its end; where it shows more, the journal is read on, and the
//! account is compared at exactly the entry that it shows. A job is looked at together with its
//! account's sequence, and its hold is compared as of that entry.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::audit::Report;
use super::compare::{Difference, Differences};
use super::fold::Fold;
use crate::domain::ids::{AccountId, JobId};
use crate::store::{AccountSnapshot, Error, Store};

/// Entries read at a time.
const PAGE: usize = 1_000;
/// Accounts or jobs looked at in one step.
const CHUNK: usize = 100;
/// Accounts or jobs that are looked at before the journal is read on.
const SLICE: usize = 1_000;

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Everything there is.
    All,
    /// The accounts with new entries, and so many of the other accounts and of the open jobs, in turn.
    Turn(usize),
}

/// The books of one partition, continued look by look.
pub(super) struct Books {
    partition: u16,
    fold: Fold,
    /// Where the turns of [`Scope::Turn`] go on: ranks of accounts and jobs, the last hold looked at.
    account_rank: usize,
    job_rank: usize,
    last_hold: String,
}

impl Books {
    /// Begins in front of the first entry that is kept.
    pub(super) async fn open(store: &Store, partition: u16) -> Result<Self, Error> {
        let head = store.trimmed_head(partition).await?;
        Ok(Self {
            partition,
            fold: Fold::after(head),
            account_rank: 0,
            job_rank: 0,
            last_hold: String::new(),
        })
    }

    /// Up to which sequence the journal has been read.
    pub(super) fn seq(&self) -> u64 {
        self.fold.seq
    }

    /// The newest wrong opening: no books can begin at or before it.
    pub(super) fn wrong_until(&self) -> u64 {
        self.fold.wrong_until
    }

    /// Reads the journal on to its end and compares. `read` is told how many entries were read.
    pub(super) async fn look(
        &mut self,
        store: &Store,
        scope: Scope,
        read: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Report, Error> {
        let mut differences = Differences::new(self.partition);
        self.read_to_the_head(store, &mut differences, read).await?;
        let mut accounts = self.accounts_to_look_at(store, scope).await?;
        let mut jobs = self.jobs_to_look_at(store, scope).await?;
        let mut compared = 0;
        while !accounts.is_empty() || !jobs.is_empty() {
            let some_accounts = accounts.split_off(accounts.len().saturating_sub(SLICE));
            let some_jobs = jobs.split_off(jobs.len().saturating_sub(SLICE));
            compared += self
                .compare(store, &some_accounts, &some_jobs, &mut differences)
                .await?;
        }
        let mut found = Differences::new(self.partition);
        found.journal(&self.fold);
        let open = self.fold.holds.len() as u64;
        Ok(Report {
            ok: false,
            partitions: 1,
            accounts: compared,
            entries: self.fold.entries,
            open_holds: open,
            booked_while_frozen: self.fold.frozen_entries,
            wrong_openings: self.fold.wrong_openings,
            differences: in_order(differences.into_found(), found.into_found()),
            books: self.fold.books.clone(),
        })
    }

    /// The head first: whatever it names must be found in the journal.
    async fn read_to_the_head(
        &mut self,
        store: &Store,
        differences: &mut Differences,
        read: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), Error> {
        let (seq, hash) = store.journal_head(self.partition).await?;
        let mut at_head = (seq == self.fold.seq).then(|| self.fold.hash.clone());
        self.read_on(store, |fold| {
            if fold.seq == seq {
                at_head = Some(fold.hash.clone());
            }
            if fold.entries.is_multiple_of(PAGE as u64) {
                read(fold.entries);
            }
        })
        .await?;
        if at_head.as_ref() != Some(&hash) {
            let found = format!("{} {}", self.fold.seq, at_head.unwrap_or_default());
            differences.add("", "end of the journal", format!("{seq} {hash}"), found);
        }
        Ok(())
    }

    /// Continues the fold to the end of the journal; `each` sees it after every entry.
    async fn read_on(&mut self, store: &Store, mut each: impl FnMut(&Fold)) -> Result<(), Error> {
        let last = self.fold.last_id.as_ref();
        let mut from = last.map_or_else(|| "-".to_owned(), |id| format!("({id}"));
        loop {
            let page = store.journal(self.partition, &from, PAGE).await?;
            for entry in &page.entries {
                self.fold.add(entry);
                each(&self.fold);
            }
            match page.next {
                Some(next) => from = next,
                None => return Ok(()),
            }
        }
    }

    async fn accounts_to_look_at(
        &mut self,
        store: &Store,
        scope: Scope,
    ) -> Result<Vec<AccountId>, Error> {
        let touched = std::mem::take(&mut self.fold.touched);
        let (mut names, indexed) = match scope {
            Scope::All => {
                let all = self.fold.accounts.keys().cloned().collect();
                (all, store.accounts_in(self.partition).await?)
            }
            Scope::Turn(n) => {
                let rank = self.account_rank;
                let page = store.accounts_page(self.partition, rank, n).await?;
                self.account_rank = if page.len() < n { 0 } else { rank + n };
                (touched.into_iter().collect::<BTreeSet<String>>(), page)
            }
        };
        names.extend(indexed.into_iter().map(String::from));
        let ids = names.into_iter().rev();
        Ok(ids
            .filter_map(|name| AccountId::try_from(name).ok())
            .collect())
    }

    /// Jobs that have an open hold, and jobs that stand among the open ones.
    async fn jobs_to_look_at(&mut self, store: &Store, scope: Scope) -> Result<Vec<JobId>, Error> {
        let mut jobs: BTreeSet<JobId> = BTreeSet::new();
        match scope {
            Scope::All => {
                let held = self.fold.holds.keys().cloned();
                jobs.extend(held.filter_map(|id| JobId::try_from(id).ok()));
                jobs.extend(store.open_jobs(self.partition).await?);
            }
            Scope::Turn(n) => {
                let behind = (
                    std::ops::Bound::Excluded(self.last_hold.clone()),
                    std::ops::Bound::Unbounded,
                );
                let held: Vec<String> = self
                    .fold
                    .holds
                    .range(behind)
                    .map(|(id, _)| id.clone())
                    .take(n)
                    .collect();
                self.last_hold = held.get(n - 1).cloned().unwrap_or_default();
                jobs.extend(held.into_iter().filter_map(|id| JobId::try_from(id).ok()));
                let rank = self.job_rank;
                let page = store.open_jobs_page(self.partition, rank, n).await?;
                self.job_rank = if page.len() < n { 0 } else { rank + n };
                jobs.extend(page);
            }
        }
        Ok(jobs.into_iter().rev().collect())
    }

    /// Looks at some accounts and jobs, reads on as far as they show, and compares. Returns how many
    /// accounts there were.
    async fn compare(
        &mut self,
        store: &Store,
        accounts: &[AccountId],
        jobs: &[JobId],
        differences: &mut Differences,
    ) -> Result<u64, Error> {
        self.fold.keeps_ended = true;
        let mut awaited = self.look_at_accounts(store, accounts, differences).await?;
        let compared = accounts.len() as u64 - awaited.missing;
        let mut shown_jobs = Vec::with_capacity(jobs.len());
        for chunk in jobs.chunks(CHUNK) {
            shown_jobs.extend(store.job_snapshots(self.partition, chunk).await?);
        }
        self.read_on(store, |fold| {
            awaited.compare_at(fold, &fold.last_account, differences);
        })
        .await?;
        for shown in awaited.later.into_values() {
            let fold = self.fold.accounts.get(shown.account.as_str());
            differences.account(&shown, fold);
        }
        for job in &shown_jobs {
            let account = self.fold.accounts.get(&job.account);
            let unknown_ucr = account.map_or(0, |account| account.unknown_ucr());
            differences.job(job, self.fold.holds.get(job.job.as_str()), unknown_ucr);
        }
        self.fold.drop_ended();
        Ok(compared)
    }

    /// Compares what shows no more than was read; the others are awaited.
    async fn look_at_accounts(
        &self,
        store: &Store,
        accounts: &[AccountId],
        differences: &mut Differences,
    ) -> Result<Awaited, Error> {
        let mut awaited = Awaited::default();
        for chunk in accounts.chunks(CHUNK) {
            let mut shown: BTreeMap<AccountId, AccountSnapshot> = store
                .account_snapshots(self.partition, chunk)
                .await?
                .into_iter()
                .map(|one| (one.account.clone(), one))
                .collect();
            for name in chunk {
                let fold = self.fold.accounts.get(name.as_str());
                match shown.remove(name) {
                    Some(one) if fold.is_some_and(|fold| fold.seq >= one.seq) => {
                        differences.account(&one, fold);
                    }
                    Some(one) => {
                        awaited.later.insert(name.to_string(), one);
                    }
                    None => {
                        differences.add(name.as_str(), "account", "there", "missing");
                        awaited.missing += 1;
                    }
                }
            }
        }
        Ok(awaited)
    }
}

/// Accounts that show more than the journal had been read to.
#[derive(Default)]
struct Awaited {
    later: HashMap<String, AccountSnapshot>,
    missing: u64,
}

impl Awaited {
    /// Compares an account whose newest entry is the one that it shows.
    fn compare_at(&mut self, fold: &Fold, account: &str, differences: &mut Differences) {
        let now = fold.accounts.get(account);
        let there = self.later.get(account);
        let reached = there.zip(now).is_some_and(|(one, now)| now.seq == one.seq);
        if reached && let Some(one) = self.later.remove(account) {
            differences.account(&one, now);
        }
    }
}

/// The end of the journal first, then its own faults, then what does not fit it.
fn in_order(mut compared: Vec<Difference>, journal: Vec<Difference>) -> Vec<Difference> {
    let head = usize::from(compared.first().is_some_and(|one| one.account.is_none()));
    let rest = compared.split_off(head);
    compared.extend(journal);
    compared.extend(rest);
    compared
}
