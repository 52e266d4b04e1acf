//! Queues: halted by operators, going on again, and what a listing says of them.

use std::time::{Duration, Instant};

use meterline::dev::redis::PrivateRedis;
use meterline::domain::failure::FailureClass;
use meterline::store::{
    Control, FailOutcome, Options, Order, QueueAct, QueueView, SettleOutcome, Store, SubmitRefusal,
};
use serde_json::json;

use crate::support::rig::Rig;
use crate::support::*;

async fn act(store: &Store, act: QueueAct, reason: &str) -> u16 {
    let done = store.act_on_queue("video", act, reason, "ops").await;
    done.expect("an act")
}

async fn video(store: &Store) -> QueueView {
    let views = store.queue_views().await.expect("queues");
    let view = views.into_iter().find(|view| view.queue == "video");
    view.expect("the queue")
}

#[tokio::test]
async fn a_paused_queue_takes_jobs_and_hands_none_out_until_it_goes_on() {
    let store = store().await;
    let acme = funded(&store, "acme", 100).await;
    let running = accept(&store, &job_for(&store, &acme, 10)).await.job;
    let job = claim_one(&store, "w1").await;
    assert_eq!(
        act(&store, QueueAct::Pause, "the provider is down").await,
        1
    );
    let waiting = accept(&store, &job_for(&store, &acme, 20)).await.job;
    assert!(claim(&store, "w2", 9).await.is_empty());
    // Another queue of the same worker goes on.
    let mut other = job_for(&store, &acme, 5);
    other.queue = "image".to_owned();
    accept(&store, &other).await;
    let slots = [("video".to_owned(), 9), ("image".to_owned(), 9)];
    let outcome = store.claim(0, "w2", LEASE_MS, &slots, true).await;
    let meterline::store::ClaimOutcome::Claimed(claimed) = outcome.expect("claim") else {
        panic!("lost");
    };
    assert_eq!(claimed.jobs.len(), 1);
    assert_eq!(claimed.jobs[0].job, other.job);
    // What runs goes on.
    assert!(matches!(
        settle(&store, &job, &settlement(3)).await,
        SettleOutcome::Settled { .. }
    ));
    assert_eq!(state_of(&store, &running).await, "succeeded");
    assert_eq!(act(&store, QueueAct::Resume, "it is back").await, 1);
    assert_eq!(claim_one(&store, "w2").await.job, waiting);
    assert_sound(&store).await;
    assert_tallies(&store).await;
}

#[tokio::test]
async fn in_a_paused_queue_what_had_begun_goes_on_at_another_worker() {
    let (store, _, acme, job) = running_job().await;
    note(&store, &job, intent(1)).await;
    accept(&store, &job_for(&store, &acme, 5)).await;
    act(&store, QueueAct::Pause, "why").await;
    store
        .hand_over(&job.job, &job.token, true)
        .await
        .expect("hand over");
    let next = claim(&store, "w2", 9).await;
    assert_eq!(next.len(), 1, "the new one waits");
    assert_eq!(next[0].job, job.job);
    assert_sound(&store).await;
}

#[tokio::test]
async fn a_pause_stops_neither_clock_of_a_job() {
    let store = store_with(Options {
        queue_ttl_ms: 60_000,
        ..options()
    })
    .await;
    let acme = funded(&store, "acme", 100).await;
    let waits = accept(&store, &job_for(&store, &acme, 10)).await.job;
    act(&store, QueueAct::Pause, "why").await;
    tick(&store.at(T0 + 60_000)).await;
    assert_eq!(state_of(&store, &waits).await, "timed_out");
    assert_eq!(balance(&store, &acme).await, (100, 0));
    assert_sound(&store).await;
}

#[tokio::test]
async fn a_draining_queue_refuses_new_jobs_and_works_off_what_is_there() {
    let (store, raw, acme, job) = running_job().await;
    let replayed = job_for(&store, &acme, 5);
    accept(&store, &replayed).await;
    let mut delayed = job_for(&store, &acme, 5);
    delayed.delay_ms = 3_000;
    accept(&store, &delayed).await;
    act(&store, QueueAct::Drain, "moves away").await;
    let before = raw.digest().await;
    let refusal = refuse(&store, &job_for(&store, &acme, 5)).await;
    assert_eq!(refusal, SubmitRefusal::QueueDraining("video".to_owned()));
    assert_eq!(before, raw.digest().await, "promise 9");
    assert!(
        accept(&store, &replayed).await.replayed,
        "it was taken before"
    );
    // Another queue takes jobs as ever.
    let mut other = job_for(&store, &acme, 5);
    other.queue = "image".to_owned();
    accept(&store, &other).await;
    // Retries and jobs that are due later belong to what is there.
    assert_eq!(
        fail(&store, &job, &again(1_000)).await,
        FailOutcome::Rescheduled
    );
    let later = store.at(T0 + 3_000);
    tick(&later).await;
    let jobs = claim(&later, "w2", 9).await;
    assert_eq!(jobs.len(), 3);
    for job in &jobs {
        fail(&later, job, &ends(FailureClass::UserInput)).await;
    }
    let view = video(&later).await;
    assert_eq!((view.open, view.held_ucr), (0, 0), "it has run empty");
    act(&later, QueueAct::Resume, "stays").await;
    accept(&later, &job_for(&later, &acme, 5)).await;
    assert_sound(&later).await;
    assert_tallies(&later).await;
}

