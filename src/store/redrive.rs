//! What operators do with dead letters and stuck jobs: submit again, drop, end by force. Each is one
//! script, and the same call again answers as the first did.

use super::submit::refusal_of;
use super::{Error, Store, SubmitRefusal, scripts};
use crate::domain::credits::Ucr;
use crate::domain::failure::FailureClass;
use crate::domain::ids::{AccountId, JobId};
use crate::domain::job::State;

/// Who pays for a job that is submitted again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payer {
    /// The account, out of its balance and under all of its limits, as for any job.
    Account,
    /// The platform: the account is charged nothing and given nothing.
    House,
}

impl Payer {
    /// The word in the store and in replies.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::House => "house",
        }
    }

    /// The payer a word stands for.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Account, Self::House]
            .into_iter()
            .find(|payer| payer.as_str() == word)
    }
}

impl std::fmt::Display for Payer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A dead letter to be submitted again.
#[derive(Debug, Clone)]
pub struct Redrive {
    /// The dead letter.
    pub dead: JobId,
    /// The new job, by [`Store::successor_id`], made before the call.
    pub job: JobId,
    /// Who pays.
    pub payer: Payer,
    /// Why, for the log of acts.
    pub reason: String,
    /// Who does it.
    pub actor: String,
}

/// A dead letter that was submitted again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redriven {
    /// The new job: another one than was sent where the call is a replay.
    pub job: JobId,
    /// Whose it is.
    pub account: AccountId,
    /// What is held for it, or was.
    pub hold: Ucr,
    /// Where it stands.
    pub state: State,
    /// It had been submitted again before.
    pub replayed: bool,
}

/// Why a dead letter stays what it is, or was none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedriveRefusal {
    /// There is no such job.
    #[error("there is no job {0}")]
    UnknownJob(JobId),
    /// The job is open, succeeded or was cancelled.
    #[error("job {job} is no dead letter: it is {state}")]
    NotDead {
        /// The job.
        job: JobId,
        /// Where it stands.
        state: String,
    },
    /// An operator let it go: its parameters are gone.
    #[error("dead letter {0} was dropped")]
    Dropped(JobId),
    /// It was submitted again already, and somebody else pays.
    #[error("it was retried before as job {job}, which the {payer} pays")]
    OtherPayer {
        /// The job it became.
        job: JobId,
        /// Who pays for that.
        payer: Payer,
    },
    /// The id that was made for the new job is taken.
    #[error("job {0} is there already, make another id")]
    JobExists(JobId),
    /// The account's totals would leave the range of amounts.
    #[error("the account's totals would be more than can be counted")]
    Overflow,
    /// What refuses any submission refuses this one.
    #[error(transparent)]
    Submit(SubmitRefusal),
}

/// Submitted again, or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedriveOutcome {
    /// A new job stands in a queue.
    Redriven(Redriven),
    /// Nothing happened.
    Refused(RedriveRefusal),
}

/// What happened to a dead letter that was to be dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DropOutcome {
    /// It is one no more.
    Dropped {
        /// Whose it was.
        account: String,
        /// What would have been held for it again.
        ceiling: Ucr,
        /// It had been dropped before.
        replayed: bool,
    },
    /// It was submitted again, as this job.
    Redriven(JobId),
    /// The job is open, succeeded or was cancelled.
    NotDead(String),
    /// There is no such job.
    UnknownJob,
}

/// What happened to a job that an operator ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForceFailOutcome {
    /// It has ended, and everything held for it is given back.
    Ended {
        /// `failed`; `timed_out` where its clock had run out already, `cancelled` where that was asked
        /// for before.
        state: State,
        /// What was given back.
        released: Ucr,
        /// An operator had ended it before.
        replayed: bool,
    },
    /// It had ended by itself.
    Over(State),
    /// There is no such job.
    UnknownJob,
}

impl Store {
    /// A new job id for what a dead letter becomes: in its partition.
    pub fn successor_id(&self, dead: &JobId) -> JobId {
        JobId::new(dead.partition(), uuid::Uuid::now_v7())
    }

    /// Submits a dead letter again: it goes and the new job comes, both or neither. The same dead letter
    /// again answers with the job it became.
    pub async fn redrive(&self, request: &Redrive) -> Result<RedriveOutcome, Error> {
        if request.job.partition() != request.dead.partition() {
            let foreign = SubmitRefusal::ForeignJob(request.job.clone());
            return Ok(RedriveOutcome::Refused(RedriveRefusal::Submit(foreign)));
        }
        let reply = match self.check_admission(request.job.partition()).await {
            Ok(()) => {
                let (keys, args) = self.redrive_call(request)?;
                self.run(&scripts::REDRIVE, &keys, &args).await
            }
            Err(error) => Err(error),
        };
        let reply = match reply {
            // Nothing new is taken, but what was done before is still found.
            Err(error @ (Error::Full | Error::Unfit(_))) => {
                return self.redriven_before(request).await?.ok_or(error);
            }
            other => other?,
        };
        let word = reply.word()?;
        let refused = |refusal| Ok(RedriveOutcome::Refused(refusal));
        match word.as_str() {
            "redriven" | "replayed" => {
                let (job, state) = (JobId::try_from(reply.text(1)?), reply.text(3)?);
                let account = AccountId::try_from(reply.text(4)?);
                let (Ok(job), Some(state), Ok(account)) = (job, State::from_word(&state), account)
                else {
                    return reply.unknown();
                };
                Ok(RedriveOutcome::Redriven(Redriven {
                    job,
                    account,
                    hold: reply.number(2)?,
                    state,
                    replayed: word == "replayed",
                }))
            }
            "payer_mismatch" => {
                let job = JobId::try_from(reply.text(1)?);
                match (job, Payer::from_word(&reply.text(2)?)) {
                    (Ok(job), Some(payer)) => refused(RedriveRefusal::OtherPayer { job, payer }),
                    _ => reply.unknown(),
                }
            }
            "unknown_job" => refused(RedriveRefusal::UnknownJob(request.dead.clone())),
            "not_dead" if reply.text(2)? == "dropped" => {
                refused(RedriveRefusal::Dropped(request.dead.clone()))
            }
            "not_dead" => refused(RedriveRefusal::NotDead {
                job: request.dead.clone(),
                state: reply.text(1)?,
            }),
            "job_exists" => refused(RedriveRefusal::JobExists(request.job.clone())),
            "overflow" => refused(RedriveRefusal::Overflow),
            "unknown_account" => match AccountId::try_from(reply.text(1)?) {
                Ok(account) => refused(RedriveRefusal::Submit(SubmitRefusal::UnknownAccount(
                    account,
                ))),
                Err(_) => reply.unknown(),
            },
            _ => match refusal_of(&reply)? {
                Some(refusal) => refused(RedriveRefusal::Submit(refusal)),
                None => reply.unknown(),
            },
        }
    }

