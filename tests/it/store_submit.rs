//! Submitting: held and queued, or nothing at all; once, however often it is sent.

use std::collections::BTreeSet;

use meterline::domain::credits::Ucr;
use meterline::domain::ids::AccountId;
use meterline::domain::job::State;
use meterline::store::{NewJob, Options, Store, SubmitOutcome, SubmitRefusal};

use crate::support::*;

/// A job with an idempotency key.
fn keyed(store: &Store, id: &AccountId, n: u32, key: &str) -> NewJob {
    NewJob {
        idempotency_key: Some(key.parse().expect("a key")),
        ..job_for(store, id, n)
    }
}

/// Sends a job that must be refused, and shows that the database did not notice.
async fn refused_without_a_trace(store: &Store, raw: &Raw, job: &NewJob) -> SubmitRefusal {
    let before = raw.dump().await;
    let refusal = refuse(store, job).await;
    assert_eq!(raw.dump().await, before, "{refusal} left a trace");
    refusal
}

#[tokio::test]
async fn promise_02_hold_and_job_come_together() {
    let store = store().await;
    let acme = funded(&store, "acme", 100).await;
    let submitted = accept(&store, &job_for(&store, &acme, 35)).await;
    assert_eq!(
        (submitted.hold, submitted.state),
        (credits(35), State::Queued)
    );
    assert!(!submitted.replayed);
    let view = view_of(&store, &submitted.job).await;
    assert_eq!(view.number("hold_ucr"), 35_000_000);
    assert_eq!(
        store.open_jobs(0).await.expect("open jobs"),
        [submitted.job]
    );
    assert_eq!(balance(&store, &acme).await, (65, 35));
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_09_a_job_that_costs_more_than_there_is_leaves_no_trace() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 35).await;
    let mut job = job_for(&store, &acme, 1);
    job.ceiling = Ucr::new(35_000_001).expect("an amount");
    let refusal = refused_without_a_trace(&store, &raw, &job).await;
    let insufficient = SubmitRefusal::Insufficient {
        need: job.ceiling,
        available_ucr: 35_000_000,
    };
    assert_eq!(refusal, insufficient);
    job.ceiling = credits(35);
    accept(&store, &job).await;
    let mut next = job_for(&store, &acme, 1);
    next.ceiling = Ucr::new(1).expect("an amount");
    refused_without_a_trace(&store, &raw, &next).await;
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_09_debt_refuses_jobs_without_a_trace() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 35).await;
    raw.owe(&acme, 1).await;
    let refusal = refused_without_a_trace(&store, &raw, &job_for(&store, &acme, 1)).await;
    let insufficient = SubmitRefusal::Insufficient {
        need: credits(1),
        available_ucr: 34_999_999,
    };
    assert_eq!(refusal, insufficient);
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_09_an_unknown_or_closed_account_is_refused_without_a_trace() {
    let (store, raw) = store_and_raw(options()).await;
    let nobody = account("nobody");
    let refusal = refused_without_a_trace(&store, &raw, &job_for(&store, &nobody, 1)).await;
    assert_eq!(refusal, SubmitRefusal::UnknownAccount(nobody));
    let acme = funded(&store, "acme", 35).await;
    let _: i64 = raw
        .run(&["HSET", &key("acct", "acme"), "state", "closed"])
        .await;
    let refusal = refused_without_a_trace(&store, &raw, &job_for(&store, &acme, 1)).await;
    assert_eq!(refusal, SubmitRefusal::AccountClosed("closed".to_owned()));
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_09_a_ceiling_above_the_producers_maximum_is_refused_without_a_trace() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 100).await;
    let mut job = job_for(&store, &acme, 35);
    job.max = Some(Ucr::new(34_999_999).expect("an amount"));
    let refusal = refused_without_a_trace(&store, &raw, &job).await;
    assert_eq!(
        refusal,
        SubmitRefusal::AboveMax {
            ceiling: credits(35)
        }
    );
    job.max = Some(credits(35));
    accept(&store, &job).await;
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_09_a_full_queue_refuses_without_a_trace_until_a_job_ends() {
    let room = Options {
        queue_room: 2,
        ..options()
    };
    let (store, raw) = store_and_raw(room).await;
    let acme = funded(&store, "acme", 100).await;
    let first = accept(&store, &job_for(&store, &acme, 1)).await;
    let mut delayed = job_for(&store, &acme, 1);
    delayed.delay_ms = 1_000;
    accept(&store, &delayed).await;
    let job = job_for(&store, &acme, 1);
    assert_eq!(
        refused_without_a_trace(&store, &raw, &job).await,
        SubmitRefusal::QueueFull
    );
    cancel(&store, &first.job).await;
    accept(&store, &job).await;
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_09_a_full_lane_refuses_without_a_trace_and_only_its_own_account() {
    let narrow = Options {
        max_active: 1,
        lane_max: 2,
        ..options()
    };
    let (store, raw) = store_and_raw(narrow).await;
    let acme = funded(&store, "acme", 100).await;
    for _ in 0..3 {
        accept(&store, &job_for(&store, &acme, 1)).await;
    }
    let job = job_for(&store, &acme, 1);
    assert_eq!(
        refused_without_a_trace(&store, &raw, &job).await,
        SubmitRefusal::LaneFull
    );
    let mut elsewhere = job_for(&store, &acme, 1);
    elsewhere.queue = "image".to_owned();
    accept(&store, &elsewhere).await;
    let bolt = funded(&store, "bolt", 1).await;
    accept(&store, &job_for(&store, &bolt, 1)).await;
    claim_one(&store, "w1").await;
    assert_eq!(
        refused_without_a_trace(&store, &raw, &job).await,
        SubmitRefusal::LaneFull
    );
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_09_what_is_too_large_or_too_far_ahead_is_refused_without_a_trace() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 100).await;
    let mut job = job_for(&store, &acme, 1);
    job.payload = "x".repeat(65_537);
    let too_large = SubmitRefusal::PayloadTooLarge {
        bytes: 65_537,
        max: 65_536,
    };
    assert_eq!(refused_without_a_trace(&store, &raw, &job).await, too_large);
    job.payload = "x".repeat(65_536);
    job.delay_ms = 7 * 86_400_000 + 1;
    let too_far = SubmitRefusal::TooFarAhead {
        max_ms: 7 * 86_400_000,
    };
    assert_eq!(refused_without_a_trace(&store, &raw, &job).await, too_far);
    job.delay_ms -= 1;
    assert_eq!(accept(&store, &job).await.state, State::Scheduled);
    assert_sound(&store).await;
}

