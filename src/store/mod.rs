//! The store: the only module that knows Redis.
//!
//! One method per transition, each of them one Lua script (`lua/`), and methods that read. What a
//! script answers is a closed enum here; [`Error`] is left for calls that have no outcome.

mod accounts;
mod acts;
mod address;
mod answers;
mod api_keys;
mod attempts;
mod audits;
mod call;
mod cluster;
mod connection;
mod control;
mod costs;
mod dead;
mod drains;
mod durability;
mod error;
mod events;
mod feed;
mod file;
mod freeze;
mod gather;
mod heartbeat;
mod history;
mod holds;
mod jobs;
mod joint;
mod journal;
mod keys;
mod listing;
mod many;
mod obligations;
mod owed;
mod pages;
mod prune;
mod queues;
mod reader;
mod records;
mod redrive;
mod reply;
mod restore;
mod scripts;
mod server;
mod snapshots;
mod steps;
mod submit;
mod sweep;
mod upkeep;
mod usage;
mod views;
mod wake;
mod way;
mod webhooks;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

pub use accounts::{
    AccountView, AdjustOutcome, AdjustRequest, CapView, Correction, GrantKind, GrantOutcome,
    GrantRequest, GrantView, Opened, PlanOutcome, PlanRequest, PlanView, RefundOutcome,
    RefundRequest, Reward, RewardOutcome, StateOutcome, Term, TermOutcome,
};
pub use acts::Act;
pub use address::{is_store_url, url_without_password};
pub use answers::{AnswerBegun, KeptAnswer, Repetition};
pub use api_keys::{ApiSecret, KeyKind, KeyScope, KeyView, NewKey, RevokeOutcome, RotateOutcome};
pub use attempts::{
    Again, CheckpointOutcome, ClaimOutcome, Claimed, ClaimedJob, DeferOutcome, FailOutcome,
    Failing, SettleOutcome, Settlement, Step,
};
pub use audits::{ClockSet, LastAudit};
pub use connection::ConnectionOptions;
pub use control::{Control, Order};
pub use costs::{CostEntry, ProviderSpend, SubmissionCost};
pub use dead::{DeadFilter, DeadLetter, DeadPage};
pub use drains::{DrainOrder, WorkerDrain};
pub use durability::{Durability, DurabilityOptions};
pub use error::Error;
pub use events::{Event, EventReader};
pub use feed::{EventId, EventPage, Feed, FeedEvent};
pub use file::FileRenewal;
pub use freeze::{ClearOutcome, FreezeAct, FreezeOutcome, Frozen, Scope};
pub use heartbeat::{HeartbeatOutcome, TooLate};
pub use history::JournalHead;
pub use holds::{HoldPage, HoldView, OldestHolds};
pub use jobs::{CancelOutcome, NewJob, StoredQuote, SubmitOutcome, SubmitRefusal, Submitted};
pub use journal::{JournalBody, JournalEntry, JournalPage, Opening, TrimmedHead};
pub use listing::{JobIndex, JobPage};
pub use obligations::ObligationView;
pub use owed::{Closing, Owed, OwedOutcome};
pub use pages::{Place, Sorting};
pub use queues::{Halt, QueueAct, QueueView};
pub use records::JobRecord;
pub use redrive::{
    DropOutcome, ForceFailOutcome, Payer, Redrive, RedriveOutcome, RedriveRefusal, Redriven,
};
pub use restore::{Begun, KnownAccount, KnownJob, LostHold, Restoration, Restored};
pub use server::ServerReport;
pub use snapshots::{AccountSnapshot, JobSnapshot};
pub use steps::{Noted, Word};
pub use sweep::{ReapOutcome, TickOutcome};
pub use upkeep::{RoundOutcome, TrimOutcome};
pub use usage::ServerUsage;
pub use views::{JobFilter, JobView, TimelineEvent, WorkerView};
pub use wake::Waker;
pub use webhooks::{
    CreateEndpoint, DeadMessage, DeadMessages, Delivery, EndpointAct, EndpointActOutcome,
    EndpointCreated, EndpointView, Happened, Redelivered, ReportOutcome, Reported, Sending, Tried,
};

use cluster::Connections;
use gather::Gathers;
use keys::Keys;

use crate::domain::credits::Ucr;

/// The layout of keys that this version reads and writes.
pub const SCHEMA: u32 = 1;

/// Limits and clocks that the transitions need. Times in ms.
#[derive(Debug, Clone)]
pub struct Options {
    /// Partitions of a store that is still empty; an existing one keeps its number.
    pub partitions: u16,
    /// How connections are made.
    pub connection: ConnectionOptions,
    /// Open jobs that all partitions together take.
    pub queue_room: u64,
    /// Waiting jobs that one account's lane takes.
    pub lane_max: u64,
    /// Active jobs per account and queue, where the account has no number of its own.
    pub max_active: u32,
    /// Below which balance a new account's owner is told by an event; zero = never.
    pub low_balance: Ucr,
    /// Longest payload and longest stored result, bytes.
    pub payload_max_bytes: usize,
    /// Live grants per account.
    pub grants_max: u32,
    /// How far ahead a job may be scheduled.
    pub schedule_ahead_ms: u64,
    /// How long a job may wait for its first claim, from when it is due.
    pub queue_ttl_ms: u64,
    /// How long a quote stands.
    pub quote_ttl_ms: u64,
    /// How often another worker may pick a job up.
    pub takeovers_max: u32,
    /// How long a running job may take to stop after a cancel.
    pub cancel_grace_ms: u64,
    /// How long finished jobs are kept.
    pub retention_ms: u64,
    /// How long dead letters are kept.
    pub dead_letter_ms: u64,
    /// How often every account's state is written into the journal.
    pub opening_ms: u64,
    /// How long the journal is kept before such openings.
    pub journal_retention_ms: u64,
    /// How long operators' acts are kept.
    pub acts_ms: u64,
    /// Share of maxmemory from which on submits are refused, percent.
    pub memory_refuse_percent: u8,
    /// What operations wait for before they are called accepted.
    pub durability: DurabilityOptions,
}