    fn redrive_call(&self, request: &Redrive) -> Result<(Vec<String>, Vec<String>), Error> {
        let (keys, options) = (self.keys(request.dead.partition())?, self.options());
        let mut declared = vec![keys.meta()];
        for job in [&request.dead, &request.job] {
            declared.extend([keys.job(job), keys.payload(job)]);
        }
        let parts = [
            "deadletters",
            "finished",
            "deadlines",
            "journal",
            "events",
            "acts",
        ];
        declared.extend(parts.map(|part| keys.part(part)));
        let room = options.queue_room / u64::from(self.partitions().max(1));
        let args = vec![
            request.dead.to_string(),
            request.job.to_string(),
            request.payer.as_str().to_owned(),
            options.queue_ttl_ms.to_string(),
            options.max_active.to_string(),
            room.to_string(),
            options.lane_max.to_string(),
            request.reason.clone(),
            request.actor.clone(),
        ];
        Ok((declared, args))
    }

    /// The answer to a call that came before, found without a script.
    async fn redriven_before(&self, request: &Redrive) -> Result<Option<RedriveOutcome>, Error> {
        let Some(dead) = self.job(&request.dead).await? else {
            return Ok(None);
        };
        let job = JobId::try_from(dead.text("redriven_as").to_owned());
        let payer = Payer::from_word(dead.text("payer_again"));
        let account = AccountId::try_from(dead.text("account").to_owned());
        let (Ok(job), Some(payer), Ok(account)) = (job, payer, account) else {
            return Ok(None);
        };
        if payer != request.payer {
            let refusal = RedriveRefusal::OtherPayer { job, payer };
            return Ok(Some(RedriveOutcome::Refused(refusal)));
        }
        let state = self.job(&job).await?.and_then(|view| view.state());
        Ok(Some(RedriveOutcome::Redriven(Redriven {
            job,
            account,
            hold: Ucr::new(dead.number("hold_ucr")).unwrap_or(Ucr::ZERO),
            state: state.unwrap_or(State::Queued),
            replayed: true,
        })))
    }

    /// Lets a dead letter go: its parameters at once, its record with the other finished ones.
    pub async fn drop_dead(
        &self,
        job: &JobId,
        reason: &str,
        actor: &str,
    ) -> Result<DropOutcome, Error> {
        let keys = self.keys(job.partition())?;
        let keys = [
            keys.meta(),
            keys.job(job),
            keys.payload(job),
            keys.part("deadletters"),
            keys.part("finished"),
        ];
        let args = [job.to_string(), reason.to_owned(), actor.to_owned()];
        let reply = self.run(&scripts::DROP, &keys, &args).await?;
        let word = reply.word()?;
        match word.as_str() {
            "dropped" | "replayed" => Ok(DropOutcome::Dropped {
                account: reply.text(2)?,
                ceiling: reply.number(1)?,
                replayed: word == "replayed",
            }),
            "redriven" => match JobId::try_from(reply.text(1)?) {
                Ok(job) => Ok(DropOutcome::Redriven(job)),
                Err(_) => reply.unknown(),
            },
            "not_dead" => Ok(DropOutcome::NotDead(reply.text(1)?)),
            "unknown_job" => Ok(DropOutcome::UnknownJob),
            _ => reply.unknown(),
        }
    }

    /// Ends an open job as failed, whatever it is doing. The class says whose fault it is: for all but
    /// the user's own, credit that expired while it was held comes back.
    pub async fn force_fail(
        &self,
        job: &JobId,
        class: FailureClass,
        reason: &str,
        actor: &str,
    ) -> Result<ForceFailOutcome, Error> {
        let keys = self.keys(job.partition())?;
        let keys = [keys.meta(), keys.job(job)];
        let args = [job.as_str(), class.as_str(), reason, actor].map(str::to_owned);
        let reply = self.run(&scripts::FORCE_FAIL, &keys, &args).await?;
        let word = reply.word()?;
        match word.as_str() {
            "ended" | "replayed" | "over" => match State::from_word(&reply.text(1)?) {
                Some(state) if word == "over" => Ok(ForceFailOutcome::Over(state)),
                Some(state) => Ok(ForceFailOutcome::Ended {
                    state,
                    released: reply.number(2)?,
                    replayed: word == "replayed",
                }),
                None => reply.unknown(),
            },
            "unknown_job" => Ok(ForceFailOutcome::UnknownJob),
            _ => reply.unknown(),
        }
    }
}
