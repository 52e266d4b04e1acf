//! Named steps: the only way in which an attempt waits for anything.
//!
//! Every point before and after a wait has a name, so that a test can stop the world there.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::domain::ids::JobId;

/// Before or after the step's own work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StepPhase {
    /// The step has not begun.
    Before,
    /// The step's work is done and its result not yet used.
    After,
}

/// A point in a job's run.
#[derive(Debug, Clone)]
pub struct StepPoint {
    /// The step's name.
    pub name: &'static str,
    /// Before or after it.
    pub phase: StepPhase,
    /// The job.
    pub job: JobId,
}

/// What a test lets happen at each point: go on (the future ends), die (it never does), or panic.
pub type StepHook =
    Arc<dyn Fn(StepPoint) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// Runs the steps of one job.
pub(super) struct Steps {
    job: JobId,
    hook: Option<StepHook>,
}

impl Steps {
    pub(super) fn new(job: JobId, hook: Option<StepHook>) -> Self {
        Self { job, hook }
    }

    /// Waits for `work`, with a point on either side.
    pub(super) async fn take<T>(&self, name: &'static str, work: impl Future<Output = T>) -> T {
        self.point(name, StepPhase::Before).await;
        let result = work.await;
        self.point(name, StepPhase::After).await;
        result
    }

    async fn point(&self, name: &'static str, phase: StepPhase) {
        if let Some(hook) = &self.hook {
            hook(StepPoint {
                name,
                phase,
                job: self.job.clone(),
            })
            .await;
        }
    }
}
