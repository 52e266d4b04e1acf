//! `bench`: what it measures adds up in the books, and a harness can drive it.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Cli, bare, ran};

const SMALL: [&str; 9] = [
    "bench",
    "--jobs",
    "60",
    "--accounts",
    "20",
    "--rate",
    "20",
    "--rate-seconds",
    "1",
];

#[test]
fn a_small_bench_measures_every_phase_and_leaves_sound_books() {
    let cli = Cli::new();
    let report = cli.ok(&SMALL);
    for phase in ["enqueue", "work", "both"] {
        assert_eq!(report[phase]["jobs"], 60, "{report}");
        assert!(report[phase]["redis_cpu_us"].is_number(), "{report}");
    }
    assert!(report["latency"]["start"]["p50_ms"].as_f64() > Some(0.0));
    assert_eq!(report["latency"]["rate"], 20);
    // 60 and 60 again and 20 at a pace, over 20 accounts: each paid for seven, and holds nothing.
    let account = cli.ok(&["account", "show", "bench-0019"]);
    assert_eq!(account["captured_ucr"], 7 * 28_000_000);
    assert_eq!(account["held_ucr"], 0);
    cli.assert_sound();
}

#[test]
fn a_bench_never_takes_the_store_of_the_environment() {
    let cli = Cli::new();
    let mut command = bare(&["bench", "peer", "prepare"]);
    assert_eq!(ran(command.args(["--redis", &cli.url])).code, 0);
    let before = cli.ok(&["account", "show", "bench-0000"]);
    let mut command = bare(&SMALL);
    command.env("METERLINE_REDIS_URL", &cli.url);
    let ran = ran(&mut command);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(cli.ok(&["account", "show", "bench-0000"]), before);
}

#[test]
fn a_harness_drives_it_as_one_queue_among_others() {
    let cli = Cli::new();
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("finished");
    let enqueued = cli.ok(&["bench", "peer", "enqueue", "40", "bulk"]);
    assert!(enqueued["s"].as_f64() > Some(0.0), "{enqueued}");
    let mut worker = cli.command(&["bench", "peer", "work", "8"]);
    let mut worker = worker.env("OUT", &out).spawn().expect("a worker");
    let began = Instant::now();
    // The file is what a harness looks at, and nothing announces that it grows.
    let bytes = || std::fs::metadata(&out).map_or(0, |file| file.len());
    while bytes() < 16 * 40 && began.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(10));
    }
    worker.kill().expect("kill");
    worker.wait().expect("wait");
    let ages = std::fs::read(&out).expect("the file");
    let (ages, rest) = ages.as_chunks::<8>();
    assert_eq!((ages.len(), rest.len()), (2 * 40, 0));
    let ages: Vec<f64> = ages.iter().map(|age| f64::from_le_bytes(*age)).collect();
    let in_order = |pair: &[f64]| 0.0 <= pair[0] && pair[0] <= pair[1] && pair[1] < 60e6;
    assert!(ages.chunks(2).all(in_order), "{ages:?}");
}

#[test]
fn followers_hear_of_every_job_once_also_after_their_server_was_killed() {
    let cli = Cli::new();
    let small = ["--clients", "30", "--accounts", "10", "--rate", "20"];
    let report = cli.ok(&[&["bench", "streams", "--seconds", "1"], &small[..]].concat());
    // Twenty jobs, two an account, three followers each; then one more of each account.
    assert_eq!(
        (&report["heard"], &report["heard_after_kill"]),
        (&json!(60), &json!(30))
    );
    assert_eq!(
        (&report["missing"], &report["twice"]),
        (&json!(0), &json!(0))
    );
    cli.assert_sound();
}

#[test]
fn a_submit_over_http_is_measured_beside_one_straight_on_the_store() {
    let cli = Cli::new();
    let turns = ["--rate", "20", "--turn-seconds", "1", "--rounds", "1"];
    // Whether the mark is reached is for a quiet machine and an optimised program to say.
    let ran = cli.run(&[&["bench", "http"], &turns[..]].concat());
    let report = ran.json();
    assert!(report["straight"]["p50_ms"].as_f64() > Some(0.0), "{ran:?}");
    assert!(report["http"]["p50_ms"].as_f64() > Some(0.0), "{ran:?}");
    let reached = report["ratio"].as_f64() <= Some(2.5);
    assert_eq!(ran.code, i32::from(!reached), "{ran:?}");
    cli.assert_sound();
}
