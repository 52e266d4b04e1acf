//! How a worker keeps its lease, and what it is told meanwhile.

use std::sync::atomic::Ordering;

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

/// How often workers were too late, in a partition, ever since.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TooLate {
    /// Leases that lapsed, so that their workers were declared dead.
    pub leases_lost: u64,
    /// Words that were refused because another worker had the job by then.
    pub fenced: u64,
}

impl Store {
    /// How often workers were too late in a partition. What a process that was killed had still to tell is
    /// missing.
    pub async fn too_late(&self, partition: u16) -> Result<TooLate, Error> {
        let mut ask = redis::pipe();
        ask.cmd("HMGET")
            .arg(self.keys(partition)?.meta())
            .arg("leases_lost")
            .arg("fenced");
        let ((lost, fenced),): ((Option<u64>, Option<u64>),) = self.read("meta", &ask).await?;
        Ok(TooLate {
            leases_lost: lost.unwrap_or(0),
            fenced: fenced.unwrap_or(0),
        })
    }

    /// Renews a worker's lease in one partition, and adds to the partition's count of fenced words those that
    /// this process met since its last heartbeat.
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
        // Told at most once: a count of refusals is not worth a repetition that counts twice.
        let fenced = self.inner.fenced.swap(0, Ordering::Relaxed);
        let mut args = vec![worker.to_owned(), lease_ms.to_string(), about.to_owned()];
        args.push(fenced.to_string());
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
