//! What a submission has cost us, as far as this worker knows while it runs.

use std::sync::PoisonError;

use super::attempt::Attempt;
use super::intent::{Intent, Submission};
use super::outputs::StoredOutput;
use crate::domain::cost::Cost;
use crate::provider::{Answer, Usage, Work};
use crate::store::SubmissionCost;

impl Attempt<'_> {
    /// Takes note of what an answer says the work has cost. Of outputs that nobody has measured yet the
    /// longest that was asked for counts.
    pub(super) fn learn_cost(&self, submission: &Submission, answer: &Answer) {
        let (usage, work) = match answer {
            Answer::Pending { .. } => return,
            Answer::Failed(failure) => (failure.usage, Work::Failed),
            Answer::Succeeded { outputs, usage, .. } => {
                let outputs = u32::try_from(outputs.len()).unwrap_or(u32::MAX);
                let work = Work::Delivered {
                    outputs,
                    measured_ms: None,
                    asked_ms: self.job.asked.max_ms,
                };
                (*usage, work)
            }
        };
        self.keep_cost(submission, usage, work);
    }

    /// The cost of outputs that were measured.
    pub(super) fn measured_cost(
        &self,
        submission: &Submission,
        usage: Usage,
        outputs: &[StoredOutput],
    ) -> Option<SubmissionCost> {
        let length = |output: &StoredOutput| {
            let tracks = [output.measured.video, output.measured.audio];
            tracks.into_iter().flatten().map(|track| track.ms).max()
        };
        let work = Work::Delivered {
            outputs: u32::try_from(outputs.len()).unwrap_or(u32::MAX),
            measured_ms: outputs
                .iter()
                .filter_map(length)
                .reduce(u64::saturating_add),
            asked_ms: self.job.asked.max_ms,
        };
        self.keep_cost(submission, usage, work);
        self.spent()
    }

    fn keep_cost(&self, submission: &Submission, usage: Usage, work: Work) {
        let cost = submission
            .engine
            .cost(&submission.intent.model, usage, work);
        let spent = cost.map(|cost| of_intent(&submission.intent, cost));
        *self.spent.lock().unwrap_or_else(PoisonError::into_inner) = spent;
    }

    /// What the submission has cost; `None` where nothing is booked for it.
    pub(super) fn spent(&self) -> Option<SubmissionCost> {
        let spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        spent.clone()
    }
}

/// Whom a cost is owed for what was decided.
pub(super) fn of_intent(intent: &Intent, cost: Cost) -> SubmissionCost {
    SubmissionCost {
        cost,
        provider: intent.provider.clone(),
        route: intent.route_name.clone(),
        model: intent.model.clone(),
    }
}
