//! How a worker keeps its lease, and what it is told meanwhile.

use super::drains::DrainOrder;
use super::jobs::streams_of;
use super::{Error, Store, scripts};

/// What a worker learns with its heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeartbeatOutcome {
    /// The lease goes on.
    Renewed {
        /// Jobs that are to be stopped.
        stops: Vec<String>,
        /// Entries pending under this worker.
        pending: u32,
        /// The schema that stands in the partition; empty before the first sweep.
        schema: String,
        /// The order to hand its jobs over and to end.
        drain: Option<DrainOrder>,
    },
    /// This worker id is dead in this partition.
    Lost,
}

impl Store {
    /// Renews a worker's lease in one partition.
    pub async fn heartbeat(
        &self,
        partition: u16,
        worker: &str,
        lease_ms: u64,
        queues: &[String],
        about: &str,
        stopped: &[String],
    ) -> Result<HeartbeatOutcome, Error> {
        let keys = self.keys(partition)?;
        let mut declared = vec![
            keys.meta(),
            keys.part("leases"),
            keys.part("dead"),
            keys.stops(worker),
            keys.part("workers"),
            keys.part("drains"),
        ];
        declared.extend(streams_of(keys, queues));
        let mut args = vec![worker.to_owned(), lease_ms.to_string(), about.to_owned()];
        args.extend_from_slice(stopped);
        let reply = self.run(&scripts::HEARTBEAT, &declared, &args).await?;
        match reply.word()?.as_str() {
            "lost" => Ok(HeartbeatOutcome::Lost),
            "renewed" => Ok(HeartbeatOutcome::Renewed {
                stops: reply.texts(1)?,
                pending: reply.number(2)?,
                schema: reply.text(3)?,
                drain: DrainOrder::read(&reply.text(4)?),
            }),
            _ => reply.unknown(),
        }
    }
}