/// A handle to the store, cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
    /// A fixed time for scripts, in tests; 0 = the server's clock.
    now_ms: u64,
}

struct Inner {
    connections: Arc<Connections>,
    partitions: Vec<Keys>,
    gathers: Gathers,
    /// Refused words of workers that had lost their jobs, not yet told to the store.
    fenced: AtomicU64,
    options: Options,
}

impl Store {
    /// Connects, checks that the server can be a store, and makes an empty one into ours.
    pub async fn open(url: &str, options: Options) -> Result<Self, Error> {
        let tags = keys::spread_tags(options.partitions.clamp(1, 256)).join(" ");
        Self::open_as(url, options, &tags).await
    }

    /// The same where there is a store already; `None` where the server has none.
    pub async fn open_existing(url: &str, options: Options) -> Result<Option<Self>, Error> {
        let there = Self::unopened(url, options.clone(), "")?;
        if there.is_one().await? {
            Ok(Some(Self::open(url, options).await?))
        } else {
            Ok(None)
        }
    }

    /// The same, where an empty one gets these hash tags (separated by spaces), one a partition: those
    /// of the store that it is to become again.
    pub async fn open_as(url: &str, options: Options, tags: &str) -> Result<Self, Error> {
        let store = Self::over(url, options, tags).await?;
        let tags = store.initialise(tags).await?;
        Ok(store.with_tags(&tags.join(" ")))
    }

    /// A handle to a store of these partitions, whether it is one yet or not: nothing is written, and
    /// other processes still find the server empty where it is.
    pub async fn over(url: &str, options: Options, tags: &str) -> Result<Self, Error> {
        let store = Self::unopened(url, options, tags)?;
        for (_, report) in store.server_reports().await? {
            report.check_version()?;
        }
        Ok(store)
    }

    fn unopened(url: &str, options: Options, tags: &str) -> Result<Self, Error> {
        Ok(Self {
            inner: Arc::new(Inner {
                connections: Arc::new(Connections::new(url, options.connection)?),
                gathers: Gathers::new(tags.split(' ').count()),
                fenced: AtomicU64::new(0),
                partitions: tags.split(' ').map(Keys::new).collect(),
                options,
            }),
            now_ms: 0,
        })
    }

    /// Whether the server holds a store.
    async fn is_one(&self) -> Result<bool, Error> {
        let mut ask = redis::pipe();
        ask.cmd("EXISTS").arg(keys::STORE_META);
        let (there,): (bool,) = self.read("EXISTS", &ask).await?;
        Ok(there)
    }

    fn with_tags(mut self, tags: &str) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.partitions = tags.split(' ').map(Keys::new).collect();
            inner.gathers = Gathers::new(inner.partitions.len());
        }
        self
    }

    /// The same store with a fixed clock: every script takes `now_ms` for the time. For tests that
    /// own the clock.
    pub fn at(&self, now_ms: u64) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            now_ms,
        }
    }

    /// How many partitions this store has.
    pub fn partitions(&self) -> u16 {
        u16::try_from(self.inner.partitions.len()).unwrap_or(u16::MAX)
    }

    /// The hash tags of its partitions, separated by spaces.
    pub fn tags(&self) -> String {
        let tags: Vec<&str> = self.inner.partitions.iter().map(Keys::tag).collect();
        tags.join(" ")
    }

    /// The limits this handle works with.
    pub fn options(&self) -> &Options {
        &self.inner.options
    }

    async fn initialise(&self, tags: &str) -> Result<Vec<String>, Error> {
        let wanted = tags.split(' ').count();
        let args = [SCHEMA.to_string(), wanted.to_string(), tags.to_owned()];
        let reply = self
            .run(&scripts::INIT, &[keys::STORE_META.to_owned()], &args)
            .await?;
        let schema: u32 = reply.number(0)?;
        if schema != SCHEMA {
            return Err(Error::Incompatible(format!(
                "it has schema {schema}, this version reads {SCHEMA}"
            )));
        }
        Ok(reply.text(2)?.split(' ').map(str::to_owned).collect())
    }

    fn keys(&self, partition: u16) -> Result<&Keys, Error> {
        self.inner
            .partitions
            .get(usize::from(partition))
            .ok_or_else(|| {
                Error::Incompatible(format!(
                    "there is no partition {partition}, it has {}",
                    self.inner.partitions.len()
                ))
            })
    }
}
