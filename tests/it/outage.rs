//! The store goes away and comes back.

use meterline::dev::redis::PrivateRedis;
use serde_json::json;

use crate::support::rig::Rig;
use crate::support::*;

fn durable() -> PrivateRedis {
    PrivateRedis::start(durable_redis()).expect("a private Redis")
}

#[tokio::test(flavor = "multi_thread")]
async fn work_goes_on_after_the_store_was_killed_and_nobody_is_taken_for_dead() {
    let mut redis = durable();
    let rig = Rig::on(redis.url()).await;
    let acme = account("acme");
    rig.fund(&acme, 1_000).await;
    let worker = rig.worker(None);
    let mut jobs = Vec::new();
    for n in 0..8 {
        jobs.push(
            rig.video(&acme, 5_000, json!({"delay_ms": 1_500 + 50 * n}))
                .await
                .job,
        );
    }
    for job in &jobs {
        rig.seen(job, "handle", 1).await;
    }
    redis.kill().expect("kill");
    // Longer than a lease: every worker's lease has lapsed when the store is back.
    tokio::time::sleep(std::time::Duration::from_millis(1_600)).await;
    redis.restart().expect("restart");

    for job in &jobs {
        let view = rig.ended(job).await;
        assert_eq!(view.text("state"), "succeeded", "{view:?}");
        assert_eq!(
            view.number("takeovers"),
            0,
            "a live worker was taken for dead: {view:?}"
        );
        assert_eq!(rig.started_for(job).await, 1);
    }
    let late = rig.image(&acme, json!({})).await.job;
    assert_eq!(rig.ended(&late).await.text("state"), "succeeded");
    assert_eq!(balance(&rig.store, &acme).await, (1_000 - 8 * 35 - 7, 0));
    assert_eq!(worker.drain().await, 0);
    rig.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_05_a_deadline_that_passed_during_an_outage_ends_at_the_first_sweep_after_it() {
    let mut redis = durable();
    let rig = Rig::on(redis.url()).await;
    let acme = account("acme");
    rig.fund(&acme, 100).await;
    let worker = rig.worker(None);
    let job = rig.image(&acme, json!({"hang": true})).await.job;
    rig.seen(&job, "handle", 1).await;
    // Every process dies, and the store with them; only the store comes back, past the deadline.
    worker.abort().await;
    redis.kill().expect("kill");
    redis.restart().expect("restart");
    let view = rig.store.job(&job).await.expect("a view").expect("the job");
    let deadline = u64::try_from(view.number("deadline_at")).expect("a time");
    rig.store
        .at(deadline + 1)
        .tick(0, 200, 1_000, false)
        .await
        .expect("tick");
    assert_eq!(state_of(&rig.store, &job).await, "timed_out");
    assert_eq!(balance(&rig.store, &acme).await, (100, 0));
    rig.assert_sound().await;
}
