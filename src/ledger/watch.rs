//! The continuous audit: one process for each partition goes on reading its journal, compares, and
//! freezes what repeatedly differs.
//!
//! A round reads what is new, compares the accounts with new entries and some of the others in turn, and
//! reads a piece of the old chain again. Whatever differs is looked at afresh, from the first kept entry
//! on, before anything is done about it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::audit::{Report, look_afresh};
use super::books::{Books, Scope};
use super::compare::{Difference, Differences};
use super::walk::Walk;
use crate::domain::ids::{AccountId, BadId};
use crate::store::{Error, FreezeAct, FreezeOutcome, Scope as Frozen, Store};

/// Who signs what the audit freezes.
const ACTOR: &str = "audit";
/// Accounts without new entries, and open jobs, that one round looks at.
const TURN: usize = 500;
/// Old entries whose chain one round reads again.
const WALK: usize = 20_000;
/// More accounts than this that differ, and the whole partition is frozen.
const ACCOUNTS_MAX: usize = 100;
/// Differences kept with a freeze and with a report.
const DIFFERENCES_KEPT: usize = 20;
/// A process that audits keeps a partition at least so long without a word.
const LEASE_MIN_MS: u64 = 60_000;
/// As long as that while it reads a whole journal: nobody else should begin to meanwhile.
const LEASE_WHOLE_MS: u64 = 900_000;

/// What a round of the continuous audit came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Round {
    /// Another process audits this partition.
    Follows,
    /// This one did; what it found, and what it has frozen now.
    Looked {
        /// What was read and compared in this round; what differed when it was looked at again.
        report: Report,
        /// Accounts frozen by this round; `None` = the whole partition.
        froze: Vec<Option<String>>,
    },
}

/// The continuous audit of all partitions that this process leads.
pub struct Watch {
    store: Store,
    auditor: String,
    every_ms: u64,
    led: BTreeMap<u16, Led>,
}

/// What is kept of a partition from one round to the next.
struct Led {
    books: Books,
    walk: Walk,
}

impl Watch {
    /// Begins with nothing read. `auditor` names this process; `every_ms` is the time between rounds.
    pub fn new(store: Store, auditor: &str, every_ms: u64) -> Self {
        Self {
            store,
            auditor: auditor.to_owned(),
            every_ms,
            led: BTreeMap::new(),
        }
    }

