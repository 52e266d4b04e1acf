//! The rebuild: a partition of the store becomes what history says again. It stays frozen until an operator
//! has looked and clears it.

use std::time::Duration;

use secrecy::SecretString;
use tokio_postgres::Client;

use super::plan::{Plan, Work};
use super::projector::LOCK_CLASS;
use super::rows::signed;
use super::{Error, connect, costs, known_to, plan, read};
use crate::store::{Begun, FreezeAct, Restoration, Restored, Scope, Store};

/// How often, and after which pauses, the lock of a partition is asked for: a projector that meets the
/// difference lets go of it.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(500);
/// Ended jobs read at a time.
const ENDED: i64 = 200;

/// A store and its history, about to become one again.
pub struct Rebuild {
    store: Store,
    client: Client,
}

impl Rebuild {
    /// Connects; an error where the database is the history of another store.
    pub async fn open(store: Store, url: &SecretString) -> Result<Self, Error> {
        let client = connect::connect(url).await?;
        match known_to(&client).await? {
            Some(known) if known.tags == store.tags() => Ok(Self { store, client }),
            Some(_) => Err(Error::Unfit(
                "it is the history of a store with other partitions".to_owned(),
            )),
            None => Err(Error::Unfit("it holds no history".to_owned())),
        }
    }

    /// What would change in one partition; writes nothing.
    pub async fn plan(&self, partition: u16) -> Result<Plan, Error> {
        plan::plan(&self.store, &self.client, partition).await
    }

    /// Freezes every partition whose store and history differ.
    pub async fn freeze_what_differs(&self, reason: &str, actor: &str) -> Result<(), Error> {
        for partition in 0..self.store.partitions() {
            if !self.plan(partition).await?.in_step {
                self.freeze(partition, reason, actor).await?;
            }
        }
        Ok(())
    }

    /// Rebuilds one partition. Returns what was changed. Interrupted anywhere, it is simply run again.
    pub async fn apply(&self, partition: u16, reason: &str, actor: &str) -> Result<Plan, Error> {
        if plan::plan(&self.store, &self.client, partition)
            .await?
            .in_step
        {
            return self.plan(partition).await;
        }
        self.lock(partition).await?;
        let done = self.apply_locked(partition, reason, actor).await;
        let sql = "select pg_advisory_unlock($1, $2)";
        let number = i32::from(partition);
        self.client.execute(sql, &[&LOCK_CLASS, &number]).await?;
        done
    }

    async fn apply_locked(&self, partition: u16, reason: &str, actor: &str) -> Result<Plan, Error> {
        self.freeze(partition, reason, actor).await?;
        // Looked at again: from here on nobody else writes history, and nobody spends.
        let plan = self.plan(partition).await?;
        if plan.in_step {
            return Ok(plan);
        }
        self.keep_dropped(&plan).await?;
        let work = &plan.work;
        let name = work.name(partition);
        let restoration = self.store.restoration(partition, &name);
        let (from, signed) = ((work.head.seq, work.head.hash.as_str()), (reason, actor));
        match restoration
            .begin(work.epoch, from, signed, &work.books)
            .await?
        {
            Begun::UnderWay => {}
            Begun::FinishedBefore => return Ok(plan),
            Begun::NotFrozen => return Err(rule(partition, "was cleared meanwhile")),
            Begun::Busy(workers) => {
                let words = format!(
                    "is served by {workers} workers: drain or stop them, wait for their lease to end, and repeat"
                );
                return Err(rule(partition, &words));
            }
        }
        costs::read_again(&self.client, partition).await?;
        restoration.forget(&work.unknown).await?;
        for account in &work.accounts {
            self.step(partition, restoration.account(account).await?)?;
        }
        for (account, answers) in &work.operations {
            let answers: Vec<(String, String)> = answers.clone().into_iter().collect();
            if let Ok(account) = account.parse() {
                restoration.operations(&account, &answers).await?;
            }
        }
        restoration.jobs(&work.jobs).await?;
        let back = self.bring_ended(partition, &restoration).await?;
        tracing::info!(partition, jobs = back, "{back} ended jobs are back");
        for hold in &work.lost {
            self.step(partition, restoration.lost(hold).await?)?;
        }
        self.step(partition, restoration.finish(reason, actor).await?)?;
        Ok(plan)
    }

    /// Brings back the jobs that have ended and that a store would still have: whoever sends one of them
    /// again, with its key, is answered with it and is not charged twice.
    async fn bring_ended(&self, partition: u16, restoration: &Restoration) -> Result<u64, Error> {
        let now_ms = self.store.server_ms().await?;
        let since_ms = now_ms.saturating_sub(self.store.options().retention_ms);
        let (mut after, mut back) = ((signed(since_ms), String::new()), 0);
        loop {
            let (jobs, last) = read::ended(&self.client, partition, &after, ENDED).await?;
            back += restoration.ended(&jobs).await?;
            match last {
                Some(last) => after = last,
                None => return Ok(back),
            }
        }
    }

    fn step(&self, partition: u16, restored: Restored) -> Result<(), Error> {
        match restored {
            Restored::Done | Restored::Again | Restored::FinishedBefore => Ok(()),
            Restored::NotRestoring => Err(rule(partition, "is being rebuilt by somebody else")),
        }
    }

    async fn lock(&self, partition: u16) -> Result<(), Error> {
        let sql = "select pg_try_advisory_lock($1, $2)";
        let number = i32::from(partition);
        for _ in 0..LOCK_TRIES {
            let row = self.client.query_one(sql, &[&LOCK_CLASS, &number]).await?;
            if row.get(0) {
                return Ok(());
            }
            tokio::time::sleep(LOCK_PAUSE).await;
        }
        Err(Error::Taken(partition))
    }

    async fn freeze(&self, partition: u16, reason: &str, actor: &str) -> Result<(), Error> {
        let operation = format!("rebuild-{}", uuid::Uuid::now_v7());
        let operation = operation
            .parse()
            .map_err(|error| Error::Unfit(format!("an operation id: {error}")))?;
        let act = FreezeAct {
            scope: Scope::Partition(partition),
            reason: format!("rebuilt from history: {reason}"),
            actor: actor.to_owned(),
            operation,
        };
        self.store.freeze(&act, &[]).await?;
        Ok(())
    }

    /// Nothing that the store once said is forgotten.
    async fn keep_dropped(&self, plan: &Plan) -> Result<(), Error> {
        let Work { dropped, .. } = &plan.work;
        let ids: Vec<&String> = dropped.iter().map(|entry| &entry.id).collect();
        let hashes: Vec<&String> = dropped.iter().map(|entry| &entry.hash).collect();
        let bodies: Vec<&String> = dropped.iter().map(|entry| &entry.body).collect();
        let sql = "insert into dropped_entries (partition, restoration, id, hash, body)
            select $1, $2, * from unnest($3::text[], $4::text[], $5::text[]) on conflict do nothing";
        let (number, name) = (i32::from(plan.partition), plan.work.name(plan.partition));
        self.client
            .execute(sql, &[&number, &name, &ids, &hashes, &bodies])
            .await?;
        Ok(())
    }
}

fn rule(partition: u16, words: &str) -> Error {
    Error::Rule(format!("partition {partition} {words}"))
}
