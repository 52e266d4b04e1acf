//! Ready jobs go to a worker.

use super::ending::Ending;
use super::{Class, Handed, JobNo, Partition, Reply, Step, WorkerNo};
use crate::domain::failure::FailureClass;
use crate::domain::job::State;

/// How long a frozen account's ready job is put off, ms.
pub(super) const PARK_MS: u64 = 60_000;

impl Partition {
    pub(super) fn claim(
        &mut self,
        step: &mut Step<'_>,
        worker: WorkerNo,
        n: u32,
        low_first: bool,
    ) -> Reply {
        let lease_ms = self.leases.get(&worker).copied();
        let has_lapsed = lease_ms.is_some_and(|lease_ms| lease_ms < step.now_ms);
        if self.dead.contains_key(&worker) || (has_lapsed && !self.was_away(step)) {
            return Reply::Lost;
        }
        self.leases
            .insert(worker, step.now_ms + step.rules.lease_ms);
        let order = if low_first {
            [Class::Resume, Class::Low, Class::Normal, Class::High]
        } else {
            Class::ALL
        };
        let (mut jobs, mut ended) = (Vec::new(), 0);
        let wanted = if self.is_frozen {
            0
        } else {
            usize::try_from(n).unwrap_or(usize::MAX)
        };
        for class in order {
            while jobs.len() < wanted {
                let Some(no) = self.first_ready(class) else {
                    break;
                };
                match self.start(step, worker, no) {
                    Some(handed) => jobs.push(handed),
                    None => ended += 1,
                }
            }
        }
        Reply::Claimed { jobs, ended }
    }

    fn first_ready(&self, class: Class) -> Option<JobNo> {
        let stream = self.ready[class.index()].iter().copied();
        let is_queued = |no: &JobNo| {
            self.jobs
                .get(no)
                .is_some_and(|job| job.state == State::Queued)
        };
        stream.clone().find(is_queued)
    }

    /// Starts a job, or `None` where it ends here or is put off.
    fn start(&mut self, step: &mut Step<'_>, worker: WorkerNo, no: JobNo) -> Option<Handed> {
        let job = self.jobs.get(&no)?.clone();
        if step.now_ms >= job.over_ms() {
            self.end(
                step,
                no,
                Ending::by_the_house(State::TimedOut, Some(FailureClass::Timeout)),
            );
            return None;
        }
        if job.cancel_ms > 0 {
            self.end(step, no, Ending::by_the_house(State::Cancelled, None));
            return None;
        }
        if self.is_account_frozen(job.account) {
            self.drop_entry(no);
            self.put_off(step, no);
            let job = self.jobs.get_mut(&no)?;
            job.state = State::Scheduled;
            job.due_ms = step.now_ms + PARK_MS;
            return None;
        }
        let job = self.jobs.get_mut(&no)?;
        job.takes += 1;
        job.take = Some(job.takes);
        job.state = State::Running;
        job.worker = Some(worker);
        job.started_ms = step.now_ms;
        if job.deadline_ms == 0 {
            job.deadline_ms = step.now_ms + step.rules.deadline_ms;
            self.deadlines.insert(no, job.deadline_ms);
        }
        Some(Handed {
            job: no,
            take: job.takes,
            stage: job.stage,
            tries: job.tries,
            takeovers: job.takeovers,
            submissions: job.submissions,
            left_ms: job.deadline_ms - step.now_ms,
        })
    }

    /// A frozen account's job waits a minute, active and with its hold.
    pub(super) fn put_off(&mut self, step: &Step<'_>, no: JobNo) {
        let Some(job) = self.jobs.get(&no) else {
            return;
        };
        self.parked.entry(job.account).or_default().insert(no);
        self.due.insert(no, step.now_ms + PARK_MS);
    }
}
