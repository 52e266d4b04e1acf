//! What a rebuild would change in one partition: what the store has beside what history says. Reads only.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tokio_postgres::Client;

use super::chain::{self, Head};
use super::projector::head_of;
use super::rows::{self, signed};
use super::{Error, read};
use crate::domain::ids::{AccountId, JobId};
use crate::store::{
    AccountSnapshot, JournalBody, JournalEntry, JournalHead, KnownAccount, KnownJob, LostHold,
    Store,
};

/// Entries or accounts looked at in one call.
const PAGE: usize = 500;
const ACCOUNTS: usize = 100;

/// An account's balances, micro-credits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// What can be spent.
    pub available_ucr: i64,
    /// What open holds keep.
    pub held_ucr: i64,
    /// What is owed.
    pub debt_ucr: i64,
}

/// An account that would change; `None` = it is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccountChange {
    /// The account.
    pub account: String,
    /// As the store has it.
    pub store: Option<Figures>,
    /// As history has it, with all open holds still open.
    pub history: Option<Figures>,
}

/// An entry that only the store has, and that would be taken out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// `<epoch>-<sequence>`.
    pub id: String,
    /// What it did.
    pub kind: String,
    /// For whom.
    pub account: String,
    /// Its operation id or idempotency key; sent again with it, it is booked again.
    pub op: String,
    /// Its job, or empty.
    pub job: String,
}

/// What a rebuild would do to one partition.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// The partition.
    pub partition: u16,
    /// The newest entry of the store; `None` = a rebuild was begun and not finished.
    pub store_seq: Option<u64>,
    /// The newest committed entry.
    pub history_seq: u64,
    /// Store and history tell one story: nothing is done.
    pub in_step: bool,
    /// Accounts that history knows.
    pub accounts: usize,
    /// Those that would change, or go.
    pub changes: Vec<AccountChange>,
    /// Open jobs that go on.
    pub jobs_kept: usize,
    /// Jobs of the store that end as history has it.
    pub jobs_ended: usize,
    /// Holds whose jobs are lost: released.
    pub holds_lost: usize,
    /// What they come to, micro-credits.
    pub holds_lost_ucr: i64,
    /// Entries that only the store has.
    pub dropped: Vec<Dropped>,
    #[serde(skip)]
    pub(super) work: Work,
}

/// What has to be written.
#[derive(Debug, Clone, Default)]
pub(super) struct Work {
    pub(super) head: Head,
    pub(super) epoch: u64,
    pub(super) books: BTreeMap<String, i128>,
    pub(super) accounts: Vec<KnownAccount>,
    pub(super) unknown: Vec<AccountId>,
    pub(super) operations: BTreeMap<String, BTreeMap<String, String>>,
    pub(super) jobs: Vec<KnownJob>,
    pub(super) lost: Vec<LostHold>,
    pub(super) dropped: Vec<JournalEntry>,
}

impl Work {
    /// The restoration's name: from the same history it is the same one, so that it can be made again.
    pub(super) fn name(&self, partition: u16) -> String {
        let hash = self.head.hash.get(..12).unwrap_or_default();
        format!("rebuild-{partition}-{}-{hash}", self.head.seq)
    }
}

/// Looks at one partition.
pub(super) async fn plan(store: &Store, client: &Client, partition: u16) -> Result<Plan, Error> {
    // A partition that was never written has an empty history.
    let head = head_of(client, partition).await?.unwrap_or_default();
    let end = store.journal_end(partition).await?;
    let mut plan = Plan {
        partition,
        store_seq: end.epoch.map(|_| end.seq),
        history_seq: head.seq,
        in_step: in_step(store, partition, &head, &end).await?,
        accounts: 0,
        changes: Vec::new(),
        jobs_kept: 0,
        jobs_ended: 0,
        holds_lost: 0,
        holds_lost_ucr: 0,
        dropped: Vec::new(),
        work: Work::default(),
    };
    if plan.in_step {
        return Ok(plan);
    }
    plan.work.epoch = head.epoch.max(end.epoch.unwrap_or(0)) + 1;
    plan.work.head = head;
    plan.find_dropped(store, client, &end).await?;
    plan.compare_accounts(store, client).await?;
    plan.compare_operations(client).await?;
    plan.compare_jobs(store, client).await?;
    plan.work.books = read::books(client, partition).await?;
    Ok(plan)
}

