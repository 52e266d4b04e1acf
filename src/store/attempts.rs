//! What workers do with a job: claim, defer, hand over; what they say of one and how it is answered (see `steps`).

use super::connection::Line;
use super::costs::text_of;
use super::jobs::streams_of;
use super::reply::Reply;
use super::{Error, Store, SubmissionCost, scripts};
use crate::domain::credits::Ucr;
use crate::domain::failure::FailureClass;
use crate::domain::ids::{AccountId, JobId};
use crate::domain::job::Stage;
use crate::domain::pricing::{Asked, Rule};

/// A job in a worker's hands.
#[derive(Debug, Clone)]
pub struct ClaimedJob {
    /// The job.
    pub job: JobId,
    /// The fence: every later word about the job carries it.
    pub token: String,
    /// Who pays.
    pub account: AccountId,
    /// The tool's name.
    pub tool: String,
    /// The queue it came from.
    pub queue: String,
    /// How far the submission before had come.
    pub stage: Stage,
    /// Tries spent on the current route.
    pub tries: u32,
    /// How often a worker had to take it from another.
    pub takeovers: u32,
    /// Submissions made so far.
    pub submissions: u32,
    /// Which of its routes is the current one.
    pub route: usize,
    /// Time until its deadline as the store saw it when it was claimed, ms.
    pub left_ms: u64,
    /// What is held for it.
    pub ceiling: Ucr,
    /// The rule it is priced by.
    pub rule: Rule,
    /// What was asked for.
    pub asked: Asked,
    /// All that the attempt needs, JSON.
    pub payload: String,
    /// What the submission before was about to send, JSON, or empty.
    pub intent: String,
    /// What the provider gave for it, JSON, or empty.
    pub handle: String,
    /// The output that is already stored and priced, JSON, or empty.
    pub artifact: String,
}

/// What a claim brought.
#[derive(Debug)]
pub struct Claimed {
    /// Jobs to run, at most as many as there were free slots.
    pub jobs: Vec<ClaimedJob>,
    /// The last entry of each stream as of before the claim read them, by stream key: where a waker
    /// goes on from.
    pub cursors: Vec<(String, String)>,
    /// Jobs and entries that were ended or dropped on the way.
    pub ended: u32,
    /// The claim stopped at its own limit: claim again at once, there may be more for free slots.
    pub more: bool,
    /// Why the whole partition is frozen, and hands nothing out.
    pub frozen: Option<String>,
}

/// The answer to a claim.
#[derive(Debug)]
pub enum ClaimOutcome {
    /// These jobs are this worker's.
    Claimed(Claimed),
    /// This worker id is dead in this partition: drop its jobs there, take a new id.
    Lost,
}

/// What is written down between two steps of a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Before the POST; the number this submission gets.
    Intent {
        /// One more than the submissions before, or the same again after a take-over.
        submission: u32,
    },
    /// The provider's handle, right after the POST.
    Handle,
    /// The stored, measured and priced output.
    Artifact,
}

/// The answer to a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckpointOutcome {
    /// It stands in the store.
    Noted,
    /// The token is no longer the current one: somebody else has the job.
    Fenced,
    /// The job is being cancelled: do not submit.
    Cancelled,
    /// The deadline has passed: do not submit.
    TimedOut,
    /// The intent's number is not the next one.
    OutOfOrder,
}

/// A priced output.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// What the account pays.
    pub captured: Ucr,
    /// What the platform pays because the quote did not cover it.
    pub absorbed: Ucr,
    /// Measured length, ms.
    pub measured_ms: Option<u64>,
    /// The part of it that was charged, ms.
    pub billable_ms: Option<u64>,
    /// Words for what was odd, separated by commas.
    pub flags: String,
    /// Where the artifacts are and what they are, JSON.
    pub result: String,
}

/// The answer to a settlement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettleOutcome {
    /// Charged and released.
    Settled {
        /// What the account paid.
        captured: Ucr,
        /// What it got back.
        released: Ucr,
        /// It had been settled with the same figures before.
        replayed: bool,
    },
    /// It had been settled with other figures: nothing changed. Two prices for one job are a fault.
    Mismatch {
        /// What stands in the books.
        captured: Ucr,
    },
    /// The token is no longer the current one.
    Fenced,
    /// The deadline has passed: everything was given back.
    TimedOut,
    /// It was cancelled: everything was given back.
    Cancelled,
    /// The charge is above the hold: refused.
    AboveCeiling,
}

/// What a worker says of a submission that did not succeed.
#[derive(Debug, Clone)]
pub struct Failing {
    /// Why.
    pub class: FailureClass,
    /// What the user is told.
    pub message: String,
    /// The submission has come to its end at the provider, or was never sent: nothing is owed.
    pub has_verdict: bool,
    /// Again later, or `None` for the end.
    pub again: Option<Again>,
}

/// When and where a job runs again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Again {
    /// How long it waits, ms.
    pub delay_ms: u64,
    /// Tries spent from then on.
    pub tries: u32,
    /// The route from then on.
    pub route: usize,
}

/// The answer to a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailOutcome {
    /// The job runs again later, its hold stands.
    Rescheduled,
    /// The job has ended, everything was given back.
    Ended(crate::domain::job::State),
    /// The token is no longer the current one.
    Fenced,
}

/// The answer to a deferral.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeferOutcome {
    /// Put back, no try spent.
    Deferred,
    /// The job has ended meanwhile.
    Ended,
    /// The token is no longer the current one.
    Fenced,
}

