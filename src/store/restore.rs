//! Bringing a partition back to what its history says: one script, called in bounded steps. Each step does
//! nothing the second time, so that a restoration that was interrupted is simply made again.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;

use super::reply::Reply;
use super::{Error, JobRecord, Store, scripts};
use crate::domain::ids::{AccountId, JobId};

/// Operation ids, jobs or accounts that one call takes.
const BATCH: usize = 50;

/// One partition's restoration under way.
#[derive(Clone)]
pub struct Restoration {
    store: Store,
    partition: u16,
    /// Names it: the same one goes on where an interrupted one stopped.
    id: String,
}

/// What came of a beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// It is under way; nothing else can book in the partition until it is finished.
    UnderWay,
    /// This very restoration was finished before.
    FinishedBefore,
    /// The partition is not frozen: somebody could spend meanwhile.
    NotFrozen,
    /// So many workers have a lease there.
    Busy(u32),
}

/// What came of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restored {
    /// It was done now.
    Done,
    /// It had been done before.
    Again,
    /// The whole restoration had been finished before.
    FinishedBefore,
    /// Another restoration is under way, or none.
    NotRestoring,
}

/// An account as history knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownAccount {
    /// The account.
    pub account: AccountId,
    /// Its hash: balances and totals in micro-credits, its sequence, state, limits, plan.
    pub fields: BTreeMap<String, String>,
    /// Its live grants: `kind|remaining|pinned|expires_ms|age`.
    pub grants: BTreeMap<String, String>,
}

/// A job that the store has, as it has to stand there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownJob {
    /// The job.
    pub job: JobId,
    /// Its hold is open in history too: it goes on as it stands.
    pub keep: bool,
    /// The state that it has to end in, where it is not kept.
    pub state: String,
    /// Its failure class, or empty.
    pub class: String,
    /// What was captured of it, micro-credits.
    pub captured_ucr: i64,
    /// What was given back, micro-credits.
    pub released_ucr: i64,
    /// What was refunded of the capture, micro-credits.
    pub refunded_ucr: i64,
}

/// An open hold whose job the store has lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostHold {
    /// The job.
    pub job: String,
    /// Who holds.
    pub account: AccountId,
    /// The grants it pins, `id=amount;...`.
    pub slices: String,
    /// The whole hold, micro-credits.
    pub hold_ucr: i64,
    /// Its tool, where that is known.
    pub tool: String,
    /// When it was held, ms since 1970.
    pub held_at_ms: i64,
    /// The house paid for it.
    pub house: bool,
}

impl Store {
    /// A restoration of a partition under this name.
    pub fn restoration(&self, partition: u16, id: &str) -> Restoration {
        Restoration {
            store: self.clone(),
            partition,
            id: id.to_owned(),
        }
    }
}

impl Restoration {
    /// Takes the partition's journal away (history has it) and lets the next entries stand on `seq` and
    /// `hash`, in a new epoch. `books` are the sums of all postings until then, micro-credits.
    pub async fn begin(
        &self,
        epoch: u64,
        (seq, hash): (u64, &str),
        (reason, actor): (&str, &str),
        books: &BTreeMap<String, i128>,
    ) -> Result<Begun, Error> {
        let mut args = vec![epoch.to_string(), seq.to_string()];
        args.extend([hash, reason, actor].map(str::to_owned));
        for (book, sum) in books {
            args.extend([format!("book:{book}"), sum.to_string()]);
        }
        let reply = self.step("begin", args).await?;
        match reply.word()?.as_str() {
            "begun" => Ok(Begun::UnderWay),
            "finished" => Ok(Begun::FinishedBefore),
            "not_frozen" => Ok(Begun::NotFrozen),
            "busy" => Ok(Begun::Busy(reply.number(1)?)),
            _ => reply.unknown(),
        }
    }

    /// Sets an account to what history says and opens its books there.
    pub async fn account(&self, known: &KnownAccount) -> Result<Restored, Error> {
        let mut args = vec![
            known.account.to_string(),
            (known.fields.len() * 2).to_string(),
        ];
        for (name, text) in known.fields.iter().chain(&known.grants) {
            args.extend([name.clone(), text.clone()]);
        }
        done(&self.step("account", args).await?)
    }

    /// Sets the answers that an account's operation ids got; an empty one forgets the id.
    pub async fn operations(
        &self,
        account: &AccountId,
        answers: &[(String, String)],
    ) -> Result<(), Error> {
        for some in answers.chunks(BATCH) {
            let pairs = some.iter().flat_map(|(id, answer)| [id, answer]);
            let args = std::iter::once(account.to_string()).chain(pairs.cloned());
            done(&self.step("operations", args.collect()).await?)?;
        }
        Ok(())
    }

