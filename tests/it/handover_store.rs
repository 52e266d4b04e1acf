//! Leaving, as the store sees it: jobs handed over, leases given back, orders to leave.

use meterline::domain::ids::JobId;
use meterline::domain::job::Stage;
use meterline::store::{
    CheckpointOutcome, ClaimOutcome, DeferOutcome, DrainOrder, HeartbeatOutcome, Order,
    ReapOutcome, Store, WorkerDrain,
};

use crate::support::*;

/// When a worker gives back a lease that it has just renewed.
const LEFT: u64 = T0 + LEASE_MS + 1_000;

async fn hand_over(store: &Store, job: &meterline::store::ClaimedJob, keep: bool) -> DeferOutcome {
    let said = store.hand_over(&job.job, &job.token, keep).await;
    said.expect("hand over")
}

async fn beat(store: &Store, worker: &str) -> HeartbeatOutcome {
    let queues = ["video".to_owned()];
    let said = store.heartbeat(0, worker, LEASE_MS, &queues, "{}", &[]);
    said.await.expect("heartbeat")
}

fn order_of(outcome: HeartbeatOutcome) -> Option<DrainOrder> {
    match outcome {
        HeartbeatOutcome::Renewed { drain, .. } => drain,
        HeartbeatOutcome::Lost => panic!("lost"),
    }
}

#[tokio::test]
async fn a_job_that_is_handed_over_goes_ahead_of_new_work_and_costs_nothing() {
    let (store, _, acme, job) = running_job().await;
    for _ in 0..3 {
        accept(&store, &job_for(&store, &acme, 5)).await;
    }
    // Nothing was written down of it: it had its turn all the same, and its deadline goes on.
    assert_eq!(hand_over(&store, &job, false).await, DeferOutcome::Deferred);
    let next = claim_one(&store, "w2").await;
    assert_eq!((&next.job, next.stage), (&job.job, Stage::Fresh));
    assert_eq!((next.tries, next.takeovers), (0, 0));
    note(&store, &next, intent(1)).await;
    assert_eq!(hand_over(&store, &next, true).await, DeferOutcome::Deferred);
    let last = claim_one(&store, "w3").await;
    assert_eq!((&last.job, last.stage), (&job.job, Stage::Intent));
    assert_eq!((last.tries, last.takeovers, last.submissions), (0, 0, 1));
    assert_eq!(hand_over(&store, &next, true).await, DeferOutcome::Fenced);
    settle(&store, &last, &settlement(7)).await;
    assert_eq!(balance(&store, &acme).await, (100 - 7 - 15, 15));
    assert_sound(&store).await;
    assert_tallies(&store).await;
}

#[tokio::test]
async fn a_job_that_is_put_back_without_a_wait_is_not_ahead_of_what_is_more_urgent() {
    let (store, _, acme, job) = running_job().await;
    let urgent = meterline::store::NewJob {
        priority: meterline::domain::job::Priority::High,
        ..job_for(&store, &acme, 5)
    };
    let urgent = accept(&store, &urgent).await.job;
    assert_eq!(defer(&store, &job, 0, false).await, DeferOutcome::Deferred);
    assert_eq!(claim_one(&store, "w2").await.job, urgent);
    assert_eq!(claim_one(&store, "w2").await.job, job.job);
    assert_sound(&store).await;
}

#[tokio::test]
async fn a_submission_that_was_never_sent_is_begun_anew_under_the_next_number() {
    let (store, _, _, job) = running_job().await;
    note(&store, &job, intent(1)).await;
    assert_eq!(hand_over(&store, &job, false).await, DeferOutcome::Deferred);
    let next = claim_one(&store, "w2").await;
    assert_eq!((next.stage, next.submissions), (Stage::Fresh, 1));
    assert_eq!(
        note(&store, &next, intent(2)).await,
        CheckpointOutcome::Noted
    );
    assert!(store.obligations().await.expect("obligations").is_empty());
}