impl Store {
    /// Takes up to as many ready jobs of one partition as `slots` says, by queue.
    pub async fn claim(
        &self,
        partition: u16,
        worker: &str,
        lease_ms: u64,
        slots: &[(String, u32)],
        low_first: bool,
    ) -> Result<ClaimOutcome, Error> {
        let keys = self.keys(partition)?;
        let queues: Vec<String> = slots.iter().map(|(queue, _)| queue.clone()).collect();
        let streams = streams_of(keys, &queues);
        let mut declared = vec![keys.meta(), keys.part("leases"), keys.part("dead")];
        declared.extend(streams.iter().cloned());
        let nonce = format!("{:016x}", rand::random::<u64>());
        let order = if low_first { "1" } else { "" };
        let mut args = vec![
            worker.to_owned(),
            lease_ms.to_string(),
            nonce,
            order.to_owned(),
        ];
        for (queue, free) in slots {
            args.extend([queue.clone(), free.to_string()]);
        }
        let args: [&[String]; 1] = [&args];
        let asked = self.run_on(Line::Claims, &scripts::CLAIM, &declared, &args);
        let mut reply = asked.await?;
        match reply.word()?.as_str() {
            "lost" => Ok(ClaimOutcome::Lost),
            "claimed" => Ok(ClaimOutcome::Claimed(Claimed {
                jobs: readable(&reply.take_rows(1)?),
                cursors: streams.into_iter().zip(reply.texts(2)?).collect(),
                ended: reply.number(3)?,
                more: reply.text(4)? == "1",
                frozen: Some(reply.text(5)?).filter(|reason| !reason.is_empty()),
            })),
            _ => reply.unknown(),
        }
    }

    /// Puts a job back without spending a try. `keep` hands intent and handle over to the next
    /// worker; without it the submission must have its verdict.
    pub async fn defer(
        &self,
        job: &JobId,
        token: &str,
        delay_ms: u64,
        reason: &str,
        keep: bool,
    ) -> Result<DeferOutcome, Error> {
        self.put_back(job, token, delay_ms, (reason, keep, false), None)
            .await
    }

    /// [`Store::defer`] without keeping, of a submission that has cost something.
    pub async fn defer_at_cost(
        &self,
        job: &JobId,
        token: &str,
        delay_ms: u64,
        reason: &str,
        cost: &SubmissionCost,
    ) -> Result<DeferOutcome, Error> {
        self.put_back(job, token, delay_ms, (reason, false, false), Some(cost))
            .await
    }

    /// Gives a job to whichever worker is next, ahead of new work: this one leaves. No try is spent and
    /// no takeover is counted. `keep` as in [`Store::defer`]; without it nothing must have been sent.
    pub async fn hand_over(
        &self,
        job: &JobId,
        token: &str,
        keep: bool,
    ) -> Result<DeferOutcome, Error> {
        self.put_back(job, token, 0, ("handed over", keep, true), None)
            .await
    }

    async fn put_back(
        &self,
        job: &JobId,
        token: &str,
        delay_ms: u64,
        (reason, keep, ahead): (&str, bool, bool),
        cost: Option<&SubmissionCost>,
    ) -> Result<DeferOutcome, Error> {
        let flag = |on: bool| if on { "1" } else { "" }.to_owned();
        let keys = self.keys(job.partition())?;
        let keys = [keys.meta(), keys.job(job), keys.work(job)];
        let args = [
            job.to_string(),
            token.to_owned(),
            delay_ms.to_string(),
            reason.to_owned(),
            flag(keep),
            flag(ahead),
            text_of(cost),
        ];
        let reply = self.run(&scripts::DEFER, &keys, &args).await?;
        self.count_fenced(&reply);
        match reply.word()?.as_str() {
            "deferred" => Ok(DeferOutcome::Deferred),
            "cancelled" | "timed_out" => Ok(DeferOutcome::Ended),
            "fenced" => Ok(DeferOutcome::Fenced),
            _ => reply.unknown(),
        }
    }
}

/// The rows of a claim that this version can read. Any other job stays pending under this worker,
/// which hands it back: it must not cost the others their claim.
fn readable(rows: &[Reply]) -> Vec<ClaimedJob> {
    let mut jobs = Vec::with_capacity(rows.len());
    for row in rows {
        match claimed_job(row) {
            Ok(job) => jobs.push(job),
            Err(error) => tracing::error!(%error, "failed to read a claimed job"),
        }
    }
    jobs
}

/// Reads one row of a claim, in the order in which `claim.lua` returns it.
fn claimed_job(row: &Reply) -> Result<ClaimedJob, Error> {
    let bad = |what: &str| Error::Reply {
        script: "claim",
        detail: format!("the job's {what}"),
    };
    let max_ms = row.text(13)?;
    Ok(ClaimedJob {
        job: JobId::try_from(row.text(0)?).map_err(|_| bad("id"))?,
        token: row.text(1)?,
        account: AccountId::try_from(row.text(2)?).map_err(|_| bad("account"))?,
        tool: row.text(3)?,
        queue: row.text(4)?,
        stage: Stage::from_word(&row.text(5)?).ok_or_else(|| bad("stage"))?,
        tries: row.number(6)?,
        takeovers: row.number(7)?,
        submissions: row.number(8)?,
        route: row.number(9)?,
        left_ms: row.number(10)?,
        ceiling: row.number(11)?,
        rule: row.number(12)?,
        asked: Asked {
            max_ms: max_ms.parse().ok(),
            outputs: row.number(14)?,
        },
        payload: row.text(15)?,
        intent: row.text(16)?,
        handle: row.text(17)?,
        artifact: row.text(18)?,
    })
}
