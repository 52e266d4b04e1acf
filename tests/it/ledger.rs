//! The money rules on a real Redis.

use meterline::store::SettleOutcome;

use crate::support::*;

#[tokio::test]
async fn a_job_holds_its_ceiling_and_is_charged_what_it_settles_for() {
    let store = store().await;
    let acme = funded(&store, "acme", 100).await;
    let submitted = accept(&store, &job_for(&store, &acme, 35)).await;
    assert_eq!(balance(&store, &acme).await, (65, 35));

    let job = claim_one(&store, "w1").await;
    assert_eq!(job.job, submitted.job);
    let outcome = store
        .settle(&job.job, &job.token, &settlement(28))
        .await
        .expect("settle");
    assert_eq!(
        outcome,
        SettleOutcome::Settled {
            captured: credits(28),
            released: credits(7),
            replayed: false
        }
    );
    assert_eq!(balance(&store, &acme).await, (72, 0));
    assert_eq!(state_of(&store, &job.job).await, "succeeded");
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_05_one_job_that_does_not_add_up_keeps_no_other_job_open() {
    let (store, raw) = store_and_raw(options()).await;
    let broken = funded(&store, "broken", 50).await;
    let acme = funded(&store, "acme", 50).await;
    accept(&store, &job_for(&store, &broken, 10)).await;
    let sound = accept(&store, &job_for(&store, &acme, 10)).await.job;
    // Somebody deleted an account by hand: its job cannot be ended, whatever is tried.
    let _: i64 = raw.run(&["DEL", &key("acct", "broken")]).await;
    let over = T0 + options().queue_ttl_ms + 1;
    tick(&store.at(over)).await;
    assert_eq!(state_of(&store, &sound).await, "timed_out");
    assert_eq!(balance(&store, &acme).await, (50, 0));
}

#[tokio::test]
async fn promise_09_a_job_id_of_another_partition_is_refused_and_changes_nothing() {
    let mut options = options();
    options.partitions = 8;
    let (store, raw) = store_and_raw(options).await;
    let acme = funded(&store, "acme", 50).await;
    let other = (0..100)
        .map(|n| account(&format!("other-{n}")))
        .find(|other| other.partition(8) != acme.partition(8))
        .expect("an account elsewhere");
    let before = raw.dump().await;
    let mut job = job_for(&store, &acme, 10);
    job.job = store.new_job_id(&other);
    assert!(matches!(
        refuse(&store, &job).await,
        meterline::store::SubmitRefusal::ForeignJob(_)
    ));
    assert_eq!(raw.dump().await, before);
}
