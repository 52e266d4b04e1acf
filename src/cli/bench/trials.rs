//! Three trials of a promise each: a long backlog, many jobs under way, a worker that is killed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use serde::Serialize;
use serde_json::json;

use super::finding::Finding;
use super::load::{Load, now_us};
use super::measure::{Marks, Phase, Spread, Stopwatch, round, rss_mib};
use super::{ACCOUNTS, Ground, progress, slot};
use crate::cli::Call;
use crate::cli::failure::{Exit, Failure, Kind};
use crate::dev::child::{Child, Traces};
use crate::store::{ClaimedJob, QueueView};

/// Submits under way while a trial is being prepared.
const IN_FLIGHT: usize = 200;

/// Does a job cost more when many wait?
///
/// Works jobs off, with few and with many waiting behind them in turns; the shortest of each counts. With a small --max-active the backlog stands in the accounts' lanes instead of the ready streams.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline bench backlog --waiting 200000")]
pub(super) struct BacklogArgs {
    /// Jobs that wait in the long backlog
    #[arg(long, default_value_t = 200_000)]
    waiting: u64,
    /// Jobs that wait in the short one, all of which are worked off
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    few: u64,
    /// Jobs of the long one that are worked off: many more than the slots, whose jobs are half done at
    /// the end
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    measured: u64,
    /// Let accounts have this many jobs in the ready streams; the rest waits in lanes
    #[arg(long, default_value_t = 1_000_000)]
    max_active: u32,
    /// How often each is measured, in turns
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

/// Can one process have many long jobs under way at once?
///
/// How long the slots take for so many rounds of jobs, against the time that they would take if claims and
/// settlements took none. Ends with 1 below 95 %. All slots begin at once, so that their jobs first end as
/// a crowd, which spreads from round to round: the first rounds are shown and not counted.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline bench inflight --jobs 10000 --slots 10000")]
pub(super) struct InflightArgs {
    /// Jobs under way at a time
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    slots: u32,
    /// How long each runs, ms
    #[arg(long, default_value_t = 2_000)]
    sleep_ms: u64,
    /// How often the slots are filled
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How often before that
    #[arg(long, default_value_t = 8)]
    warm_up: u32,
}

/// How long until a killed worker's jobs run elsewhere?
///
/// Ends with 1 where it is more than the lease and 2 s.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline bench takeover")]
pub(super) struct TakeoverArgs {
    /// Jobs that the killed worker has under way
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    jobs: u32,
    /// How many workers are killed, one after the other, each on a store of its own
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

#[derive(Serialize)]
struct Backlog {
    waiting: u64,
    phase: Phase,
}

pub(super) async fn backlog(call: &Call, args: BacklogArgs) -> Result<Exit, Failure> {
    if call.global.redis.is_some() && call.redis_origin == "--redis" {
        let detail = "two backlogs need two stores: run it without --redis, on private ones";
        return Err(Failure::new(Kind::Usage, detail));
    }
    let few = Filled::of(call, &args, args.few).await?;
    let needed = args.measured * u64::from(args.rounds);
    let many = Filled::of(call, &args, args.waiting.max(needed)).await?;
    let (mut short, mut long) = (None, None);
    for _ in 0..args.rounds {
        keep_least(&mut short, few.work_off(args.few).await?);
        few.fill(args.few).await?;
        keep_least(&mut long, many.work_off(args.measured).await?);
    }
    let (Some(short), Some(long)) = (short, long) else {
        return Err(Failure::new(Kind::Usage, "nothing was measured"));
    };
    let ratio = round(long.phase.redis_cpu_us / short.phase.redis_cpu_us);
    let line = |backlog: &Backlog| {
        let phase = &backlog.phase;
        format!(
            "{:.1} us of redis cpu, {:.1} commands, {} waiting",
            phase.redis_cpu_us, phase.commands, backlog.waiting
        )
    };
    let lines = vec![
        ("claim and settle, short backlog", line(&short)),
        ("claim and settle, long backlog", line(&long)),
        ("long / short", format!("{ratio:.2}")),
    ];
    let json = json!({"short": short, "long": long, "ratio": ratio});
    Finding {
        json,
        lines,
        reached: true,
    }
    .show(call)
}

/// Keeps the one that cost the server less.
fn keep_least(least: &mut Option<Backlog>, found: Backlog) {
    let cost = |backlog: &Backlog| backlog.phase.redis_cpu_us;
    if least
        .as_ref()
        .is_none_or(|least| cost(&found) < cost(least))
    {
        *least = Some(found);
    }
}

/// A store of its own with a backlog in it.
struct Filled {
    ground: Ground,
    load: Load,
}

impl Filled {
    async fn of(call: &Call, args: &BacklogArgs, waiting: u64) -> Result<Self, Failure> {
        let ground = Ground::of(call, false).await?;
        let load = Load::new(ground.store.clone(), ACCOUNTS, 0)?;
        load.fund(args.max_active).await?;
        let filled = Self { ground, load };
        filled.fill(waiting).await?;
        Ok(filled)
    }

