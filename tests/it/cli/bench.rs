//! `bench`: what it measures adds up in the books, and a harness can drive it.

use std::time::{Duration, Instant};

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
