//! What the server does to us: memory runs out, keys may be evicted, scripts are forgotten, it dies.

use meterline::dev::redis::{PrivateRedis, RedisOptions};
use meterline::domain::failure::FailureClass;
use meterline::domain::job::State;
use meterline::store::{
    CheckpointOutcome, Error, GrantKind, GrantOutcome, HeartbeatOutcome, NewJob, Options,
    SettleOutcome, Store, SubmitOutcome, SubmitRefusal,
};

use crate::support::*;

/// A server of its own, with these settings.
fn server(extra: &[&str]) -> PrivateRedis {
    let options = RedisOptions {
        extra: extra.iter().map(|word| (*word).to_owned()).collect(),
        ..plain_redis()
    };
    PrivateRedis::start(options).expect("a private Redis")
}

async fn open(server: &PrivateRedis, memory_refuse_percent: u8) -> Store {
    let options = Options {
        memory_refuse_percent,
        ..options()
    };
    Store::open(&server.url(), options)
        .await
        .expect("a store")
        .at(T0)
}

/// Leaves the server with far less memory than it uses already.
async fn starve(raw: &Raw) {
    let _: () = raw.run(&["CONFIG", "SET", "maxmemory", "100kb"]).await;
}

/// The outcome of a submit that needs a new job.
async fn submit_new(store: &Store, id: &meterline::domain::ids::AccountId) -> Result<(), Error> {
    match store.submit(&job_for(store, id, 1)).await? {
        SubmitOutcome::Accepted(submitted) => assert!(!submitted.replayed),
        SubmitOutcome::Refused(refusal) => panic!("{refusal}"),
    }
    Ok(())
}

#[tokio::test]
async fn promise_10_with_memory_full_nothing_new_is_taken_and_everything_old_goes_on() {
    let server = server(&[]);
    let raw = Raw::open(&server.url()).await;
    // Its own look at the memory is out of the way: the scripts themselves have to hold.
    let store = open(&server, 255).await;
    let acme = funded(&store, "acme", 100).await;
    let waiting = NewJob {
        idempotency_key: Some("click-1".parse().expect("a key")),
        ..job_for(&store, &acme, 10)
    };
    for _ in 0..3 {
        accept(&store, &job_for(&store, &acme, 10)).await;
    }
    let jobs = claim(&store, "w1", 3).await;
    accept(&store, &waiting).await;
    starve(&raw).await;

    let refused = submit_new(&store, &acme).await;
    assert!(matches!(refused, Err(Error::Full)), "{refused:?}");
    let refused = store.open_account(&account("bolt"), 0).await;
    assert!(matches!(refused, Err(Error::Full)), "{refused:?}");
    let refused = store
        .checkpoint(&jobs[0].job, &jobs[0].token, intent(1), "{}")
        .await;
    assert!(matches!(refused, Err(Error::Full)), "{refused:?}");

    // Accepted or refused, even now: the key says which.
    let again = accept(&store, &waiting).await;
    assert_eq!((&again.job, again.replayed), (&waiting.job, true));
    let other = NewJob {
        fingerprint: "another".to_owned(),
        ..waiting.clone()
    };
    let mismatch = SubmitRefusal::KeyMismatch(waiting.job.to_string());
    assert_eq!(refuse(&store, &other).await, mismatch);

    assert_eq!(
        note(&store, &jobs[0], meterline::store::Step::Handle).await,
        CheckpointOutcome::Noted
    );
    let outcome = settle(&store, &jobs[0], &settlement(4)).await;
    assert!(matches!(
        outcome,
        SettleOutcome::Settled {
            replayed: false,
            ..
        }
    ));
    let outcome = fail(&store, &jobs[1], &ends(FailureClass::ProviderFault)).await;
    assert_eq!(outcome, ended(State::Failed));
    cancel(&store, &jobs[2].job).await;
    defer(&store, &jobs[2], 0, true).await;
    let outcome = give(&store, &acme, 5, GrantKind::Purchase, None, "pay").await;
    assert!(matches!(outcome, GrantOutcome::Granted { .. }));
    let queues = ["video".to_owned()];
    let beat = store.heartbeat(0, "w1", LEASE_MS, &queues, "{}", &[]).await;
    assert!(matches!(
        beat.expect("heartbeat"),
        HeartbeatOutcome::Renewed { .. }
    ));
    tick(&store).await;
    assert_eq!(claim_one(&store, "w1").await.job, waiting.job);
    tick_through(&store, T0, T0 + 15_001).await;
    let (dead, taken) = reap(&store.at(T0 + 15_001)).await.expect("nobody was away");
    assert_eq!((dead.len(), taken.len()), (1, 1));
    assert_eq!(tick(&store.at(T0 + 60_000)).await, 1);
    assert_eq!(balance(&store, &acme).await, (101, 0));
    assert_sound(&store.at(T0 + 60_000)).await;
}

