//! What falls due by itself.

use std::collections::BTreeMap;

use super::ending::Ending;
use super::{AccountNo, Class, DAY_MS, JobNo, Partition, Reply, Step};
use crate::domain::failure::FailureClass;
use crate::domain::job::State;

/// Whose time has come, soonest first.
fn due<K: Copy + Ord>(index: &BTreeMap<K, u64>, now_ms: u64, after_ms: u64) -> Vec<K> {
    let over = index
        .iter()
        .filter(|(_, at_ms)| **at_ms + after_ms <= now_ms);
    let mut found: Vec<(u64, K)> = over.map(|(no, at_ms)| (*at_ms, *no)).collect();
    found.sort_unstable();
    found.into_iter().map(|(_, no)| no).collect()
}

fn count<T>(list: &[T]) -> u32 {
    u32::try_from(list.len()).unwrap_or(u32::MAX)
}

impl Partition {
    pub(super) fn tick(&mut self, step: &mut Step<'_>, again: bool) -> Reply {
        let (now_ms, lease_ms) = (step.now_ms, step.rules.lease_ms);
        if !again && now_ms - self.tick_ms < step.rules.sweep_ms / 2 {
            return Reply::Recent;
        }
        if self.tick_ms == 0 || now_ms - self.tick_ms > lease_ms / 2 {
            self.reap_after_ms = now_ms + lease_ms;
        }
        (self.tick_ms, self.last_ms) = (now_ms, now_ms);

        let over = due(&self.deadlines, now_ms, 0);
        for no in &over {
            self.run_out(step, *no);
        }
        let fallen_due = due(&self.due, now_ms, 0);
        for no in &fallen_due {
            self.fall_due(step, *no);
        }
        let expiring = due(&self.expiries, now_ms, 0);
        for account in &expiring {
            self.expire(step, *account);
        }
        let forgotten = self.forget_old(step);
        for worker in due(&self.gone, now_ms, lease_ms) {
            self.gone.remove(&worker);
            self.stops.remove(&worker);
        }
        self.dead.retain(|_, at_ms| *at_ms + DAY_MS > now_ms);
        let lanes = due(&self.lanes_seen, u64::MAX, 0).into_iter().take(10);
        let admitted = lanes.map(|account| self.repair_lane(step, account)).sum();
        Reply::Ticked {
            due: count(&fallen_due),
            ended: count(&over),
            expired: count(&expiring),
            forgotten,
            admitted,
        }
    }

    /// One of a job's clocks has run out, or the grace after a cancel.
    fn run_out(&mut self, step: &mut Step<'_>, no: JobNo) {
        let Some(job) = self.jobs.get(&no) else {
            return;
        };
        let ending = if job.cancel_ms > 0 && step.now_ms < job.over_ms() {
            Ending::by_the_house(State::Cancelled, None)
        } else {
            Ending::by_the_house(State::TimedOut, Some(FailureClass::Timeout))
        };
        self.end(step, no, ending);
    }

    /// A delayed, deferred or retried job comes back; a frozen account's waits on.
    fn fall_due(&mut self, step: &Step<'_>, no: JobNo) {
        self.due.remove(&no);
        let Some(job) = self
            .jobs
            .get(&no)
            .filter(|job| job.state == State::Scheduled)
        else {
            return;
        };
        let account = job.account;
        if self.is_account_frozen(account) {
            self.put_off(step, no);
        } else if self.is_active(no, account) {
            let class = Class::again(job.stage, job.priority);
            self.enqueue(no, class);
        } else {
            self.enter_lane(step, no, account);
            let next = self.next_of_lane(step, account, 0, None);
            self.admit(account, &next);
        }
    }

    fn expire(&mut self, step: &mut Step<'_>, account: AccountNo) {
        let Some(mut purse) = self.purse(account) else {
            return;
        };
        purse.expire(step.now_ms);
        self.book_expiry(step, &purse);
        if !self.put_back_purse(purse) {
            self.expiries.remove(&account);
        }
    }

    /// Ended jobs that nobody has to keep any more; a dead letter has its own clock.
    fn forget_old(&mut self, step: &Step<'_>) -> u32 {
        let mut forgotten = 0;
        for no in due(&self.finished, step.now_ms, step.rules.retention_ms) {
            if self.dead_letters.contains_key(&no) {
                self.finished.remove(&no);
            } else {
                self.forget(no);
                forgotten += 1;
            }
        }
        for no in due(&self.dead_letters, step.now_ms, step.rules.dead_letter_ms) {
            self.forget(no);
            forgotten += 1;
        }
        forgotten
    }

    fn forget(&mut self, no: JobNo) {
        let job = self.jobs.remove(&no);
        if let Some((account, key)) = job.and_then(|job| Some((job.account, job.key?))) {
            self.keys.remove(&(account, key));
        }
        self.finished.remove(&no);
        self.dead_letters.remove(&no);
    }

    /// A lane that has room but did not move.
    fn repair_lane(&mut self, step: &Step<'_>, account: AccountNo) -> u32 {
        let next = self.next_of_lane(step, account, 0, None);
        if self.lanes.contains_key(&account) {
            self.lanes_seen.insert(account, step.now_ms);
        } else {
            self.lanes_seen.remove(&account);
        }
        self.admit(account, &next)
    }
}
