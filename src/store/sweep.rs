//! What any process does for all: reap dead workers, and tick what falls due by itself.

use super::{Error, SCHEMA, Store, scripts};

/// Members a sweep takes from each index at most, so that no script runs long.
const BATCH: u32 = 100;

/// What a look for dead workers found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReapOutcome {
    /// The store was away a moment ago: nobody is taken for dead yet.
    Away,
    /// These workers are dead; these jobs went to others.
    Reaped {
        /// Workers whose lease has just been found lapsed.
        workers: Vec<String>,
        /// Jobs put back.
        jobs: Vec<String>,
        /// Entries that belonged to no running job, acknowledged.
        orphans: u32,
        /// There is more to take back.
        more: bool,
    },
}

/// What a tick did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TickOutcome {
    /// Another process ticked just now.
    Recent,
    /// These numbers of things were done.
    Ticked {
        /// Jobs whose time had come.
        due: u32,
        /// Jobs ended by a clock.
        ended: u32,
        /// Accounts whose grants expired.
        expired: u32,
        /// Finished jobs forgotten.
        forgotten: u32,
        /// Jobs that a lane should have let in already.
        admitted: u32,
        /// A batch was full: tick again at once.
        more: bool,
        /// The partition's clock had been ahead of the server's and was set back by so many ms; 0 =
        /// it was not.
        set_back_ms: u64,
    },
}

impl Store {
    /// Declares lapsed workers of a partition dead and puts their jobs back.
    pub async fn reap(&self, partition: u16, lease_ms: u64) -> Result<ReapOutcome, Error> {
        self.take_back(partition, lease_ms, "", &[]).await
    }

    /// Hands back what is pending under a worker but not in `running`: the reply to one of its claims
    /// was lost.
    pub async fn hand_back(
        &self,
        partition: u16,
        lease_ms: u64,
        worker: &str,
        running: &[String],
    ) -> Result<ReapOutcome, Error> {
        self.take_back(partition, lease_ms, worker, running).await
    }

    async fn take_back(
        &self,
        partition: u16,
        lease_ms: u64,
        worker: &str,
        running: &[String],
    ) -> Result<ReapOutcome, Error> {
        let keys = self.keys(partition)?;
        let keys = ["meta", "leases", "dead", "queues", "reaping", "gone"].map(|id| keys.part(id));
        let mut args = vec![
            lease_ms.to_string(),
            self.options().takeovers_max.to_string(),
            BATCH.to_string(),
            worker.to_owned(),
        ];
        args.extend_from_slice(running);
        let reply = self.run(&scripts::REAP, &keys, &args).await?;
        match reply.word()?.as_str() {
            "away" => Ok(ReapOutcome::Away),
            "reaped" => Ok(ReapOutcome::Reaped {
                workers: reply.texts(1)?,
                jobs: reply.texts(2)?,
                orphans: reply.number(3)?,
                more: reply.text(4)? == "1",
            }),
            _ => reply.unknown(),
        }
    }

    /// Does what has fallen due in a partition. `again` continues a full batch.
    pub async fn tick(
        &self,
        partition: u16,
        sweep_ms: u64,
        lease_ms: u64,
        again: bool,
    ) -> Result<TickOutcome, Error> {
        let keys = self.keys(partition)?;
        let keys = [
            "meta",
            "due",
            "deadlines",
            "finished",
            "deadletters",
            "expiries",
            "dead",
            "lanes",
            "queues",
            "gone",
            "leases",
        ]
        .map(|id| keys.part(id));
        let options = self.options();
        let args = [
            sweep_ms.to_string(),
            lease_ms.to_string(),
            options.retention_ms.to_string(),
            options.dead_letter_ms.to_string(),
            BATCH.to_string(),
            SCHEMA.to_string(),
            self.partitions().to_string(),
            if again { "1" } else { "" }.to_owned(),
        ];
        let reply = self.run(&scripts::TICK, &keys, &args).await?;
        match reply.word()?.as_str() {
            "recent" => Ok(TickOutcome::Recent),
            "ticked" => Ok(TickOutcome::Ticked {
                due: reply.number(1)?,
                ended: reply.number(2)?,
                expired: reply.number(3)?,
                forgotten: reply.number(4)?,
                admitted: reply.number(5)?,
                more: reply.text(6)? == "1",
                set_back_ms: reply.number(7)?,
            }),
            _ => reply.unknown(),
        }
    }
}
