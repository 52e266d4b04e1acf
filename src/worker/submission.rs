//! One submission: the decided POST, its answer, and the polls that follow it. Also how another worker
//! attaches to one that was left behind.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::attempt::{Attempt, Setback};
use super::grip::Hold;
use super::intent::{Intent, Submission};
use super::patience::Patience;
use crate::domain::failure::FailureClass;
use crate::domain::job::Stage;
use crate::domain::media::MediaKind;
use crate::provider::{Answer, Attach, Handle, PollError, SubmitError, SubmitRequest, Submitted};
use crate::store::Step;

impl Attempt<'_> {
    /// Which provider, which number: a new submission, or the one that was left.
    pub(super) fn submission(&self) -> Result<Submission, Setback> {
        let fresh = self.job.stage == Stage::Fresh;
        let intent = if fresh {
            self.intent()?
        } else {
            self.intent_left_behind()?
        };
        let number = self.job.submissions + u32::from(fresh);
        let engine = self.house.providers.get(&intent.provider);
        let engine = engine.ok_or(Setback::PutBack("no such provider on this worker"))?;
        Ok(Submission {
            engine,
            number,
            intent,
        })
    }

    pub(super) fn intent(&self) -> Result<Intent, Setback> {
        let route = self
            .payload
            .request
            .routes
            .get(self.job.route)
            .ok_or_else(|| {
                Setback::failed(FailureClass::Lost, "the job has no route left", true)
            })?;
        let (engine, asked) = (self.house.providers.get(&route.provider), self.job.asked);
        let costed = engine.filter(|engine| engine.has_costs());
        let estimate =
            costed.and_then(|engine| engine.estimate(&route.model, asked.outputs, asked.max_ms));
        Ok(Intent {
            estimate_usd_micros: estimate.map(|cost| cost.usd_micros),
            asked_ms: estimate.and(asked.max_ms),
            provider: route.provider.clone(),
            route: self.job.route,
            route_name: route.name.clone(),
            model: route.model.clone(),
            key: self.job.job.submission_key(self.job.submissions + 1),
            left_ms: self.left_ms(),
        })
    }

    pub(super) fn intent_left_behind(&self) -> Result<Intent, Setback> {
        serde_json::from_str(&self.job.intent)
            .map_err(|error| Setback::failed(FailureClass::Lost, error.to_string(), false))
    }

    /// The first answer: from a POST, or from the handle that another worker left.
    pub(super) async fn begin(
        &self,
        submission: &Submission,
    ) -> Result<(Option<Handle>, Answer), Setback> {
        let unknown = || {
            Err(Setback::failed(
                FailureClass::UnknownOutcome,
                "a worker was lost between sending the request and noting its answer",
                false,
            ))
        };
        match (self.job.stage, submission.engine.attach()) {
            (Stage::Fresh | Stage::Artifact, _) => self.post(submission).await,
            (Stage::Intent, _) if submission.engine.takes_idempotency_key() => {
                self.post(submission).await
            }
            (Stage::Intent, _) => unknown(),
            (Stage::Handle, Attach::ResubmitSameId) => self.post(submission).await,
            (Stage::Handle, Attach::None) => unknown(),
            (Stage::Handle, Attach::Poll) => match serde_json::from_str::<Handle>(&self.job.handle)
            {
                Ok(handle) => {
                    self.remember(submission, &handle);
                    Ok((Some(handle), Answer::Pending { progress: None }))
                }
                Err(error) => Err(Setback::failed(
                    FailureClass::Lost,
                    error.to_string(),
                    false,
                )),
            },
        }
    }

    /// Intent, POST, handle. A POST of unknown outcome is repeated only where the provider takes our
    /// key; one that was never sent is repeated a few times within moments.
    ///
    /// Once a POST may have arrived, a refusal of its repetition says nothing about the work that it
    /// may have started: the submission stays without a verdict.
    pub(super) async fn post(
        &self,
        submission: &Submission,
    ) -> Result<(Option<Handle>, Answer), Setback> {
        let mut perhaps_sent = self.job.stage != Stage::Fresh;
        // Behind a handle the intent stands already: this is the same submission once more.
        if self.job.stage != Stage::Handle {
            let step = Step::Intent {
                submission: submission.number,
            };
            self.note("intent", step, &submission.intent).await?;
        }
        let mut patience = Patience::new(Duration::from_millis(20), Duration::from_secs(1));
        let mut unsent = 0;
        loop {
            let request = self.request(submission);
            if let Some(handle) = submission.engine.handle_before(&request) {
                self.remember(submission, &handle);
            }
            self.grip.set(Hold::Fast);
            match self
                .steps
                .take("post", Box::pin(submission.engine.submit(&request)))
                .await
            {
                Ok(submitted) => {
                    // An answer that comes with a handle speaks of the work, not of the request.
                    if let Answer::Failed(failure) = &submitted.answer
                        && perhaps_sent
                        && submitted.handle.is_none()
                    {
                        return Err(Setback::Failed {
                            failure: failure.clone(),
                            has_verdict: false,
                            hopeless: false,
                        });
                    }
                    if let Some(handle) = &submitted.handle {
                        self.remember(submission, handle);
                    }
                    if !is_joined(&submitted) {
                        if let Some(handle) = &submitted.handle {
                            self.note("handle", Step::Handle, handle).await?;
                            if can_be_followed(submission, handle) {
                                self.grip.set(Hold::Recorded);
                            }
                        }
                        return Ok((submitted.handle, submitted.answer));
                    }
                    perhaps_sent = true;
                }
                Err(SubmitError::NotSent(message)) if unsent >= 3 && !perhaps_sent => {
                    return Err(Setback::failed(FailureClass::ProviderFault, message, true));
                }
                Err(SubmitError::NotSent(_)) => unsent += 1,
                Err(SubmitError::UnknownOutcome(message)) => {
                    if !submission.engine.takes_idempotency_key() {
                        return Err(Setback::failed(
                            FailureClass::UnknownOutcome,
                            message,
                            false,
                        ));
                    }
                    perhaps_sent = true;
                }
            }
            // Nothing is under way until the next POST, which any worker can make under the same key.
            self.grip.set(if perhaps_sent {
                Hold::Recorded
            } else {
                Hold::Unsent
            });
            self.pause(submission, patience.next()).await?;
        }
    }

    fn request<'a>(&'a self, submission: &'a Submission) -> SubmitRequest<'a> {
        SubmitRequest {
            job: self.job.job.as_str(),
            submission: submission.number,
            key: &submission.intent.key,
            model: &submission.intent.model,
            kind: kind_word(self.payload.request.kind),
            params: &self.payload.request.params,
            timeout: self.submission_left(submission),
        }
    }

    pub(super) async fn poll(
        &self,
        submission: &Submission,
        handle: &Handle,
    ) -> Result<Answer, Setback> {
        let age = self.submission_age(submission);
        match self
            .steps
            .take("poll", Box::pin(submission.engine.poll(handle, age)))
            .await
        {
            Ok(answer) => Ok(answer),
            Err(PollError::Transient { retry_after_ms, .. }) => {
                let wait = Duration::from_millis(retry_after_ms.unwrap_or(0));
                self.pause(submission, wait).await?;
                Ok(Answer::Pending { progress: None })
            }
            Err(PollError::OurAuth(message)) => {
                // The work may be going on: keep the job, raise the alarm, do not submit again.
                tracing::error!(
                    provider = handle.provider,
                    message,
                    "the provider refuses our key"
                );
                Ok(Answer::Pending { progress: None })
            }
        }
    }

    /// Waits, at most as long as the submission has time. Returns whether it has some left.
    pub(super) async fn rest(&self, submission: &Submission, wait: Duration) -> bool {
        let left = self.submission_left(submission);
        self.steps
            .take("pause", tokio::time::sleep(wait.min(left)))
            .await;
        wait < left
    }

    /// Waits, unless the submission's time is up: then the provider is asked to stop.
    pub(super) async fn pause(
        &self,
        submission: &Submission,
        wait: Duration,
    ) -> Result<(), Setback> {
        if self.rest(submission, wait).await {
            return Ok(());
        }
        self.steps
            .take("cancel_submission", self.cancel_at_provider())
            .await;
        Err(Setback::failed(
            FailureClass::Timeout,
            "the submission took too long",
            false,
        ))
    }

    /// Asks the provider to stop. Whatever it says, it may still bill.
    pub(super) async fn cancel_at_provider(&self) {
        let handle = self
            .handle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some((engine, handle)) = handle {
            let outcome = self
                .steps
                .take("cancel_at_provider", Box::pin(engine.cancel(&handle)))
                .await;
            tracing::info!(
                job.id = self.job.job.as_str(),
                ?outcome,
                "asked the provider to stop"
            );
        }
    }

    pub(super) fn remember(&self, submission: &Submission, handle: &Handle) {
        let known = Some((Arc::clone(&submission.engine), handle.clone()));
        *self.handle.lock().unwrap_or_else(PoisonError::into_inner) = known;
    }

    pub(super) fn submission_age(&self, submission: &Submission) -> Duration {
        Duration::from_millis(submission.intent.left_ms.saturating_sub(self.left_ms()))
    }

    pub(super) fn submission_left(&self, submission: &Submission) -> Duration {
        let most = Duration::from_millis(self.payload.request.submission_timeout_ms);
        most.saturating_sub(self.submission_age(submission))
    }
}

/// Whether another worker can go on from this handle. Where the POST is the run there is nothing to
/// follow: it is waited for.
fn can_be_followed(submission: &Submission, handle: &Handle) -> bool {
    handle.poll_url.is_some() && submission.engine.attach() != Attach::None
}

/// Whether the provider says that the work goes on, and only the same submit asks for it again.
fn is_joined(submitted: &Submitted) -> bool {
    let has_poll = |handle: &Handle| handle.poll_url.is_some();
    matches!(submitted.answer, Answer::Pending { .. })
        && !submitted.handle.as_ref().is_some_and(has_poll)
}

fn kind_word(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Image => "image",
        MediaKind::Video => "video",
        MediaKind::Audio => "audio",
    }
}
