//! Who is alive: leases, the silent who are taken for dead, and what they leave behind.

use std::collections::BTreeSet;

use super::ending::Ending;
use super::{Class, JobNo, Partition, Reply, Step, WorkerNo};
use crate::domain::failure::FailureClass;
use crate::domain::job::State;

impl Partition {
    /// Nobody swept for a while, or not for a whole lease after that: the store was away, not the workers.
    pub(super) fn was_away(&self, step: &Step<'_>) -> bool {
        step.now_ms - self.tick_ms > step.rules.lease_ms / 2 || step.now_ms < self.reap_after_ms
    }

    pub(super) fn beat(&mut self, step: &Step<'_>, worker: WorkerNo) -> Reply {
        let Some(lease_ms) = self.leases.get(&worker).copied() else {
            return Reply::Lost;
        };
        if lease_ms < step.now_ms && !self.was_away(step) {
            return Reply::Lost;
        }
        self.leases
            .insert(worker, step.now_ms + step.rules.lease_ms);
        Reply::Renewed {
            stops: self.stops.get(&worker).cloned().unwrap_or_default(),
            pending: u32::try_from(self.jobs_of(worker).len()).unwrap_or(u32::MAX),
        }
    }

    pub(super) fn leave(&mut self, step: &Step<'_>, worker: WorkerNo) -> Reply {
        if self.leases.remove(&worker).is_none() {
            return Reply::Gone;
        }
        self.dead.insert(worker, step.now_ms);
        self.reaping.insert(worker);
        Reply::Left
    }

    /// What a worker runs, in the order of the streams.
    fn jobs_of(&self, worker: WorkerNo) -> Vec<JobNo> {
        let entries = self.ready.iter().flatten().copied();
        let is_its = |no: &JobNo| {
            let job = self.jobs.get(no);
            job.is_some_and(|job| job.state == State::Running && job.worker == Some(worker))
        };
        entries.filter(is_its).collect()
    }

    pub(super) fn reap(&mut self, step: &mut Step<'_>, first: [Option<WorkerNo>; 3]) -> Reply {
        if self.was_away(step) {
            return Reply::Away;
        }
        let leases = self.leases.iter();
        let silent = leases.filter(|(_, lease_ms)| **lease_ms < step.now_ms);
        let workers: BTreeSet<WorkerNo> = silent.map(|(worker, _)| *worker).collect();
        for worker in &workers {
            self.leases.remove(worker);
            self.dead.insert(*worker, step.now_ms);
            self.reaping.insert(*worker);
        }
        let mut order: Vec<WorkerNo> = first.into_iter().flatten().collect();
        order.extend(
            self.reaping
                .iter()
                .filter(|worker| !first.contains(&Some(**worker))),
        );
        let mut jobs = Vec::new();
        for worker in order {
            if self.reaping.remove(&worker) {
                for no in self.jobs_of(worker) {
                    self.take_back(step, no);
                    jobs.push(no);
                }
                self.gone.insert(worker, step.now_ms);
            }
        }
        Reply::Reaped { workers, jobs }
    }

    /// A dead worker's job goes to another one, if not too many had it already.
    fn take_back(&mut self, step: &mut Step<'_>, no: JobNo) {
        let Some(job) = self.jobs.get_mut(&no) else {
            return;
        };
        job.takeovers += 1;
        if job.takeovers > step.rules.takeovers_max {
            self.end(
                step,
                no,
                Ending::by_the_house(State::Failed, Some(FailureClass::Lost)),
            );
            return;
        }
        (job.take, job.worker) = (None, None);
        let class = Class::again(job.stage, job.priority);
        self.drop_entry(no);
        self.enqueue(no, class);
    }
}
