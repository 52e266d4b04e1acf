//! Claiming: in which order, how many, with which token, and what is not handed out.

use std::collections::BTreeSet;

use meterline::domain::ids::{AccountId, JobId};
use meterline::domain::job::{Priority, Stage};
use meterline::store::{
    CheckpointOutcome, ClaimOutcome, ClaimedJob, DeferOutcome, NewJob, Step, Store,
};

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

/// One of each class: low, normal, high, resume, submitted in this order.
async fn one_of_each(store: &Store, id: &AccountId) -> [JobId; 4] {
    let resume = submit(store, id, Priority::Low).await;
    let job = claim_one(store, "w0").await;
    let step = Step::Intent { submission: 1 };
    let noted = store.checkpoint(&job.job, &job.token, step, "{}").await;
    assert_eq!(noted.expect("checkpoint"), CheckpointOutcome::Noted);
    let low = submit(store, id, Priority::Low).await;
    let normal = submit(store, id, Priority::Normal).await;
    let high = submit(store, id, Priority::High).await;
    let handed_over = store.defer(&job.job, &job.token, 0, "drain", true).await;
    assert_eq!(handed_over.expect("defer"), DeferOutcome::Deferred);
    [low, normal, high, resume]
}

async fn claim_order(store: &Store, low_first: bool) -> Vec<JobId> {
    let slots = [("video".to_owned(), 10)];
    let outcome = store.claim(0, "w1", LEASE_MS, &slots, low_first).await;
    match outcome.expect("claim") {
        ClaimOutcome::Claimed(claimed) => claimed.jobs.into_iter().map(|job| job.job).collect(),
        ClaimOutcome::Lost => panic!("lost"),
    }
}

#[tokio::test]
async fn jobs_to_resume_come_first_then_high_normal_and_low() {
    let store = store().await;
    let acme = funded(&store, "acme", 10).await;
    let [low, normal, high, resume] = one_of_each(&store, &acme).await;
    assert_eq!(
        claim_order(&store, false).await,
        [resume, high, normal, low]
    );
    assert_sound(&store).await;
}

#[tokio::test]
async fn in_reverse_low_comes_before_normal_and_high_but_after_jobs_to_resume() {
    let store = store().await;
    let acme = funded(&store, "acme", 10).await;
    let [low, normal, high, resume] = one_of_each(&store, &acme).await;
    assert_eq!(claim_order(&store, true).await, [resume, low, normal, high]);
}

#[tokio::test]
async fn one_class_is_served_in_the_order_of_submission() {
    let store = store().await;
    let acme = funded(&store, "acme", 10).await;
    let mut jobs = Vec::new();
    for _ in 0..5 {
        jobs.push(submit(&store, &acme, Priority::Normal).await);
    }
    assert_eq!(ids(claim(&store, "w1", 2).await), jobs[..2]);
    assert_eq!(ids(claim(&store, "w2", 10).await), jobs[2..]);
    assert!(claim(&store, "w1", 10).await.is_empty());
}

#[tokio::test]
async fn each_queue_gets_as_many_jobs_as_it_has_free_slots() {
    let store = store().await;
    let acme = funded(&store, "acme", 20).await;
    for queue in ["video", "image", "audio"] {
        for _ in 0..3 {
            let mut job = job_for(&store, &acme, 1);
            job.queue = queue.to_owned();
            accept(&store, &job).await;
        }
    }
    let slots = [
        ("video".to_owned(), 2),
        ("image".to_owned(), 0),
        ("audio".to_owned(), 9),
    ];
    let outcome = store.claim(0, "w1", LEASE_MS, &slots, false).await;
    let ClaimOutcome::Claimed(claimed) = outcome.expect("claim") else {
        panic!("lost");
    };
    let of = |queue: &str| claimed.jobs.iter().filter(|job| job.queue == queue).count();
    assert_eq!((of("video"), of("image"), of("audio")), (2, 0, 3));
    assert_eq!(claimed.cursors.len(), 12);
    assert_sound(&store).await;
}

