//! What falls due by itself: waiting too long, deadlines, a cancel's grace, and what is forgotten.

use meterline::domain::failure::FailureClass;
use meterline::domain::ids::JobId;
use meterline::store::{CancelOutcome, HeartbeatOutcome, NewJob, Step, Store, TickOutcome};

use crate::support::*;

async fn stops(store: &Store, worker: &str, stopped: &[String]) -> Vec<String> {
    let queues = ["video".to_owned()];
    let outcome = store
        .heartbeat(0, worker, LEASE_MS, &queues, "{}", stopped)
        .await;
    match outcome.expect("heartbeat") {
        HeartbeatOutcome::Renewed { stops, .. } => stops,
        HeartbeatOutcome::Lost => panic!("{worker} is lost"),
    }
}

#[tokio::test]
async fn promise_05_a_job_that_nobody_claims_ends_refunded_after_its_time_in_the_queue() {
    let store = store().await;
    let acme = funded(&store, "acme", 100).await;
    let queued = accept(&store, &job_for(&store, &acme, 35)).await.job;
    let mut delayed = job_for(&store, &acme, 35);
    delayed.delay_ms = 3_600_000;
    let delayed = accept(&store, &delayed).await.job;
    assert_eq!(tick(&store.at(T0 + DAY_MS - 1)).await, 0);
    assert_eq!(tick(&store.at(T0 + DAY_MS + 1_000)).await, 1);
    assert_eq!(state_of(&store, &queued).await, "timed_out");
    assert_eq!(balance(&store, &acme).await, (65, 35));
    // The time in the queue counts from when a job is due.
    assert_eq!(tick(&store.at(T0 + DAY_MS + 3_599_999)).await, 0);
    assert_eq!(tick(&store.at(T0 + DAY_MS + 3_601_000)).await, 1);
    assert_eq!(state_of(&store, &delayed).await, "timed_out");
    assert_eq!(balance(&store, &acme).await, (100, 0));
    assert_sound(&store.at(T0 + DAY_MS + 3_601_000)).await;
}

#[tokio::test]
async fn promise_05_a_job_ends_refunded_at_its_deadline_whatever_its_worker_does() {
    let (store, _, acme, job) = running_job().await;
    assert_eq!(tick(&store.at(T0 + 59_999)).await, 0);
    let late = store.at(T0 + 60_999);
    assert_eq!(tick(&late).await, 1);
    assert_eq!(state_of(&late, &job.job).await, "timed_out");
    assert_eq!(view_of(&late, &job.job).await.text("fail_class"), "timeout");
    assert_eq!(balance(&late, &acme).await, (100, 0));
    assert_eq!(stops(&late, "w1", &[]).await, [job.job.to_string()]);
    assert!(stops(&late, "w1", &[job.job.to_string()]).await.is_empty());
    assert_sound(&late).await;
}

#[tokio::test]
async fn promise_05_the_deadline_counts_over_all_tries() {
    let (store, _, acme, job) = running_job().await;
    fail(&store.at(T0 + 30_000), &job, &again(1_000)).await;
    tick(&store.at(T0 + 31_000)).await;
    let job = claim_one(&store.at(T0 + 31_000), "w1").await;
    assert_eq!(job.left_ms, 29_000);
    fail(&store.at(T0 + 40_000), &job, &again(50_000)).await;
    assert_eq!(tick(&store.at(T0 + 59_000)).await, 0);
    // It waits for a retry that would come too late.
    assert_eq!(tick(&store.at(T0 + 60_000)).await, 1);
    assert_eq!(state_of(&store, &job.job).await, "timed_out");
    assert_eq!(balance(&store, &acme).await, (100, 0));
    tick(&store.at(T0 + 90_000)).await;
    assert!(claim(&store.at(T0 + 90_000), "w2", 1).await.is_empty());
    assert_sound(&store.at(T0 + 90_000)).await;
}

#[tokio::test]
async fn promise_06_a_job_that_runs_out_of_time_leaves_what_the_provider_still_does() {
    let (store, _, _, job) = running_job().await;
    let step = Step::Intent { submission: 1 };
    note(&store, &job, step).await;
    note(&store, &job, Step::Handle).await;
    let late = store.at(T0 + 60_000);
    assert_eq!(tick(&late).await, 1);
    let open = late.obligations().await.expect("obligations");
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].why, "timed_out");
    assert!(open[0].work.contains("Handle"));
    assert_sound(&late).await;
}