#[tokio::test]
async fn repeating_an_order_changes_nothing_and_another_reason_is_another_word() {
    let (store, raw) = store_and_raw(options()).await;
    act(&store, QueueAct::Pause, "first").await;
    let before = raw.digest().await;
    assert_eq!(act(&store.at(T0 + 1), QueueAct::Pause, "first").await, 0);
    assert_eq!(before, raw.digest().await);
    assert_eq!(act(&store.at(T0 + 2), QueueAct::Pause, "second").await, 1);
    assert_eq!(act(&store.at(T0 + 3), QueueAct::Drain, "third").await, 1);
    let view = video(&store).await;
    let paused = view.paused.expect("a pause");
    assert_eq!(
        (paused.reason.as_str(), paused.actor.as_str(), paused.at_ms),
        ("second", "ops", T0 + 2)
    );
    assert_eq!(view.draining.expect("a drain").reason, "third");
    assert_eq!(act(&store, QueueAct::Resume, "over").await, 1);
    let before = raw.digest().await;
    assert_eq!(act(&store, QueueAct::Resume, "over").await, 0);
    assert_eq!(before, raw.digest().await);
    let acts = store.acts(0, "-", 100).await.expect("acts");
    let acts: Vec<(&str, &str)> = acts
        .iter()
        .map(|act| (act.act.as_str(), act.reason.as_str()))
        .collect();
    assert_eq!(
        acts,
        [
            ("pause", "first"),
            ("pause", "second"),
            ("drain", "third"),
            ("resume", "over")
        ]
    );
}

#[tokio::test]
async fn a_halt_that_does_not_stand_everywhere_is_said_to_be_partly_there() {
    let (store, raw) = store_and_raw(Options {
        partitions: 2,
        ..options()
    })
    .await;
    act(&store, QueueAct::Pause, "why").await;
    assert!(!video(&store).await.paused.expect("a pause").partly);
    // As after an interrupted `resume`: the first partition goes on, the second does not know yet.
    let halts: Vec<String> = raw.run(&["KEYS", "*:part:halts"]).await;
    let _: () = raw.run(&["DEL", &halts[0]]).await;
    let meta = halts[0].replace("halts", "meta");
    let _: () = raw.run(&["HSET", &meta, "halts", ""]).await;
    assert!(video(&store).await.paused.expect("a pause").partly);
    assert_eq!(
        act(&store, QueueAct::Pause, "why").await,
        1,
        "only where it was missing"
    );
    assert!(!video(&store).await.paused.expect("a pause").partly);
    assert_eq!(act(&store, QueueAct::Resume, "over").await, 2);
    assert_eq!(store.queue_views().await.expect("queues"), []);
}

#[tokio::test]
async fn names_that_begin_alike_are_two_queues() {
    let store = store().await;
    let acme = funded(&store, "acme", 100).await;
    for (queue, credits) in [("video", 1), ("video-long", 2), ("long-video", 4)] {
        let mut job = job_for(&store, &acme, credits);
        job.queue = queue.to_owned();
        accept(&store, &job).await;
    }
    assert_tallies(&store).await;
    store
        .act_on_queue("video", QueueAct::Drain, "why", "ops")
        .await
        .expect("drain");
    let mut job = job_for(&store, &acme, 1);
    job.queue = "long-video".to_owned();
    accept(&store, &job).await;
    job.job = store.new_job_id(&acme);
    job.queue = "video-long".to_owned();
    accept(&store, &job).await;
    assert_tallies(&store).await;
}

async fn heard(control: &mut Control) -> Vec<(u16, Order)> {
    control.next(5_000).await.expect("orders")
}

