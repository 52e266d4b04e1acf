//! A running job's words: checkpoint, settle, fail; of one job or of many in one call.

use super::costs::text_of;
use super::gather::Kind;
use super::many::Item;
use super::reply::Reply;
use super::{
    Again, CheckpointOutcome, Durability, Error, FailOutcome, Failing, SettleOutcome, Settlement,
    Step, Store, SubmissionCost, scripts,
};
use crate::domain::ids::JobId;
use crate::domain::job::State;

/// A word about a job by the worker that runs it.
#[derive(Debug, Clone)]
pub struct Word<T> {
    /// The job.
    pub job: JobId,
    /// The fence that the claim handed out.
    pub token: String,
    /// What is said.
    pub what: T,
}

/// A step of a submission with what is to be known of it.
#[derive(Debug, Clone)]
pub struct Noted {
    /// Which step.
    pub step: Step,
    /// The record, JSON.
    pub record: String,
}

impl<T> Word<T> {
    fn new(job: &JobId, token: &str, what: T) -> Self {
        Self {
            job: job.clone(),
            token: token.to_owned(),
            what,
        }
    }

    fn item<const N: usize>(&self, args: [String; N]) -> Item {
        let mut all = vec![self.job.to_string(), self.token.clone()];
        all.extend(args);
        Item {
            partition: self.job.partition(),
            args: all,
        }
    }
}

impl Store {
    /// Writes a step of a submission down.
    pub async fn checkpoint(
        &self,
        job: &JobId,
        token: &str,
        step: Step,
        record: &str,
    ) -> Result<CheckpointOutcome, Error> {
        let record = record.to_owned();
        let word = Word::new(job, token, Noted { step, record });
        let kind = match step {
            Step::Intent { .. } => Kind::Intent,
            Step::Handle | Step::Artifact => Kind::Checkpoint,
        };
        checkpoint_outcome(&self.gathered(kind, checkpoint_item(&word)).await?)
    }

    /// Writes steps of many jobs down with as few calls as they need, in one where none is an intent (or
    /// all are) and they share a partition. The answers are in the order of the words.
    pub async fn checkpoint_many(
        &self,
        words: &[Word<Noted>],
    ) -> Vec<Result<CheckpointOutcome, Error>> {
        let is_intent = |word: &&Word<Noted>| matches!(word.what.step, Step::Intent { .. });
        let of = |intents: bool| {
            let chosen = words.iter().filter(move |word| is_intent(word) == intents);
            chosen.map(checkpoint_item).collect::<Vec<Item>>()
        };
        let (intents, others) = tokio::join!(
            self.run_many(Durability::None, &scripts::CHECKPOINT_INTENT, &[], of(true)),
            self.run_many(Durability::None, &scripts::CHECKPOINT, &[], of(false)),
        );
        let (mut intents, mut others) = (intents.into_iter(), others.into_iter());
        let next = |word: &Word<Noted>| {
            let replies = if is_intent(&word) {
                &mut intents
            } else {
                &mut others
            };
            let reply = replies.next();
            checkpoint_outcome(&reply.unwrap_or_else(|| Err(scripts::CHECKPOINT.no_answer()))?)
        };
        words.iter().map(next).collect()
    }

    /// Ends a successful job: capture, release, acknowledge, journal, next of the lane.
    pub async fn settle(
        &self,
        job: &JobId,
        token: &str,
        settlement: &Settlement,
    ) -> Result<SettleOutcome, Error> {
        self.settle_at_cost(job, token, settlement, None).await
    }

    /// [`Store::settle`], and books what the submission cost us in the same step.
    pub async fn settle_at_cost(
        &self,
        job: &JobId,
        token: &str,
        settlement: &Settlement,
        cost: Option<&SubmissionCost>,
    ) -> Result<SettleOutcome, Error> {
        let word = Word::new(job, token, settlement.clone());
        settle_outcome(
            &self
                .gathered(Kind::Settle, settle_item(&word, cost))
                .await?,
        )
    }

    /// Ends successful jobs with as few calls as they need, each as if it had come alone. The answers
    /// are in the order of the words.
    pub async fn settle_many(
        &self,
        words: &[Word<Settlement>],
    ) -> Vec<Result<SettleOutcome, Error>> {
        let items = words.iter().map(|word| settle_item(word, None)).collect();
        let replies = self
            .run_many(
                self.options().durability.settlements,
                &scripts::SETTLE,
                &[],
                items,
            )
            .await;
        let outcome = |reply: Result<Reply, Error>| settle_outcome(&reply?);
        replies.into_iter().map(outcome).collect()
    }

