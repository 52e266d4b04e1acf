//! Figures: what a phase cost the server and how long things took.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use indicatif::ProgressBar;
use serde::Serialize;
use tokio::sync::Notify;

use super::slot::Finished;
use crate::cli::failure::Failure;
use crate::store::{ServerUsage, Store};

/// What one phase took, per job.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Phase {
    /// Jobs.
    pub(super) jobs: u64,
    /// Jobs a second by the clock on the wall.
    pub(super) per_s: f64,
    /// Processor time of the server, us a job.
    pub(super) redis_cpu_us: f64,
    /// Jobs that one whole processor of the server would do in a second.
    pub(super) per_redis_cpu_s: f64,
    /// Calls of scripts a job.
    pub(super) script_calls: f64,
    /// Commands a job, those inside scripts included.
    pub(super) commands: f64,
    /// Growth of the server's memory, bytes a job.
    pub(super) bytes: f64,
}

/// A phase that goes on.
pub(super) struct Stopwatch<'a> {
    store: &'a Store,
    usage: ServerUsage,
    began: Instant,
}

impl<'a> Stopwatch<'a> {
    pub(super) async fn start(store: &'a Store) -> Result<Self, Failure> {
        let usage = store.usage().await?;
        Ok(Self {
            store,
            usage,
            began: Instant::now(),
        })
    }

    /// Ends the phase; so many jobs were done in it.
    pub(super) async fn stop(self, jobs: u64) -> Result<Phase, Failure> {
        let seconds = self.began.elapsed().as_secs_f64();
        let (before, after) = (self.usage, self.store.usage().await?);
        let scripts = |usage: &ServerUsage| usage.calls.get("evalsha").copied().unwrap_or(0) as f64;
        let n = jobs.max(1) as f64;
        let cpu_us = (after.cpu_us - before.cpu_us) / n;
        Ok(Phase {
            jobs,
            per_s: round(n / seconds),
            redis_cpu_us: round(cpu_us),
            per_redis_cpu_s: round(1e6 / cpu_us),
            script_calls: round((scripts(&after) - scripts(&before)) / n),
            commands: round((after.calls_in_all() as f64 - before.calls_in_all() as f64) / n),
            bytes: round((after.memory_bytes as f64 - before.memory_bytes as f64) / n),
        })
    }
}

/// Two digits behind the point are more than a bench knows.
pub(super) fn round(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

/// How long something took, ms.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Spread {
    /// The middle one.
    pub(super) p50_ms: f64,
    /// Nine in ten were faster.
    pub(super) p90_ms: f64,
    /// Ninety-nine in a hundred were faster.
    pub(super) p99_ms: f64,
}

impl Spread {
    /// Of any number of durations in us.
    pub(super) fn of(durations_us: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = durations_us.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let at = |percent: usize| {
            let last = sorted.len().saturating_sub(1);
            let us = sorted.get((sorted.len() * percent / 100).min(last));
            round(us.copied().unwrap_or_default() / 1000.0)
        };
        Self {
            p50_ms: at(50),
            p90_ms: at(90),
            p99_ms: at(99),
        }
    }
}

/// The finished jobs of a run.
#[derive(Default)]
pub(super) struct Marks {
    finished: Mutex<Vec<Finished>>,
    changed: Notify,
}

impl Marks {
    pub(super) fn add(&self, finished: Finished) {
        self.lock().push(finished);
        self.changed.notify_waiters();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Finished>> {
        self.finished.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Forgets them and hands them out.
    pub(super) fn take(&self) -> Vec<Finished> {
        std::mem::take(&mut *self.lock())
    }

    /// Waits until so many have finished.
    pub(super) async fn reach(&self, jobs: u64, bar: &ProgressBar) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            let done = self.len() as u64;
            bar.set_position(done);
            if done >= jobs {
                return;
            }
            changed.await;
        }
    }
}

/// Resident memory of this process, MiB; 0 where the system does not say.
pub(super) fn rss_mib() -> u64 {
    rss_kib("self") / 1024
}

/// Resident memory of a process, KiB; 0 where the system does not say.
pub(super) fn rss_kib(process: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.trim().split(' ').next()?.parse::<u64>().ok());
    kib.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_taken_from_the_sorted_list() {
        let spread = Spread::of((1..=1000).rev().map(f64::from));
        assert_eq!(
            (spread.p50_ms, spread.p90_ms, spread.p99_ms),
            (0.5, 0.9, 0.99)
        );
        assert_eq!(Spread::of([]).p99_ms, 0.0);
        assert_eq!(Spread::of([2000.0]).p50_ms, 2.0);
    }
}
