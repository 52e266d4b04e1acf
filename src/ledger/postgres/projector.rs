//! The projector: reads every partition's journal and commits it to Postgres, exactly once.
//!
//! Where to read on stands in Postgres, in the row that each batch moves together with what it writes: a
//! projector that dies, or loses either server, goes on from there. Of several projectors one writes a
//! partition: it holds an advisory lock, which ends with its session, and even a session that does not know
//! yet that it is over can only move the row from exactly where it stands. So the store keeps no list of
//! readers for it, only a mark that trimming waits for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use secrecy::SecretString;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use super::batch::{Batch, Terms};
use super::chain::{self, Head, Link, Reading};
use super::rows::{self, signed, unsigned};
use super::{Error, connect, costs, fence, known_to, migrations, records};
use crate::domain::ids::AccountId;
use crate::store::{SCHEMA, Store};

/// First class of the advisory locks; the second number is the partition.
pub(super) const LOCK_CLASS: i32 = 0x6d6c;
/// Fields of an account that are its terms: kept as the store has them.
const TERMS: [&str; 8] = [
    "max_active",
    "limits",
    "caps",
    "alert",
    "plan",
    "plan_price",
    "plan_until",
    "created_at",
];
/// Accounts looked at in one call.
const ACCOUNTS: usize = 100;
/// Between two tries to get the lock of a partition that another projector writes, or that is frozen.
const AGAIN: Duration = Duration::from_secs(2);
/// Waits after Postgres could not be reached, doubled each time.
const WAIT_MIN: Duration = Duration::from_millis(200);
const WAIT_MAX: Duration = Duration::from_secs(10);
/// How often it says how far it is.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// How a projector works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProjectorOptions {
    /// Between two looks at journals in which nothing was new, ms.
    pub poll_ms: u64,
    /// Entries of one transaction at most.
    pub batch: usize,
}

/// Writes history until it is told to stop.
pub struct Projector {
    store: Store,
    url: SecretString,
    options: ProjectorOptions,
}

/// What a session knows of one partition.
#[derive(Default)]
struct Part {
    /// What is committed, while this session writes the partition.
    head: Option<Head>,
    /// How far its costs are committed.
    costs_head: Option<String>,
    /// No look before this moment.
    not_before: Option<Instant>,
    /// Entries that the store was ahead at the last look.
    lag: u64,
    frozen: bool,
}

/// One connection to Postgres, for as long as it lives.
struct Session<'a> {
    projector: &'a Projector,
    client: Client,
    parts: Vec<Part>,
    written: u64,
    reported: Instant,
    store_is_away: bool,
}

impl Projector {
    /// Connects to nothing yet.
    pub fn new(store: Store, url: SecretString, options: ProjectorOptions) -> Self {
        Self {
            store,
            url,
            options,
        }
    }

    /// Runs until it is told to stop; `ready` is called once, when it has its first session. Fails only
    /// where the database can never be this store's history.
    pub async fn run(
        &self,
        stop: &CancellationToken,
        mut ready: impl FnMut(),
    ) -> Result<(), Error> {
        let mut wait = WAIT_MIN;
        loop {
            let ended = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                ended = self.session(&mut wait, &mut ready) => ended,
            };
            match ended {
                Err(error @ Error::Unfit(_)) => return Err(error),
                Err(error) => tracing::warn!(
                    %error,
                    wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                    "history stands still: failed to {error}"
                ),
                Ok(()) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(wait) => {}
            }
            wait = (wait * 2).min(WAIT_MAX);
        }
    }

    /// Writes everything that there is now, and ends. Partitions that another projector writes, or that
    /// it had to freeze, are left out. Returns how many entries it wrote.
    pub async fn catch_up(&self) -> Result<u64, Error> {
        let mut session = self.open().await?;
        while session.round().await? {}
        // Its locks go now, not when the server notices that the connection has gone.
        let unlock = "select pg_advisory_unlock_all()";
        session.client.execute(unlock, &[]).await?;
        Ok(session.written)
    }

    async fn open(&self) -> Result<Session<'_>, Error> {
        let mut client = connect::connect(&self.url).await?;
        migrations::migrate_on(&mut client).await?;
        self.claim_database(&client).await?;
        let parts = (0..self.store.partitions()).map(|_| Part::default());
        Ok(Session {
            projector: self,
            client,
            parts: parts.collect(),
            written: 0,
            reported: Instant::now(),
            store_is_away: false,
        })
    }

    async fn session(&self, wait: &mut Duration, ready: &mut impl FnMut()) -> Result<(), Error> {
        let mut session = self.open().await?;
        *wait = WAIT_MIN;
        ready();
        loop {
            if !session.round().await? {
                tokio::time::sleep(Duration::from_millis(self.options.poll_ms)).await;
            }
            session.report();
        }
    }

    /// Writes down which store this database is the history of, or refuses that of another.
    async fn claim_database(&self, client: &Client) -> Result<(), Error> {
        let sql = "insert into store (schema, partitions, tags) values ($1, $2, $3) on conflict do nothing";
        let (schema, partitions) = (SCHEMA.cast_signed(), i32::from(self.store.partitions()));
        let tags = self.store.tags();
        client.execute(sql, &[&schema, &partitions, &tags]).await?;
        match known_to(client).await? {
            Some(known) if known.tags == tags => Ok(()),
            _ => Err(Error::Unfit(
                "it is the history of a store with other partitions".to_owned(),
            )),
        }
    }
}

