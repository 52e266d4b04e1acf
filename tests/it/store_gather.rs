//! Group commit: what is said while a call is under way goes together in the next one, and each has an
//! answer of its own.

use futures_util::FutureExt;
use futures_util::future::join_all;
use meterline::dev::redis::PrivateRedis;
use meterline::store::{
    ClaimedJob, ConnectionOptions, Error, NewJob, Options, SettleOutcome, Store, SubmitOutcome,
    SubmitRefusal, Submitted,
};

use crate::support::*;

/// A store with the server's clock (one with a clock of its own gathers nothing) and no small shares.
async fn open(url: &str) -> Store {
    let options = Options {
        max_active: 1_000,
        ..options()
    };
    Store::open(url, options).await.expect("a store")
}

/// So many running jobs of one account, 10 credits each.
async fn running(n: u32) -> (Store, Vec<ClaimedJob>) {
    let store = open(&fresh_url()).await;
    let acme = funded(&store, "acme", 1_000).await;
    for _ in 0..n {
        accept(&store, &job_for(&store, &acme, 10)).await;
    }
    let jobs = claim(&store, "w1", n).await;
    assert_eq!(jobs.len(), n as usize);
    (store, jobs)
}

async fn settle(store: &Store, job: &ClaimedJob, captured: u32) -> SettleOutcome {
    let settlement = settlement(captured);
    let settled = store.settle(&job.job, &job.token, &settlement);
    settled.await.expect("an answer")
}

fn is_settled(outcome: &SettleOutcome) -> bool {
    matches!(outcome, SettleOutcome::Settled { .. })
}

#[tokio::test]
async fn settlements_that_come_together_share_calls_and_each_has_its_own_answer() {
    // The counters are the server's, so it has to be this test's alone.
    let server = PrivateRedis::start(plain_redis()).expect("a private Redis");
    let store = open(&server.url()).await;
    let acme = funded(&store, "acme", 1_000).await;
    for _ in 0..51 {
        accept(&store, &job_for(&store, &acme, 10)).await;
    }
    let mut jobs = claim(&store, "w1", 51).await;
    // The first settlement of all also brings the script to the server.
    assert!(is_settled(&settle(&store, &jobs.remove(50), 7).await));
    jobs[20].token = "0-stale".to_owned();
    let calls = async || store.usage().await.expect("usage").calls["evalsha"];
    let before = calls().await;
    // One asks for more than was held, and one is not the holder of its job.
    let charge = |n: usize| if n == 10 { 11 } else { 7 };
    let settling = jobs.iter().enumerate();
    let settling = settling.map(|(n, job)| settle(&store, job, charge(n)));
    let answers = join_all(settling).await;
    // The first leaves at once and alone, 49 gather meanwhile: 32 and 17.
    assert_eq!(calls().await - before, 3);
    for (n, answer) in answers.iter().enumerate() {
        match n {
            10 => assert_eq!(*answer, SettleOutcome::AboveCeiling),
            20 => assert_eq!(*answer, SettleOutcome::Fenced),
            _ => assert!(is_settled(answer), "{n}: {answer:?}"),
        }
    }
    assert_eq!(balance(&store, &acme).await, (1_000 - 49 * 7 - 20, 20));
    assert_sound(&store).await;
}

#[tokio::test]
async fn a_refusal_in_a_shared_call_is_only_its_own() {
    let store = open(&fresh_url()).await;
    let acme = funded(&store, "acme", 25).await;
    let jobs: Vec<NewJob> = (0..5).map(|_| job_for(&store, &acme, 10)).collect();
    let answers = join_all(jobs.iter().map(|job| store.submit(job))).await;
    let held = |answer: &Result<SubmitOutcome, Error>| match answer.as_ref().expect("an answer") {
        SubmitOutcome::Accepted(_) => true,
        SubmitOutcome::Refused(refusal) => {
            assert!(matches!(refusal, SubmitRefusal::Insufficient { .. }));
            false
        }
    };
    let held: Vec<bool> = answers.iter().map(held).collect();
    assert_eq!(held, [true, true, false, false, false]);
    assert_eq!(balance(&store, &acme).await, (5, 20));
    assert_sound(&store).await;
}

