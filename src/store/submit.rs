//! Submissions: credit held and a job queued, both or neither, of one job or of many in one call.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::gather::Kind;
use super::many::Item;
use super::reply::Reply;
use super::{Error, NewJob, Store, SubmitOutcome, SubmitRefusal, Submitted, scripts};
use crate::domain::credits::Ucr;
use crate::domain::ids::JobId;
use crate::domain::job::State;

/// Fingerprint, hold, state and quote of a job that may be there.
type Before = (Option<String>, Option<i64>, Option<String>, Option<String>);

impl Store {
    /// Holds the ceiling and queues the job, both or neither.
    pub async fn submit(&self, job: &NewJob) -> Result<SubmitOutcome, Error> {
        if let Some(refused) = self.refused_unasked(job).await {
            return refused;
        }
        let reply = match self.check_admission(job.job.partition()).await {
            Ok(()) => self.gathered(Kind::Submit, submit_item(job)).await,
            Err(error) => Err(error),
        };
        self.submit_outcome(job, reply).await
    }

    /// Submits jobs with as few calls as they need: each is held and queued, or refused, as if it had
    /// come alone. The answers are in the order of the jobs.
    pub async fn submit_many(&self, jobs: &[NewJob]) -> Vec<Result<SubmitOutcome, Error>> {
        let mut answers = Vec::with_capacity(jobs.len());
        let mut asked = Vec::with_capacity(jobs.len());
        for (place, job) in jobs.iter().enumerate() {
            let refused = self.refused_unasked(job).await;
            if refused.is_none() {
                asked.push(place);
            }
            answers.push(refused);
        }
        let replies = self.ask_to_submit(jobs, &asked).await;
        for (place, reply) in asked.into_iter().zip(replies) {
            answers[place] = Some(self.submit_outcome(&jobs[place], reply).await);
        }
        let answer = |answer: Option<_>| answer.unwrap_or_else(|| Err(scripts::SUBMIT.no_answer()));
        answers.into_iter().map(answer).collect()
    }

    /// What no script has to be asked for. A call that is refused here may have got through before:
    /// what is there decides.
    async fn refused_unasked(&self, job: &NewJob) -> Option<Result<SubmitOutcome, Error>> {
        if job.job.partition() != job.account.partition(self.partitions()) {
            let refusal = SubmitRefusal::ForeignJob(job.job.clone());
            return Some(Ok(SubmitOutcome::Refused(refusal)));
        }
        let refusal = self.beyond_limits(job)?;
        let before = self.submitted_before(job).await;
        Some(before.map(|found| found.unwrap_or(SubmitOutcome::Refused(refusal))))
    }

    async fn ask_to_submit(&self, jobs: &[NewJob], asked: &[usize]) -> Vec<Result<Reply, Error>> {
        let mut admitted = BTreeMap::new();
        for place in asked {
            let partition = jobs[*place].job.partition();
            if let Entry::Vacant(entry) = admitted.entry(partition) {
                entry.insert(self.check_admission(partition).await);
            }
        }
        let refused_by = |job: &NewJob| match admitted.get(&job.job.partition()) {
            Some(Err(error)) => Some(error.clone()),
            Some(Ok(())) | None => None,
        };
        let jobs: Vec<&NewJob> = asked.iter().map(|place| &jobs[*place]).collect();
        let items = jobs.iter().filter(|job| refused_by(job).is_none());
        let items: Vec<_> = items.map(|job| submit_item(job)).collect();
        let shared = self.submit_limits();
        let wish = self.options().durability.submits;
        let asked = self.run_many(wish, &scripts::SUBMIT, &shared, items).await;
        let mut answers = asked.into_iter();
        let answer = |job: &&NewJob| match refused_by(job) {
            Some(error) => Err(error),
            None => answers
                .next()
                .unwrap_or_else(|| Err(scripts::SUBMIT.no_answer())),
        };
        jobs.iter().map(answer).collect()
    }

    /// The arguments that all submits share, in the order in which `submit.lua` takes them.
    pub(super) fn submit_limits(&self) -> [String; 4] {
        let options = self.options();
        let room = options.queue_room / u64::from(self.partitions().max(1));
        [
            options.queue_ttl_ms.to_string(),
            options.max_active.to_string(),
            room.to_string(),
            options.lane_max.to_string(),
        ]
    }

