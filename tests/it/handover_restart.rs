//! Real worker processes, restarted one after the other under load.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use meterline::domain::ids::{AccountId, JobId};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::processes::{self, WorkerProcess};
use crate::support::rig::{Rig, video};
use crate::support::*;

const WORKERS: usize = 3;
/// Every worker is restarted so many times.
const ROUNDS: usize = 2;
/// Jobs that are open at the same time.
const OPEN_MAX: usize = 24;
const SLOTS: &str = "image=6,video=6";
/// Longer than the whole test: a job that only a lapsed lease brings back does not end in time.
const LEASE_MS: &str = "120000";
const ROUTES: [&str; 4] = ["sim", "sim-blind", "sim-sync", "sim-bytes"];

fn any_job(n: usize) -> (&'static str, &'static str, Value) {
    let sim = json!({"delay_ms": 50 + (n * 137) % 1_500});
    let route = ROUTES[n % ROUTES.len()];
    if n.is_multiple_of(3) {
        (route, "image-to-video", video(1_000, sim))
    } else {
        (route, "text-to-image", json!({"prompt": "x", "sim": sim}))
    }
}

/// Submits jobs as others end, until told to stop.
async fn load(rig: &Arc<Rig>, payer: &AccountId, go_on: &AtomicBool) -> Vec<(JobId, &'static str)> {
    let mut jobs = Vec::new();
    let room = Arc::new(tokio::sync::Semaphore::new(OPEN_MAX));
    while go_on.load(Ordering::Relaxed) {
        let permit = Arc::clone(&room).acquire_owned().await.expect("room");
        let (route, tool, params) = any_job(jobs.len());
        let job = rig.submit_on(payer, tool, params, Some(route)).await.job;
        jobs.push((job.clone(), route));
        let rig = Arc::clone(rig);
        tokio::spawn(async move {
            rig.ended(&job).await;
            drop(permit);
        });
    }
    jobs
}

fn start(rig: &Rig, folder: &Path, name: &str) -> WorkerProcess {
    let patient = [("METERLINE__WORKER__LEASE_MS", LEASE_MS)];
    processes::start_with(rig, folder, name, SLOTS, &patient)
}

/// The numbers a worker says when it has left: finished, handed over, left.
fn said(worker: &WorkerProcess) -> [usize; 3] {
    let words = processes::said(&worker.child, "left worker=");
    let number = |name: &str| {
        let rest = words.split_once(&format!(" {name}=")).expect(name).1;
        let digits = rest.split(' ').next().expect("a number");
        digits.parse().expect("a number")
    };
    ["finished", "handed_over", "left"].map(number)
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_07_a_rolling_restart_fails_no_job_and_runs_none_twice() {
    let rig = Arc::new(Rig::patient(fresh_url()).await);
    let folder = tempfile::tempdir().expect("a folder");
    let acme = account("acme");
    rig.fund(&acme, 1_000_000).await;
    let mut workers: Vec<WorkerProcess> = (0..WORKERS)
        .map(|n| start(&rig, folder.path(), &format!("w{n}")))
        .collect();
    let go_on = Arc::new(AtomicBool::new(true));
    let load = tokio::spawn({
        let (rig, acme, go_on) = (Arc::clone(&rig), acme.clone(), Arc::clone(&go_on));
        async move { load(&rig, &acme, &go_on).await }
    });
    let mut in_all = [0; 3];
    for n in 0..WORKERS * ROUNDS {
        let worker = &mut workers[n % WORKERS];
        worker.child.signal(Signal::TERM).expect("ask it to leave");
        let words = said(worker);
        worker.child.wait().expect("its end");
        for (all, more) in in_all.iter_mut().zip(words) {
            *all += more;
        }
        *worker = start(&rig, folder.path(), &format!("w{}", WORKERS + n));
    }
    go_on.store(false, Ordering::Relaxed);
    let jobs = load.await.expect("the load");
    let mut views = Vec::new();
    for (job, route) in &jobs {
        views.push((route, rig.ended(job).await));
    }
    let started = rig.started().await;
    for (route, view) in &views {
        assert_eq!(view.text("state"), "succeeded", "{route}: {view:?}");
        let spent = (view.number("tries"), view.number("takeovers"));
        assert_eq!(spent, (0, 0), "{route}: {view:?}");
        let of_job = started
            .iter()
            .filter(|(key, _)| key.starts_with(view.job.as_str()));
        let generations: u64 = of_job.map(|(_, times)| times).sum();
        assert_eq!(generations, 1, "{route}: {view:?}");
    }
    assert!(
        in_all[0] > 0 && in_all[1] > 0,
        "finished, handed over, left: {in_all:?}"
    );
    assert_eq!(in_all[2], 0, "nothing was left");
    rig.assert_sound().await;
    assert_tallies(&rig.store).await;
    report(jobs.len(), in_all);
}

#[expect(clippy::print_stdout, reason = "what a run by hand looks for")]
fn report(jobs: usize, [finished, handed_over, _]: [usize; 3]) {
    println!("{jobs} jobs; while leaving {finished} were finished and {handed_over} handed over");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_drains_workers_through_the_store_and_is_told_what_they_did() {
    let rig = Rig::patient(fresh_url()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let acme = account("acme");
    rig.fund(&acme, 1_000).await;
    let mut worker = start(&rig, folder.path(), "draining");
    let polled = rig
        .video(&acme, 1_000, json!({"delay_ms": 30_000}))
        .await
        .job;
    rig.seen(&polled, "handle", 1).await;
    let drain = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meterline"));
        let output = command
            .args(["worker", "drain"])
            .args(arguments)
            .args([
                "--redis",
                &rig.url,
                "--output",
                "json",
                "--reason",
                "new version",
            ])
            .output()
            .expect("the program runs");
        (output.status.code(), output)
    };
    let (code, output) = drain(&["nobody"]);
    assert_eq!(code, Some(3), "{output:?}");
    let (code, output) = drain(&[&worker.id, "--timeout", "60s"]);
    assert_eq!(code, Some(0), "{output:?}");
    let said: Value = serde_json::from_slice(&output.stdout).expect("a document");
    assert_eq!(
        said,
        json!([{"worker": worker.id, "gone": true, "finished": 0, "handed_over": 1, "left": 0}])
    );
    worker.child.wait().expect("its end");
    let log = worker.child.printed();
    assert!(log.contains("new version"), "{log}");
    assert!(log.contains("handed_over=1"), "{log}");
    assert_eq!(state_of(&rig.store, &polled).await, "queued");
    assert_eq!(view_of(&rig.store, &polled).await.text("stage"), "handle");
    // Nobody is left to be drained.
    let (code, output) = drain(&["--all"]);
    assert_eq!(
        (code, output.stdout.as_slice()),
        (Some(0), b"[]\n".as_slice())
    );
    rig.store.cancel(&polled, "tests").await.expect("cancel");
    rig.assert_sound().await;
}
