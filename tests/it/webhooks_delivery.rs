//! Messages as a receiver sees them: signed, tried again, given up, under one id however often they come.

use std::time::Duration;

use meterline::domain::ids::AccountId;
use meterline::store::{EndpointAct, EndpointView, Store};
use meterline::webhook::Secret;
use meterline::worker::CourierOptions;
use serde_json::json;

use crate::support::webhooks::*;
use crate::support::*;

/// A store by the server's clock, with an account that has credits.
async fn house() -> (Store, AccountId) {
    let store = Store::open(&fresh_url(), options()).await.expect("a store");
    let acme = funded(&store, "acme", 100).await;
    (store, acme)
}

async fn end_one(store: &Store, account: &AccountId) -> String {
    let job = accept(store, &job_for(store, account, 1)).await.job;
    cancel(store, &job).await;
    job.to_string()
}

/// Looks until the endpoint is as wanted: what a courier reports announces itself nowhere.
async fn until(
    store: &Store,
    id: &meterline::domain::ids::EndpointId,
    wanted: impl Fn(&EndpointView) -> bool,
) -> EndpointView {
    for _ in 0..3_000 {
        let view = look(store, id).await;
        if wanted(&view) {
            return view;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it stays {:?}", look(store, id).await)
}

fn answers(status: u16) -> Does {
    Does::Answers(status, vec![])
}

#[tokio::test]
async fn a_settled_job_is_told_with_its_price_signed_for_the_moment_it_is_sent() {
    let (store, acme) = house().await;
    let receiver = Receiver::new().await;
    let (id, secret) = endpoint(&store, &acme, &receiver.url(), "endings").await;
    let courier = courier(&store, courier_options());
    accept(&store, &job_for(&store, &acme, 35)).await;
    let job = claim_one(&store, "w1").await;
    let before = jiff::Timestamp::now().as_second();
    settle(&store, &job, &settlement(28)).await;
    let got = receiver.wait_for(1).await.remove(0);
    assert!(got.verifies(&secret));
    assert_eq!(got.header("content-type"), "application/json");
    let sent_at: i64 = got.header("webhook-timestamp").parse().expect("seconds");
    assert!((before..=jiff::Timestamp::now().as_second()).contains(&sent_at));
    let told = got.json();
    assert_eq!(told["type"], "job.succeeded");
    let data = &told["data"];
    assert_eq!(
        (&data["job"], &data["account"]),
        (&json!(job.job), &json!("acme"))
    );
    assert_eq!(
        (&data["state"], &data["sequence"]),
        (&json!("succeeded"), &json!(1))
    );
    assert_eq!(data["captured_ucr"], 28_000_000);
    assert_eq!(data["released_ucr"], 7_000_000);
    assert_eq!(data["ceiling_ucr"], 35_000_000);
    assert_eq!(data["measured_ms"], 5_000);
    let view = until(&store, &id, |view| view.delivered == 1).await;
    assert_eq!((view.waiting, view.last.as_str()), (0, "status 204"));
    courier.stop().await;
}

#[tokio::test]
async fn a_failed_message_comes_again_with_the_same_id_and_body_and_a_time_of_its_own() {
    let (store, acme) = house().await;
    let receiver = Receiver::new().await;
    receiver.then([answers(500), answers(302), Does::Answers(404, vec![])]);
    let (id, secret) = endpoint(&store, &acme, &receiver.url(), "endings").await;
    let mut options = courier_options();
    options.schedule_ms = vec![1_100, 10, 10];
    let courier = courier(&store, options);
    end_one(&store, &acme).await;
    let got = receiver.wait_for(4).await;
    assert!(got.iter().all(|one| one.verifies(&secret)));
    assert!(
        got.iter()
            .all(|one| (one.id(), &one.body) == (got[0].id(), &got[0].body))
    );
    let at = |n: usize| got[n].header("webhook-timestamp").to_owned();
    assert_ne!(at(0), at(1), "each try has its own time");
    let view = until(&store, &id, |view| view.delivered == 1).await;
    assert_eq!((view.failed, view.failing_since_ms), (3, 0));
    courier.stop().await;
}

#[tokio::test]
async fn what_nobody_takes_is_given_up_and_goes_out_again_by_hand_under_its_id() {
    let (store, acme) = house().await;
    let receiver = Receiver::new().await;
    receiver.usually(answers(500));
    let (id, secret) = endpoint(&store, &acme, &receiver.url(), "endings").await;
    let courier = courier(&store, courier_options());
    end_one(&store, &acme).await;
    let view = until(&store, &id, |view| view.dead == 1).await;
    assert_eq!(
        (view.failed, view.waiting),
        (4, 0),
        "one try and three more"
    );
    receiver.usually(answers(200));
    store
        .redeliver(&id, None, 100, "it is back", "ops")
        .await
        .expect("redeliver");
    let got = receiver.wait_for(5).await;
    assert_eq!((got[4].id(), &got[4].body), (got[0].id(), &got[0].body));
    assert!(got[4].verifies(&secret));
    until(&store, &id, |view| view.delivered == 1).await;
    courier.stop().await;
}

#[tokio::test]
async fn a_receiver_that_is_gone_hears_nothing_more() {
    let (store, acme) = house().await;
    let receiver = Receiver::new().await;
    receiver.usually(answers(410));
    let (id, _) = endpoint(&store, &acme, &receiver.url(), "endings").await;
    let courier = courier(&store, courier_options());
    end_one(&store, &acme).await;
    let view = until(&store, &id, |view| !view.enabled).await;
    assert_eq!((view.why.as_str(), view.dead), ("gone (410)", 1));
    end_one(&store, &acme).await;
    courier.stop().await;
    assert_eq!(receiver.got().len(), 1);
}

#[tokio::test]
async fn a_receiver_that_is_busy_is_left_alone_for_as_long_as_it_asks() {
    let (store, acme) = house().await;
    let receiver = Receiver::new().await;
    receiver.then([Does::Answers(429, vec![("retry-after", "2".to_owned())])]);
    let (id, _) = endpoint(&store, &acme, &receiver.url(), "endings").await;
    let options = CourierOptions {
        at_a_time: 1,
        ..courier_options()
    };
    let courier = courier(&store, options);
    end_one(&store, &acme).await;
    let view = until(&store, &id, |view| view.throttled_until_ms > 0).await;
    assert!(view.throttled_until_ms >= view.last_ms + 2_000);
    end_one(&store, &acme).await;
    receiver.wait_for(3).await;
    let view = until(&store, &id, |view| view.delivered == 2).await;
    assert!(view.last_ms >= view.created_ms + 2_000);
    assert_eq!((view.failed, view.throttled_until_ms), (1, 0));
    courier.stop().await;
}

#[tokio::test]
async fn during_a_rotation_both_secrets_verify_and_afterwards_the_new_one_alone() {
    let (store, acme) = house().await;
    let receiver = Receiver::new().await;
    let (id, old) = endpoint(&store, &acme, &receiver.url(), "endings").await;
    let courier = courier(&store, courier_options());
    let new = Secret::of_bytes([9; 32]).expose().to_owned();
    let rotate = |overlap_ms| EndpointAct::Rotate {
        secret: new.clone(),
        overlap_ms,
    };
    act(&store, &id, rotate(3_600_000)).await;
    end_one(&store, &acme).await;
    let got = receiver.wait_for(1).await.remove(0);
    assert!(got.verifies(&old) && got.verifies(&new));
    assert_eq!(got.header("webhook-signature").split(' ').count(), 2);
    let newest = Secret::of_bytes([11; 32]).expose().to_owned();
    let at_once = EndpointAct::Rotate {
        secret: newest.clone(),
        overlap_ms: 0,
    };
    act(&store, &id, at_once).await;
    end_one(&store, &acme).await;
    let got = receiver.wait_for(2).await.remove(1);
    assert!(got.verifies(&newest) && !got.verifies(&new) && !got.verifies(&old));
    courier.stop().await;
}

#[tokio::test]
async fn an_endpoint_that_never_answers_does_not_hold_up_another() {
    let (store, acme) = house().await;
    let other = funded(&store, "other", 100).await;
    let (slow, quick) = (Receiver::new().await, Receiver::new().await);
    slow.usually(Does::Hangs);
    endpoint(&store, &acme, &slow.url(), "endings").await;
    endpoint(&store, &other, &quick.url(), "endings").await;
    let options = CourierOptions {
        senders: 4,
        at_a_time: 3,
        ..courier_options()
    };
    let courier = courier(&store, options);
    for _ in 0..20 {
        end_one(&store, &acme).await;
    }
    slow.wait_for(3).await;
    for _ in 0..20 {
        end_one(&store, &other).await;
    }
    quick.wait_for(20).await;
    assert_eq!(slow.got().len(), 3, "no more at a time than it may have");
    drop(courier);
}

#[tokio::test]
async fn messages_of_one_burst_start_in_the_order_in_which_things_happened() {
    let (store, acme) = house().await;
    let receiver = Receiver::new().await;
    endpoint(&store, &acme, &receiver.url(), "all").await;
    let mut jobs = Vec::new();
    for _ in 0..10 {
        jobs.push(end_one(&store, &acme).await);
    }
    let options = CourierOptions {
        at_a_time: 1,
        ..courier_options()
    };
    let courier = courier(&store, options);
    let got = receiver.wait_for(20).await;
    courier.stop().await;
    let order: Vec<(String, u64)> = got
        .iter()
        .map(|one| {
            let data = one.json()["data"].clone();
            let job = data["job"].as_str().expect("a job").to_owned();
            (job, data["sequence"].as_u64().expect("a number"))
        })
        .collect();
    let expected: Vec<(String, u64)> = jobs
        .iter()
        .flat_map(|job| [(job.clone(), 1), (job.clone(), 2)])
        .collect();
    assert_eq!(order, expected);
}

#[tokio::test]
async fn several_couriers_share_the_work_and_nothing_comes_twice() {
    let (store, acme) = house().await;
    let receiver = Receiver::new().await;
    let (id, _) = endpoint(&store, &acme, &receiver.url(), "endings").await;
    let couriers: Vec<_> = (0..3).map(|_| courier(&store, courier_options())).collect();
    for _ in 0..60 {
        end_one(&store, &acme).await;
    }
    until(&store, &id, |view| view.delivered == 60).await;
    for courier in couriers {
        courier.stop().await;
    }
    let got = receiver.got();
    let ids: std::collections::BTreeSet<&str> = got.iter().map(|one| one.id()).collect();
    assert_eq!((ids.len(), got.len()), (60, 60));
}
