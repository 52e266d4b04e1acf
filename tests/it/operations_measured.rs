//! What docs/operations.md says was measured: bytes per job, and what a killed Redis loses.
//!
//! `scripts/measure` runs these tests and shows their numbers.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use meterline::dev::redis::{PrivateRedis, RedisOptions};
use meterline::domain::ids::{AccountId, JobId};
use meterline::store::{CheckpointOutcome, Options, SettleOutcome, Step, Store, SubmitOutcome};

use crate::support::*;

/// How far a number of the page may be from what is measured: servers and allocators differ.
const TOLERANCE_PERCENT: u64 = 25;

/// One measured number, for `scripts/measure`.
#[expect(
    clippy::print_stdout,
    reason = "the numbers are what the script is run for"
)]
fn report(line: &str) {
    println!("{line}");
}

async fn bytes(raw: &Raw, field: &str) -> u64 {
    let info: String = raw.run(&["INFO", "memory"]).await;
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.and_then(|n| n.trim().parse().ok()).expect("a number")
}

async fn size_of(raw: &Raw, noun: &str, id: &str) -> u64 {
    let size: Option<u64> = raw
        .run(&["MEMORY", "USAGE", &key(noun, id), "SAMPLES", "0"])
        .await;
    size.unwrap_or_default()
}

/// The numbers of the page's table, by the words in front of them.
fn table_of_the_page(mark: &str) -> Vec<(String, u64)> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let page = std::fs::read_to_string(page).expect("docs/operations.md");
    let table = page.split(mark).nth(1).expect("the table");
    table
        .lines()
        .skip_while(|line| !line.starts_with("|---"))
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let number = cells[2].replace(',', "").parse().expect("a number");
            (cells[1].to_owned(), number)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_takes_as_many_bytes_as_the_operations_page_says() {
    const JOBS: u64 = 1_000;
    let redis = PrivateRedis::start(plain_redis()).expect("a private Redis");
    let options = Options {
        max_active: u32::MAX,
        ..options()
    };
    let store = Store::open(&redis.url(), options).await.expect("a store");
    let raw = Raw::open(&redis.url()).await;
    let acme = funded(&store, "acme", 100_000).await;
    let (empty, journal_empty) = (
        bytes(&raw, "used_memory").await,
        size_of(&raw, "part", "journal").await,
    );
    let grown = async |raw: &Raw| (bytes(raw, "used_memory").await - empty) / JOBS;

    for _ in 0..JOBS {
        let mut job = job_for(&store, &acme, 35);
        // What the command line writes for a video with a prompt of two sentences.
        job.payload = format!("{{\"params\":\"{}\"}}", "x".repeat(600));
        accept(&store, &job).await;
    }
    let waiting = grown(&raw).await;

    let mut claimed = Vec::new();
    while claimed.len() < usize::try_from(JOBS).expect("a number") {
        claimed.extend(claim(&store, "w-1", 50).await);
    }
    let (intent_record, handle_record) = ("i".repeat(150), "h".repeat(300));
    for job in &claimed {
        let noted = store.checkpoint(&job.job, &job.token, intent(1), &intent_record);
        assert_eq!(noted.await.expect("intent"), CheckpointOutcome::Noted);
        let noted = store.checkpoint(&job.job, &job.token, Step::Handle, &handle_record);
        assert_eq!(noted.await.expect("handle"), CheckpointOutcome::Noted);
    }
    let running = grown(&raw).await;

    for job in &claimed {
        let mut settlement = settlement(35);
        settlement.result = format!("{{\"artifacts\":\"{}\"}}", "r".repeat(250));
        let settled = store.settle(&job.job, &job.token, &settlement).await;
        assert!(
            matches!(settled, Ok(SettleOutcome::Settled { .. })),
            "{settled:?}"
        );
    }
    let ended = grown(&raw).await;
    let journal = (size_of(&raw, "part", "journal").await - journal_empty) / JOBS;

    let measured = [waiting, running, ended, journal];
    let page = table_of_the_page("<!-- tests/it/operations_measured.rs measures this table -->");
    assert_eq!(page.len(), measured.len());
    let pairs: Vec<_> = page.into_iter().zip(measured).collect();
    for ((what, said), measured) in &pairs {
        report(&format!("{what}: {measured} bytes (the page says {said})"));
    }
    for ((what, said), measured) in pairs {
        assert!(
            said.abs_diff(measured) * 100 <= said * TOLERANCE_PERCENT,
            "{what}: the page says {said}, measured {measured}"
        );
    }
}

/// Submits from several tasks until told to stop; every job whose acceptance was heard.
async fn submit_until(store: &Store, acme: &AccountId, stop: &Arc<AtomicBool>) -> Vec<JobId> {
    let mut accepted = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        match store.submit(&job_for(store, acme, 1)).await {
            Ok(SubmitOutcome::Accepted(submitted)) => accepted.push(submitted.job),
            Ok(SubmitOutcome::Refused(refusal)) => panic!("{refusal}"),
            // The server is gone: what was asked for last may have happened or not.
            Err(_) => break,
        }
    }
    accepted
}

/// Jobs accepted before the server was killed with SIGKILL, and how many of them are gone after it.
async fn killed_under_load(policy: &str) -> (usize, usize) {
    let options_of_redis = RedisOptions {
        append_only: true,
        extra: vec!["--appendfsync".to_owned(), policy.to_owned()],
    };
    let mut redis = PrivateRedis::start(options_of_redis).expect("a private Redis");
    let options = Options {
        max_active: u32::MAX,
        ..options()
    };
    let store = Store::open(&redis.url(), options.clone())
        .await
        .expect("a store");
    let acme = funded(&store, "acme", 1_000_000).await;
    let stop = Arc::new(AtomicBool::new(false));
    let producers: Vec<_> = (0..8)
        .map(|_| {
            let (store, acme, stop) = (store.clone(), acme.clone(), Arc::clone(&stop));
            tokio::spawn(async move { submit_until(&store, &acme, &stop).await })
        })
        .collect();
    // Not a wait for anything: the load that the kill shall interrupt.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    redis.kill().expect("kill");
    stop.store(true, Ordering::Relaxed);
    let mut accepted = Vec::new();
    for producer in producers {
        accepted.extend(producer.await.expect("a producer"));
    }
    redis.restart().expect("restart");
    let store = Store::open(&redis.url(), options)
        .await
        .expect("the store again");
    let mut lost = 0;
    for job in &accepted {
        lost += usize::from(store.job(job).await.expect("job").is_none());
    }
    // Whatever was lost, what is there fits together: a job and its hold were written as one.
    assert_sound(&store).await;
    (accepted.len(), lost)
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_10_a_killed_redis_that_syncs_always_has_every_job_that_was_acknowledged() {
    let (accepted, lost) = killed_under_load("always").await;
    report(&format!(
        "appendfsync always: {accepted} accepted, {lost} lost"
    ));
    assert!(accepted > 50, "{accepted}");
    assert_eq!(lost, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_10_a_killed_redis_that_syncs_later_has_books_that_fit() {
    for policy in ["everysec", "no"] {
        let (accepted, lost) = killed_under_load(policy).await;
        report(&format!(
            "appendfsync {policy}: {accepted} accepted, {lost} lost"
        ));
        assert!(accepted > 50, "{accepted}");
        // A disk that is busy may hold writes back for a moment; more than that is none.
        assert!(lost * 2 < accepted, "{lost} of {accepted} are gone");
    }
}