#[tokio::test]
async fn a_claimed_job_carries_all_that_its_attempt_needs() {
    let store = store().await;
    let acme = funded(&store, "acme", 35).await;
    let mut new = job_for(&store, &acme, 35);
    new.payload = r#"{"prompt":"a harbour – at dawn"}"#.to_owned();
    accept(&store, &new).await;
    let job = claim_one(&store.at(T0 + 10), "w1").await;
    assert_eq!(
        (job.job, job.account, job.tool, job.queue),
        (new.job, acme, new.tool, new.queue)
    );
    assert_eq!(
        (job.rule, job.asked, job.payload),
        (new.rule, new.asked, new.payload)
    );
    assert_eq!(
        (job.ceiling, job.left_ms, job.stage),
        (credits(35), 60_000, Stage::Fresh)
    );
    assert_eq!(
        (job.tries, job.takeovers, job.submissions, job.route),
        (0, 0, 0, 0)
    );
}

#[tokio::test]
async fn promise_08_every_claim_has_a_token_that_never_was() {
    let store = store().await;
    let acme = funded(&store, "acme", 1).await;
    let id = submit(&store, &acme, Priority::Normal).await;
    let mut tokens = BTreeSet::new();
    for n in 0..20 {
        let job = claim_one(&store, &format!("w{n}")).await;
        assert_eq!(job.job, id);
        assert!(tokens.insert(job.token.clone()), "{} again", job.token);
        store
            .defer(&job.job, &job.token, 0, "limits", false)
            .await
            .expect("defer");
    }
    // A counter, and 64 bits that nobody can guess: either alone would do on a good day.
    let parts = tokens.iter().filter_map(|token| token.split_once('-'));
    let (counters, nonces): (BTreeSet<u32>, BTreeSet<u64>) = parts
        .filter_map(|(n, nonce)| {
            Some((n.parse::<u32>().ok()?, u64::from_str_radix(nonce, 16).ok()?))
        })
        .unzip();
    assert_eq!(counters, (1..=20).collect());
    assert_eq!(nonces.len(), 20);
}

