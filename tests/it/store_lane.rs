//! Lanes: how many of an account's jobs are active at once, and which one comes next.

use meterline::domain::ids::{AccountId, JobId};
use meterline::domain::job::{Priority, State};
use meterline::store::{ClaimedJob, FailOutcome, NewJob, Options, Store};

use crate::support::*;
async fn submit(store: &Store, id: &AccountId, priority: Priority) -> JobId {
    let job = NewJob {
        priority,
        ..job_for(store, id, 1)
    };
    accept(store, &job).await.job
}

fn ids(jobs: Vec<ClaimedJob>) -> Vec<JobId> {
    jobs.into_iter().map(|job| job.job).collect()
}

#[tokio::test]
async fn an_account_runs_at_most_its_max_active_jobs_and_the_next_one_follows_each_end() {
    let narrow = Options {
        max_active: 2,
        ..options()
    };
    let store = store_with(narrow).await;
    let acme = funded(&store, "acme", 100).await;
    let bolt = funded(&store, "bolt", 100).await;
    let mut waiting = Vec::new();
    for _ in 0..8 {
        waiting.push(submit(&store, &acme, Priority::Normal).await);
    }
    let others = [submit(&store, &bolt, Priority::Normal).await];
    let first = claim(&store, "w1", 10).await;
    let running: Vec<JobId> = first.iter().map(|job| job.job.clone()).collect();
    assert_eq!(
        running,
        [waiting[0].clone(), waiting[1].clone(), others[0].clone()]
    );

    // Each kind of end lets exactly one more in.
    store
        .settle(&first[0].job, &first[0].token, &settlement(1))
        .await
        .expect("settle");
    let third = claim(&store, "w1", 10).await.remove(0);
    assert_eq!(third.job, waiting[2]);
    let class = meterline::domain::failure::FailureClass::UserInput;
    assert_eq!(
        fail(&store, &first[1], &ends(class)).await,
        ended(State::Failed)
    );
    assert_eq!(ids(claim(&store, "w1", 10).await), [waiting[3].clone()]);
    cancel(&store, &third.job).await;
    fail(&store, &third, &ends(class)).await;
    assert_eq!(ids(claim(&store, "w1", 10).await), [waiting[4].clone()]);
    assert!(claim(&store, "w1", 10).await.is_empty());
    // Past the deadline of all three that run: the two last of the lane move up.
    let late = store.at(T0 + 60_000);
    assert_eq!(tick(&late).await, 3);
    assert_eq!(ids(claim(&late, "w2", 10).await), waiting[5..7]);
    assert!(claim(&late, "w2", 10).await.is_empty());
    assert_sound(&late).await;
}

#[tokio::test]
async fn an_accounts_own_number_of_active_jobs_counts_more_than_the_default() {
    let store = store().await;
    let acme = account("acme");
    store.open_account(&acme, 1).await.expect("open");
    give(
        &store,
        &acme,
        9,
        meterline::store::GrantKind::Purchase,
        None,
        "pay",
    )
    .await;
    for _ in 0..3 {
        submit(&store, &acme, Priority::Normal).await;
    }
    assert_eq!(claim(&store, "w1", 10).await.len(), 1);
}

#[tokio::test]
async fn a_cancelled_job_in_the_lane_leaves_it() {
    let (store, raw) = store_and_raw(Options {
        max_active: 1,
        ..options()
    })
    .await;
    let acme = funded(&store, "acme", 9).await;
    let mut jobs = Vec::new();
    for _ in 0..3 {
        jobs.push(submit(&store, &acme, Priority::Normal).await);
    }
    cancel(&store, &jobs[1]).await;
    let first = claim_one(&store, "w1").await;
    store
        .settle(&first.job, &first.token, &settlement(1))
        .await
        .expect("settle");
    assert_eq!(ids(claim(&store, "w1", 10).await), [jobs[2].clone()]);
    assert_eq!(raw.run::<i64>(&["ZCARD", &key("part", "lanes")]).await, 0);

    // One that empties its lane by leaving it: the sweep forgets the lane.
    let last = submit(&store, &acme, Priority::Normal).await;
    cancel(&store, &last).await;
    tick(&store).await;
    assert_eq!(raw.run::<i64>(&["ZCARD", &key("part", "lanes")]).await, 0);
    assert_sound(&store).await;
}

#[tokio::test]
async fn a_lane_is_served_by_priority_and_then_by_age() {
    let store = store_with(Options {
        max_active: 1,
        ..options()
    })
    .await;
    let acme = funded(&store, "acme", 9).await;
    let running = submit(&store, &acme, Priority::Low).await;
    let low = submit(&store, &acme, Priority::Low).await;
    let normal = submit(&store, &acme, Priority::Normal).await;
    let high = submit(&store, &acme, Priority::High).await;
    let high_too = submit(&store, &acme, Priority::High).await;
    let mut order = Vec::new();
    while let Some(job) = claim(&store, "w1", 10).await.pop() {
        store
            .settle(&job.job, &job.token, &settlement(1))
            .await
            .expect("settle");
        order.push(job.job);
    }
    assert_eq!(order, [running, high, high_too, normal, low]);
    assert_sound(&store).await;
}