/// Whether the store goes on from exactly where history is.
async fn in_step(
    store: &Store,
    partition: u16,
    head: &Head,
    end: &JournalHead,
) -> Result<bool, Error> {
    Ok(match chain::judge(head, end) {
        Ok(chain::Reading::Level) => true,
        Ok(chain::Reading::Later) | Err(_) => false,
        Ok(chain::Reading::More) => {
            let from = format!("({}-{}", head.epoch, head.seq);
            let page = store.journal(partition, &from, 1).await?;
            chain::follow(head, &page.entries).is_ok()
        }
    })
}

impl Plan {
    /// Entries of the store that history has not, from the newest back to the first that both have. Where
    /// a restoration was interrupted they stand in the database already.
    async fn find_dropped(
        &mut self,
        store: &Store,
        client: &Client,
        end: &JournalHead,
    ) -> Result<(), Error> {
        if end.epoch.is_none() {
            let sql =
                "select id, hash, body from dropped_entries where restoration = $1 order by id";
            let name = self.work.name(self.partition);
            for row in client.query(sql, &[&name]).await? {
                let [id, hash, body] = [0, 1, 2].map(|n| row.get(n));
                self.work.dropped.push(JournalEntry { id, body, hash });
            }
        } else {
            let mut from = Some("+".to_owned());
            while let Some(at) = from {
                let page = store.journal_backwards(self.partition, &at, PAGE).await?;
                let places: Vec<u64> = page
                    .entries
                    .iter()
                    .filter_map(|entry| chain::place(&entry.id))
                    .map(|(_, seq)| seq)
                    .collect();
                let (newest, oldest) = (places.first(), places.last());
                let (to, low) = (newest.copied().unwrap_or(0), oldest.copied().unwrap_or(0));
                let known = read::hashes(client, self.partition, signed(low), signed(to)).await?;
                let mut met = false;
                for (entry, seq) in page.entries.into_iter().zip(places) {
                    met |= known.get(&seq) == Some(&entry.hash);
                    if !met {
                        self.work.dropped.push(entry);
                    }
                }
                from = page.next.filter(|_| !met);
            }
            self.work.dropped.reverse();
        }
        self.dropped = self
            .work
            .dropped
            .iter()
            .filter_map(|entry| Some((entry.id.clone(), entry.body()?)))
            .map(|(id, body)| Dropped {
                id,
                kind: body.kind,
                account: body.account,
                op: body.op,
                job: body.job,
            })
            .collect();
        Ok(())
    }

    async fn compare_accounts(&mut self, store: &Store, client: &Client) -> Result<(), Error> {
        let now_ms = store.server_ms().await?;
        let mut known = read::accounts(client, self.partition, now_ms).await?;
        self.accounts = known.len();
        for frozen in store.frozen(self.partition).await? {
            let account = frozen.account.and_then(|name| known.get_mut(&name));
            if let Some(account) = account {
                let frozen = "frozen".to_owned();
                account.fields.insert("state".to_owned(), frozen);
            }
        }
        let there = store.accounts_in(self.partition).await?;
        let mut shown = BTreeMap::new();
        for some in there.chunks(ACCOUNTS) {
            for one in store.account_snapshots(self.partition, some).await? {
                shown.insert(one.account.to_string(), one);
            }
        }
        let names: BTreeSet<&String> = known.keys().chain(shown.keys()).collect();
        for name in names {
            let (store, history) = (shown.get(name).map(seen), known.get(name).map(told));
            if store != history {
                self.changes.push(AccountChange {
                    account: name.clone(),
                    store,
                    history,
                });
            }
        }
        self.work.unknown = there
            .into_iter()
            .filter(|account| !known.contains_key(account.as_str()))
            .collect();
        self.work.accounts = known.into_values().collect();
        Ok(())
    }

