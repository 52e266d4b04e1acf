//! One job's run, from its claim to its end, as a straight line:
//! route → intent → POST → handle → poll → fetch → measure → price → settle.
//!
//! It waits only through `Steps::take`, so that every point between two steps has a name. A worker
//! that takes a job over enters the line where the record in the store says the last one left it.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde::Serialize;

use super::House;
use super::grip::{Grip, Hold};
use super::intent::Submission;
use super::outputs::{ArtifactRecord, FETCH_AGAIN, Outputs, StoredOutput, Trouble};
use super::patience::Patience;
use super::place::Place;
use super::steps::Steps;
use crate::domain::failure::FailureClass;
use crate::domain::job::Stage;
use crate::domain::payload::Payload;
use crate::provider::{Answer, Engine, Failure, Handle, Output, Usage};
use crate::store::{
    CheckpointOutcome, ClaimedJob, Error, SettleOutcome, Settlement, Step, SubmissionCost,
};

/// Why the line ended before its end.
#[derive(Debug)]
pub(super) enum Setback {
    /// The job is no longer ours, or has ended: there is nothing to say.
    Gone,
    /// The submission failed.
    Failed {
        /// Why, in the provider's words or ours.
        failure: Failure,
        /// It has come to its end at the provider, or was never sent.
        has_verdict: bool,
        /// No other try would do better.
        hopeless: bool,
    },
    /// This worker cannot run it now: another may.
    PutBack(&'static str),
}

impl Setback {
    pub(super) fn failed(
        class: FailureClass,
        message: impl Into<String>,
        has_verdict: bool,
    ) -> Self {
        let failure = Failure {
            class,
            message: message.into(),
            code: None,
            retry_after_ms: None,
            usage: Usage::default(),
        };
        Self::Failed {
            failure,
            has_verdict,
            hopeless: false,
        }
    }
}

/// What a submission brought.
struct Delivered {
    outputs: Vec<StoredOutput>,
    /// The length in the provider's own answer, ms.
    reported_ms: Option<u64>,
    usage: Usage,
}

/// One job in this worker's hands.
pub(super) struct Attempt<'a> {
    pub(super) house: &'a House,
    pub(super) job: ClaimedJob,
    pub(super) payload: Payload,
    pub(super) steps: Steps,
    asked_at: Instant,
    place: Place,
    /// Whether another worker could go on with it now.
    pub(super) grip: Grip,
    /// The provider's handle as soon as there is one: whoever stops this attempt cancels with it.
    pub(super) handle: Mutex<Option<(Arc<Engine>, Handle)>>,
    /// What the submission has cost, as soon as an answer says how it ended.
    pub(super) spent: Mutex<Option<SubmissionCost>>,
}

impl<'a> Attempt<'a> {
    pub(super) fn new(
        house: &'a House,
        job: ClaimedJob,
        asked_at: Instant,
        payload: Payload,
        place: Place,
    ) -> Self {
        let steps = Steps::new(job.job.clone(), house.hook.clone());
        let grip = Grip::new(match job.stage {
            Stage::Fresh => Hold::Unsent,
            Stage::Intent | Stage::Handle | Stage::Artifact => Hold::Recorded,
        });
        Self {
            house,
            job,
            payload,
            steps,
            asked_at,
            place,
            grip,
            handle: Mutex::new(None),
            spent: Mutex::new(None),
        }
    }

    /// The line. Runs until the job is settled, or returns why it is not.
    pub(super) async fn run(&self) -> Result<(), Setback> {
        let record = if self.job.stage == Stage::Artifact {
            serde_json::from_str(&self.job.artifact)
                .map_err(|e| Setback::failed(FailureClass::Lost, e.to_string(), true))?
        } else {
            let submission = self.submission()?;
            let delivered = self.outputs(&submission).await?;
            self.price(&submission, delivered).await?
        };
        self.settle(&record).await
    }