impl Session<'_> {
    /// A look at every partition. Returns whether there is more to read at once.
    async fn round(&mut self) -> Result<bool, Error> {
        let mut more = false;
        for partition in 0..self.projector.store.partitions() {
            let stepped = self.step(partition).await;
            if let Ok(full) = stepped {
                more |= full;
            }
            match stepped {
                Ok(_) => self.store_is_back().await,
                Err(Error::Store(error)) => self.store_is_gone(&error),
                Err(Error::Taken(_)) => self.part(partition).head = None,
                Err(error) => return Err(error),
            }
        }
        Ok(more)
    }

    fn part(&mut self, partition: u16) -> &mut Part {
        // There is one for each partition from the start.
        &mut self.parts[usize::from(partition)]
    }

    fn store_is_gone(&mut self, error: &crate::store::Error) {
        if !self.store_is_away {
            tracing::warn!(%error, "history waits for the store: failed to {error}");
        }
        self.store_is_away = true;
    }

    async fn store_is_back(&mut self) {
        if self.store_is_away
            && let Ok(report) = self.projector.store.server_report().await
        {
            self.store_is_away = false;
            tracing::info!(role = report.role, "the store answers again");
        }
    }

    /// Reads and commits the next entries of a partition, where this session writes it. Returns whether
    /// there are more.
    async fn step(&mut self, partition: u16) -> Result<bool, Error> {
        let now = Instant::now();
        if self.part(partition).not_before.is_some_and(|at| at > now) {
            return Ok(false);
        }
        if self.part(partition).head.is_none() && !self.take(partition).await? {
            self.part(partition).not_before = Some(now + AGAIN);
            return Ok(false);
        }
        let Some(head) = self.part(partition).head.clone() else {
            return Ok(false);
        };
        let store = &self.projector.store;
        let end = store.journal_end(partition).await?;
        self.part(partition).lag = end.seq.saturating_sub(head.seq);
        let reading = match chain::judge(&head, &end) {
            Ok(Reading::Level | Reading::Later) => return self.commit_costs(partition).await,
            Ok(Reading::More) => self.read(partition, &head).await?,
            Err(broken) => Err(broken),
        };
        let more_costs = self.commit_costs(partition).await?;
        match reading {
            Ok(links) => Ok(self.commit(partition, &head, &links).await? || more_costs),
            Err(broken) => {
                self.halt(partition, &broken).await?;
                Ok(false)
            }
        }
    }

    /// The next entries, each found to stand on the one before.
    async fn read(
        &self,
        partition: u16,
        head: &Head,
    ) -> Result<Result<Vec<Link>, chain::Broken>, Error> {
        let from = format!("({}-{}", head.epoch, head.seq);
        let limit = self.projector.options.batch;
        let page = self
            .projector
            .store
            .journal(partition, &from, limit)
            .await?;
        Ok(chain::follow(head, &page.entries))
    }

    async fn commit(&mut self, partition: u16, head: &Head, links: &[Link]) -> Result<bool, Error> {
        if links.is_empty() {
            return Ok(false);
        }
        let batch = Batch {
            partition,
            before: head,
            links,
            answers: self.answers(partition, links).await?,
            terms: self.terms(partition, links).await?,
            records: records::of(&self.projector.store, partition, links).await?,
        };
        let head = Box::pin(batch.commit(&mut self.client)).await?;
        self.written += links.len() as u64;
        let store = self.projector.store.clone();
        let seq = head.seq;
        self.part(partition).head = Some(head);
        self.part(partition).frozen = false;
        store.note_history(partition, seq).await?;
        Ok(links.len() >= self.projector.options.batch)
    }

    /// Commits the next costs of a partition. Returns whether there may be more.
    async fn commit_costs(&mut self, partition: u16) -> Result<bool, Error> {
        let (store, batch) = (&self.projector.store, self.projector.options.batch);
        let from = match self.parts[usize::from(partition)].costs_head.clone() {
            Some(from) => from,
            None => costs::head_of_costs(&self.client, store, partition).await?,
        };
        let moved = costs::commit_next(&mut self.client, store, partition, &from, batch).await;
        let moved = match moved {
            Err(error) => {
                // Somebody else may have moved it: it is read again.
                self.part(partition).costs_head = None;
                return Err(error);
            }
            Ok(moved) => moved,
        };
        if let Some(head) = &moved {
            store.note_costs(partition, head).await?;
        }
        let more = moved.is_some();
        self.part(partition).costs_head = Some(moved.unwrap_or(from));
        Ok(more)
    }

    /// Gets the lock of a partition and reads how far it is. Returns whether this session has it.
    async fn take(&mut self, partition: u16) -> Result<bool, Error> {
        if !self.lock(partition).await? {
            return Ok(false);
        }
        let store = &self.projector.store;
        // From here on nothing is trimmed that is not committed.
        store.note_history(partition, 0).await?;
        let head = match head_of(&self.client, partition).await? {
            Some(head) => head,
            None => {
                let trimmed = store.trimmed_head(partition).await?;
                let (seq, hash) = (signed(trimmed.seq), trimmed.hash);
                let sql = "insert into heads (partition, epoch, seq, hash) values ($1, 0, $2, $3)";
                let number = i32::from(partition);
                self.client.execute(sql, &[&number, &seq, &hash]).await?;
                Head {
                    epoch: 0,
                    seq: trimmed.seq,
                    hash,
                }
            }
        };
        let seq = head.seq;
        self.part(partition).head = Some(head);
        let store = &self.projector.store;
        if !self.parts[usize::from(partition)].frozen
            && store.journal_end(partition).await?.seq >= seq
        {
            store.note_history(partition, seq).await?;
        }
        Ok(true)
    }

    async fn lock(&self, partition: u16) -> Result<bool, Error> {
        let sql = "select pg_try_advisory_lock($1, $2)";
        let number = i32::from(partition);
        let row = self.client.query_one(sql, &[&LOCK_CLASS, &number]).await?;
        Ok(row.get(0))
    }

    /// Freezes a partition and lets go of it, so that it can be rebuilt.
    async fn halt(&mut self, partition: u16, broken: &chain::Broken) -> Result<(), Error> {
        let frozen = fence::freeze(&self.projector.store, &self.client, partition, broken).await;
        let sql = "select pg_advisory_unlock($1, $2)";
        let number = i32::from(partition);
        self.client.execute(sql, &[&LOCK_CLASS, &number]).await?;
        let part = self.part(partition);
        part.head = None;
        part.frozen = true;
        part.not_before = Some(Instant::now() + AGAIN);
        frozen.map(|_| ())
    }

    /// What the operation ids of these entries were answered. The script that wrote an entry wrote its
    /// answer too, and it stays for ever.
    async fn answers(
        &self,
        partition: u16,
        links: &[Link],
    ) -> Result<BTreeMap<(String, String), String>, Error> {
        let bodies = links.iter().map(|link| &link.body);
        let wanted: Vec<(AccountId, String)> = bodies
            .filter(|body| rows::is_operation(body))
            .filter_map(|body| Some((body.account.parse().ok()?, body.op.clone())))
            .collect();
        let store = &self.projector.store;
        let found = store.operation_answers(partition, &wanted).await?;
        let mut answers = BTreeMap::new();
        for ((account, op), answer) in wanted.into_iter().zip(found) {
            match answer {
                Some(answer) => {
                    answers.insert((account.to_string(), op), answer);
                }
                None => tracing::error!(%account, op, "the store has no answer of operation {op}"),
            }
        }
        Ok(answers)
    }

    /// The terms of accounts that these entries may have changed.
    async fn terms(
        &self,
        partition: u16,
        links: &[Link],
    ) -> Result<BTreeMap<String, Terms>, Error> {
        let setting = |kind: &str| matches!(kind, "open" | "set" | "grant" | "opening");
        let named: BTreeSet<&String> = links
            .iter()
            .filter(|link| setting(&link.body.kind))
            .map(|link| &link.body.account)
            .collect();
        let accounts: Vec<AccountId> = named
            .into_iter()
            .filter_map(|name| name.parse().ok())
            .collect();
        let mut terms = BTreeMap::new();
        for some in accounts.chunks(ACCOUNTS) {
            let shown = self
                .projector
                .store
                .account_snapshots(partition, some)
                .await?;
            for account in shown {
                let set = TERMS.iter().filter_map(|name| {
                    let text = account.text(name);
                    (!text.is_empty()).then(|| ((*name).to_owned(), text.to_owned()))
                });
                terms.insert(account.account.to_string(), set.collect());
            }
        }
        Ok(terms)
    }

    /// How far it is, now and then; at once where much is still to be read.
    fn report(&mut self) {
        if self.reported.elapsed() < REPORT_EVERY {
            return;
        }
        let lag: u64 = self.parts.iter().map(|part| part.lag).sum();
        let own = self.parts.iter().filter(|part| part.head.is_some()).count();
        let frozen = self.parts.iter().filter(|part| part.frozen).count();
        tracing::info!(
            entries = self.written,
            lag_entries = lag,
            partitions = own,
            frozen,
            "history is {lag} entries behind"
        );
        (self.reported, self.written) = (Instant::now(), 0);
    }
}

/// How far a partition is committed; `None` where it was never written.
pub(super) async fn head_of(client: &Client, partition: u16) -> Result<Option<Head>, Error> {
    let sql = "select epoch, seq, hash from heads where partition = $1";
    let number = i32::from(partition);
    let row = client.query_opt(sql, &[&number]).await?;
    Ok(row.map(|row| Head {
        epoch: unsigned(row.get(0)),
        seq: unsigned(row.get(1)),
        hash: row.get(2),
    }))
}
