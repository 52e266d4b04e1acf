//! History survives the sudden death of the projector, of Postgres and of the store, under load, and neither
//! jobs nor money wait for it.

use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

use meterline::dev::child::{Child, Traces};
use meterline::dev::redis::{PrivateRedis, RedisOptions};
use meterline::domain::ids::AccountId;
use meterline::store::{ClaimOutcome, Error, Options, Store, SubmitOutcome};
use secrecy::{ExposeSecret, SecretString};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::front::Front;
use crate::support::postgres::{
    PrivatePostgres, assert_history, await_level, connect, fresh_history, number, projector,
};
use crate::support::processes::said;
use crate::support::*;

/// Submits, runs and charges jobs until it is told to stop; what fails is left to the sweep.
fn load(store: &Store, id: &AccountId) -> (CancellationToken, JoinHandle<()>) {
    let (store, id, stop) = (store.clone(), id.clone(), CancellationToken::new());
    let stopped = stop.clone();
    let run = tokio::spawn(async move {
        while !stopped.is_cancelled() {
            if one_job(&store, &id).await.is_err() {
                // The store is away. Nothing tells when it is back, and asking without a pause would take the
                // processor from the server that starts.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    });
    (stop, run)
}

async fn one_job(store: &Store, id: &AccountId) -> Result<(), Error> {
    if let SubmitOutcome::Refused(refusal) = store.submit(&job_for(store, id, 10)).await? {
        panic!("refused: {refusal}");
    }
    let slots = [("video".to_owned(), 5)];
    let claimed = store.claim(0, "w1", LEASE_MS, &slots, false).await?;
    let ClaimOutcome::Claimed(claimed) = claimed else {
        return Ok(());
    };
    for job in claimed.jobs {
        store.settle(&job.job, &job.token, &settlement(5)).await?;
    }
    Ok(())
}

/// Waits until the journal has `more` entries than now. What is booked is told as an event as well.
async fn grows(store: &Store, more: u64) {
    let seq = async || store.journal_end(0).await.map_or(0, |end| end.seq);
    let from = seq().await;
    let grown = async {
        while seq().await < from + more {
            // On a connection that died with the server it fails at once, and then stands on a new one.
            if let Ok(mut events) = store.follow_partition(0).await {
                while seq().await < from + more && events.next(500).await.is_ok() {}
            }
        }
    };
    let grown = tokio::time::timeout(Duration::from_secs(60), grown).await;
    grown.expect("nothing is booked any more");
}

/// A projector as a process of its own.
fn process(redis: &str, history: &SecretString, folder: &Path, name: &str) -> Child {
    let (log, pid_file) = (
        folder.join(format!("{name}.log")),
        folder.join(format!("{name}.pid")),
    );
    let arguments = ["serve", "--role", "projector", "--redis", redis];
    let environment: Vec<(&str, OsString)> = vec![
        ("METERLINE__POSTGRES__URL", history.expose_secret().into()),
        ("METERLINE__POSTGRES__POLL_MS", "10".into()),
        ("METERLINE__POSTGRES__BATCH_ENTRIES", "7".into()),
    ];
    let traces = Traces {
        log: &log,
        pid_file: &pid_file,
        clear: None,
    };
    let program = Path::new(env!("CARGO_BIN_EXE_meterline"));
    let child = Child::spawn(program, &arguments, &environment, traces).expect("a projector");
    said(&child, "ready projector");
    child
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projector_that_is_killed_again_and_again_writes_every_entry_once() {
    let redis = PrivateRedis::start(plain_redis()).expect("a Redis");
    let store = Store::open(&redis.url(), options()).await.expect("a store");
    let (url, folder) = (
        fresh_history().await,
        tempfile::tempdir().expect("a folder"),
    );
    let acme = funded(&store, "acme", 1_000_000).await;
    let (stop, run) = load(&store, &acme);
    for kill in 0..10 {
        let mut child = process(&redis.url(), &url, folder.path(), &format!("p{kill}"));
        // It dies at some moment between two looks of ours, mostly in the middle of a batch.
        let client = connect(&url).await;
        let (began, sql) = (
            Instant::now(),
            "select coalesce(sum(seq), 0)::bigint from heads",
        );
        let from = number(&client, sql).await;
        while number(&client, sql).await < from + 20 {
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "{}",
                child.printed()
            );
        }
        child.kill().expect("kill");
    }
    stop.cancel();
    run.await.expect("the load");
    let _child = process(&redis.url(), &url, folder.path(), "last");
    await_level(&store, &url).await;
    assert_history(&store, &url).await;
    assert_sound(&store).await;
}

/// What is committed and not yet noted in the store is not written again, and not forgotten before.
#[tokio::test(flavor = "multi_thread")]
async fn a_projector_that_dies_right_behind_its_commit_is_followed_by_one_that_finds_it() {
    let redis = PrivateRedis::start(plain_redis()).expect("a Redis");
    let soon = Options {
        retention_ms: 1_000,
        ..options()
    };
    let store = Store::open(&redis.url(), soon).await.expect("a store");
    let (url, folder) = (
        fresh_history().await,
        tempfile::tempdir().expect("a folder"),
    );
    let acme = funded(&store, "acme", 100).await;
    let front = Front::of(&redis).await;
    let mut child = process(&front.url(), &url, folder.path(), "p0");
    await_level(&store, &url).await;
    // From here on it can read the store and write history, and say nothing to the store.
    front.let_through(0);
    let job = charged(&store, &acme, 10, 5).await;
    let end = store.journal_end(0).await.expect("an end").seq;
    front.stuck().await;
    let client = connect(&url).await;
    let began = Instant::now();
    while number(&client, "select seq from heads").await < end.cast_signed() {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "{}",
            child.printed()
        );
    }
    child.kill().expect("kill");

    let later = store.at(store.server_ms().await.expect("a time") + 10_000);
    tick(&later).await;
    let there = store.job(&job).await.expect("an answer");
    assert!(there.is_some(), "nobody has said that its end is committed");
    let _child = process(&redis.url(), &url, folder.path(), "p1");
    await_level(&store, &url).await;
    // It notes what it found when it takes the partition, which nothing announces; a sweep at the same time
    // twice is none.
    let (began, mut hours) = (Instant::now(), 0);
    while store.job(&job).await.expect("an answer").is_some() {
        hours += 1;
        tick(&later.at(later.server_ms().await.expect("a time") + hours * 3_600_000)).await;
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "it is never forgotten"
        );
    }
    assert_history(&store, &url).await;
    let ended = format!("select count(*) from jobs where job = '{job}' and captured_ucr = 5000000");
    assert_eq!(number(&client, &ended).await, 1);
    assert_sound(&later).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_and_money_go_on_while_postgres_is_dead_and_history_catches_up() {
    let mut postgres = PrivatePostgres::start(true);
    let url = postgres.database().await;
    let redis = PrivateRedis::start(plain_redis()).expect("a Redis");
    let store = Store::open(&redis.url(), options()).await.expect("a store");
    let acme = funded(&store, "acme", 1_000_000).await;
    let (stop, run) = load(&store, &acme);
    let (leave, projector) = (CancellationToken::new(), projector(&store, &url));
    let left = leave.clone();
    let history = tokio::spawn(async move { projector.run(&left, || ()).await });
    for _ in 0..3 {
        grows(&store, 50).await;
        postgres.kill();
        grows(&store, 50).await;
        postgres.restart();
        grows(&store, 50).await;
    }
    stop.cancel();
    run.await.expect("the load");
    await_level(&store, &url).await;
    leave.cancel();
    history.await.expect("the task").expect("no error");
    assert_history(&store, &url).await;
    assert_sound(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_keeps_every_write_is_killed_and_history_goes_on() {
    let always = RedisOptions {
        append_only: true,
        extra: ["--appendfsync", "always"].map(str::to_owned).into(),
    };
    let mut redis = PrivateRedis::start(always).expect("a Redis");
    let store = Store::open(&redis.url(), options()).await.expect("a store");
    let url = fresh_history().await;
    let acme = funded(&store, "acme", 1_000_000).await;
    let (stop, run) = load(&store, &acme);
    let (leave, projector) = (CancellationToken::new(), projector(&store, &url));
    let left = leave.clone();
    let history = tokio::spawn(async move { projector.run(&left, || ()).await });
    for _ in 0..3 {
        grows(&store, 50).await;
        redis.kill().expect("kill");
        redis.restart().expect("restart");
    }
    grows(&store, 50).await;
    stop.cancel();
    run.await.expect("the load");
    await_level(&store, &url).await;
    assert!(store.frozen(0).await.expect("frozen").is_empty());
    leave.cancel();
    history.await.expect("the task").expect("no error");
    assert_history(&store, &url).await;
    assert_sound(&store).await;
}
