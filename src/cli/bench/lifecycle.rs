//! The bench itself: jobs in, jobs out, both at once, and how long each step takes at a quiet pace.

use std::sync::Arc;

use futures_util::TryStreamExt;
use serde::Serialize;

use super::load::Load;
use super::measure::{Marks, Phase, Spread, Stopwatch, rss_mib};
use super::{Args, progress, slot};
use crate::cli::failure::Failure;
use crate::cli::output::{facts, rows, table};
use crate::config::Settings;
use crate::store::{ClaimedJob, Store};

/// What the bench found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Submits alone: hold and queue.
    enqueue: Phase,
    /// The same jobs worked off: claim and settle.
    work: Phase,
    /// As many again, submitted while they are worked off.
    both: Phase,
    /// Whole lifecycles a second while both go on.
    lifecycles_per_s: f64,
    /// Processor time of the server for a whole lifecycle, us: enqueue and work.
    redis_cpu_us_per_job: f64,
    /// What a finished job leaves in the server's memory, bytes.
    bytes_per_finished_job: f64,
    /// Resident memory of this process, producer and worker in one, MiB.
    rss_mib: u64,
    /// Latencies at a quiet pace.
    latency: Latency,
}

/// Latencies at a pace that leaves the server idle most of the time.
#[derive(Debug, Serialize)]
struct Latency {
    /// Jobs a second.
    rate: u32,
    /// The submit call.
    enqueue: Spread,
    /// From before the submit to the slot that runs the job.
    start: Spread,
    /// The settle call.
    settle: Spread,
}

pub(super) async fn run(
    store: &Store,
    settings: &Settings,
    args: &Args,
) -> Result<Report, Failure> {
    let load = Load::new(store.clone(), args.accounts, 0)?;
    let bar = progress(args.jobs);
    bar.set_message("funding accounts");
    load.fund(0).await?;

    let memory_before = store.usage().await?.memory_bytes;
    bar.set_message("submitting");
    let watch = Stopwatch::start(store).await?;
    submit(&load, args).await?;
    let enqueue = watch.stop(args.jobs).await?;

    bar.set_message("working off");
    let marks = Arc::new(Marks::default());
    let watch = Stopwatch::start(store).await?;
    let bench = {
        let marks = Arc::clone(&marks);
        let sink = Arc::new(move |_: &ClaimedJob, finished| marks.add(finished));
        slot::start(store, settings, args.slots, args.checkpoints, sink).await?
    };
    marks.reach(args.jobs, &bar).await;
    let work = watch.stop(args.jobs).await?;
    let memory_after = store.usage().await?.memory_bytes;
    marks.take();

    bar.set_message("both at once");
    let watch = Stopwatch::start(store).await?;
    let load = load.again();
    tokio::join!(submit(&load, args), marks.reach(args.jobs, &bar)).0?;
    let both = watch.stop(args.jobs).await?;
    marks.take();

    bar.set_message("at a quiet pace");
    let calls = super::peer::paced(&load.again(), args.rate, args.rate_seconds).await?;
    marks.reach(calls.len() as u64, &bar).await;
    let finished = marks.take();
    bar.finish_and_clear();
    bench.worker.drain().await;
    Ok(Report {
        lifecycles_per_s: both.per_s,
        redis_cpu_us_per_job: enqueue.redis_cpu_us + work.redis_cpu_us,
        bytes_per_finished_job: (memory_after as f64 - memory_before as f64)
            / args.jobs.max(1) as f64,
        rss_mib: rss_mib(),
        latency: Latency {
            rate: args.rate,
            enqueue: Spread::of(calls.into_iter().map(f64::from)),
            start: Spread::of(finished.iter().map(|job| job.start_us)),
            settle: Spread::of(finished.iter().map(|job| f64::from(job.settle_us))),
        },
        enqueue,
        work,
        both,
    })
}

async fn submit(load: &Load, args: &Args) -> Result<(), Failure> {
    let submitting = load.submit_all(args.jobs, args.in_flight);
    submitting
        .try_for_each(|_| std::future::ready(Ok(())))
        .await
}

impl Report {
    /// The report for people.
    pub(super) fn text(&self) -> String {
        let mut phases = table(&[
            "phase",
            "jobs/s",
            "redis cpu/job",
            "jobs/redis cpu s",
            "script calls/job",
            "commands/job",
        ]);
        for (name, phase) in [
            ("enqueue", &self.enqueue),
            ("work", &self.work),
            ("both", &self.both),
        ] {
            phases.add_row([
                name.to_owned(),
                format!("{:.0}", phase.per_s),
                format!("{:.1} us", phase.redis_cpu_us),
                format!("{:.0}", phase.per_redis_cpu_s),
                format!("{:.2}", phase.script_calls),
                format!("{:.1}", phase.commands),
            ]);
        }
        let mut latencies = table(&["latency", "p50", "p90", "p99"]);
        for (name, spread) in [
            ("enqueue", self.latency.enqueue),
            ("start", self.latency.start),
            ("settle", self.latency.settle),
        ] {
            let ms = |ms: f64| format!("{ms:.2} ms");
            latencies.add_row([
                name.to_owned(),
                ms(spread.p50_ms),
                ms(spread.p90_ms),
                ms(spread.p99_ms),
            ]);
        }
        let mut sums = facts();
        for (name, value) in [
            (
                "lifecycles a second",
                format!("{:.0}", self.lifecycles_per_s),
            ),
            (
                "redis cpu a lifecycle",
                format!("{:.1} us", self.redis_cpu_us_per_job),
            ),
            (
                "left of a finished job",
                format!("{:.0} bytes", self.bytes_per_finished_job),
            ),
            ("memory of this process", format!("{} MiB", self.rss_mib)),
            ("latencies at", format!("{} jobs/s", self.latency.rate)),
        ] {
            sums.add_row([name.to_owned(), value]);
        }
        [rows(&phases, ""), rows(&sums, ""), rows(&latencies, "")].join("\n\n")
    }
}