#[tokio::test]
async fn a_message_names_whom_it_is_for() {
    let (store, _, _, job) = running_job().await;
    let mut control = store.control().await.expect("control");
    cancel(&store, &job.job).await;
    let worker = "w1".to_owned();
    assert_eq!(heard(&mut control).await, [(0, Order::Beat { worker })]);
    act(&store, QueueAct::Pause, "why").await;
    act(&store, QueueAct::Resume, "over").await;
    let queue = "video".to_owned();
    assert_eq!(heard(&mut control).await, [(0, Order::Claim { queue })]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_goes_on_wakes_waiting_workers_at_once() {
    let rig = Rig::new().await;
    let acme = account("acme");
    rig.fund(&acme, 100).await;
    let worker = rig.worker(None);
    worker.claiming().await;
    let image = |act| rig.store.act_on_queue("image", act, "why", "ops");
    image(QueueAct::Pause).await.expect("pause");
    let job = rig.image(&acme, json!({})).await.job;
    // A job of another queue, submitted later, is run: the worker is awake and has looked.
    let other = rig.video(&acme, 1_000, json!({})).await.job;
    rig.ended(&other).await;
    assert_eq!(state_of(&rig.store, &job).await, "queued");
    let resumed = Instant::now();
    image(QueueAct::Resume).await.expect("resume");
    rig.seen(&job, "running", 1).await;
    // It would look by itself every five seconds.
    assert!(resumed.elapsed() < Duration::from_secs(3), "{resumed:?}");
    assert_eq!(rig.ended(&job).await.text("state"), "succeeded");
    worker.drain().await;
    rig.assert_sound().await;
}

#[tokio::test]
async fn a_listing_says_what_waits_and_for_how_long() {
    let store = store_with(Options {
        max_active: 3,
        ..options()
    })
    .await;
    let acme = funded(&store, "acme", 100).await;
    for n in 0..6 {
        // Three active, the others in the lane; the oldest is due since T0.
        accept(&store.at(T0 + n * 100), &job_for(&store, &acme, 5)).await;
    }
    let mut delayed = job_for(&store, &acme, 5);
    delayed.delay_ms = 10_000;
    accept(&store, &delayed).await;
    let at = store.at(T0 + 2_000);
    let jobs = claim(&at, "w1", 2).await;
    let view = video(&at).await;
    assert_eq!((view.ready, view.lane, view.due), (1, 3, 0));
    assert_eq!((view.waiting(), view.running, view.scheduled()), (4, 2, 1));
    assert_eq!((view.open, view.held_ucr), (7, 35_000_000));
    assert_eq!(
        view.oldest_ms,
        Some(1_800),
        "the third one is the oldest that waits"
    );
    assert_eq!(view.start_waits_ms, [1_900, 2_000]);
    assert_eq!(view.start_wait_ms(50), Some(1_900));
    // Due, and no sweep has come by yet.
    let at = store.at(T0 + 10_500);
    let view = video(&at).await;
    assert_eq!((view.due, view.scheduled()), (1, 0));
    // Starts are forgotten after a while.
    let view = video(&store.at(T0 + 16 * 60_000)).await;
    assert_eq!(view.start_wait_ms(95), None);
    for job in jobs {
        settle(&at, &job, &settlement(1)).await;
    }
    assert_tallies(&at).await;
    assert_sound(&at).await;
}

#[tokio::test]
async fn a_job_that_is_taken_over_is_no_start() {
    let (store, _, _, job) = running_job().await;
    note(&store, &job, intent(1)).await;
    taken_over(&store.at(T0 + 5_000), &job).await;
    assert_eq!(video(&store.at(T0 + 5_000)).await.start_waits_ms, [0]);
}

#[tokio::test]
async fn a_long_backlog_does_not_make_the_listing_slow() {
    // A server of its own: what it counts is this test's.
    let redis = PrivateRedis::start(plain_redis()).expect("a private Redis");
    let store = Store::open(&redis.url(), options())
        .await
        .expect("a store")
        .at(T0);
    let raw = Raw::open(&redis.url()).await;
    let acme = funded(&store, "acme", 100).await;
    accept(&store, &job_for(&store, &acme, 5)).await;
    // Entries alone: a listing that read jobs one by one would still go through all of them.
    let script = "for i = ARGV[1] + 1, ARGV[1] + 2000 do
        redis.call('XADD', KEYS[1], '*', 'j', 'j00-' .. i)
        redis.call('ZADD', KEYS[2], i, 'j00-' .. i)
    end";
    let (ready, lane) = (key("ready", "video:normal"), key("lane", "acme:video"));
    for n in 0..100 {
        let from = (n * 2_000).to_string();
        let _: () = raw.run(&["EVAL", script, "2", &ready, &lane, &from]).await;
    }
    let _: i64 = raw
        .run(&["ZADD", &key("part", "lanes"), "1", "acme:video"])
        .await;
    let _: String = raw.run(&["CONFIG", "RESETSTAT"]).await;
    let view = video(&store).await;
    assert_eq!((view.ready, view.lane), (200_001, 200_000));
    let stats: String = raw.run(&["INFO", "commandstats"]).await;
    let calls: u64 = stats
        .lines()
        .filter(|line| line.starts_with("cmdstat_h") || line.starts_with("cmdstat_x"))
        .filter_map(|line| {
            line.split_once("calls=")?
                .1
                .split(',')
                .next()?
                .parse::<u64>()
                .ok()
        })
        .sum();
    assert!(calls < 100, "{stats}");
}
