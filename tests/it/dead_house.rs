//! A job that the house pays meets the account's other rules: caps, refunds.

use meterline::domain::failure::FailureClass;
use meterline::domain::ids::{AccountId, JobId};
use meterline::store::{
    Payer, Redrive, RedriveOutcome, RedriveRefusal, RefundOutcome, RefundRequest, Store,
    SubmitRefusal, Term,
};

use crate::support::*;

/// A job of 35 credits that an operator ended.
async fn dead_letter(store: &Store, acme: &AccountId) -> JobId {
    let job = accept(store, &job_for(store, acme, 35)).await.job;
    let class = FailureClass::ProviderFault;
    let ended = store.force_fail(&job, class, "a test", "tests").await;
    ended.expect("force fail");
    job
}

async fn redrive(store: &Store, dead: &JobId, payer: Payer) -> RedriveOutcome {
    let request = Redrive {
        dead: dead.clone(),
        job: store.successor_id(dead),
        payer,
        reason: String::new(),
        actor: "ops".to_owned(),
    };
    store.redrive(&request).await.expect("redrive")
}

async fn cap(store: &Store, acme: &AccountId, n: u32) {
    let term = Term::Caps {
        day: Some(credits(n)),
        month: None,
    };
    store
        .set_term(acme, &term, "a test", "tests")
        .await
        .expect("a cap");
}

#[tokio::test]
async fn a_cap_binds_the_account_and_not_the_house() {
    let store = store().await;
    let acme = funded(&store, "acme", 100).await;
    let dead = dead_letter(&store, &acme).await;
    cap(&store, &acme, 40).await;
    accept(&store, &job_for(&store, &acme, 10)).await;
    let refused = redrive(&store, &dead, Payer::Account).await;
    let RedriveOutcome::Refused(RedriveRefusal::Submit(SubmitRefusal::CapExceeded {
        need,
        left,
        ..
    })) = refused
    else {
        panic!("{refused:?}")
    };
    assert_eq!((need, left), (credits(35), credits(30)));
    let done = redrive(&store, &dead, Payer::House).await;
    assert!(matches!(done, RedriveOutcome::Redriven(_)), "{done:?}");
    // What the house holds is counted in no period, so 30 credits of today's 40 are still left, and
    // its end gives none back.
    for job in claim(&store, "w1", 2).await {
        fail(&store, &job, &ends(FailureClass::Lost)).await;
    }
    assert!(matches!(
        refuse(&store, &job_for(&store, &acme, 41)).await,
        SubmitRefusal::CapExceeded { .. }
    ));
    accept(&store, &job_for(&store, &acme, 40)).await;
    assert_sound(&store).await;
}

#[tokio::test]
async fn a_capture_that_the_house_paid_is_not_refunded_to_the_account() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 35).await;
    let dead = dead_letter(&store, &acme).await;
    redrive(&store, &dead, Payer::House).await;
    let job = claim_one(&store, "w1").await;
    settle(&store, &job, &settlement(28)).await;
    assert_eq!(balance(&store, &acme).await, (35, 0));
    let before = raw.dump().await;
    let request = RefundRequest {
        job: job.job.clone(),
        operation: "r1".parse().expect("an operation id"),
        amount: None,
        reason: "sorry".to_owned(),
        actor: "ops".to_owned(),
    };
    let outcome = store.refund(&request).await.expect("refund");
    assert!(
        matches!(outcome, RefundOutcome::NotCaptured { .. }),
        "{outcome:?}"
    );
    assert_eq!(raw.dump().await, before);
    assert_sound(&store).await;
}

#[tokio::test]
async fn what_the_house_pinned_is_shown_as_pinned_and_not_as_expired_long_ago() {
    let store = store().await;
    let acme = funded(&store, "acme", 100).await;
    let dead = dead_letter(&store, &acme).await;
    let done = redrive(&store, &dead, Payer::House).await;
    assert!(matches!(done, RedriveOutcome::Redriven(_)), "{done:?}");
    let view = money(&store, &acme).await;
    let house: Vec<_> = view.grants.iter().filter(|g| g.kind == "house").collect();
    let [house] = house[..] else {
        panic!("{:?}", view.grants)
    };
    assert_eq!((house.remaining_ucr, house.pinned_ucr), (0, 35_000_000));
    assert_eq!(house.expires_at_ms, None);
    assert_sound(&store).await;
}