#[tokio::test]
async fn a_lease_that_is_given_back_is_waited_for_by_nobody() {
    let (store, raw, acme, kept) = running_job().await;
    // The house has swept for a while, and the worker has spoken up meanwhile.
    tick_through(&store, T0, T0 + 10_000).await;
    beat(&store.at(T0 + 10_000), "w1").await;
    tick_through(&store, T0 + 11_000, LEFT).await;
    let store = store.at(LEFT);
    let lost = accept(&store, &job_for(&store, &acme, 5)).await.job;
    // A claim whose answer never came: it runs nowhere.
    claim_one(&store, "w1").await;
    let running = [kept.job.to_string()];
    let back = store.hand_back(0, LEASE_MS, "w1", &running).await;
    assert!(
        matches!(&back, Ok(ReapOutcome::Reaped { jobs, .. }) if *jobs == [lost.to_string()]),
        "{back:?}"
    );
    assert!(store.leave(0, "w1", "{}").await.expect("leave"));
    // Long before the lease would have lapsed: what it still ran is taken from it.
    let at = store.at(LEFT + 100);
    let (dead, taken) = reap(&at).await.expect("nobody was away");
    assert_eq!((dead, taken), (vec![], vec![kept.job.to_string()]));
    let jobs = claim(&at, "w2", 9).await;
    let takeovers = |id: &JobId| {
        jobs.iter()
            .find(|job| job.job == *id)
            .expect("it")
            .takeovers
    };
    assert_eq!(takeovers(&kept.job), 1, "it was left under way");
    assert_eq!(takeovers(&lost), 0, "nobody ever had it");
    // Its name is refused from now on, and its traces go.
    let slots = [("video".to_owned(), 1)];
    let outcome = at.claim(0, "w1", LEASE_MS, &slots, false).await;
    assert!(matches!(outcome.expect("claim"), ClaimOutcome::Lost));
    assert_eq!(beat(&at, "w1").await, HeartbeatOutcome::Lost);
    let names: Vec<String> = at
        .workers()
        .await
        .expect("workers")
        .into_iter()
        .map(|w| w.worker)
        .collect();
    assert_eq!(names, ["w2"]);
    tick_through(&store, LEFT + 1_000, LEFT + LEASE_MS + 1_000).await;
    let about: Vec<String> = raw.run(&["HKEYS", &key("part", "workers")]).await;
    assert_eq!(about, Vec::<String>::new());
    assert_sound(&at).await;
}

#[tokio::test]
async fn who_has_no_lease_gives_none_back() {
    let (store, raw, _, _) = running_job().await;
    assert!(store.leave(0, "w1", "{}").await.expect("leave"));
    let before = raw.digest().await;
    for worker in ["w1", "w9"] {
        assert!(!store.leave(0, worker, "{}").await.expect("leave"));
    }
    assert_eq!(before, raw.digest().await);
}

#[tokio::test]
async fn what_a_lost_answer_gave_a_worker_goes_back_without_a_takeover_however_often() {
    let (store, _, _, job) = running_job().await;
    note(&store, &job, intent(1)).await;
    for _ in 0..10 {
        let back = store.hand_back(0, LEASE_MS, "w1", &[]).await;
        assert!(matches!(&back, Ok(ReapOutcome::Reaped { jobs, .. }) if jobs.len() == 1));
        let next = claim_one(&store, "w1").await;
        assert_eq!((next.takeovers, next.stage), (0, Stage::Intent));
    }
}

#[tokio::test]
async fn an_order_to_leave_reaches_the_worker_at_once_and_once() {
    let (store, raw, _, _) = running_job().await;
    assert_eq!(order_of(beat(&store, "w1").await), None);
    let mut control = store.control().await.expect("control");
    let drain = |worker: &'static str| store.drain_worker(worker, "new version", "ops");
    assert_eq!(drain("w9").await.expect("drain"), WorkerDrain::Gone);
    assert_eq!(drain("w1").await.expect("drain"), WorkerDrain::Ordered);
    let before = raw.digest().await;
    assert_eq!(drain("w1").await.expect("drain"), WorkerDrain::Already);
    assert_eq!(drain("w9").await.expect("drain"), WorkerDrain::Gone);
    assert_eq!(before, raw.digest().await);
    let worker = "w1".to_owned();
    let heard = control.next(5_000).await.expect("orders");
    assert_eq!(heard, [(0, Order::Beat { worker })]);
    let order = order_of(beat(&store, "w1").await).expect("the order");
    assert_eq!(
        (order.reason.as_str(), order.actor.as_str()),
        ("new version", "ops")
    );
    let acts = store.acts(0, "-", 9).await.expect("acts");
    assert_eq!((acts.len(), acts[0].act.as_str()), (1, "drain"));
    store.leave(0, "w1", "{}").await.expect("leave");
    let orders: Vec<String> = raw.run(&["HKEYS", &key("part", "drains")]).await;
    assert_eq!(orders, Vec::<String>::new());
}
