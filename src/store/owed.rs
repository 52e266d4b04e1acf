//! Working obligations off: handed out under leases, put off, and closed with what they cost.

use super::costs::text_of;
use super::reply::Reply;
use super::{Error, Store, SubmissionCost, scripts};
use crate::domain::ids::JobId;

/// An obligation in the hands of whoever looks after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owed {
    /// Its id, which is the submission's idempotency key: `<job>-<submission>`.
    pub id: String,
    /// When its lease ends, as the store knows it: the fence for what is said of it.
    pub lease: String,
    /// How long ago we stopped waiting, by the store's clock, ms.
    pub age_ms: u64,
    /// How often it was looked at before.
    pub looks: u32,
    /// The job whose submission it was.
    pub job: JobId,
    /// The number of the submission within the job.
    pub submission: u32,
    /// Why we stopped waiting: a failure class, or the ending of the job.
    pub why: String,
    /// What was written down of the submission: JSON of its intent and its handle.
    pub work: String,
}

/// What is said of an obligation after a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closing {
    /// Nothing is known yet: look again.
    Again {
        /// How much later, ms.
        delay_ms: u64,
    },
    /// The provider's work is over, or is not waited for any longer.
    Closed {
        /// What it cost, where anything is known of it.
        cost: Option<SubmissionCost>,
        /// How it ended there: `succeeded`, `failed`, `given_up`, ...
        ended: &'static str,
    },
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwedOutcome {
    /// It is looked at again later.
    Noted,
    /// It is gone, and its cost is booked.
    Closed,
    /// The lease was over, or it was closed before: nothing changed.
    Stale,
}

impl Store {
    /// Takes obligations of a partition that are due for a look, at most `room` (and 100).
    pub async fn claim_obligations(
        &self,
        partition: u16,
        lease_ms: u64,
        room: usize,
    ) -> Result<Vec<Owed>, Error> {
        let keys = self.keys(partition)?;
        let keys = ["meta", "obligations", "owed"].map(|id| keys.part(id));
        let args = [lease_ms.to_string(), room.min(100).to_string()];
        let reply = self.run(&scripts::CLAIM_OBLIGATION, &keys, &args).await?;
        match reply.word()?.as_str() {
            // One that this version cannot read is due again later, and must not keep the others.
            "claimed" => Ok(reply.rows(1)?.iter().filter_map(readable).collect()),
            _ => reply.unknown(),
        }
    }

    /// Puts an obligation off, or closes it.
    pub async fn settle_obligation(
        &self,
        owed: &Owed,
        closing: &Closing,
    ) -> Result<OwedOutcome, Error> {
        let keys = self.keys(owed.job.partition())?;
        let keys = [
            keys.meta(),
            keys.obligation(&owed.id),
            keys.part("obligations"),
            keys.part("owed"),
        ];
        let (word, delay_ms, cost, ended) = match closing {
            Closing::Again { delay_ms } => ("again", *delay_ms, None, ""),
            Closing::Closed { cost, ended } => ("close", 0, cost.as_ref(), *ended),
        };
        let args = [
            owed.id.clone(),
            owed.lease.clone(),
            word.to_owned(),
            delay_ms.to_string(),
            text_of(cost),
            ended.to_owned(),
        ];
        let reply = self.run(&scripts::SETTLE_OBLIGATION, &keys, &args).await?;
        match reply.word()?.as_str() {
            "noted" => Ok(OwedOutcome::Noted),
            "closed" => Ok(OwedOutcome::Closed),
            "stale" => Ok(OwedOutcome::Stale),
            _ => reply.unknown(),
        }
    }
}

fn readable(row: &Reply) -> Option<Owed> {
    let read = owed(row);
    if let Err(error) = &read {
        tracing::error!(%error, "failed to read an obligation");
    }
    read.ok()
}

fn owed(row: &Reply) -> Result<Owed, Error> {
    let Ok(job) = JobId::try_from(row.text(4)?) else {
        return row.unknown();
    };
    Ok(Owed {
        id: row.text(0)?,
        lease: row.text(1)?,
        age_ms: row.number(2)?,
        looks: row.number(3)?,
        job,
        submission: row.number(5)?,
        why: row.text(6)?,
        work: row.text(7)?,
    })
}
