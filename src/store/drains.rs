//! How a worker leaves: ordered to by an operator, and by giving its lease back.

use std::collections::HashMap;

use serde::Deserialize;

use super::{Error, Store, scripts};

/// An operator's order to a worker: hand your jobs over and end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct DrainOrder {
    /// Who gave it.
    #[serde(rename = "by")]
    pub actor: String,
    /// Why.
    #[serde(rename = "why")]
    pub reason: String,
}

impl DrainOrder {
    /// Reads what stands in the store; empty where there is no order. One that cannot be read is an
    /// order all the same.
    pub(super) fn read(json: &str) -> Option<Self> {
        (!json.is_empty()).then(|| serde_json::from_str(json).unwrap_or_default())
    }
}

/// What came of an order to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerDrain {
    /// It has been told.
    Ordered,
    /// It had been told before.
    Already,
    /// No worker of this id has a lease.
    Gone,
}

impl Store {
    /// Orders a worker to hand its jobs over and to end, wherever it has a lease.
    pub async fn drain_worker(
        &self,
        worker: &str,
        reason: &str,
        actor: &str,
    ) -> Result<WorkerDrain, Error> {
        let mut told = WorkerDrain::Gone;
        for partition in 0..self.partitions() {
            let keys = self.keys(partition)?;
            let keys = ["meta", "leases", "drains", "control", "acts"].map(|id| keys.part(id));
            let args = [worker, reason, actor].map(str::to_owned);
            let reply = self.run(&scripts::DRAIN_WORKER, &keys, &args).await?;
            told = match (reply.word()?.as_str(), told) {
                ("ordered", _) | (_, WorkerDrain::Ordered) => WorkerDrain::Ordered,
                ("already", _) | ("gone", WorkerDrain::Already) => WorkerDrain::Already,
                ("gone", WorkerDrain::Gone) => WorkerDrain::Gone,
                (_, WorkerDrain::Already | WorkerDrain::Gone) => return reply.unknown(),
            };
        }
        Ok(told)
    }

    /// Gives a worker's lease in one partition back. Its id is refused there from now on, and what it
    /// left behind goes to others. `words` is what it says of its end, JSON. Returns whether it had a
    /// lease.
    pub async fn leave(&self, partition: u16, worker: &str, words: &str) -> Result<bool, Error> {
        let keys = self.keys(partition)?;
        let keys =
            ["meta", "leases", "dead", "reaping", "workers", "drains"].map(|id| keys.part(id));
        let args = [worker.to_owned(), words.to_owned()];
        let reply = self.run(&scripts::LEAVE, &keys, &args).await?;
        match reply.word()?.as_str() {
            "left" => Ok(true),
            "gone" => Ok(false),
            _ => reply.unknown(),
        }
    }

    /// What workers said last of themselves, JSON by id, also those that left a moment ago.
    pub async fn last_words(&self) -> Result<HashMap<String, String>, Error> {
        let mut words = HashMap::new();
        for partition in 0..self.partitions() {
            let mut ask = redis::pipe();
            ask.cmd("HGETALL")
                .arg(self.keys(partition)?.part("workers"));
            let (found,): (HashMap<String, String>,) = self.read("workers", &ask).await?;
            words.extend(found);
        }
        Ok(words)
    }
}