    /// Submits or attaches, polls to the end, and takes the outputs in.
    async fn outputs(&self, submission: &Submission) -> Result<Delivered, Setback> {
        let (handle, mut answer) = self.begin(submission).await?;
        let mut polls = 0;
        loop {
            self.learn_cost(submission, &answer);
            match &answer {
                Answer::Failed(failure) => {
                    let failure = failure.clone();
                    return Err(Setback::Failed {
                        failure,
                        has_verdict: true,
                        hopeless: false,
                    });
                }
                Answer::Succeeded {
                    outputs,
                    reported_ms,
                    usage,
                } => {
                    if let Some(stored) = self.take_in(submission, outputs.clone()).await? {
                        return Ok(Delivered {
                            outputs: stored,
                            reported_ms: *reported_ms,
                            usage: *usage,
                        });
                    }
                    // The provider's work is over: there is nothing to stop and nothing left owing.
                    if !self.rest(submission, FETCH_AGAIN).await {
                        let message = "its outputs could not be fetched in time";
                        return Err(Setback::failed(FailureClass::ProviderFault, message, true));
                    }
                }
                Answer::Pending { .. } => {
                    self.pause(submission, submission.engine.poll_delay(polls))
                        .await?;
                }
            }
            polls += 1;
            // Without anything to poll the first answer is the only one: its outputs are fetched
            // again, the request is not repeated.
            let followed = handle.as_ref().filter(|handle| handle.poll_url.is_some());
            if let Some(handle) = followed {
                answer = self.poll(submission, handle).await?;
            }
        }
    }

    /// All outputs stored and measured, or `None` where fetching should be tried again.
    async fn take_in(
        &self,
        submission: &Submission,
        outputs: Vec<Output>,
    ) -> Result<Option<Vec<StoredOutput>>, Setback> {
        let mut stored: Vec<StoredOutput> = Vec::new();
        for (index, output) in Outputs::at_most(outputs) {
            let taking = self.house.outputs.take(
                &self.job.job,
                submission.number,
                index,
                output,
                submission.engine.allow_cidr(),
                self.payload.request.kind,
            );
            match self.steps.take("fetch", Box::pin(taking)).await {
                // Some providers list one file under two addresses: it is one output.
                Ok(output) if stored.iter().any(|known| known.is_same_file(&output)) => {}
                Ok(output) => stored.push(output),
                Err(Trouble::Again(error)) => {
                    tracing::warn!(job.id = self.job.job.as_str(), %error, "failed to take an output in");
                    return Ok(None);
                }
                Err(Trouble::Ours(error)) => {
                    // Not the provider's fault, and no reason to pay it again: another worker, or this
                    // one later, goes on from the same record.
                    tracing::error!(job.id = self.job.job.as_str(), %error, "failed to keep an output");
                    return Err(Setback::PutBack("the artifact folder cannot be written"));
                }
                Err(Trouble::Hopeless(error)) => {
                    let message = error.to_string();
                    let class = FailureClass::ProviderFault;
                    let failure = Failure {
                        class,
                        message,
                        code: None,
                        retry_after_ms: None,
                        usage: Usage::default(),
                    };
                    return Err(Setback::Failed {
                        failure,
                        has_verdict: true,
                        hopeless: true,
                    });
                }
            }
        }
        Ok(Some(stored))
    }

    /// Prices what was measured by the rule in the job, and writes it down.
    async fn price(
        &self,
        submission: &Submission,
        delivered: Delivered,
    ) -> Result<ArtifactRecord, Setback> {
        let Delivered {
            outputs,
            reported_ms,
            usage,
        } = delivered;
        let measured: Vec<_> = outputs.iter().map(|output| output.measured).collect();
        let charge = self.job.rule.charge(&self.job.asked, &measured);
        let record = ArtifactRecord {
            folder: self.house.outputs.folder(),
            submission: submission.number,
            provider: submission.intent.provider.clone(),
            cost: self.measured_cost(submission, usage, &outputs),
            outputs,
            charge,
            reported_ms,
        };
        // From here on it is a matter of moments.
        self.grip.set(Hold::Fast);
        self.note("artifact", Step::Artifact, &record).await?;
        Ok(record)
    }