    /// Rounds in every partition until told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut every = tokio::time::interval(Duration::from_millis(self.every_ms));
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = every.tick() => {}
            }
            for partition in 0..self.store.partitions() {
                let round = tokio::select! {
                    () = stop.cancelled() => return,
                    round = self.round(partition) => round,
                };
                if let Err(error) = round {
                    tracing::warn!(%error, partition, "failed to audit");
                }
            }
        }
    }

    /// One round in one partition, if this process leads there.
    pub async fn round(&mut self, partition: u16) -> Result<Round, Error> {
        let began = Instant::now();
        let reads_whole = !self.led.contains_key(&partition);
        if !self.lead(partition, reads_whole).await? {
            self.led.remove(&partition);
            return Ok(Round::Follows);
        }
        let mut led = match self.led.remove(&partition) {
            Some(led) => led,
            None => Led {
                books: Books::open(&self.store, partition).await?,
                walk: Walk::default(),
            },
        };
        let mut report = self.look(partition, &mut led).await?;
        let mut froze = Vec::new();
        if !report.ok {
            tracing::debug!(
                partition,
                differences = report.differences.len(),
                "partition {partition} differs, looking again"
            );
            self.lead(partition, true).await?;
            let looked = look_afresh(&self.store, partition, &mut |_| {}).await?;
            (report, led.books) = looked;
            led.walk = Walk::default();
            froze = self.freeze(partition, &report.differences).await?;
        }
        let (seq, wrong) = (led.books.seq(), led.books.wrong_until());
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let kept = kept(&report, took_ms);
        let auditor = &self.auditor;
        let noted = self
            .store
            .keep_audit(partition, auditor, &kept, report.ok, seq, wrong)
            .await?;
        if noted {
            self.led.insert(partition, led);
        }
        Ok(Round::Looked { report, froze })
    }

    async fn lead(&self, partition: u16, reads_whole: bool) -> Result<bool, Error> {
        let least_ms = if reads_whole {
            LEASE_WHOLE_MS
        } else {
            LEASE_MIN_MS
        };
        let lease_ms = self.every_ms.saturating_mul(3).max(least_ms);
        self.store
            .lead_audit(partition, &self.auditor, lease_ms)
            .await
    }

    /// What is new, some of the rest, and a piece of the old chain.
    async fn look(&self, partition: u16, led: &mut Led) -> Result<Report, Error> {
        let scope = Scope::Turn(TURN);
        let mut report = led.books.look(&self.store, scope, &mut |_| {}).await?;
        let mut chain = Differences::new(partition);
        led.walk
            .go_on(&self.store, partition, WALK, &mut chain)
            .await?;
        report.differences.extend(chain.into_found());
        report.ok = report.differences.is_empty();
        Ok(report)
    }

    /// Freezes what differs: the partition where its journal does or too many accounts do, otherwise
    /// each account. Returns what was not frozen before.
    async fn freeze(
        &self,
        partition: u16,
        differences: &[Difference],
    ) -> Result<Vec<Option<String>>, Error> {
        let mut by_account: BTreeMap<Option<&str>, Vec<&Difference>> = BTreeMap::new();
        for one in differences {
            by_account
                .entry(one.account.as_deref())
                .or_default()
                .push(one);
        }
        if by_account.contains_key(&None) || by_account.len() > ACCOUNTS_MAX {
            by_account = BTreeMap::from([(None, differences.iter().collect())]);
        }
        let mut froze = Vec::new();
        for (account, differences) in by_account {
            let scope = match account {
                // A name that is none cannot be frozen by itself.
                Some(name) => name
                    .parse::<AccountId>()
                    .map_or(Frozen::Partition(partition), Frozen::Account),
                None => Frozen::Partition(partition),
            };
            if self.freeze_one(scope, &differences).await? {
                froze.push(account.map(str::to_owned));
            }
        }
        Ok(froze)
    }

    /// Freezes one thing. Returns whether it was not frozen before.
    async fn freeze_one(&self, scope: Frozen, differences: &[&Difference]) -> Result<bool, Error> {
        let words: Vec<String> = differences
            .iter()
            .take(DIFFERENCES_KEPT)
            .map(|one| match &scope {
                Frozen::Account(_) => one.to_string(),
                Frozen::Partition(_) => one.with_account(),
            })
            .collect();
        let operation = format!("audit-{}", uuid::Uuid::now_v7());
        let operation = operation.parse().map_err(|error: BadId| {
            Error::Incompatible(format!("the audit's operation id: {error}"))
        })?;
        let more = differences.len() - 1;
        let act = FreezeAct {
            scope,
            reason: format!(
                "{}{}",
                words.first().map_or("", String::as_str),
                if more > 0 {
                    format!(" (and {more} more)")
                } else {
                    String::new()
                }
            ),
            actor: ACTOR.to_owned(),
            operation,
        };
        let outcome = self.store.freeze(&act, &words).await?;
        let newly = match outcome {
            FreezeOutcome::Frozen { .. } => true,
            FreezeOutcome::Already(_) | FreezeOutcome::Mismatch => false,
            // Nothing of it could be spent, but somebody has to know.
            FreezeOutcome::UnknownAccount => {
                tracing::error!(scope = ?act.scope, differed = ?words, "an account is gone");
                false
            }
        };
        if newly {
            tracing::error!(scope = ?act.scope, differed = ?words, "the books differ, frozen: {}", act.reason);
        }
        Ok(newly)
    }
}

/// The report as it is kept with the partition, with the time it took and not too many differences.
fn kept(report: &Report, took_ms: u64) -> String {
    let mut report = report.clone();
    let differences = report.differences.len();
    report.differences.truncate(DIFFERENCES_KEPT);
    let mut value = serde_json::json!(report);
    value["differences_in_all"] = differences.into();
    value["took_ms"] = took_ms.into();
    value.to_string()
}