#[tokio::test]
async fn entries_that_stand_for_no_waiting_job_are_dropped() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 9).await;
    let running = submit(&store, &acme, Priority::Normal).await;
    claim_one(&store, "w1").await;
    let waiting = submit(&store, &acme, Priority::Normal).await;
    let ended = submit(&store, &acme, Priority::Normal).await;
    cancel(&store, &ended).await;
    let unknown = store.new_job_id(&acme);
    let stream = key("ready", "video:high");
    for id in [&running, &waiting, &ended, &unknown] {
        let _: String = raw.run(&["XADD", &stream, "*", "j", id.as_str()]).await;
    }
    let slots = [("video".to_owned(), 10)];
    let outcome = store.claim(0, "w2", LEASE_MS, &slots, false).await;
    let ClaimOutcome::Claimed(claimed) = outcome.expect("claim") else {
        panic!("lost");
    };
    assert_eq!((ids(claimed.jobs), claimed.ended), (vec![waiting], 4));
    assert_eq!(raw.run::<i64>(&["XLEN", &stream]).await, 0);
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_08_a_group_whose_position_went_back_hands_nothing_out_twice() {
    let (store, raw, acme, job) = running_job().await;
    let (stream, pending) = (key("ready", "video:normal"), "XPENDING");
    // As after a failover that lost the group's last steps: the entry is there, read by nobody.
    let _: redis::Value = raw.run(&["XGROUP", "DESTROY", &stream, "workers"]).await;
    let _: redis::Value = raw
        .run(&["XGROUP", "CREATE", &stream, "workers", "0"])
        .await;
    assert!(claim(&store, "w2", 1).await.is_empty());
    let left: (i64, redis::Value, redis::Value, redis::Value) =
        raw.run(&[pending, &stream, "workers"]).await;
    assert_eq!(left.0, 0);
    settle(&store, &job, &settlement(28)).await;
    assert_eq!(balance(&store, &acme).await, (72, 0));
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_05_a_job_that_waited_too_long_is_ended_at_the_claim() {
    let store = store().await;
    let acme = funded(&store, "acme", 9).await;
    let id = submit(&store, &acme, Priority::Normal).await;
    let late = store.at(T0 + 86_400_000);
    assert!(claim(&late, "w1", 10).await.is_empty());
    assert_eq!(state_of(&late, &id).await, "timed_out");
    assert_eq!(balance(&late, &acme).await, (9, 0));
    assert_sound(&late).await;
}

#[tokio::test]
async fn promise_05_a_job_past_its_deadline_is_ended_at_the_claim() {
    let store = store().await;
    let acme = funded(&store, "acme", 9).await;
    let id = submit(&store, &acme, Priority::Normal).await;
    let job = claim_one(&store.at(T0 + 5_000), "w1").await;
    let at = store.at(T0 + 6_000);
    at.defer(&job.job, &job.token, 0, "limits", false)
        .await
        .expect("defer");
    // The deadline counts from the first claim, over all of them.
    let job = claim_one(&store.at(T0 + 64_999), "w1").await;
    assert_eq!(job.left_ms, 1);
    let at = store.at(T0 + 64_999);
    at.defer(&job.job, &job.token, 0, "limits", false)
        .await
        .expect("defer");
    let late = store.at(T0 + 65_000);
    assert!(claim(&late, "w1", 10).await.is_empty());
    assert_eq!(state_of(&late, &id).await, "timed_out");
    assert_eq!(balance(&late, &acme).await, (9, 0));
    assert_sound(&late).await;
}

#[tokio::test]
async fn promise_05_a_job_that_was_cancelled_under_a_dead_worker_is_ended_at_the_claim() {
    let store = store().await;
    let acme = funded(&store, "acme", 9).await;
    let id = submit(&store, &acme, Priority::Normal).await;
    claim_one(&store, "w1").await;
    tick_through(&store, T0, T0 + 14_000).await;
    cancel(&store.at(T0 + 14_000), &id).await;
    let at = store.at(T0 + 15_001);
    tick(&at).await;
    let (dead, taken) = reap(&at).await.expect("nobody was away");
    assert_eq!((dead, taken), (vec!["w1".to_owned()], vec![id.to_string()]));
    assert!(claim(&at, "w2", 10).await.is_empty());
    assert_eq!(state_of(&at, &id).await, "cancelled");
    assert_eq!(balance(&at, &acme).await, (9, 0));
    assert_sound(&at).await;
}

#[tokio::test]
async fn promise_08_a_dead_worker_gets_nothing() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 9).await;
    submit(&store, &acme, Priority::Normal).await;
    claim(&store, "w1", 1).await;
    submit(&store, &acme, Priority::Normal).await;
    tick_through(&store, T0, T0 + 15_001).await;
    let slots = [("video".to_owned(), 1)];
    // Its lease has lapsed: lost, reaped or not.
    for reaped in [false, true] {
        let at = store.at(T0 + 15_001);
        if reaped {
            reap(&at).await.expect("nobody was away");
        }
        let before = raw.dump().await;
        let outcome = at
            .claim(0, "w1", LEASE_MS, &slots, false)
            .await
            .expect("claim");
        assert!(matches!(outcome, ClaimOutcome::Lost), "reaped: {reaped}");
        assert_eq!(raw.dump().await, before, "reaped: {reaped}");
    }
    // At its last millisecond it would still have been alive.
    claim_one(&store.at(T0 + 15_001), "w2").await;
    tick_through(&store, T0 + 15_001, T0 + 30_001).await;
    claim(&store.at(T0 + 30_001), "w2", 1).await;
    assert_sound(&store).await;
}