#[tokio::test]
async fn a_quote_can_be_used_until_it_expires() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 100).await;
    let kept = store
        .keep_quote(&acme, "q1", r#"{"ceiling":35}"#)
        .await
        .expect("quote");
    assert_eq!(kept, Some(T0 + 900_000));
    let mut job = job_for(&store, &acme, 35);
    job.quote = Some("q1".to_owned());
    let late = store.at(T0 + 900_000);
    assert_eq!(
        refused_without_a_trace(&late, &raw, &job).await,
        SubmitRefusal::QuoteExpired
    );
    assert_eq!(late.quote(&acme, "q1").await.expect("quote"), None);
    let in_time = store.at(T0 + 899_999);
    let quote = in_time
        .quote(&acme, "q1")
        .await
        .expect("quote")
        .expect("the quote");
    assert_eq!(quote.quote, r#"{"ceiling":35}"#);
    accept(&in_time, &job).await;
    let mut other = job_for(&store, &acme, 35);
    other.quote = Some("never given".to_owned());
    assert_eq!(
        refused_without_a_trace(&store, &raw, &other).await,
        SubmitRefusal::QuoteExpired
    );
    let nobody = store.keep_quote(&account("nobody"), "q2", "{}").await;
    assert_eq!(nobody.expect("quote"), None);
    assert_sound(&late).await;
}

#[tokio::test]
async fn the_server_forgets_quotes_by_itself() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 1).await;
    store.keep_quote(&acme, "q1", "{}").await.expect("quote");
    let left: i64 = raw.run(&["PTTL", &key("quote", "q1")]).await;
    assert!((1..=900_000).contains(&left), "{left}");
}

