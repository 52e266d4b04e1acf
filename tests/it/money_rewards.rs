//! Credits that an account gets by itself: a welcome once, a reward once a day.

use meterline::store::{GrantKind, GrantOutcome, Reward, RewardOutcome, Store};

use crate::support::*;

/// 2027-01-16T00:00:00Z, the midnight after [`T0`].
const MIDNIGHT: u64 = 1_800_057_600_000;
async fn take(store: &Store, reward: Reward, n: u32, days: u32) -> RewardOutcome {
    let acme = account("acme");
    let outcome = store.reward(&acme, reward, credits(n), days, "tests");
    outcome.await.expect("reward")
}

fn taken(operation: &str, next_at_ms: Option<u64>) -> RewardOutcome {
    RewardOutcome::AlreadyTaken {
        operation: operation.to_owned(),
        next_at_ms,
    }
}

#[tokio::test]
async fn a_daily_reward_is_taken_once_per_day_of_utc_by_the_store_s_clock() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 0).await;
    let RewardOutcome::Granted { operation, .. } = take(&store, Reward::Daily, 10, 1).await else {
        panic!("not granted");
    };
    assert_eq!(operation, "daily-2027-01-15");
    let before = raw.dump().await;
    let evening = store.at(MIDNIGHT - 1);
    for amount in [10, 20] {
        let again = take(&evening, Reward::Daily, amount, 1).await;
        assert_eq!(again, taken("daily-2027-01-15", Some(MIDNIGHT)));
    }
    assert_eq!(raw.dump().await, before);
    assert_eq!(money(&evening, &acme).await.available_ucr, 10_000_000);
    let morning = store.at(MIDNIGHT);
    let next = take(&morning, Reward::Daily, 10, 1).await;
    assert!(
        matches!(&next, RewardOutcome::Granted { operation, .. } if operation == "daily-2027-01-16")
    );
    let view = money(&morning, &acme).await;
    assert_eq!(
        (view.available_ucr, view.expired_ucr),
        (10_000_000, 10_000_000)
    );
    assert_sound(&morning).await;
}

#[tokio::test]
async fn a_welcome_is_given_once_and_may_live_for_days_or_for_ever() {
    for (days, expires) in [
        (0, None),
        (1, Some(MIDNIGHT)),
        (30, Some(MIDNIGHT + 29 * DAY_MS)),
    ] {
        let store = store().await;
        let acme = funded(&store, "acme", 0).await;
        let first = take(&store, Reward::Signup, 50, days).await;
        assert!(matches!(first, RewardOutcome::Granted { .. }), "{first:?}");
        let later = store.at(T0 + 400 * DAY_MS);
        assert_eq!(
            take(&later, Reward::Signup, 60, days).await,
            taken("signup", None)
        );
        let grants = money(&store, &acme).await.grants;
        let shown: Vec<_> = grants
            .iter()
            .map(|g| (g.kind.as_str(), g.expires_at_ms))
            .collect();
        assert_eq!(shown, [("signup", expires)]);
        assert_sound(&store).await;
    }
}

#[tokio::test]
async fn of_many_at_once_one_takes_the_reward() {
    let store = store().await;
    let acme = funded(&store, "acme", 0).await;
    for reward in [Reward::Signup, Reward::Daily] {
        let all = futures_util::future::join_all((0..10).map(|_| take(&store, reward, 5, 0)));
        let granted = |o: &&RewardOutcome| matches!(o, RewardOutcome::Granted { .. });
        assert_eq!(all.await.iter().filter(granted).count(), 1);
    }
    assert_eq!(balance(&store, &acme).await, (10, 0));
    assert_sound(&store).await;
}

#[tokio::test]
async fn an_operation_id_that_a_reward_has_used_is_used() {
    let store = store().await;
    let acme = funded(&store, "acme", 0).await;
    take(&store, Reward::Signup, 5, 0).await;
    let grant = give(&store, &acme, 5, GrantKind::Signup, None, "signup").await;
    assert_eq!(grant, GrantOutcome::Mismatch { amount: credits(5) });
    // And one that was used by hand is no reward any more.
    give(&store, &acme, 5, GrantKind::Daily, None, "daily-2027-01-15").await;
    let daily = take(&store, Reward::Daily, 5, 1).await;
    assert_eq!(daily, taken("daily-2027-01-15", Some(MIDNIGHT)));
    assert_eq!(balance(&store, &acme).await, (10, 0));
}

#[tokio::test]
async fn promise_09_rewards_that_cannot_be_change_nothing() {
    let mut options = options();
    options.grants_max = 1;
    let (store, raw) = store_and_raw(options).await;
    let before = raw.dump().await;
    assert_eq!(
        take(&store, Reward::Daily, 5, 1).await,
        RewardOutcome::UnknownAccount
    );
    assert_eq!(raw.dump().await, before);
    let acme = funded(&store, "acme", 1).await;
    let before = raw.dump().await;
    assert_eq!(
        take(&store, Reward::Daily, 5, 1).await,
        RewardOutcome::TooManyGrants
    );
    let overflow = store.reward(
        &acme,
        Reward::Daily,
        meterline::domain::credits::Ucr::MAX,
        1,
        "tests",
    );
    assert_eq!(overflow.await.expect("reward"), RewardOutcome::Overflow);
    assert_eq!(raw.dump().await, before);
    store
        .close_account(&acme, "left", "ann")
        .await
        .expect("close");
    let before = raw.dump().await;
    let closed = RewardOutcome::AccountClosed("closed".to_owned());
    assert_eq!(take(&store, Reward::Daily, 5, 1).await, closed);
    assert_eq!(raw.dump().await, before);
}