#[tokio::test]
async fn promise_10_a_quoted_job_is_found_again_with_memory_full_and_the_quote_gone() {
    let server = server(&[]);
    let raw = Raw::open(&server.url()).await;
    let store = open(&server, 255).await;
    let acme = funded(&store, "acme", 10).await;
    store.keep_quote(&acme, "q1", "{}").await.expect("quote");
    let job = NewJob {
        quote: Some("q1".to_owned()),
        ..job_for(&store, &acme, 10)
    };
    accept(&store, &job).await;
    let _: i64 = raw.run(&["DEL", &key("quote", "q1")]).await;
    starve(&raw).await;
    let again = NewJob {
        fingerprint: "unknown".to_owned(),
        ..job.clone()
    };
    let again = accept(&store, &again).await;
    assert_eq!((again.job, again.replayed), (job.job, true));
}

#[tokio::test]
async fn submits_are_refused_before_the_last_of_the_memory_is_gone() {
    let server = server(&[]);
    let raw = Raw::open(&server.url()).await;
    let store = open(&server, 85).await;
    let acme = funded(&store, "acme", 10).await;
    submit_new(&store, &acme).await.expect("room");
    let used = store.server_report().await.expect("INFO").used_memory_bytes;
    let limit = (used * 100 / 92).to_string();
    let _: () = raw.run(&["CONFIG", "SET", "maxmemory", &limit]).await;
    let refused = submit_new(&open(&server, 85).await, &acme).await;
    assert!(matches!(refused, Err(Error::Full)), "{refused:?}");
    submit_new(&open(&server, 100).await, &acme)
        .await
        .expect("room");
    assert_sound(&store).await;
}

#[tokio::test]
async fn a_server_that_evicts_gets_no_new_jobs_but_those_it_has_are_found() {
    let server = server(&[]);
    let raw = Raw::open(&server.url()).await;
    let store = open(&server, 85).await;
    let acme = funded(&store, "acme", 10).await;
    let job = job_for(&store, &acme, 10);
    accept(&store, &job).await;
    let _: () = raw
        .run(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"])
        .await;
    let store = open(&server, 85).await;
    let before = raw.dump().await;
    let refused = submit_new(&store, &acme).await;
    assert!(matches!(refused, Err(Error::Unfit(_))), "{refused:?}");
    assert_eq!(raw.dump().await, before);
    assert!(accept(&store, &job).await.replayed);
    assert_sound(&store).await;
}

#[tokio::test]
async fn scripts_that_the_server_forgot_are_sent_again_unseen() {
    let server = server(&[]);
    let raw = Raw::open(&server.url()).await;
    let store = open(&server, 85).await;
    let acme = funded(&store, "acme", 10).await;
    submit_new(&store, &acme).await.expect("room");
    let _: () = raw.run(&["SCRIPT", "FLUSH"]).await;
    submit_new(&store, &acme).await.expect("room");
    let _: () = raw.run(&["SCRIPT", "FLUSH"]).await;
    let jobs = claim(&store, "w1", 2).await;
    let _: () = raw.run(&["SCRIPT", "FLUSH"]).await;
    settle(&store, &jobs[0], &settlement(1)).await;
    assert_eq!(balance(&store, &acme).await, (8, 1));
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_10_what_was_accepted_is_there_after_the_server_was_killed() {
    let mut server = PrivateRedis::start(durable_redis()).expect("a private Redis");
    let store = open(&server, 85).await;
    let acme = funded(&store, "acme", 50).await;
    let job = job_for(&store, &acme, 10);
    accept(&store, &job).await;
    server.kill().expect("kill");
    let outcome = store.submit(&job_for(&store, &acme, 10)).await;
    let error = outcome.expect_err("no server");
    assert!(error.is_transient(), "{error}");
    server.restart().expect("restart");
    // The handle finds the server again by itself.
    let again = accept(&store, &job).await;
    assert!(again.replayed);
    assert_eq!(balance(&store, &acme).await, (40, 10));
    let claimed = claim_one(&store, "w1").await;
    settle(&store, &claimed, &settlement(3)).await;
    assert_eq!(balance(&store, &acme).await, (47, 0));
    assert_sound(&store).await;
}