#[tokio::test]
async fn a_caller_that_goes_away_in_the_middle_of_a_call_takes_nobody_with_it() {
    let (store, jobs) = running(4).await;
    let mut first = Box::pin(settle(&store, &jobs[0], 7));
    assert!(first.as_mut().now_or_never().is_none(), "it is under way");
    let mut waits = Box::pin(settle(&store, &jobs[1], 7));
    assert!(waits.as_mut().now_or_never().is_none());
    let mut also_waits = Box::pin(settle(&store, &jobs[2], 7));
    assert!(also_waits.as_mut().now_or_never().is_none());
    drop(first);
    assert!(is_settled(&waits.await));
    assert!(is_settled(&also_waits.await));
    // The line is free again, also for one who comes alone.
    assert!(is_settled(&settle(&store, &jobs[3], 7).await));
    // What was sent for the one that went away stands; to ask again says so.
    assert!(is_settled(&settle(&store, &jobs[0], 7).await));
    assert_eq!(balance(&store, &account("acme")).await, (972, 0));
    assert_sound(&store).await;
}

#[tokio::test]
async fn nothing_is_sent_for_a_caller_that_went_away_while_it_waited() {
    let (store, jobs) = running(3).await;
    let mut first = Box::pin(settle(&store, &jobs[0], 7));
    assert!(first.as_mut().now_or_never().is_none());
    let mut gone = Box::pin(settle(&store, &jobs[1], 7));
    assert!(gone.as_mut().now_or_never().is_none());
    let mut waits = Box::pin(settle(&store, &jobs[2], 7));
    assert!(waits.as_mut().now_or_never().is_none());
    drop(gone);
    assert!(is_settled(&first.await));
    assert!(is_settled(&waits.await));
    assert_eq!(state_of(&store, &jobs[1].job).await, "running");
    let settled = settle(&store, &jobs[1], 7).await;
    assert!(
        matches!(
            settled,
            SettleOutcome::Settled {
                replayed: false,
                ..
            }
        ),
        "{settled:?}"
    );
    assert_sound(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_10_a_shared_call_without_an_answer_is_resolved_by_each_that_repeats_it() {
    let server = PrivateRedis::start(plain_redis()).expect("a private Redis");
    let impatient = Options {
        connection: ConnectionOptions {
            response_timeout_ms: 200,
            ..options().connection
        },
        ..options()
    };
    let store = Store::open(&server.url(), impatient)
        .await
        .expect("a store");
    let acme = funded(&store, "acme", 1_000).await;
    let raw = Raw::open(&server.url()).await;
    let jobs: Vec<NewJob> = (0..40).map(|_| job_for(&store, &acme, 10)).collect();
    // Asked once before, so that the answer to how much memory there is does not stand in the way.
    accept(&store, &jobs[0]).await;
    let _: String = raw.run(&["CLIENT", "PAUSE", "700", "ALL"]).await;
    let answers = join_all(jobs.iter().map(|job| until_answered(&store, job))).await;
    let unknown: usize = answers.iter().map(|(_, unknown)| unknown).sum();
    assert!(unknown > 0, "no answer was lost");
    for (job, (submitted, _)) in jobs.iter().zip(&answers) {
        assert_eq!(submitted.job, job.job);
    }
    assert_eq!(balance(&store, &acme).await, (600, 400));
    assert_sound(&store).await;
}

/// Submits until there is an answer. Also returns how often there was none.
async fn until_answered(store: &Store, job: &NewJob) -> (Submitted, usize) {
    let mut unknown = 0;
    loop {
        match store.submit(job).await {
            Ok(SubmitOutcome::Accepted(submitted)) => return (submitted, unknown),
            Err(error) if error.is_transient() => unknown += 1,
            other => panic!("{other:?}"),
        }
    }
}
