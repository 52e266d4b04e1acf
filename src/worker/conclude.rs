//! What is said to the store when a job's line did not reach its end.

use crate::domain::failure::{Chances, FailureClass, Verdict, decide, spends_try};
use crate::domain::ids::JobId;
use crate::provider::Failure;
use crate::store::{Again, DeferOutcome, Failing, SubmissionCost};

use super::House;
use super::attempt::{Attempt, Setback};
use super::patience::Patience;

/// Wait before a job is offered to another worker that may know its provider, ms.
const PUT_BACK_MS: u64 = 2_000;

impl Attempt<'_> {
    /// Says what came of the attempt: the class decides.
    pub(super) async fn conclude(&self, setback: Setback) {
        match setback {
            Setback::Gone => {}
            Setback::PutBack(reason) => self.put_back(PUT_BACK_MS, reason, true).await,
            Setback::Failed {
                failure,
                has_verdict,
                hopeless,
            } => {
                self.failed(failure, has_verdict, hopeless).await;
            }
        }
    }

    async fn failed(&self, failure: Failure, has_verdict: bool, hopeless: bool) {
        let job = &self.job;
        let class = failure.class;
        if matches!(class, FailureClass::OurAuth | FailureClass::OurBalance) {
            tracing::error!(job.id = job.job.as_str(), %class, message = failure.message, "our account at the provider");
        }
        let tries = job.tries + u32::from(spends_try(class));
        let retry = self.payload.retry;
        let next_route = job.route + 1 < self.payload.request.routes.len();
        // Without a verdict the work may be going on: another route could pay for it twice.
        let asked_ms = failure.retry_after_ms.unwrap_or(0);
        let chances = Chances {
            tries_spent: tries,
            tries: retry.tries,
            next_route,
            waits_in_vain: has_verdict && asked_ms >= self.left_ms(),
        };
        let verdict = if hopeless {
            Verdict::End
        } else {
            decide(class, chances)
        };
        let again = match verdict {
            Verdict::Defer => {
                let pause_ms = retry.delay_ms(2, 0.5 + rand::random::<f64>() / 2.0);
                let delay_ms = failure.retry_after_ms.unwrap_or(pause_ms).max(1);
                // Without a verdict the same submission goes on later, under the same key.
                let spent = self.spent().filter(|_| has_verdict);
                return match spent {
                    Some(cost) => self.put_back_at_cost(delay_ms, class.as_str(), &cost).await,
                    None => self.put_back(delay_ms, class.as_str(), !has_verdict).await,
                };
            }
            Verdict::TryAgain => {
                let delay_ms = retry.delay_ms(tries, rand::random::<f64>());
                Some(Again {
                    delay_ms,
                    tries,
                    route: job.route,
                })
            }
            Verdict::NextRoute => Some(Again {
                delay_ms: 0,
                tries: 0,
                route: job.route + 1,
            }),
            Verdict::End => None,
        };
        let failing = Failing {
            class,
            message: failure.message,
            has_verdict,
            again,
        };
        let store = &self.house.store;
        let cost = self.spent().filter(|_| has_verdict);
        let failed = || store.fail_at_cost(&job.job, &job.token, &failing, cost.as_ref());
        let said = self.insist("fail", failed).await;
        tracing::info!(job.id = job.job.as_str(), %class, ?again, ?said, "submission of {} failed", job.job);
    }

    async fn put_back(&self, delay_ms: u64, reason: &str, keep: bool) {
        let (store, job) = (&self.house.store, &self.job);
        let deferring = || store.defer(&job.job, &job.token, delay_ms, reason, keep);
        let said = self.insist("defer", deferring).await;
        tracing::debug!(
            job.id = job.job.as_str(),
            reason,
            ?said,
            "put {} back",
            job.job
        );
    }

    /// Puts it back without its submission, which has cost something.
    async fn put_back_at_cost(&self, delay_ms: u64, reason: &str, cost: &SubmissionCost) {
        let (store, job) = (&self.house.store, &self.job);
        let deferring = || store.defer_at_cost(&job.job, &job.token, delay_ms, reason, cost);
        let said = self.insist("defer", deferring).await;
        tracing::debug!(
            job.id = job.job.as_str(),
            reason,
            ?said,
            "put {} back, its submission cost something",
            job.job
        );
    }

    /// Gives the job to whichever worker is next: this one leaves.
    pub(super) async fn hand_over(&self, keep: bool) {
        let (store, job) = (&self.house.store, &self.job);
        let handing = || store.hand_over(&job.job, &job.token, keep);
        let said = self.insist("hand_over", handing).await;
        match said {
            // Fenced: an answer to the first of two calls got lost, or somebody else has it. Either way
            // it is in other hands.
            Ok(DeferOutcome::Deferred | DeferOutcome::Fenced) => self.house.tally.handed_over(),
            Ok(DeferOutcome::Ended) => self.house.tally.ended(),
            Err(_) => {}
        }
        tracing::info!(
            job.id = job.job.as_str(),
            keep,
            ?said,
            "handed {} over",
            job.job
        );
    }

    /// The store told us to stop: it was cancelled or has ended. The provider is asked to stop as
    /// well, and the last word about the hold is the store's.
    pub(super) async fn abandon(&self) {
        self.cancel_at_provider().await;
        let failing = Failing {
            class: FailureClass::Timeout,
            message: "stopped".to_owned(),
            has_verdict: false,
            again: None,
        };
        let (store, job) = (&self.house.store, &self.job);
        let said = self
            .insist("fail", || store.fail(&job.job, &job.token, &failing))
            .await;
        tracing::info!(job.id = job.job.as_str(), ?said, "stopped {}", job.job);
    }
}

/// Ends a job whose run broke in our own code: everything is given back.
pub(super) async fn broken(house: &House, job: &JobId, token: &str) {
    let failing = Failing {
        class: FailureClass::Lost,
        message: "the worker's own code failed".to_owned(),
        has_verdict: false,
        again: None,
    };
    let mut patience = Patience::for_store();
    loop {
        match house.store.fail(job, token, &failing).await {
            Ok(_) => return house.tally.ended(),
            Err(error) if error.is_transient() => tokio::time::sleep(patience.next()).await,
            Err(error) => {
                tracing::error!(job.id = job.as_str(), %error, "failed to end the broken {job}");
                return;
            }
        }
    }
}
