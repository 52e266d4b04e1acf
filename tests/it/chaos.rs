//! Worker processes killed, stopped and continued under load.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use meterline::dev::redis::PrivateRedis;
use meterline::domain::ids::JobId;
use rand::Rng;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::processes::{self, WorkerProcess};
use crate::support::rig::{Rig, video};
use crate::support::*;

const WORKERS: usize = 3;
/// Jobs that are open at the same time.
const OPEN_MAX: usize = 30;
const SLOTS: &str = "image=6,video=6,audio=4,training=2";

fn durable() -> PrivateRedis {
    PrivateRedis::start(durable_redis()).expect("a private Redis")
}

/// How many workers to kill: 20, or what `scripts/chaos --kills N` asks for.
fn kills() -> usize {
    let asked = std::env::vars().find(|(name, _)| name == "METERLINE_CHAOS_KILLS");
    asked.and_then(|(_, n)| n.parse().ok()).unwrap_or(20)
}

/// One job: its route, its tool, its parameters, and what it costs when it succeeds.
fn any_job(n: usize) -> (&'static str, &'static str, Value, i64) {
    let delay_ms = 50 + (n * 37) % 900;
    let sim = json!({"delay_ms": delay_ms});
    let route = ["sim", "sim", "sim-blind", "sim-sync"][n % 4];
    match n % 3 {
        0 => (
            route,
            "text-to-image",
            json!({"prompt": "x", "sim": sim}),
            7,
        ),
        1 => (route, "image-to-video", video(2_000, sim), 14),
        _ => {
            let params = json!({"audio_url": "http://127.0.0.1/x.wav", "language": "en", "duration_ms": 3_000, "sim": sim});
            (route, "dubbing", params, 9)
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_07_killed_workers_lose_no_job_and_no_credit_and_submit_nothing_twice() {
    let redis = durable();
    let rig = Arc::new(Rig::on(redis.url()).await);
    let folder = tempfile::tempdir().expect("a folder");
    let accounts = ["acme", "birch", "cedar"].map(account);
    for id in &accounts {
        rig.fund(id, 1_000_000).await;
    }
    let mut workers: Vec<WorkerProcess> = (0..WORKERS)
        .map(|n| processes::start(&rig, folder.path(), &format!("w{n}"), SLOTS))
        .collect();

    // The load: a bounded number of open jobs, until every kill has been made.
    let killing = Arc::new(AtomicBool::new(true));
    let ended = Arc::new(AtomicUsize::new(0));
    let load = tokio::spawn({
        let (rig, killing, ended) = (Arc::clone(&rig), Arc::clone(&killing), Arc::clone(&ended));
        async move { load(&rig, &accounts, &killing, &ended).await }
    });

    let kills = kills();
    for n in 0..kills {
        // Random moments: the jobs themselves take between 50 ms and a second.
        let pause = rand::rng().random_range(20..400);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let victim = rand::rng().random_range(0..WORKERS);
        workers[victim].child.kill().expect("kill");
        let name = format!("w{}", WORKERS + n);
        workers[victim] = processes::start(&rig, folder.path(), &name, SLOTS);
    }
    killing.store(false, Ordering::Relaxed);
    let jobs = load.await.expect("the load");

    let mut endings: BTreeMap<String, usize> = BTreeMap::new();
    let started = rig.started().await;
    for (job, price) in &jobs {
        let view = rig.ended(job).await;
        let (state, class) = (view.text("state"), view.text("fail_class"));
        *endings.entry(format!("{state} {class}")).or_default() += 1;
        let captured = view.number("captured_ucr") / 1_000_000;
        assert_eq!(
            captured,
            if state == "succeeded" { *price } else { 0 },
            "{view:?}"
        );
        let allowed = [
            "succeeded ",
            "failed unknown_outcome",
            "failed lost",
            "timed_out timeout",
        ];
        assert!(
            allowed.contains(&format!("{state} {class}").as_str()),
            "{view:?}"
        );
        // One generation for a submission. This provider fails nothing by itself, so another submission
        // may start one only after the first took longer than the tool allows.
        let timeline = rig.store.timeline(job).await.expect("a timeline");
        let timeouts = timeline
            .iter()
            .filter(|line| line.event == "retry" && line.detail.starts_with("timeout "))
            .count();
        let of_job: Vec<_> = started
            .iter()
            .filter(|(key, _)| key.starts_with(job.as_str()))
            .collect();
        assert!(
            of_job.iter().all(|(_, times)| **times == 1),
            "{of_job:?}: {timeline:?}"
        );
        assert!(of_job.len() <= 1 + timeouts, "{of_job:?}: {timeline:?}");
        *endings.entry("submission timeouts".to_owned()).or_default() += timeouts;
    }
    rig.assert_sound().await;
    report(kills, jobs.len(), &endings);
    drop(workers);
}

#[expect(
    clippy::print_stdout,
    reason = "scripts/chaos shows what came of the kills"
)]
fn report(kills: usize, jobs: usize, endings: &BTreeMap<String, usize>) {
    println!("{kills} kills, {jobs} jobs, none lost, none submitted twice, audit ok: {endings:?}");
}

/// Submits jobs as others end, until the killing is over. Returns each job and its price.
async fn load(
    rig: &Arc<Rig>,
    accounts: &[meterline::domain::ids::AccountId; 3],
    killing: &AtomicBool,
    ended: &Arc<AtomicUsize>,
) -> Vec<(JobId, i64)> {
    let mut jobs = Vec::new();
    let room = Arc::new(tokio::sync::Semaphore::new(OPEN_MAX));
    while killing.load(Ordering::Relaxed) {
        let permit = Arc::clone(&room).acquire_owned().await.expect("room");
        let (route, tool, params, price) = any_job(jobs.len());
        let payer = &accounts[jobs.len() % 3];
        let job = rig.submit_on(payer, tool, params, Some(route)).await.job;
        jobs.push((job.clone(), price));
        let (rig, ended) = (Arc::clone(rig), Arc::clone(ended));
        tokio::spawn(async move {
            rig.ended(&job).await;
            ended.fetch_add(1, Ordering::Relaxed);
            drop(permit);
        });
    }
    jobs
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_08_a_stopped_and_continued_worker_is_refused() {
    let redis = durable();
    let rig = Rig::on(redis.url()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let acme = account("acme");
    rig.fund(&acme, 1_000).await;
    let stopped = processes::start(&rig, folder.path(), "stopped", SLOTS);
    let mut jobs = Vec::new();
    for _ in 0..4 {
        jobs.push(
            rig.video(&acme, 2_000, json!({"delay_ms": 1_500}))
                .await
                .job,
        );
    }
    for job in &jobs {
        rig.seen(job, "handle", 1).await;
    }
    stopped.child.signal(Signal::STOP).expect("stop");
    let heir = processes::start(&rig, folder.path(), "heir", SLOTS);
    for job in &jobs {
        let view = rig.ended(job).await;
        assert_eq!(view.text("state"), "succeeded", "{view:?}");
        assert!(
            view.text("worker").starts_with(&heir.id),
            "the heir ended it: {view:?}"
        );
        assert_eq!(view.number("takeovers"), 1, "{view:?}");
        assert_eq!(rig.started_for(job).await, 1);
    }
    assert_eq!(balance(&rig.store, &acme).await, (1_000 - 4 * 14, 0));
    stopped.child.signal(Signal::CONT).expect("continue");
    // It learns that it is dead here and goes on as a new one: a job after that may be its own.
    let again = rig.video(&acme, 2_000, json!({})).await.job;
    rig.ended(&again).await;
    assert_eq!(balance(&rig.store, &acme).await, (1_000 - 5 * 14, 0));
    for job in &jobs {
        let timeline = rig.store.timeline(job).await.expect("a timeline");
        let endings = timeline
            .iter()
            .filter(|line| line.event == "succeeded")
            .count();
        assert_eq!(endings, 1, "{timeline:?}");
    }
    rig.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_told_to_end_hands_over_what_it_runs_and_claims_nothing_more() {
    let redis = durable();
    let rig = Rig::on(redis.url()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let acme = account("acme");
    rig.fund(&acme, 1_000).await;
    let mut worker = processes::start(&rig, folder.path(), "ending", SLOTS);
    let running = rig.video(&acme, 2_000, json!({"delay_ms": 800})).await.job;
    rig.seen(&running, "handle", 1).await;
    worker.child.signal(Signal::TERM).expect("ask it to end");
    // The signal is handled when the process says so; a job that comes after that is not claimed.
    processes::said(&worker.child, "told to stop");
    let late = rig.video(&acme, 2_000, json!({})).await.job;
    processes::said(&worker.child, "handed_over=1");
    worker.child.wait().expect("its end");
    let view = view_of(&rig.store, &running).await;
    assert_eq!(
        (view.text("state"), view.text("stage")),
        ("queued", "handle")
    );
    assert_eq!(view.number("takeovers"), 0);
    assert_eq!(state_of(&rig.store, &late).await, "queued");
    rig.assert_sound().await;
}
