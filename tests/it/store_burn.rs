//! Credits burn, expire, and come back.

use meterline::domain::credits::Ucr;
use meterline::domain::failure::FailureClass;
use meterline::domain::ids::AccountId;
use meterline::domain::job::State;
use meterline::store::{CancelOutcome, GrantKind, SettleOutcome, Store};

use crate::support::*;

#[tokio::test]
async fn the_soonest_expiry_burns_first_and_what_never_expires_last() {
    let store = store().await;
    let acme = funded(&store, "acme", 10).await;
    give(&store, &acme, 10, GrantKind::Plan, days(3), "a").await;
    give(&store, &acme, 10, GrantKind::Plan, days(1), "b").await;
    give(&store, &acme, 10, GrantKind::Signup, None, "c").await;
    give(&store, &acme, 10, GrantKind::Plan, days(2), "d").await;
    // g1 purchase never, g2 in 3 days, g3 in 1 day, g4 signup never, g5 in 2 days
    let job = accept(&store, &job_for(&store, &acme, 45)).await.job;
    assert_eq!(
        view_of(&store, &job).await.text("slices"),
        "g3=10000000;g5=10000000;g2=10000000;g4=10000000;g1=5000000"
    );
    assert_sound(&store).await;
}

#[tokio::test]
async fn at_equal_expiry_the_kind_decides_and_bought_credits_come_last() {
    let store = store().await;
    let acme = funded(&store, "acme", 0).await;
    let kinds = [
        GrantKind::Purchase,
        GrantKind::Adjustment,
        GrantKind::Plan,
        GrantKind::Signup,
        GrantKind::Promo,
        GrantKind::Daily,
    ];
    for kind in kinds {
        give(&store, &acme, 1, kind, None, kind.as_str()).await;
    }
    let job = accept(&store, &job_for(&store, &acme, 6)).await.job;
    let view = view_of(&store, &job).await;
    let order: Vec<&str> = view.text("slices").split(';').collect();
    assert_eq!(
        order.last(),
        Some(&"g1=1000000"),
        "bought credits are not last"
    );
    assert_eq!(
        order,
        ["g6", "g5", "g4", "g3", "g2", "g1"].map(|g| format!("{g}=1000000"))
    );
    assert_sound(&store).await;
}

#[tokio::test]
async fn a_capture_takes_the_front_of_the_slices_and_the_tail_comes_back() {
    let store = store().await;
    let acme = funded(&store, "acme", 10).await;
    give(&store, &acme, 10, GrantKind::Plan, days(1), "soon").await;
    give(&store, &acme, 10, GrantKind::Plan, days(2), "later").await;
    accept(&store, &job_for(&store, &acme, 25)).await;
    let job = claim_one(&store, "w1").await;
    store
        .settle(&job.job, &job.token, &settlement(12))
        .await
        .expect("settle");
    assert_eq!(
        grants(&store, &acme).await,
        [("purchase".to_owned(), 10, 0), ("plan".to_owned(), 8, 0)]
    );
    assert_sound(&store).await;
}

#[tokio::test]
async fn released_credit_pays_debt_from_the_end_of_the_slices() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 10).await;
    give(&store, &acme, 10, GrantKind::Plan, days(1), "soon").await;
    accept(&store, &job_for(&store, &acme, 20)).await;
    let job = claim_one(&store, "w1").await;
    raw.owe(&acme, 4_000_000).await;
    store
        .settle(&job.job, &job.token, &settlement(0))
        .await
        .expect("settle");
    // Given back in reverse: the purchase, pinned last, comes back first and pays.
    assert_eq!(
        grants(&store, &acme).await,
        [("purchase".to_owned(), 6, 0), ("plan".to_owned(), 10, 0)]
    );
    assert_eq!(money(&store, &acme).await.debt_ucr, 0);
    assert_sound(&store).await;
}

#[tokio::test]
async fn what_is_not_pinned_expires_and_what_is_pinned_waits_for_its_hold() {
    let store = store().await;
    let acme = funded(&store, "acme", 0).await;
    give(
        &store,
        &acme,
        10,
        GrantKind::Daily,
        Some(T0 + 1_000),
        "daily",
    )
    .await;
    accept(&store, &job_for(&store, &acme, 6)).await;
    let job = claim_one(&store, "w1").await;
    assert_eq!(balance(&store.at(T0 + 999), &acme).await, (4, 6));
    let later = store.at(T0 + 1_000);
    assert_eq!(balance(&later, &acme).await, (0, 6));
    let outcome = later.settle(&job.job, &job.token, &settlement(6)).await;
    assert!(
        matches!(outcome, Ok(SettleOutcome::Settled { .. })),
        "{outcome:?}"
    );
    let view = money(&later, &acme).await;
    assert_eq!(
        (view.captured_ucr, view.expired_ucr),
        (6_000_000, 4_000_000)
    );
    assert_eq!(view.grants, []);
    assert_sound(&later).await;
}