    async fn settle(&self, record: &ArtifactRecord) -> Result<(), Setback> {
        self.grip.set(Hold::Fast);
        self.place.leave_slot();
        let flags = record.charge.flags;
        let words = [
            ("unmeasured", flags.unmeasured),
            ("disagreement", flags.disagreement),
            ("unconfirmed", flags.unconfirmed),
            ("fewer_outputs", flags.fewer_outputs),
        ];
        let words: Vec<&str> = words
            .iter()
            .filter(|(_, on)| *on)
            .map(|(word, _)| *word)
            .collect();
        let settlement = Settlement {
            captured: record.charge.captured_ucr,
            absorbed: record.charge.absorbed_ucr,
            measured_ms: record.charge.measured_ms,
            billable_ms: record.charge.billable_ms,
            flags: words.join(","),
            // What it cost us is nobody's business who reads the result.
            result: serde_json::to_string(&record.without_cost()).unwrap_or_default(),
        };
        let (store, cost) = (&self.house.store, record.cost.as_ref());
        let settling = || store.settle_at_cost(&self.job.job, &self.job.token, &settlement, cost);
        match self.insist("settle", settling).await? {
            SettleOutcome::Settled { .. } => Ok(()),
            SettleOutcome::TimedOut | SettleOutcome::Cancelled => Ok(()),
            SettleOutcome::Fenced => Err(Setback::Gone),
            outcome @ (SettleOutcome::Mismatch { .. } | SettleOutcome::AboveCeiling) => {
                let job = &self.job.job;
                tracing::error!(
                    job.id = job.as_str(),
                    ?outcome,
                    "the settlement of {job} was refused"
                );
                Err(Setback::Gone)
            }
        }
    }

    /// Writes a record down before the next step is taken.
    pub(super) async fn note(
        &self,
        name: &'static str,
        step: Step,
        record: &impl Serialize,
    ) -> Result<(), Setback> {
        let json = serde_json::to_string(record).unwrap_or_default();
        let store = &self.house.store;
        let noting = || store.checkpoint(&self.job.job, &self.job.token, step, &json);
        match self.insist(name, noting).await? {
            CheckpointOutcome::Noted => Ok(()),
            CheckpointOutcome::Fenced | CheckpointOutcome::OutOfOrder => Err(Setback::Gone),
            // The store ends it when we say that it failed. Only of a fresh job is it known that
            // nothing was sent: another worker may have sent what this one takes up.
            CheckpointOutcome::Cancelled | CheckpointOutcome::TimedOut => Err(Setback::failed(
                FailureClass::Timeout,
                "ended before it was sent",
                self.job.stage == Stage::Fresh,
            )),
        }
    }

    /// Asks the store until it answers: every call is safe to repeat, by its token.
    pub(super) async fn insist<T, F, C>(&self, name: &'static str, call: C) -> Result<T, Setback>
    where
        C: Fn() -> F,
        F: Future<Output = Result<T, Error>>,
    {
        let mut patience = Patience::for_store();
        loop {
            match self.steps.take(name, Box::pin(call())).await {
                Ok(outcome) => return Ok(outcome),
                Err(error) if error.is_transient() || matches!(error, Error::Full) => {
                    tracing::warn!(job.id = self.job.job.as_str(), %error, "failed to {name}, trying again");
                    self.steps
                        .take("wait_for_store", tokio::time::sleep(patience.next()))
                        .await;
                }
                Err(error) => {
                    tracing::error!(job.id = self.job.job.as_str(), %error, "failed to {name}");
                    return Err(Setback::Gone);
                }
            }
        }
    }

    /// What is left until the job's deadline, ms, as far as this process knows.
    pub(super) fn left_ms(&self) -> u64 {
        let gone = u64::try_from(self.asked_at.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.job.left_ms.saturating_sub(gone)
    }
}