    /// Submits so many more.
    async fn fill(&self, jobs: u64) -> Result<(), Failure> {
        let bar = progress(jobs);
        bar.set_message("submitting");
        let load = self.load.again();
        let mut submitting = std::pin::pin!(load.submit_all(jobs, IN_FLIGHT));
        while submitting.try_next().await?.is_some() {
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// Works at least `measured` jobs off.
    async fn work_off(&self, measured: u64) -> Result<Backlog, Failure> {
        let store = &self.ground.store;
        let waiting = store.queue_views().await?;
        let waiting = waiting.iter().map(QueueView::waiting).sum();
        let bar = progress(measured);
        bar.set_message("working off");
        let marks = Arc::new(Marks::default());
        let sink = {
            let marks = Arc::clone(&marks);
            Arc::new(move |_: &ClaimedJob, finished| marks.add(finished))
        };
        let watch = Stopwatch::start(store).await?;
        let settings = self.ground.house.settings();
        let bench = slot::start(store, settings, 100, false, sink).await?;
        marks.reach(measured, &bar).await;
        let phase = watch.stop(marks.len() as u64).await?;
        bar.finish_and_clear();
        bench.worker.drain().await;
        Ok(Backlog { waiting, phase })
    }
}

pub(super) async fn inflight(call: &Call, args: InflightArgs) -> Result<Exit, Failure> {
    let ground = Ground::of(call, false).await?;
    let store = &ground.store;
    let rounds = args.warm_up + args.rounds;
    let jobs = u64::from(args.slots) * u64::from(rounds);
    let load = Load::new(store.clone(), ACCOUNTS, args.sleep_ms)?;
    load.fund(u32::MAX).await?;
    let bar = progress(jobs);
    bar.set_message("submitting");
    load.submit_all(jobs, IN_FLIGHT)
        .try_for_each(|_| std::future::ready(Ok(())))
        .await?;
    bar.set_message("under way");
    let marks = Arc::new(Marks::default());
    let sink = {
        let marks = Arc::clone(&marks);
        Arc::new(move |_: &ClaimedJob, finished| marks.add(finished))
    };
    let bench = slot::start(store, ground.house.settings(), args.slots, false, sink).await?;
    marks.reach(1, &bar).await;
    // The first one has run its whole time by now.
    let first = Instant::now();
    let sleep_s = args.sleep_ms as f64 / 1000.0;
    let mut ends_s = vec![0.0];
    for round in 1..=u64::from(rounds) {
        marks.reach(round * u64::from(args.slots), &bar).await;
        ends_s.push(first.elapsed().as_secs_f64() + sleep_s);
    }
    let whole_s = ends_s.last().copied().unwrap_or_default();
    let took_s = whole_s - ends_s[args.warm_up as usize];
    let rss = rss_mib();
    bar.finish_and_clear();
    bench.worker.drain().await;
    let ideal_s = f64::from(args.rounds) * sleep_s;
    let share = round(100.0 * ideal_s / took_s);
    let each = ends_s
        .windows(2)
        .map(|ends| round(100.0 * sleep_s / (ends[1] - ends[0])));
    let each: Vec<f64> = each.collect();
    let from_start = round(100.0 * f64::from(rounds) * sleep_s / whole_s);
    let by_round: Vec<String> = each.iter().map(|share| format!("{share:.0}")).collect();
    let lines = vec![
        ("under way at a time", args.slots.to_string()),
        ("jobs", format!("{jobs} of {} ms", args.sleep_ms)),
        (
            "rounds that count",
            format!("{took_s:.2} s, ideal {ideal_s:.2} s"),
        ),
        ("of the ideal", format!("{share:.1} %")),
        ("round by round", format!("{} %", by_round.join(" "))),
        ("with the first rounds", format!("{from_start:.1} %")),
        ("memory of this process", format!("{rss} MiB")),
    ];
    let json = json!({"slots": args.slots, "jobs": jobs, "sleep_ms": args.sleep_ms,
        "seconds": round(took_s), "ideal_seconds": ideal_s, "percent": share, "percent_by_round": each,
        "warm_up": args.warm_up, "percent_from_start": from_start, "rss_mib": rss});
    Finding {
        json,
        lines,
        reached: share >= 95.0,
    }
    .show(call)
}

pub(super) async fn takeover(call: &Call, args: TakeoverArgs) -> Result<Exit, Failure> {
    let bound_ms = call.house()?.settings().worker.lease_ms + 2_000;
    let (mut picked_up, mut rounds) = (Vec::new(), Vec::new());
    for _ in 0..args.rounds {
        let found = kill_one(call, args.jobs, bound_ms).await?;
        let slowest_ms = found.iter().copied().fold(0.0, f64::max) / 1000.0;
        rounds.push(json!({"taken_over": found.len(), "slowest_ms": round(slowest_ms)}));
        picked_up.extend(found);
    }
    let slowest_ms = picked_up.iter().copied().fold(0.0, f64::max) / 1000.0;
    let jobs = args.jobs as usize * args.rounds as usize;
    let all = picked_up.len() >= jobs;
    let spread = Spread::of(picked_up.iter().copied());
    let lines = vec![
        ("kills", args.rounds.to_string()),
        ("taken over", format!("{} of {jobs}", picked_up.len())),
        ("middle", format!("{:.0} ms after kill -9", spread.p50_ms)),
        ("slowest", format!("{slowest_ms:.0} ms")),
        ("lease + 2 s", format!("{bound_ms} ms")),
    ];
    let json = json!({"jobs": jobs, "taken_over": picked_up.len(), "spread": spread,
        "slowest_ms": round(slowest_ms), "bound_ms": bound_ms, "rounds": rounds});
    Finding {
        json,
        lines,
        reached: all && slowest_ms <= bound_ms as f64,
    }
    .show(call)
}

/// Kills a worker with so many jobs under way. Returns when they ran elsewhere, us after the kill.
async fn kill_one(call: &Call, jobs: u32, bound_ms: u64) -> Result<Vec<f64>, Failure> {
    let ground = Ground::of(call, false).await?;
    let store = &ground.store;
    let settings = ground.house.settings();
    let load = Load::new(store.clone(), ACCOUNTS, 3_600_000)?;
    load.fund(0).await?;
    let folder = tempfile::tempdir()?;
    let mut victim = ground.spawn_worker(call, folder.path(), jobs)?;
    for n in 0..u64::from(jobs) {
        load.submit(n).await?;
    }
    let running = ground.all_run(jobs).await;
    running.map_err(|error| Failure::new(Kind::Io, error))?;
    let started: Arc<Mutex<HashMap<String, f64>>> = Arc::default();
    let heir = {
        let started = Arc::clone(&started);
        let note = Arc::new(move |job: &ClaimedJob| {
            let mut started = started.lock().unwrap_or_else(PoisonError::into_inner);
            started.entry(job.job.to_string()).or_insert_with(now_us);
        });
        slot::start_noting(store, settings, jobs, note).await?
    };
    victim.kill()?;
    let killed_us = now_us();
    let deadline = Instant::now() + Duration::from_millis(bound_ms * 3);
    let picked_up = loop {
        let times: Vec<f64> = {
            let started = started.lock().unwrap_or_else(PoisonError::into_inner);
            started.values().map(|at_us| at_us - killed_us).collect()
        };
        if times.len() >= jobs as usize || Instant::now() > deadline {
            break times;
        }
        // Nothing announces that the last one runs; look again soon.
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    heir.worker.abort().await;
    Ok(picked_up)
}

impl Ground {
    /// A worker process on this ground, with a log of its own.
    fn spawn_worker(
        &self,
        call: &Call,
        folder: &std::path::Path,
        slots: u32,
    ) -> Result<Child, Failure> {
        let (log, pid_file, out) = (
            folder.join("worker.log"),
            folder.join("worker.pid"),
            folder.join("out"),
        );
        let slots = slots.to_string();
        let out = out.display().to_string();
        let mut arguments = vec!["--redis", self.url.as_str()];
        let config = call
            .global
            .config
            .as_ref()
            .map(|dir| dir.display().to_string());
        if let Some(config) = &config {
            arguments.extend(["--config", config]);
        }
        arguments.extend(["bench", "peer", "work", &slots, "--out", &out]);
        let traces = Traces {
            log: &log,
            pid_file: &pid_file,
            clear: None,
        };
        Ok(Child::spawn(
            &std::env::current_exe()?,
            &arguments,
            &[],
            traces,
        )?)
    }

    /// Waits until so many jobs run.
    async fn all_run(&self, jobs: u32) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            let views = self.store.queue_views().await;
            let views = views.map_err(|error| format!("failed to {error}"))?;
            let running: u64 = views.iter().map(|view| view.running).sum();
            if running >= u64::from(jobs) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err("the worker did not take its jobs".to_owned())
    }
}