#[tokio::test]
async fn promise_05_a_cancelled_job_ends_after_the_grace_when_its_worker_is_silent() {
    let (store, _, acme, job) = running_job().await;
    assert_eq!(cancel(&store, &job.job).await, CancelOutcome::Cancelling);
    assert_eq!(stops(&store, "w1", &[]).await, [job.job.to_string()]);
    assert_eq!(tick(&store.at(T0 + 9_999)).await, 0);
    assert_eq!(tick(&store.at(T0 + 10_999)).await, 1);
    assert_eq!(state_of(&store, &job.job).await, "cancelled");
    assert_eq!(balance(&store, &acme).await, (100, 0));
    assert_sound(&store.at(T0 + 10_999)).await;
}

#[tokio::test]
async fn promise_05_a_cancels_grace_does_not_outlast_the_deadline() {
    let (store, _, acme, job) = running_job().await;
    cancel(&store.at(T0 + 55_000), &job.job).await;
    assert_eq!(tick(&store.at(T0 + 59_999)).await, 0);
    assert_eq!(tick(&store.at(T0 + 60_999)).await, 1);
    assert_eq!(balance(&store, &acme).await, (100, 0));
    assert_sound(&store.at(T0 + 60_999)).await;
}

/// Every key of the store that has something to do with this job.
async fn traces(raw: &Raw, job: &JobId) -> Vec<String> {
    let mut found: Vec<String> = raw.run(&["KEYS", &format!("*{job}*")]).await;
    for index in ["deadlines", "due", "finished", "deadletters"] {
        let name = key("part", index);
        let score: Option<f64> = raw.run(&["ZSCORE", &name, job.as_str()]).await;
        found.extend(score.map(|_| name));
    }
    let name = key("jobs", "acme");
    let score: Option<f64> = raw.run(&["ZSCORE", &name, job.as_str()]).await;
    found.extend(score.map(|_| name));
    found.sort();
    found
}

#[tokio::test]
async fn a_finished_job_is_kept_for_its_retention_and_then_forgotten_with_its_key() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 100).await;
    let new = NewJob {
        idempotency_key: Some("click-1".parse().expect("a key")),
        ..job_for(&store, &acme, 35)
    };
    accept(&store, &new).await;
    let job = claim_one(&store, "w1").await;
    store
        .settle(&job.job, &job.token, &settlement(28))
        .await
        .expect("settle");
    tick(&store.at(T0 + 7 * DAY_MS - 1)).await;
    assert!(accept(&store.at(T0 + 7 * DAY_MS - 1), &new).await.replayed);
    let late = store.at(T0 + 7 * DAY_MS + 1_000);
    tick(&late).await;
    assert_eq!(traces(&raw, &job.job).await, Vec::<String>::new());
    assert_eq!(late.job(&job.job).await.expect("job"), None);
    // The key can be used for a new job.
    let again = NewJob {
        job: late.new_job_id(&acme),
        ..new
    };
    let submitted = accept(&late, &again).await;
    assert_eq!((submitted.replayed, &submitted.job), (false, &again.job));
    assert_eq!(balance(&late, &acme).await, (37, 35));
    assert_sound(&late).await;
}

#[tokio::test]
async fn a_dead_letter_is_kept_with_its_payload_on_its_own_clock() {
    let (store, raw, _, job) = running_job().await;
    fail(&store, &job, &ends(FailureClass::ProviderFault)).await;
    let payload = key("payload", job.job.as_str());
    tick(&store.at(T0 + 7 * DAY_MS)).await;
    tick(&store.at(T0 + 30 * DAY_MS - 1)).await;
    assert_eq!(state_of(&store, &job.job).await, "failed");
    assert_eq!(raw.run::<String>(&["GET", &payload]).await, "{}");
    tick(&store.at(T0 + 30 * DAY_MS + 1_000)).await;
    assert_eq!(traces(&raw, &job.job).await, Vec::<String>::new());
    assert_sound(&store.at(T0 + 30 * DAY_MS + 1_000)).await;
}

#[tokio::test]
async fn a_job_that_ran_out_of_time_is_a_dead_letter_too() {
    let (store, raw, _, job) = running_job().await;
    tick(&store.at(T0 + 60_000)).await;
    tick(&store.at(T0 + 8 * DAY_MS)).await;
    assert_eq!(state_of(&store, &job.job).await, "timed_out");
    let payload = key("payload", job.job.as_str());
    assert_eq!(raw.run::<String>(&["GET", &payload]).await, "{}");
}

