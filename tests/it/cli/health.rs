//! Whether a worker or a server is well, as a container asks it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use meterline::dev::redis::PrivateRedis;
use meterline::store::Store;
use rustix::process::{Pid, Signal, kill_process};

use super::{Process, bare, ran};
use crate::api::{Api, settings};
use crate::support::{fresh_url, options, plain_redis};

fn code(file: &Path) -> i32 {
    let file = file.to_str().expect("a path");
    ran(&mut bare(&["health", "--file", file, "--max-age", "3s"])).code
}

/// A file that grows old announces nothing, so it is asked again and again.
fn becomes(file: &Path, wanted: i32) {
    let began = Instant::now();
    while code(file) != wanted {
        assert!(began.elapsed() < Duration::from_secs(30), "never {wanted}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).expect("a pid"), signal).expect("a signal");
}

#[test]
fn a_worker_that_hangs_or_has_lost_its_store_is_not_well_and_one_that_works_is() {
    let redis = PrivateRedis::start(plain_redis()).expect("a private Redis");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("health");
    assert_eq!(code(&file), 1, "nothing has started");

    let artifacts = folder.path().join("artifacts").display().to_string();
    let path = file.display().to_string();
    let url = redis.url();
    let mut command = bare(&[
        "serve",
        "--config",
        "config/dev",
        "--redis",
        &url,
        "--artifacts",
        &artifacts,
        "--health-file",
        &path,
    ]);
    let worker = Process::start(std::mem::replace(&mut command, bare(&[])), false);
    let id = worker.says("ready worker=");
    becomes(&file, 0);
    assert_eq!(std::fs::read_to_string(&file).expect("the file").trim(), id);

    let pid = i32::try_from(worker.child.id()).expect("a pid");
    signal(pid, Signal::STOP);
    becomes(&file, 1);
    signal(pid, Signal::CONT);
    becomes(&file, 0);

    let server = redis.pid().expect("the server");
    signal(server, Signal::STOP);
    becomes(&file, 1);
    signal(server, Signal::CONT);
    becomes(&file, 0);

    assert_eq!(worker.stop(), Some(0));
    assert!(!file.exists(), "taken away by whoever ends by order");
    assert_eq!(code(&file), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_asked_by_its_address_and_without_a_key() {
    let works = Arc::new(AtomicBool::new(true));
    let sign = Arc::clone(&works);
    let sign = Box::new(move || sign.load(Ordering::Relaxed));
    let store = Store::open(&fresh_url(), options()).await.expect("a store");
    let api = Api::with_worker(store, settings(), Path::new("/nowhere"), Some(sign)).await;
    let asked = || {
        let arguments = ["health", "--url", &api.url, "--output", "json"];
        ran(bare(&arguments).env_remove("METERLINE_API_KEY"))
    };
    let well = asked();
    assert_eq!(well.code, 0, "{well:?}");
    assert_eq!(well.json()["store"], "ok");
    works.store(false, Ordering::Relaxed);
    let stalled = asked();
    assert_eq!(stalled.code, 1, "{stalled:?}");
    assert_eq!(stalled.error()["type"], "unwell");
    let message = stalled.error()["message"].to_string();
    assert!(message.contains("worker stalled"), "{message}");
    api.server.stop().await;
    let arguments = ["health", "--url", &api.url];
    let gone = ran(&mut bare(&arguments));
    assert_eq!(gone.code, 1, "{gone:?}");
    let neither = ran(bare(&["health"]).env_remove("METERLINE_URL"));
    assert_eq!(neither.code, 2, "{neither:?}");
}