    /// Keeps or ends the jobs that the store has. No credit moves.
    pub async fn jobs(&self, jobs: &[KnownJob]) -> Result<(), Error> {
        for some in jobs.chunks(BATCH) {
            let mut args = Vec::with_capacity(some.len() * 7);
            for job in some {
                let verdict = if job.keep { "keep" } else { "close" };
                args.extend([job.job.to_string(), verdict.to_owned(), job.state.clone()]);
                args.push(job.class.clone());
                let amounts = [job.captured_ucr, job.released_ucr, job.refunded_ucr];
                args.extend(amounts.map(|ucr| ucr.to_string()));
            }
            done(&self.step("jobs", args).await?)?;
        }
        Ok(())
    }

    /// Brings back jobs that have ended, where the store does not have them, with the keys under which they
    /// were sent. No credit moves. Returns how many were brought back.
    pub async fn ended(&self, jobs: &[(JobId, JobRecord)]) -> Result<u64, Error> {
        let mut back = 0;
        for some in jobs.chunks(BATCH) {
            let steps = some.iter().map(|(job, record)| self.ended_one(job, record));
            for restored in try_join_all(steps).await? {
                back += u64::from(restored == Restored::Done);
            }
        }
        Ok(back)
    }

    async fn ended_one(&self, job: &JobId, record: &JobRecord) -> Result<Restored, Error> {
        let keys = self.store.keys(self.partition)?;
        let (work, timeline) = (keys.work(job), keys.timeline(job));
        let [meta, restoring, finished] = ["meta", "restoring", "finished"].map(|id| keys.part(id));
        let keys = [meta, restoring, finished, keys.job(job), work, timeline];
        let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
        let mut args = vec![self.id.clone(), job.to_string()];
        args.extend([or_empty(&record.artifact), or_empty(&record.taken)]);
        args.push(record.timeline.clone());
        for (name, text) in &record.fields {
            args.extend([name.clone(), text.clone()]);
        }
        let run = || self.store.run(&scripts::RESTORE_JOB, &keys, &args);
        match run().await {
            Err(Error::Unknown(_)) => done(&run().await?),
            answered => done(&answered?),
        }
    }

    /// Releases a hold whose job is lost, as our fault.
    pub async fn lost(&self, hold: &LostHold) -> Result<Restored, Error> {
        let house = if hold.house { "1" } else { "" };
        let args = vec![
            hold.job.clone(),
            hold.account.to_string(),
            hold.slices.clone(),
            hold.hold_ucr.to_string(),
            hold.tool.clone(),
            hold.held_at_ms.to_string(),
            house.to_owned(),
        ];
        done(&self.step("lost", args).await?)
    }

    /// Forgets accounts that history does not know.
    pub async fn forget(&self, accounts: &[AccountId]) -> Result<(), Error> {
        for some in accounts.chunks(BATCH) {
            let args = some.iter().map(ToString::to_string).collect();
            done(&self.step("forget", args).await?)?;
        }
        Ok(())
    }

    /// Lets others book again. The freeze stays until an operator clears it.
    pub async fn finish(&self, reason: &str, actor: &str) -> Result<Restored, Error> {
        let args = vec![reason.to_owned(), actor.to_owned()];
        done(&self.step("finish", args).await?)
    }

    async fn step(&self, step: &str, rest: Vec<String>) -> Result<Reply, Error> {
        let keys = self.store.keys(self.partition)?;
        let keys = ["meta", "restoring", "journal", "trimmed", "accounts"].map(|id| keys.part(id));
        let mut args = vec![step.to_owned(), self.id.clone()];
        args.extend(rest);
        // A step whose answer was lost is sent again: what was done stays done once.
        match self.store.run(&scripts::RESTORE, &keys, &args).await {
            Err(Error::Unknown(_)) => self.store.run(&scripts::RESTORE, &keys, &args).await,
            answered => answered,
        }
    }
}

fn done(reply: &Reply) -> Result<Restored, Error> {
    match reply.word()?.as_str() {
        "done" => Ok(Restored::Done),
        "again" => Ok(Restored::Again),
        "finished" => Ok(Restored::FinishedBefore),
        "not_restoring" => Ok(Restored::NotRestoring),
        _ => reply.unknown(),
    }
}