#[tokio::test]
async fn expired_credit_cannot_be_spent_before_the_sweep_has_booked_it() {
    let store = store().await;
    let acme = funded(&store, "acme", 5).await;
    give(
        &store,
        &acme,
        10,
        GrantKind::Daily,
        Some(T0 + 1_000),
        "daily",
    )
    .await;
    let later = store.at(T0 + 1_000);
    refuse(&later, &job_for(&later, &acme, 6)).await;
    assert_eq!(
        money(&later, &acme).await.sequence,
        3,
        "a refusal booked something"
    );
    accept(&later, &job_for(&later, &acme, 5)).await;
    let view = money(&later, &acme).await;
    assert_eq!((view.available_ucr, view.expired_ucr), (0, 10_000_000));
    assert_sound(&later).await;
}

#[tokio::test]
async fn the_sweep_books_what_has_expired() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 5).await;
    let at = |ms| Some(T0 + ms);
    give(&store, &acme, 10, GrantKind::Daily, at(1_000), "daily").await;
    give(&store, &acme, 10, GrantKind::Daily, at(2_000), "next").await;
    // The books themselves: a look at the account takes out what is due, booked or not.
    let booked = async || {
        let shown = store
            .account_snapshots(0, std::slice::from_ref(&acme))
            .await;
        let shown = shown.expect("snapshot").remove(0);
        (shown.ucr("available"), shown.ucr("expired"), shown.seq)
    };
    tick(&store.at(T0 + 999)).await;
    assert_eq!(booked().await, (25_000_000, 0, 4));
    tick(&store.at(T0 + 1_999)).await;
    assert_eq!(booked().await, (15_000_000, 10_000_000, 5));
    tick(&store.at(T0 + 3_000)).await;
    assert_eq!(booked().await, (5_000_000, 20_000_000, 6));
    tick(&store.at(T0 + 4_000)).await;
    assert_eq!(booked().await, (5_000_000, 20_000_000, 6));
    assert_eq!(
        raw.run::<i64>(&["ZCARD", &key("part", "expiries")]).await,
        0
    );
    assert_sound(&store).await;
}

/// How a hold on credit that expired meanwhile ends.
#[derive(Debug, Clone, Copy)]
enum Ending {
    Fails(FailureClass),
    CancelledWaiting,
    CancelledRunning,
    CaptureOfNothing,
    RanOut,
    WaitedTooLong,
}

/// 6 of 6 daily credits are held, expire at T0 + 1 s, and the hold ends at `end_ms`.
async fn end_of_expired(ending: Ending, end_ms: u64) -> (Store, AccountId) {
    let store = store().await;
    let acme = funded(&store, "acme", 0).await;
    give(
        &store,
        &acme,
        6,
        GrantKind::Daily,
        Some(T0 + 1_000),
        "daily",
    )
    .await;
    let mut new = job_for(&store, &acme, 6);
    new.deadline_ms = match ending {
        Ending::RanOut => end_ms - T0,
        _ => 40 * DAY_MS,
    };
    let id = accept(&store, &new).await.job;
    let at = store.at(end_ms);
    match ending {
        Ending::Fails(class) => {
            let job = claim_one(&store, "w1").await;
            assert_eq!(fail(&at, &job, &ends(class)).await, ended(State::Failed));
        }
        Ending::CancelledWaiting => {
            let outcome = cancel(&at, &id).await;
            assert_eq!(
                outcome,
                CancelOutcome::Cancelled {
                    released: credits(6)
                }
            );
        }
        Ending::CancelledRunning => {
            let job = claim_one(&store, "w1").await;
            assert_eq!(cancel(&at, &id).await, CancelOutcome::Cancelling);
            let class = FailureClass::ProviderFault;
            assert_eq!(fail(&at, &job, &ends(class)).await, ended(State::Cancelled));
        }
        Ending::CaptureOfNothing => {
            let job = claim_one(&store, "w1").await;
            at.settle(&job.job, &job.token, &settlement(0))
                .await
                .expect("settle");
        }
        Ending::RanOut => {
            claim_one(&store, "w1").await;
            assert_eq!(tick(&at).await, 1);
        }
        Ending::WaitedTooLong => assert_eq!(tick(&at).await, 1),
    }
    assert_sound(&at).await;
    (at, acme)
}