#[tokio::test]
async fn promise_10_a_confirmed_quote_sent_again_after_it_is_gone_finds_its_job() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 35).await;
    store.keep_quote(&acme, "q1", "{}").await.expect("quote");
    let mut job = keyed(&store, &acme, 35, "click-1");
    job.quote = Some("q1".to_owned());
    let first = accept(&store, &job).await;
    let _: i64 = raw.run(&["DEL", &key("quote", "q1")]).await;
    // Without the quote the producer can no longer tell the whole request.
    let again = NewJob {
        job: store.new_job_id(&acme),
        fingerprint: "unknown".to_owned(),
        ..job.clone()
    };
    let second = accept(&store.at(T0 + 1_000_000), &again).await;
    assert_eq!((second.job, second.replayed), (first.job, true));
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_10_a_key_sent_again_finds_its_job_before_any_other_check() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 35).await;
    let mut job = keyed(&store, &acme, 35, "click-1");
    job.max = Some(credits(35));
    let first = accept(&store, &job).await;
    // Nothing of what a first call needs is there any more.
    let _: i64 = raw
        .run(&["HSET", &key("acct", "acme"), "state", "closed"])
        .await;
    let again = NewJob {
        job: store.new_job_id(&acme),
        max: Some(Ucr::ZERO),
        quote: Some("gone".to_owned()),
        ..job.clone()
    };
    let before = raw.dump().await;
    let second = accept(&store, &again).await;
    assert_eq!(
        (&second.job, second.hold, second.replayed),
        (&first.job, credits(35), true)
    );
    assert_eq!(raw.dump().await, before);
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_10_a_key_sent_again_after_the_limits_were_lowered_finds_its_job() {
    let url = fresh_url();
    let store = Store::open(&url, options()).await.expect("a store").at(T0);
    let acme = funded(&store, "acme", 35).await;
    let mut job = keyed(&store, &acme, 35, "click-1");
    job.payload = "a longer text".to_owned();
    job.delay_ms = 5_000;
    let first = accept(&store, &job).await;
    for lower in [
        Options {
            payload_max_bytes: 4,
            ..options()
        },
        Options {
            schedule_ahead_ms: 1_000,
            ..options()
        },
        Options {
            queue_room: 0,
            lane_max: 0,
            ..options()
        },
    ] {
        let lower = Store::open(&url, lower).await.expect("a store").at(T0);
        let second = accept(&lower, &job).await;
        assert_eq!((&second.job, second.replayed), (&first.job, true));
    }
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_10_the_key_of_an_ended_job_still_finds_it() {
    let store = store().await;
    let acme = funded(&store, "acme", 35).await;
    let job = keyed(&store, &acme, 35, "click-1");
    accept(&store, &job).await;
    let claimed = claim_one(&store, "w1").await;
    store
        .settle(&claimed.job, &claimed.token, &settlement(30))
        .await
        .expect("settle");
    let again = accept(&store, &job).await;
    assert_eq!((again.state, again.replayed), (State::Succeeded, true));
    assert_eq!(balance(&store, &acme).await, (5, 0));
}

#[tokio::test]
async fn promise_10_a_key_with_another_request_is_refused() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 100).await;
    let first = accept(&store, &keyed(&store, &acme, 35, "click-1")).await;
    let other = keyed(&store, &acme, 36, "click-1");
    let refusal = refused_without_a_trace(&store, &raw, &other).await;
    assert_eq!(refusal, SubmitRefusal::KeyMismatch(first.job.to_string()));
    // The same key of another account is another key.
    let bolt = funded(&store, "bolt", 35).await;
    assert!(
        !accept(&store, &keyed(&store, &bolt, 35, "click-1"))
            .await
            .replayed
    );
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_10_without_a_key_the_job_id_is_the_key() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 100).await;
    let job = job_for(&store, &acme, 35);
    let first = accept(&store, &job).await;
    let second = accept(&store, &job).await;
    assert_eq!((&second.job, second.replayed), (&first.job, true));
    let other = NewJob {
        fingerprint: "another".to_owned(),
        ..job
    };
    let refusal = refused_without_a_trace(&store, &raw, &other).await;
    assert_eq!(refusal, SubmitRefusal::KeyMismatch(first.job.to_string()));
    assert_eq!(balance(&store, &acme).await, (65, 35));
    assert_sound(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promise_10_fifty_clients_with_one_key_make_one_job() {
    let url = fresh_url();
    let store = Store::open(&url, options()).await.expect("a store").at(T0);
    let acme = funded(&store, "acme", 1_000).await;
    let mut clients = Vec::new();
    for _ in 0..50 {
        let client = Store::open(&url, options()).await.expect("a store").at(T0);
        let job = keyed(&client, &acme, 35, "click-1");
        clients.push(tokio::spawn(async move { accept(&client, &job).await }));
    }
    let (mut jobs, mut first) = (BTreeSet::new(), 0);
    for client in clients {
        let submitted = client.await.expect("a client");
        first += u32::from(!submitted.replayed);
        jobs.insert(submitted.job);
    }
    assert_eq!((jobs.len(), first), (1, 1));
    assert_eq!(balance(&store, &acme).await, (965, 35));
    assert_sound(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promise_01_a_thousand_jobs_race_for_credit_for_a_hundred() {
    let store = store().await;
    let acme = funded(&store, "acme", 705).await;
    let mut racers = Vec::new();
    for _ in 0..1_000 {
        let (store, job) = (store.clone(), job_for(&store, &acme, 7));
        racers.push(tokio::spawn(async move { store.submit(&job).await }));
    }
    let mut accepted = 0;
    for racer in racers {
        match racer.await.expect("a racer").expect("submit") {
            SubmitOutcome::Accepted(_) => accepted += 1,
            SubmitOutcome::Refused(SubmitRefusal::Insufficient { .. }) => {}
            SubmitOutcome::Refused(other) => panic!("{other}"),
        }
    }
    assert_eq!(accepted, 100);
    assert_eq!(balance(&store, &acme).await, (5, 700));
    assert_eq!(store.open_jobs(0).await.expect("open jobs").len(), 100);
    assert_sound(&store).await;
}