#[tokio::test]
async fn a_retry_leaves_its_place_to_others_and_comes_back_to_the_front_of_the_lane() {
    let store = store_with(Options {
        max_active: 1,
        ..options()
    })
    .await;
    let acme = funded(&store, "acme", 9).await;
    let retried = submit(&store, &acme, Priority::Low).await;
    let second = submit(&store, &acme, Priority::High).await;
    let third = submit(&store, &acme, Priority::High).await;
    let job = claim_one(&store, "w1").await;
    assert_eq!(
        fail(&store, &job, &again(5_000)).await,
        FailOutcome::Rescheduled
    );
    assert_eq!(state_of(&store, &retried).await, "scheduled");
    let job = claim_one(&store, "w1").await;
    assert_eq!(job.job, second);
    assert!(claim(&store, "w1", 10).await.is_empty());
    let due = store.at(T0 + 5_000);
    tick(&due).await;
    assert!(claim(&due, "w1", 10).await.is_empty(), "its place is taken");
    due.settle(&job.job, &job.token, &settlement(1))
        .await
        .expect("settle");
    let job = claim_one(&due, "w1").await;
    assert_eq!((&job.job, job.tries), (&retried, 1));
    due.settle(&job.job, &job.token, &settlement(1))
        .await
        .expect("settle");
    assert_eq!(claim_one(&due, "w1").await.job, third);
    assert_sound(&due).await;
}

#[tokio::test]
async fn a_deferred_job_keeps_its_place_among_the_active_ones() {
    let store = store_with(Options {
        max_active: 1,
        ..options()
    })
    .await;
    let acme = funded(&store, "acme", 9).await;
    let first = submit(&store, &acme, Priority::Normal).await;
    submit(&store, &acme, Priority::Normal).await;
    let job = claim_one(&store, "w1").await;
    store
        .defer(&job.job, &job.token, 5_000, "limits", false)
        .await
        .expect("defer");
    assert!(claim(&store, "w1", 10).await.is_empty());
    let due = store.at(T0 + 5_000);
    assert!(
        claim(&due, "w1", 10).await.is_empty(),
        "nothing is due before the sweep"
    );
    tick(&due).await;
    assert_eq!(ids(claim(&due, "w1", 10).await), [first]);
    assert_sound(&due).await;
}

#[tokio::test]
async fn a_delayed_job_is_made_ready_by_the_sweep_when_its_time_has_come() {
    let store = store().await;
    let acme = funded(&store, "acme", 9).await;
    let mut new = job_for(&store, &acme, 5);
    new.delay_ms = 10_000;
    let submitted = accept(&store, &new).await;
    assert_eq!(submitted.state, State::Scheduled);
    assert_eq!(balance(&store, &acme).await, (4, 5));
    let early = store.at(T0 + 9_999);
    tick(&early).await;
    assert!(claim(&early, "w1", 1).await.is_empty());
    let due = store.at(T0 + 10_999);
    tick(&due).await;
    assert_eq!(state_of(&due, &submitted.job).await, "queued");
    assert_eq!(ids(claim(&due, "w1", 1).await), [submitted.job]);
    assert_sound(&due).await;
}

#[tokio::test]
async fn a_delayed_job_waits_in_the_lane_when_its_account_is_busy() {
    let store = store_with(Options {
        max_active: 1,
        ..options()
    })
    .await;
    let acme = funded(&store, "acme", 9).await;
    let mut new = job_for(&store, &acme, 5);
    new.delay_ms = 1_000;
    let delayed = accept(&store, &new).await.job;
    submit(&store, &acme, Priority::Normal).await;
    let running = claim_one(&store, "w1").await;
    let due = store.at(T0 + 1_000);
    tick(&due).await;
    assert!(claim(&due, "w1", 1).await.is_empty());
    due.settle(&running.job, &running.token, &settlement(1))
        .await
        .expect("settle");
    assert_eq!(ids(claim(&due, "w1", 1).await), [delayed]);
    assert_sound(&due).await;
}

#[tokio::test]
async fn the_sweep_repairs_a_lane_that_stands_still() {
    let (store, raw) = store_and_raw(Options {
        max_active: 1,
        ..options()
    })
    .await;
    let acme = funded(&store, "acme", 9).await;
    let first = submit(&store, &acme, Priority::Normal).await;
    let second = submit(&store, &acme, Priority::Normal).await;
    // As after lost writes: the active one is no longer in the set, and nobody let the next one in.
    let _: i64 = raw
        .run(&["SREM", &key("active", "acme:video"), first.as_str()])
        .await;
    tick(&store).await;
    assert_eq!(ids(claim(&store, "w1", 10).await), [first, second]);
}

#[tokio::test]
async fn a_new_job_never_overtakes_those_that_wait() {
    let url = fresh_url();
    let with = |max_active| Options {
        max_active,
        ..options()
    };
    let narrow = Store::open(&url, with(1)).await.expect("a store").at(T0);
    let acme = funded(&narrow, "acme", 9).await;
    let first = submit(&narrow, &acme, Priority::Normal).await;
    let second = submit(&narrow, &acme, Priority::Normal).await;
    // The limit was raised: there would be room for this one at once.
    let wide = Store::open(&url, with(5)).await.expect("a store").at(T0);
    let third = submit(&wide, &acme, Priority::Normal).await;
    let running = claim(&wide, "w1", 9).await;
    assert_eq!(running[0].job, first);
    assert_eq!(running.len(), 1);
    settle(&wide, &running[0], &settlement(1)).await;
    let running = claim_one(&wide, "w1").await;
    assert_eq!(running.job, second);
    settle(&wide, &running, &settlement(1)).await;
    assert_eq!(claim_one(&wide, "w1").await.job, third);
    assert_sound(&wide).await;
}