#[tokio::test]
async fn promise_05_credit_that_expired_while_held_comes_back_for_a_day_when_we_failed() {
    let ours = [
        FailureClass::ProviderFault,
        FailureClass::Lost,
        FailureClass::Timeout,
        FailureClass::OurAuth,
        FailureClass::OurBalance,
        FailureClass::UnknownOutcome,
        FailureClass::Capacity,
        FailureClass::RateLimited,
    ];
    let endings = ours.map(Ending::Fails).into_iter().chain([Ending::RanOut]);
    for ending in endings {
        let (store, acme) = end_of_expired(ending, T0 + 2_000).await;
        let view = money(&store, &acme).await;
        assert_eq!(view.available_ucr, 6_000_000, "{ending:?}");
        assert_eq!(view.grants[0].kind, "grace", "{ending:?}");
        assert_eq!(
            view.grants[0].expires_at_ms,
            Some(T0 + 1_000 + DAY_MS),
            "{ending:?}"
        );
        assert_eq!(
            (view.granted_ucr, view.expired_ucr),
            (6_000_000, 0),
            "{ending:?}"
        );
        let end = store.at(T0 + 1_000 + DAY_MS);
        assert_eq!(balance(&end, &acme).await, (0, 0), "{ending:?}");
    }
}

#[tokio::test]
async fn a_job_that_waited_too_long_gives_expired_credit_back_only_within_a_day() {
    // The queue's time to live is a day from T0, so its end lies within a day of the expiry.
    let (store, acme) = end_of_expired(Ending::WaitedTooLong, T0 + DAY_MS).await;
    assert_eq!(balance(&store, &acme).await, (6, 0));
    assert_eq!(balance(&store.at(T0 + DAY_MS + 1_000), &acme).await, (0, 0));
}

#[tokio::test]
async fn credit_that_expired_while_held_is_gone_when_the_user_ended_the_job() {
    for ending in [
        Ending::Fails(FailureClass::UserInput),
        Ending::Fails(FailureClass::ContentPolicy),
        Ending::CancelledWaiting,
        Ending::CancelledRunning,
        Ending::CaptureOfNothing,
    ] {
        let (store, acme) = end_of_expired(ending, T0 + 2_000).await;
        let view = money(&store, &acme).await;
        assert_eq!((view.available_ucr, view.held_ucr), (0, 0), "{ending:?}");
        assert_eq!(
            (view.expired_ucr, view.grants.len()),
            (6_000_000, 0),
            "{ending:?}"
        );
    }
}

#[tokio::test]
async fn grace_ends_a_day_after_the_expiry_however_late_the_release_is() {
    let fault = Ending::Fails(FailureClass::ProviderFault);
    let (store, acme) = end_of_expired(fault, T0 + 1_000 + DAY_MS - 1).await;
    assert_eq!(balance(&store, &acme).await, (6, 0));
    let (store, acme) = end_of_expired(fault, T0 + 1_000 + DAY_MS).await;
    assert_eq!(balance(&store, &acme).await, (0, 0));
    assert_eq!(money(&store, &acme).await.expired_ucr, 6_000_000);
    // Booked by the release itself: it was never spendable again.
    let report = meterline::ledger::audit(&store).await.expect("audit");
    assert_eq!(report.books["breakage"], 6_000_000);
}

#[tokio::test]
async fn grace_is_never_given_twice() {
    let fault = Ending::Fails(FailureClass::ProviderFault);
    let (store, acme) = end_of_expired(fault, T0 + 2_000).await;
    let mut new = job_for(&store, &acme, 6);
    new.deadline_ms = 3 * DAY_MS;
    accept(&store, &new).await;
    let job = claim_one(&store, "w2").await;
    let later = store.at(T0 + 1_000 + DAY_MS);
    let outcome = fail(&later, &job, &ends(FailureClass::ProviderFault)).await;
    assert_eq!(outcome, ended(State::Failed));
    assert_eq!(money(&later, &acme).await.expired_ucr, 6_000_000);
    assert_eq!(balance(&later, &acme).await, (0, 0));
    assert_sound(&later).await;
}

#[tokio::test]
async fn the_largest_amount_is_held_captured_and_given_back_to_the_last_digit() {
    let store = store().await;
    let acme = funded(&store, "acme", 0).await;
    store
        .grant(&request(&acme, Ucr::MAX.get(), "all"))
        .await
        .expect("grant");
    let mut new = job_for(&store, &acme, 1);
    new.ceiling = Ucr::MAX;
    accept(&store, &new).await;
    let job = claim_one(&store, "w1").await;
    assert_eq!(job.ceiling, Ucr::MAX);
    let mut settled = settlement(0);
    settled.captured = Ucr::new(1).expect("an amount");
    store
        .settle(&job.job, &job.token, &settled)
        .await
        .expect("settle");
    let view = money(&store, &acme).await;
    assert_eq!(
        (view.available_ucr, view.captured_ucr),
        (Ucr::MAX.get() - 1, 1)
    );
    assert_sound(&store).await;
}