    async fn submit_outcome(
        &self,
        job: &NewJob,
        reply: Result<Reply, Error>,
    ) -> Result<SubmitOutcome, Error> {
        let reply = match reply {
            Err(error @ (Error::Full | Error::Unfit(_))) => {
                return self.submitted_before(job).await?.ok_or(error);
            }
            other => other?,
        };
        let refused = |refusal| Ok(SubmitOutcome::Refused(refusal));
        let word = reply.word()?;
        match word.as_str() {
            "held" | "replayed" => {
                let id = reply.text(1)?;
                let state = reply.text(3)?;
                let (Ok(id), Some(state)) = (JobId::try_from(id), State::from_word(&state)) else {
                    return reply.unknown();
                };
                let (hold, replayed) = (reply.number(2)?, word == "replayed");
                Ok(SubmitOutcome::Accepted(Submitted {
                    job: id,
                    hold,
                    state,
                    replayed,
                }))
            }
            "unknown_account" => refused(SubmitRefusal::UnknownAccount(job.account.clone())),
            "key_mismatch" => refused(SubmitRefusal::KeyMismatch(reply.text(1)?)),
            "quote_expired" => refused(SubmitRefusal::QuoteExpired),
            "above_max" => refused(SubmitRefusal::AboveMax {
                ceiling: reply.number(1)?,
            }),
            _ => match refusal_of(&reply)? {
                Some(refusal) => refused(refusal),
                None => reply.unknown(),
            },
        }
    }

    /// What this process can tell by itself.
    fn beyond_limits(&self, job: &NewJob) -> Option<SubmitRefusal> {
        let options = self.options();
        let (bytes, max) = (job.payload.len(), options.payload_max_bytes);
        if bytes > max {
            return Some(SubmitRefusal::PayloadTooLarge { bytes, max });
        }
        let max_ms = options.schedule_ahead_ms;
        (job.delay_ms > max_ms).then_some(SubmitRefusal::TooFarAhead { max_ms })
    }

    /// The answer to a call that came before, found without a script: nothing new is taken, but a
    /// job that is there is still found. Compares as `submit.lua` does.
    async fn submitted_before(&self, job: &NewJob) -> Result<Option<SubmitOutcome>, Error> {
        let by_key = match &job.idempotency_key {
            Some(key) => self.job_by_key(&job.account, key).await?,
            None => None,
        };
        let id = by_key.unwrap_or_else(|| job.job.clone());
        let mut ask = redis::pipe();
        let key = self.keys(id.partition())?.job(&id);
        ask.cmd("HMGET")
            .arg(key)
            .arg("fingerprint")
            .arg("hold_ucr")
            .arg("state")
            .arg("quote");
        let ((fingerprint, hold, state, quote),): (Before,) = self.read("job", &ask).await?;
        let state = state.and_then(|word| State::from_word(&word));
        let hold = hold.and_then(|ucr| Ucr::new(ucr).ok());
        let (Some(hold), Some(state)) = (hold, state) else {
            return Ok(None);
        };
        let same_request = fingerprint.as_ref() == Some(&job.fingerprint);
        let same_quote = job.quote.is_some() && quote == job.quote;
        Ok(Some(if same_request || same_quote {
            SubmitOutcome::Accepted(Submitted {
                job: id,
                hold,
                state,
                replayed: true,
            })
        } else {
            SubmitOutcome::Refused(SubmitRefusal::KeyMismatch(id.to_string()))
        }))
    }
}

/// The arguments of one job, in the order in which `submit.lua` takes them.
fn submit_item(job: &NewJob) -> Item {
    let or_empty = |text: Option<String>| text.unwrap_or_default();
    Item {
        partition: job.job.partition(),
        args: vec![
            job.account.to_string(),
            job.job.to_string(),
            job.fingerprint.clone(),
            job.ceiling.to_string(),
            job.tool.clone(),
            job.queue.clone(),
            job.priority.as_str().to_owned(),
            job.price_version.clone(),
            job.rule.to_string(),
            or_empty(job.asked.max_ms.map(|ms| ms.to_string())),
            job.asked.outputs.to_string(),
            job.deadline_ms.to_string(),
            job.delay_ms.to_string(),
            job.payload.clone(),
            or_empty(job.idempotency_key.as_ref().map(ToString::to_string)),
            or_empty(job.quote.clone()),
            or_empty(job.max.map(|max| max.to_string())),
        ],
    }
}

/// Why no job gets in, whichever script is asked to admit one; `None` where the answer is no such word.
pub(super) fn refusal_of(reply: &Reply) -> Result<Option<SubmitRefusal>, Error> {
    Ok(Some(match reply.word()?.as_str() {
        "account_closed" => SubmitRefusal::AccountClosed(reply.text(1)?),
        "frozen" => SubmitRefusal::Frozen {
            account: Some(reply.text(1)?).filter(|who| who != "*"),
            reason: reply.text(2)?,
        },
        "queue_draining" => SubmitRefusal::QueueDraining(reply.text(1)?),
        "queue_full" => SubmitRefusal::QueueFull,
        "cap_exceeded" => SubmitRefusal::CapExceeded {
            period: reply.text(1)?,
            until_ms: reply.number(2)?,
            need: reply.number(3)?,
            left: reply.number(4)?,
        },
        "lane_full" => SubmitRefusal::LaneFull,
        "insufficient" => SubmitRefusal::Insufficient {
            need: reply.number(1)?,
            available_ucr: reply.number(2)?,
        },
        _ => return Ok(None),
    }))
}