#[tokio::test]
async fn an_index_that_is_behind_brings_nothing_back() {
    let (store, raw, acme, ended) = running_job().await;
    settle(&store, &ended, &settlement(28)).await;
    accept(&store, &job_for(&store, &acme, 5)).await;
    let running = claim_one(&store, "w1").await;
    let waiting = accept(&store, &job_for(&store, &acme, 5)).await.job;
    let unknown = store.new_job_id(&acme);
    for id in [&ended.job, &running.job, &waiting, &unknown] {
        let _: i64 = raw
            .run(&["ZADD", &key("part", "due"), "1", id.as_str()])
            .await;
    }
    for id in [&ended.job, &unknown] {
        let _: i64 = raw
            .run(&["ZADD", &key("part", "deadlines"), "1", id.as_str()])
            .await;
    }
    assert_eq!(tick(&store).await, 2);
    assert_eq!(raw.run::<i64>(&["ZCARD", &key("part", "due")]).await, 0);
    assert_eq!(store.open_jobs(0).await.expect("open jobs").len(), 2);
    assert_eq!(state_of(&store, &ended.job).await, "succeeded");
    assert_eq!(state_of(&store, &running.job).await, "running");
    assert_eq!(claim_one(&store, "w2").await.job, waiting);
    assert!(claim(&store, "w2", 9).await.is_empty());
    assert_sound(&store).await;
}

#[tokio::test]
async fn what_ended_well_or_by_its_user_needs_no_payload_and_is_no_dead_letter() {
    let (store, raw, acme, job) = running_job().await;
    store
        .settle(&job.job, &job.token, &settlement(28))
        .await
        .expect("settle");
    let cancelled = accept(&store, &job_for(&store, &acme, 1)).await.job;
    cancel(&store, &cancelled).await;
    for id in [&job.job, &cancelled] {
        assert_eq!(
            raw.run::<i64>(&["EXISTS", &key("payload", id.as_str())])
                .await,
            0
        );
    }
    assert_eq!(
        raw.run::<i64>(&["ZCARD", &key("part", "deadletters")])
            .await,
        0
    );
    assert_eq!(
        raw.run::<i64>(&["ZCARD", &key("part", "finished")]).await,
        2
    );
}

#[tokio::test]
async fn a_second_sweep_within_half_of_one_does_nothing() {
    let (store, raw, _, _) = running_job().await;
    tick(&store).await;
    let before = raw.dump().await;
    let outcome = store.at(T0 + 499).tick(0, SWEEP_MS, LEASE_MS, false).await;
    assert_eq!(outcome.expect("tick"), TickOutcome::Recent);
    assert_eq!(raw.dump().await, before);
    let outcome = store.at(T0 + 500).tick(0, SWEEP_MS, LEASE_MS, false).await;
    assert!(matches!(outcome.expect("tick"), TickOutcome::Ticked { .. }));
}

#[tokio::test]
async fn a_sweep_works_in_batches_and_says_when_there_is_more() {
    let (store, _) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 1_000).await;
    for _ in 0..101 {
        accept(&store, &job_for(&store, &acme, 1)).await;
    }
    let late = store.at(T0 + DAY_MS);
    let outcome = late.tick(0, SWEEP_MS, LEASE_MS, false).await.expect("tick");
    let TickOutcome::Ticked { ended, more, .. } = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!((ended, more), (100, true));
    let outcome = late.tick(0, SWEEP_MS, LEASE_MS, true).await.expect("tick");
    let TickOutcome::Ticked { ended, more, .. } = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!((ended, more), (1, false));
    assert_eq!(balance(&late, &acme).await, (1_000, 0));
    assert_sound(&late).await;
}

#[tokio::test]
async fn the_stores_clock_never_goes_back() {
    let (store, _, acme, job) = running_job().await;
    give(
        &store,
        &acme,
        10,
        meterline::store::GrantKind::Daily,
        Some(T0 + 5_000),
        "daily",
    )
    .await;
    tick(&store.at(T0 + 60_000)).await;
    // A failover to a server whose clock is behind brings nothing back to life.
    let behind = store.at(T0 + 1_000);
    assert_eq!(state_of(&behind, &job.job).await, "timed_out");
    refuse(&behind, &job_for(&behind, &acme, 101)).await;
    let past = give(
        &behind,
        &acme,
        1,
        meterline::store::GrantKind::Daily,
        Some(T0 + 50_000),
        "x",
    );
    assert_eq!(past.await, meterline::store::GrantOutcome::ExpiredAlready);
    assert_sound(&behind).await;
}
