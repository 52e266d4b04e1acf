//! The jobs that run in this process, and how they are told to stop.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::domain::ids::JobId;

/// Why a job is to stop before its line is at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopReason {
    /// The store says so: it was cancelled, or it has ended.
    Told,
    /// It is no longer ours: say nothing, somebody else attaches.
    Lost,
}

/// The order to stop one run of a job.
#[derive(Debug)]
pub(super) struct Stop {
    /// The id that claimed it: a worker that was taken for dead has more than one.
    worker: String,
    token: CancellationToken,
    reason: OnceLock<StopReason>,
    /// The job is to be given to another worker as soon as its line allows.
    hand_over: CancellationToken,
}

impl Stop {
    fn of(worker: &str) -> Self {
        Self {
            worker: worker.to_owned(),
            token: CancellationToken::new(),
            reason: OnceLock::new(),
            hand_over: CancellationToken::new(),
        }
    }

    pub(super) fn order(&self, reason: StopReason) {
        let _ = self.reason.set(reason);
        self.token.cancel();
    }

    pub(super) async fn ordered(&self) -> StopReason {
        self.token.cancelled().await;
        self.reason.get().copied().unwrap_or(StopReason::Lost)
    }

    /// Waits until this worker leaves.
    pub(super) async fn hand_over(&self) {
        self.hand_over.cancelled().await;
    }
}

/// The table of running jobs.
#[derive(Default)]
pub(super) struct Running {
    jobs: Mutex<HashMap<JobId, Arc<Stop>>>,
    /// This worker leaves: what is entered from now on is handed over at once.
    leaves: AtomicBool,
}

/// Takes its run out of the table when dropped, also by a panic. A later run of the same job, which
/// this worker took up again under a new id, stays.
pub(super) struct Entry<'a> {
    table: &'a Running,
    job: JobId,
    stop: Arc<Stop>,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        let mut jobs = self.table.lock();
        // The same job may have come back to this worker while its last run was still ending.
        if jobs
            .get(&self.job)
            .is_some_and(|stop| Arc::ptr_eq(stop, &self.stop))
        {
            jobs.remove(&self.job);
        }
    }
}

impl Running {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<JobId, Arc<Stop>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a job claimed by `worker`; whoever calls [`Running::entry`] takes it out again.
    pub(super) fn enter(&self, job: &JobId, worker: &str) -> Arc<Stop> {
        let stop = Arc::new(Stop::of(worker));
        let mut jobs = self.lock();
        jobs.insert(job.clone(), Arc::clone(&stop));
        // Under the lock, as in `hand_over_all`: one of the two sees the other.
        if self.is_handing_over() {
            stop.hand_over.cancel();
        }
        drop(jobs);
        stop
    }

    pub(super) fn entry(&self, job: &JobId, stop: &Arc<Stop>) -> Entry<'_> {
        Entry {
            table: self,
            job: job.clone(),
            stop: Arc::clone(stop),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// The jobs of one partition.
    pub(super) fn in_partition(&self, partition: u16) -> Vec<String> {
        let jobs = self.lock();
        jobs.keys()
            .filter(|job| job.partition() == partition)
            .map(ToString::to_string)
            .collect()
    }

    /// Tells a job to stop. Returns whether it runs here.
    pub(super) fn stop(&self, job: &str, reason: StopReason) -> bool {
        let jobs = self.lock();
        let found = jobs.iter().find(|(id, _)| id.as_str() == job);
        found.map(|(_, stop)| stop.order(reason)).is_some()
    }

    /// Drops the jobs that `worker` claimed in a partition where it is dead. What the next id has
    /// claimed there since goes on: more than one task may hear of the same death.
    pub(super) fn stop_dead(&self, partition: u16, worker: &str) {
        for (job, stop) in self.lock().iter() {
            if job.partition() == partition && stop.worker == worker {
                stop.order(StopReason::Lost);
            }
        }
    }

    /// Gives every job, now and from now on, to other workers as soon as its line allows.
    pub(super) fn hand_over_all(&self) {
        let jobs = self.lock();
        self.leaves.store(true, Ordering::Relaxed);
        jobs.values().for_each(|stop| stop.hand_over.cancel());
    }

    /// Whether this worker leaves.
    pub(super) fn is_handing_over(&self) -> bool {
        self.leaves.load(Ordering::Relaxed)
    }

    pub(super) fn stop_all(&self, reason: StopReason) {
        self.lock().values().for_each(|stop| stop.order(reason));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> JobId {
        JobId::new(0, uuid::Uuid::nil())
    }

    #[test]
    fn the_end_of_an_old_run_leaves_the_new_one_of_the_same_job() {
        let table = Running::default();
        let old = table.enter(&job(), "w");
        let ending = table.entry(&job(), &old);
        let new = table.enter(&job(), "w-1");
        drop(ending);
        assert_eq!(table.len(), 1);
        assert!(table.stop(job().as_str(), StopReason::Told));
        assert!(new.token.is_cancelled());
        drop(table.entry(&job(), &new));
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn a_job_that_comes_while_the_worker_leaves_is_handed_over_as_well() {
        let table = Running::default();
        let before = table.enter(&job(), "w");
        assert!(!before.hand_over.is_cancelled());
        table.hand_over_all();
        assert!(before.hand_over.is_cancelled());
        assert!(!before.token.is_cancelled(), "it is not simply stopped");
        let after = table.enter(&job(), "w");
        assert!(after.hand_over.is_cancelled());
    }

    #[test]
    fn a_death_that_is_heard_of_twice_stops_nothing_that_was_claimed_since() {
        let table = Running::default();
        let new = table.enter(&job(), "w-1");
        table.stop_dead(0, "w");
        assert!(!new.token.is_cancelled());
        table.stop_dead(1, "w-1");
        assert!(!new.token.is_cancelled());
        table.stop_dead(0, "w-1");
        assert!(new.token.is_cancelled());
    }
}
