//! Credits come in: once, within limits, debt first.

use meterline::domain::credits::Ucr;
use meterline::store::{GrantKind, GrantOutcome};

use crate::support::*;

#[tokio::test]
async fn equal_kind_and_expiry_merge_and_keep_their_age() {
    let store = store().await;
    let acme = funded(&store, "acme", 0).await;
    give(&store, &acme, 10, GrantKind::Plan, days(1), "a").await;
    give(&store, &acme, 10, GrantKind::Plan, days(2), "b").await;
    let third = give(&store, &acme, 5, GrantKind::Plan, days(1), "c").await;
    assert!(matches!(third, GrantOutcome::Granted { grant, .. } if grant == "g1"));
    give(&store, &acme, 1, GrantKind::Promo, days(1), "d").await;
    let plan = || "plan".to_owned();
    assert_eq!(
        grants(&store, &acme).await,
        [(plan(), 15, 0), (plan(), 10, 0), ("promo".to_owned(), 1, 0)]
    );
    assert_sound(&store).await;
}

#[tokio::test]
async fn a_64th_grant_is_taken_and_a_65th_refused() {
    let store = store().await;
    let acme = funded(&store, "acme", 1).await;
    for n in 1..64 {
        let at = Some(T0 + 1_000 * n);
        let outcome = give(&store, &acme, 1, GrantKind::Daily, at, &format!("d{n}")).await;
        assert!(
            matches!(outcome, GrantOutcome::Granted { .. }),
            "{n} {outcome:?}"
        );
    }
    let at = Some(T0 + 64_000);
    let outcome = give(&store, &acme, 1, GrantKind::Daily, at, "d64").await;
    assert_eq!(outcome, GrantOutcome::TooManyGrants);
    // One that merges makes none more.
    let outcome = give(&store, &acme, 1, GrantKind::Purchase, None, "more").await;
    assert!(matches!(outcome, GrantOutcome::Granted { .. }));
    assert_eq!(balance(&store, &acme).await, (65, 0));
    assert_sound(&store).await;
}

#[tokio::test]
async fn grants_that_have_expired_leave_room_for_new_ones_before_the_sweep() {
    let store = store().await;
    let acme = funded(&store, "acme", 1).await;
    for n in 1..64 {
        let at = Some(T0 + 1_000 * n);
        give(&store, &acme, 1, GrantKind::Daily, at, &format!("d{n}")).await;
    }
    let later = store.at(T0 + 10_000);
    let outcome = give(&later, &acme, 1, GrantKind::Daily, days(1), "new").await;
    assert!(
        matches!(outcome, GrantOutcome::Granted { .. }),
        "{outcome:?}"
    );
    assert_eq!(balance(&later, &acme).await, (64 - 10 + 1, 0));
    assert_sound(&later).await;
}

#[tokio::test]
async fn promise_03_an_operation_id_grants_once_and_gives_its_first_answer_again() {
    let store = store().await;
    let acme = funded(&store, "acme", 0).await;
    let first = store
        .grant(&request(&acme, 5_000_000, "pay-1"))
        .await
        .expect("grant");
    give(&store, &acme, 10, GrantKind::Purchase, None, "pay-2").await;
    accept(&store, &job_for(&store, &acme, 3)).await;
    let mut second = request(&acme, 5_000_000, "pay-1");
    second.reason = "another reason".to_owned();
    let second = store.grant(&second).await.expect("grant");
    let answer = |replayed| GrantOutcome::Granted {
        grant: "g1".to_owned(),
        available: credits(5),
        debt: Ucr::ZERO,
        replayed,
    };
    assert_eq!((first, second), (answer(false), answer(true)));
    assert_eq!(balance(&store, &acme).await, (12, 3));
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_03_an_operation_id_with_another_content_is_refused() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 0).await;
    store
        .grant(&request(&acme, 5_000_000, "pay-1"))
        .await
        .expect("grant");
    let other_amount = request(&acme, 5_000_001, "pay-1");
    let mut other_kind = request(&acme, 5_000_000, "pay-1");
    other_kind.kind = GrantKind::Promo;
    let mut other_expiry = request(&acme, 5_000_000, "pay-1");
    other_expiry.expires_at_ms = days(1);
    let before = raw.dump().await;
    for request in [other_amount, other_kind, other_expiry] {
        let outcome = store.grant(&request).await.expect("grant");
        assert_eq!(outcome, GrantOutcome::Mismatch { amount: credits(5) });
    }
    assert_eq!(raw.dump().await, before);
    // Another account's operations are its own.
    let bolt = funded(&store, "bolt", 0).await;
    let outcome = store
        .grant(&request(&bolt, 1, "pay-1"))
        .await
        .expect("grant");
    assert!(matches!(
        outcome,
        GrantOutcome::Granted {
            replayed: false,
            ..
        }
    ));
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_09_refused_grants_change_nothing() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 0).await;
    let full = request(&acme, Ucr::MAX.get(), "all");
    assert!(matches!(
        store.grant(&full).await.expect("grant"),
        GrantOutcome::Granted { .. }
    ));
    let before = raw.dump().await;

    let over = request(&acme, 1, "one-more");
    assert_eq!(
        store.grant(&over).await.expect("grant"),
        GrantOutcome::Overflow
    );
    let over = request(&acme, Ucr::MAX.get(), "all-again");
    assert_eq!(
        store.grant(&over).await.expect("grant"),
        GrantOutcome::Overflow
    );
    for at_ms in [1, T0 - 1, T0] {
        let mut past = request(&acme, 1, "past");
        past.expires_at_ms = Some(at_ms);
        assert_eq!(
            store.grant(&past).await.expect("grant"),
            GrantOutcome::ExpiredAlready
        );
    }
    let nobody = request(&account("nobody"), 1, "lost");
    assert_eq!(
        store.grant(&nobody).await.expect("grant"),
        GrantOutcome::UnknownAccount
    );
    assert_eq!(raw.dump().await, before);
    assert_eq!(money(&store, &acme).await.available_ucr, Ucr::MAX.get());
    assert_sound(&store).await;
}

#[tokio::test]
async fn what_comes_in_pays_debt_first_and_debt_blocks_new_jobs() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 10).await;
    raw.owe(&acme, 15_000_000).await;
    refuse(&store, &job_for(&store, &acme, 1)).await;
    let outcome = give(&store, &acme, 9, GrantKind::Purchase, None, "part").await;
    let paid = GrantOutcome::Granted {
        grant: "g1".to_owned(),
        available: credits(10),
        debt: credits(6),
        replayed: false,
    };
    assert_eq!(outcome, paid);
    refuse(&store, &job_for(&store, &acme, 1)).await;
    give(&store, &acme, 9, GrantKind::Promo, None, "rest").await;
    assert_eq!(balance(&store, &acme).await, (13, 0));
    assert_eq!(money(&store, &acme).await.debt_ucr, 0);
    accept(&store, &job_for(&store, &acme, 13)).await;
    assert_sound(&store).await;
}

#[tokio::test]
async fn an_account_is_opened_once() {
    use meterline::store::Opened;
    let (store, raw) = store_and_raw(options()).await;
    let acme = account("acme");
    assert_eq!(
        store.open_account(&acme, 3).await.expect("open"),
        Opened::Created
    );
    give(&store, &acme, 5, GrantKind::Purchase, None, "pay").await;
    let before = raw.dump().await;
    assert_eq!(
        store.open_account(&acme, 9).await.expect("open"),
        Opened::Exists
    );
    assert_eq!(raw.dump().await, before);
    assert_eq!(
        store.account(&account("nobody")).await.expect("account"),
        None
    );
    assert_sound(&store).await;
}