    /// What history knows, and empty answers for what only dropped entries did: those can be sent again.
    async fn compare_operations(&mut self, client: &Client) -> Result<(), Error> {
        let mut known = read::operations(client, self.partition).await?;
        for body in self.dropped_bodies().filter(rows::is_operation) {
            let of_account = known.entry(body.account).or_default();
            if !body.payment.is_empty() {
                let clawed = format!("clawed {}", body.payment);
                of_account.entry(clawed).or_default();
            }
            of_account.entry(body.op).or_default();
        }
        self.work.operations = known;
        Ok(())
    }

    fn dropped_bodies(&self) -> impl Iterator<Item = JournalBody> + use<> {
        let bodies: Vec<_> = self
            .work
            .dropped
            .iter()
            .filter_map(JournalEntry::body)
            .collect();
        bodies.into_iter()
    }

    async fn compare_jobs(&mut self, store: &Store, client: &Client) -> Result<(), Error> {
        let open: BTreeSet<JobId> = store.open_jobs(self.partition).await?.into_iter().collect();
        let touched = self
            .dropped_bodies()
            .filter_map(|body| JobId::try_from(body.job).ok());
        let all: BTreeSet<JobId> = open.iter().cloned().chain(touched).collect();
        let named: Vec<String> = all.iter().map(ToString::to_string).collect();
        let known = read::jobs(client, self.partition, &named).await?;
        let mut kept = BTreeSet::new();
        for job in all {
            let Some(view) = store.job(&job).await? else {
                continue;
            };
            let history = known.get(job.as_str());
            let keep = open.contains(&job)
                && view.state().is_some_and(|state| !state.is_terminal())
                && history.is_some_and(|history| {
                    history.state == "open" && history.hold.slices == view.text("slices")
                });
            if keep {
                kept.insert(job.to_string());
            }
            self.work.jobs.push(known_job(job, keep, history, &view));
        }
        let lost = known
            .into_values()
            .filter(|job| job.state == "open" && !kept.contains(&job.hold.job));
        self.work.lost = lost.map(|job| job.hold).collect();
        self.jobs_kept = kept.len();
        self.jobs_ended = self.work.jobs.len() - kept.len();
        self.holds_lost = self.work.lost.len();
        self.holds_lost_ucr = self.work.lost.iter().map(|hold| hold.hold_ucr).sum();
        Ok(())
    }
}

/// A job of the store as history wants it: kept, ended as it ended, or failed as lost.
fn known_job(
    job: JobId,
    keep: bool,
    history: Option<&read::Job>,
    view: &crate::store::JobView,
) -> KnownJob {
    let ended = history.filter(|history| history.state != "open");
    let captured_ucr = ended.map_or(0, |job| job.captured_ucr);
    KnownJob {
        job,
        keep,
        state: ended.map_or("failed", |job| &job.state).to_owned(),
        class: ended.map_or("lost", |job| &job.class).to_owned(),
        captured_ucr,
        released_ucr: view.number("hold_ucr") - captured_ucr,
        refunded_ucr: ended.map_or(0, |job| job.refunded_ucr),
    }
}

fn seen(account: &AccountSnapshot) -> Figures {
    Figures {
        available_ucr: account.ucr("available"),
        held_ucr: account.ucr("held"),
        debt_ucr: account.ucr("debt"),
    }
}

fn told(account: &KnownAccount) -> Figures {
    let ucr = |name: &str| {
        let text = account.fields.get(name);
        text.and_then(|text| text.parse().ok()).unwrap_or(0)
    };
    Figures {
        available_ucr: ucr("available"),
        held_ucr: ucr("held"),
        debt_ucr: ucr("debt"),
    }
}
