//! A server whose clock was ahead and came back: minutes are waited for, more is set right.

use meterline::store::{Step, TickOutcome};

use crate::support::*;

const YEAR_MS: u64 = 365 * 86_400_000;

#[tokio::test]
async fn a_clock_that_is_minutes_behind_is_waited_for() {
    let store = store().await;
    funded(&store, "acme", 1).await;
    tick(&store.at(T0 + 600_000)).await;
    let behind = store.at(T0).tick(0, SWEEP_MS, LEASE_MS, false).await;
    assert_eq!(behind.expect("tick"), TickOutcome::Recent);
    assert_eq!(store.clock_set_back(0).await.expect("meta"), None);
}

#[tokio::test]
async fn promise_05_after_a_clock_that_was_a_year_ahead_leases_and_deadlines_come_again() {
    let store = store().await;
    let acme = funded(&store, "acme", 100).await;
    tick(&store).await;
    // The server's clock jumps: jobs are submitted and claimed, a worker dies.
    let ahead = store.at(T0 + YEAR_MS);
    tick(&ahead).await;
    for _ in 0..2 {
        accept(&ahead, &job_for(&ahead, &acme, 10)).await;
    }
    let mut delayed = job_for(&ahead, &acme, 10);
    delayed.delay_ms = 30_000;
    let delayed = accept(&ahead, &delayed).await.job;
    let lost = claim_one(&ahead, "w1").await;
    note(&ahead, &lost, Step::Intent { submission: 1 }).await;
    let waiting = store.open_jobs(0).await.expect("open jobs");

    // It comes back.
    let back = store.at(T0 + 10_000);
    let outcome = back.tick(0, SWEEP_MS, LEASE_MS, false).await.expect("tick");
    let TickOutcome::Ticked { set_back_ms, .. } = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(set_back_ms, YEAR_MS - 10_000);
    let set = back.clock_set_back(0).await.expect("meta").expect("it was");
    assert_eq!((set.at_ms, set.by_ms), (T0 + 10_000, YEAR_MS - 10_000));
    assert_eq!(
        store.open_jobs(0).await.expect("open jobs").len(),
        waiting.len()
    );

    // The lost worker has one whole lease, then its job is taken back.
    tick_through(&back, T0 + 11_000, T0 + 26_000).await;
    let (dead, taken) = reap(&store.at(T0 + 26_001)).await.expect("nobody is away");
    assert_eq!(
        (dead, taken),
        (vec!["w1".to_owned()], vec![lost.job.to_string()])
    );
    // The delayed job comes when it was to, and the deadline after its minute.
    tick_through(&back, T0 + 27_000, T0 + 40_000).await;
    assert_eq!(state_of(&store, &delayed).await, "queued");
    tick_through(&back, T0 + 41_000, T0 + 70_000).await;
    assert_eq!(state_of(&store, &lost.job).await, "timed_out");
    assert_sound(&store.at(T0 + 70_000)).await;
    // What nobody claims ends after its time in the queue.
    let over = store.at(T0 + 10_000 + 86_400_000 + 31_000);
    tick(&over).await;
    assert_eq!(balance(&over, &acme).await, (100, 0));
    assert_sound(&over).await;
}

#[tokio::test]
async fn more_open_jobs_than_a_batch_are_set_right_in_steps() {
    let store = store().await;
    let acme = funded(&store, "acme", 1_000).await;
    let ahead = store.at(T0 + YEAR_MS);
    for _ in 0..150 {
        accept(&ahead, &job_for(&ahead, &acme, 1)).await;
    }
    let outcome = store
        .at(T0 + 1_000)
        .tick(0, SWEEP_MS, LEASE_MS, false)
        .await;
    assert!(matches!(
        outcome.expect("tick"),
        TickOutcome::Ticked { more: true, .. }
    ));
    tick(&store.at(T0 + 2_000)).await;
    tick(&store.at(T0 + 3_000)).await;
    let over = store.at(T0 + 3_000 + 86_400_000);
    tick(&over).await;
    assert_eq!(balance(&over, &acme).await, (1_000, 0));
    assert_sound(&over).await;
}
