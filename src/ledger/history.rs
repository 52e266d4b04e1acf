//! What the house remembers, wherever it stands: the store first, and behind it Postgres, where it is on.
//!
//! The store is always asked first. Whatever it forgets was committed before, so that who asks Postgres
//! afterwards misses nothing; what both have is the store's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use secrecy::SecretString;

use super::costs::{CostLine, CostsBy, costs_in_store};
use super::postgres::{Archive, Entry, Error, Kept, Lag, Listed};
use crate::domain::ids::{AccountId, JobId};
use crate::domain::job::State;
use crate::store::{JobFilter, JobView, Store, TimelineEvent};

/// Entries read at a time.
const PAGE: usize = 1_000;

/// A reader of the store and, where there is one, of the history in Postgres.
#[derive(Clone)]
pub struct History {
    store: Store,
    archive: Option<Arc<Archive>>,
}

impl History {
    /// Connects to nothing yet. Without an address it is the store alone.
    pub fn new(store: Store, postgres: Option<SecretString>) -> Self {
        let archive = postgres.map(|url| Arc::new(Archive::new(url)));
        Self { store, archive }
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn archive(&self) -> Option<&Archive> {
        self.archive.as_deref()
    }

    /// What was booked from `from_ms` until before `to_ms`, and whether Postgres says so: else it is what the
    /// store still keeps.
    pub async fn costs(
        &self,
        by: CostsBy,
        stretch: (u64, u64),
    ) -> Result<(BTreeMap<String, CostLine>, bool), Error> {
        match &self.archive {
            Some(archive) => Ok((archive.costs(by, stretch).await?, true)),
            None => Ok((costs_in_store(&self.store, by, stretch).await?, false)),
        }
    }

    /// How far Postgres is behind the store; `None` where it is off.
    pub async fn lags(&self) -> Option<Result<Vec<Lag>, Error>> {
        match &self.archive {
            Some(archive) => Some(archive.lags(&self.store).await),
            None => None,
        }
    }

    async fn kept(&self, job: &JobId) -> Result<Option<Kept>, Error> {
        match &self.archive {
            Some(archive) => archive.job(job).await,
            None => Ok(None),
        }
    }

    /// One job; `None` where there is none. An error where only Postgres can know, and it does not answer.
    pub async fn job(&self, job: &JobId) -> Result<Option<JobView>, Error> {
        if let Some(view) = self.store.job(job).await? {
            return Ok(Some(view));
        }
        let kept = self.kept(job).await?;
        Ok(kept.map(|kept| kept.record.view(kept.job)))
    }

    /// A job's timeline, oldest first.
    pub async fn timeline(&self, job: &JobId) -> Result<Vec<TimelineEvent>, Error> {
        let events = self.store.timeline(job).await?;
        if !events.is_empty() {
            return Ok(events);
        }
        let kept = self.kept(job).await?;
        Ok(kept.map(|kept| kept.record.events()).unwrap_or_default())
    }

    /// The newest jobs that fit a filter. With an error of Postgres those that it has alone are missing.
    pub async fn jobs(&self, filter: &JobFilter) -> Result<(Vec<JobView>, Option<Error>), Error> {
        let (mut found, mut away) = (self.store.jobs(filter).await?, None);
        if filter.state.is_none_or(State::is_terminal) {
            let listed = Listed {
                account: filter.account.clone(),
                state: filter.state,
                limit: filter.limit,
                ..Listed::default()
            };
            let known: BTreeSet<JobId> = found.iter().map(|view| view.job.clone()).collect();
            match self.ended(&listed).await {
                Ok(older) => {
                    let older = older.into_iter().map(|(_, view)| view);
                    found.extend(older.filter(|view| !known.contains(&view.job)));
                }
                Err(error) => away = Some(error),
            }
        }
        found.sort_by_key(|view| std::cmp::Reverse(view.number("created_at")));
        found.truncate(filter.limit);
        Ok((found, away))
    }

    /// Jobs that Postgres has as ended, with the times that they are listed by, the latest first. Some may
    /// be in the store too.
    pub async fn ended(&self, listed: &Listed) -> Result<Vec<(u64, JobView)>, Error> {
        let Some(archive) = &self.archive else {
            return Ok(Vec::new());
        };
        let jobs = archive.jobs(listed).await?.into_iter();
        Ok(jobs
            .map(|kept| (kept.at_ms, kept.record.view(kept.job)))
            .collect())
    }

    /// An account's newest entries below a place of its partition's journal (`None` = all), newest first.
    /// Reads backwards, no further than to where the account was opened.
    pub async fn entries(
        &self,
        account: &AccountId,
        limit: usize,
    ) -> Result<(Vec<Entry>, Option<Error>), Error> {
        let partition = account.partition(self.store.partitions());
        let (mut found, mut from, mut oldest) = (Vec::new(), Some("+".to_owned()), u64::MAX);
        while let Some(at) = from {
            let page = self.store.journal_backwards(partition, &at, PAGE).await?;
            for entry in page.entries {
                oldest = sequence(&entry.id).unwrap_or(oldest);
                let Some(body) = entry.body_of(account) else {
                    continue;
                };
                let is_first = body.account_seq == 1;
                found.push((entry.id, body));
                if is_first || found.len() >= limit {
                    found.truncate(limit);
                    return Ok((found, None));
                }
            }
            from = page.next;
        }
        match self.older(account, oldest, limit - found.len()).await {
            Ok(older) => {
                found.extend(older);
                Ok((found, None))
            }
            Err(error) => Ok((found, Some(error))),
        }
    }

    /// An account's newest entries below a sequence, newest first, from Postgres alone.
    pub async fn older(
        &self,
        account: &AccountId,
        below_seq: u64,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        match &self.archive {
            Some(archive) if limit > 0 => archive.entries_before(account, below_seq, limit).await,
            _ => Ok(Vec::new()),
        }
    }
}

/// The sequence in an entry's id.
pub fn sequence(id: &str) -> Option<u64> {
    id.split_once('-')?.1.parse().ok()
}
