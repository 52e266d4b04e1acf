//! The jobs that run in this process, and how they are told to stop.

use std::collections::HashMap;
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

/// The order to stop one job.
#[derive(Debug, Default)]
pub(super) struct Stop {
    token: CancellationToken,
    reason: OnceLock<StopReason>,
}

impl Stop {
    pub(super) fn order(&self, reason: StopReason) {
        let _ = self.reason.set(reason);
        self.token.cancel();
    }

    pub(super) async fn ordered(&self) -> StopReason {
        self.token.cancelled().await;
        self.reason.get().copied().unwrap_or(StopReason::Lost)
    }
}

/// The table of running jobs.
#[derive(Default)]
pub(super) struct Running {
    jobs: Mutex<HashMap<JobId, Arc<Stop>>>,
}

/// Takes its run out of the table when dropped, also by a panic.
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

    /// Enters a job; whoever calls [`Running::entry`] takes it out again.
    pub(super) fn enter(&self, job: &JobId) -> Arc<Stop> {
        let stop = Arc::new(Stop::default());
        self.lock().insert(job.clone(), Arc::clone(&stop));
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

    /// Drops the jobs of a partition in which this worker is dead.
    pub(super) fn stop_partition(&self, partition: u16) {
        for (job, stop) in self.lock().iter() {
            if job.partition() == partition {
                stop.order(StopReason::Lost);
            }
        }
    }

    pub(super) fn stop_all(&self, reason: StopReason) {
        self.lock().values().for_each(|stop| stop.order(reason));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_ends_late_does_not_take_the_next_run_of_its_job_out() {
        let table = Running::default();
        let job = JobId::new(0, uuid::Uuid::nil());
        let first = table.enter(&job);
        let first_entry = table.entry(&job, &first);
        let second = table.enter(&job);
        let second_entry = table.entry(&job, &second);
        drop(first_entry);
        assert_eq!(table.len(), 1);
        drop(second_entry);
        assert_eq!(table.len(), 0);
    }
}