    /// Says that a submission did not succeed, and what follows.
    pub async fn fail(
        &self,
        job: &JobId,
        token: &str,
        failing: &Failing,
    ) -> Result<FailOutcome, Error> {
        self.fail_at_cost(job, token, failing, None).await
    }

    /// [`Store::fail`], and books what the submission cost us in the same step; where it has no verdict
    /// that is done when its obligation is closed.
    pub async fn fail_at_cost(
        &self,
        job: &JobId,
        token: &str,
        failing: &Failing,
        cost: Option<&SubmissionCost>,
    ) -> Result<FailOutcome, Error> {
        let word = Word::new(job, token, failing.clone());
        fail_outcome(&self.gathered(Kind::Fail, fail_item(&word, cost)).await?)
    }

    /// Says of submissions that they did not succeed, with as few calls as they need, each as if it had
    /// come alone. The answers are in the order of the words.
    pub async fn fail_many(&self, words: &[Word<Failing>]) -> Vec<Result<FailOutcome, Error>> {
        let items = words.iter().map(|word| fail_item(word, None)).collect();
        let replies = self
            .run_many(Durability::None, &scripts::FAIL, &[], items)
            .await;
        let outcome = |reply: Result<Reply, Error>| fail_outcome(&reply?);
        replies.into_iter().map(outcome).collect()
    }
}

/// The arguments of one job, in the order in which `checkpoint.lua` takes them.
fn checkpoint_item(word: &Word<Noted>) -> Item {
    let (what, submission) = match word.what.step {
        Step::Intent { submission } => ("intent", submission),
        Step::Handle => ("handle", 0),
        Step::Artifact => ("artifact", 0),
    };
    word.item([
        what.to_owned(),
        word.what.record.clone(),
        submission.to_string(),
    ])
}

fn checkpoint_outcome(reply: &Reply) -> Result<CheckpointOutcome, Error> {
    match reply.word()?.as_str() {
        "noted" => Ok(CheckpointOutcome::Noted),
        "fenced" => Ok(CheckpointOutcome::Fenced),
        "cancelled" => Ok(CheckpointOutcome::Cancelled),
        "timed_out" => Ok(CheckpointOutcome::TimedOut),
        "out_of_order" => Ok(CheckpointOutcome::OutOfOrder),
        _ => reply.unknown(),
    }
}

/// The arguments of one job, in the order in which `settle.lua` takes them.
fn settle_item(word: &Word<Settlement>, cost: Option<&SubmissionCost>) -> Item {
    let ms = |ms: Option<u64>| ms.map(|ms| ms.to_string()).unwrap_or_default();
    let settlement = &word.what;
    word.item([
        settlement.captured.to_string(),
        settlement.absorbed.to_string(),
        ms(settlement.measured_ms),
        ms(settlement.billable_ms),
        settlement.flags.clone(),
        settlement.result.clone(),
        text_of(cost),
    ])
}

fn settle_outcome(reply: &Reply) -> Result<SettleOutcome, Error> {
    let word = reply.word()?;
    match word.as_str() {
        "settled" | "replayed" => Ok(SettleOutcome::Settled {
            captured: reply.number(1)?,
            released: reply.number(2)?,
            replayed: word == "replayed",
        }),
        "mismatch" => Ok(SettleOutcome::Mismatch {
            captured: reply.number(1)?,
        }),
        "fenced" => Ok(SettleOutcome::Fenced),
        "timed_out" => Ok(SettleOutcome::TimedOut),
        "cancelled" => Ok(SettleOutcome::Cancelled),
        "above_ceiling" => Ok(SettleOutcome::AboveCeiling),
        _ => reply.unknown(),
    }
}

/// The arguments of one job, in the order in which `fail.lua` takes them.
fn fail_item(word: &Word<Failing>, cost: Option<&SubmissionCost>) -> Item {
    let failing = &word.what;
    let again = failing.again.unwrap_or(Again {
        delay_ms: 0,
        tries: 0,
        route: 0,
    });
    let action = if failing.again.is_some() {
        "again"
    } else {
        "end"
    };
    word.item([
        action.to_owned(),
        failing.class.as_str().to_owned(),
        failing.message.clone(),
        again.delay_ms.to_string(),
        again.tries.to_string(),
        again.route.to_string(),
        if failing.has_verdict { "1" } else { "" }.to_owned(),
        text_of(cost),
    ])
}

fn fail_outcome(reply: &Reply) -> Result<FailOutcome, Error> {
    match reply.word()?.as_str() {
        "rescheduled" => Ok(FailOutcome::Rescheduled),
        "fenced" => Ok(FailOutcome::Fenced),
        word => match State::from_word(word) {
            Some(state) if state.is_terminal() => Ok(FailOutcome::Ended(state)),
            Some(_) | None => reply.unknown(),
        },
    }
}
