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
