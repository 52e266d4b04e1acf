//! Caps by day and month of UTC, and the event of a low balance.

use meterline::domain::credits::Ucr;
use meterline::domain::ids::AccountId;
use meterline::store::{GrantKind, Store, SubmitRefusal, Term};

use crate::support::*;

/// 2027-01-15T08:00:00Z is [`T0`]; that day is over at:
const MIDNIGHT: u64 = 1_800_057_600_000;
/// 2027-02-01T00:00:00Z.
const FEBRUARY: u64 = 1_801_440_000_000;
fn caps(day: u32, month: u32) -> Term {
    Term::Caps {
        day: Some(credits(day)),
        month: Some(credits(month)),
    }
}

fn exceeded(period: &str, until_ms: u64, need: u32, left: u32) -> SubmitRefusal {
    SubmitRefusal::CapExceeded {
        period: period.to_owned(),
        until_ms,
        need: credits(need),
        left: credits(left),
    }
}

/// Spent in the day and in the month, whole credits.
async fn spent(store: &Store, id: &AccountId) -> (i64, i64) {
    let view = money(store, id).await;
    (
        view.day.spent_ucr / 1_000_000,
        view.month.spent_ucr / 1_000_000,
    )
}

#[tokio::test]
async fn held_and_captured_credit_counts_and_what_is_given_back_does_not() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 1_000).await;
    // What was spent before there was a cap counts as well.
    charged(&store, &acme, 20, 15).await;
    set(&store, &acme, caps(50, 0)).await;
    let held = accept(&store, &job_for(&store, &acme, 30)).await.job;
    assert_eq!(spent(&store, &acme).await, (45, 45));
    let before = raw.dump().await;
    let refused = refuse(&store, &job_for(&store, &acme, 6)).await;
    assert_eq!(refused, exceeded("day", MIDNIGHT, 6, 5));
    assert_eq!(raw.dump().await, before);
    accept(&store, &job_for(&store, &acme, 5)).await;
    cancel(&store, &held).await;
    assert_eq!(spent(&store, &acme).await, (20, 20));
    accept(&store, &job_for(&store, &acme, 30)).await;
    assert_sound(&store).await;
}

#[tokio::test]
async fn a_day_ends_at_midnight_utc_and_a_hold_leaves_only_the_day_it_was_counted_in() {
    let store = store().await;
    let acme = funded(&store, "acme", 1_000).await;
    set(&store, &acme, caps(40, 0)).await;
    let evening = store.at(MIDNIGHT - 1);
    let late = accept(&evening, &job_for(&store, &acme, 40)).await.job;
    assert_eq!(
        refuse(&evening, &job_for(&store, &acme, 1)).await,
        exceeded("day", MIDNIGHT, 1, 0)
    );
    let morning = store.at(MIDNIGHT);
    accept(&morning, &job_for(&store, &acme, 25)).await;
    assert_eq!(spent(&morning, &acme).await, (25, 65));
    // Yesterday's hold ends today: today's count stays, the month's falls.
    cancel(&morning, &late).await;
    assert_eq!(spent(&morning, &acme).await, (25, 25));
    assert_eq!(
        refuse(&morning, &job_for(&store, &acme, 16)).await,
        exceeded("day", MIDNIGHT + DAY_MS, 16, 15)
    );
    assert_sound(&morning).await;
}

#[tokio::test]
async fn a_month_ends_with_its_last_day_and_is_named_where_both_caps_are_passed() {
    let store = store().await;
    let acme = funded(&store, "acme", 1_000).await;
    set(&store, &acme, caps(60, 100)).await;
    let old = accept(&store, &job_for(&store, &acme, 60)).await.job;
    let next_day = store.at(MIDNIGHT);
    accept(&next_day, &job_for(&store, &acme, 40)).await;
    let last = store.at(FEBRUARY - 1);
    assert_eq!(
        refuse(&last, &job_for(&store, &acme, 61)).await,
        exceeded("month", FEBRUARY, 61, 0)
    );
    let february = store.at(FEBRUARY);
    accept(&february, &job_for(&store, &acme, 60)).await;
    // A hold of January that ends in February leaves February alone.
    cancel(&february, &old).await;
    assert_eq!(spent(&february, &acme).await, (60, 60));
    assert_sound(&february).await;
}

#[tokio::test]
async fn a_period_that_a_wrong_clock_has_begun_counts_nothing_once_it_is_set_right() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 1_000).await;
    set(&store, &acme, caps(40, 50)).await;
    let ahead = store.at(T0 + 90 * DAY_MS);
    accept(&ahead, &job_for(&store, &acme, 40)).await;
    let _: i64 = raw
        .run(&["HSET", &key("part", "meta"), "last_ms", &T0.to_string()])
        .await;
    assert_eq!(spent(&store, &acme).await, (0, 0));
    accept(&store, &job_for(&store, &acme, 40)).await;
    assert_eq!(spent(&store, &acme).await, (40, 40));
    assert_eq!(
        refuse(&store, &job_for(&store, &acme, 1)).await,
        exceeded("day", MIDNIGHT, 1, 0)
    );
    assert_sound(&store).await;
}

#[tokio::test]
async fn a_refund_leaves_the_periods_that_its_charge_was_counted_in() {
    let store = store().await;
    let acme = funded(&store, "acme", 1_000).await;
    set(&store, &acme, caps(50, 0)).await;
    let job = charged(&store, &acme, 50, 50).await;
    refund(&store, &job, Some(20), "one").await;
    assert_eq!(spent(&store, &acme).await, (30, 30));
    let morning = store.at(MIDNIGHT);
    accept(&morning, &job_for(&store, &acme, 10)).await;
    refund(&morning, &job, None, "rest").await;
    assert_eq!(spent(&morning, &acme).await, (10, 10));
    assert_sound(&morning).await;
}

#[tokio::test]
async fn caps_are_set_and_taken_away_one_by_one() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 1_000).await;
    let only = |day: Option<u32>, month: Option<u32>| Term::Caps {
        day: day.map(credits),
        month: month.map(credits),
    };
    set(&store, &acme, only(Some(10), None)).await;
    set(&store, &acme, only(None, Some(30))).await;
    let view = money(&store, &acme).await;
    let both = (view.day.cap_ucr, view.month.cap_ucr);
    assert_eq!(both, (Some(10_000_000), Some(30_000_000)));
    let before = raw.dump().await;
    let again = set(&store, &acme, only(Some(10), Some(30))).await;
    let replayed = meterline::store::TermOutcome::Set {
        admitted: 0,
        replayed: true,
    };
    assert_eq!(again, replayed);
    assert_eq!(raw.dump().await, before);
    set(&store, &acme, only(Some(0), None)).await;
    assert_eq!(
        refuse(&store, &job_for(&store, &acme, 31)).await,
        exceeded("month", FEBRUARY, 31, 30)
    );
    set(&store, &acme, only(None, Some(0))).await;
    accept(&store, &job_for(&store, &acme, 500)).await;
    assert_sound(&store).await;
}

#[tokio::test]
async fn a_hundred_at_once_do_not_pass_a_cap() {
    let store = store().await;
    let acme = funded(&store, "acme", 10_000).await;
    set(&store, &acme, caps(100, 0)).await;
    let jobs = futures_util::future::join_all((0..100).map(|_| {
        let (store, job) = (store.clone(), job_for(&store, &acme, 7));
        async move { store.submit(&job).await.expect("submit") }
    }));
    let accepted = |o: &meterline::store::SubmitOutcome| {
        matches!(o, meterline::store::SubmitOutcome::Accepted(_))
    };
    assert_eq!(jobs.await.iter().filter(|o| accepted(o)).count(), 14);
    assert_eq!(spent(&store, &acme).await, (98, 98));
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_09_a_setting_of_nobody_or_of_a_queue_that_is_none_changes_nothing() {
    use meterline::store::TermOutcome;
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 1).await;
    let before = raw.dump().await;
    let nobody = account("nobody");
    assert_eq!(
        set(&store, &nobody, caps(1, 1)).await,
        TermOutcome::UnknownAccount
    );
    for name in ["", "No Queue", "a=1;b"] {
        let term = Term::QueueMaxActive(name.to_owned(), 1);
        assert_eq!(
            set(&store, &acme, term).await,
            TermOutcome::BadValue,
            "{name}"
        );
    }
    assert_eq!(raw.dump().await, before);
}

/// The balances, in whole credits, that the events of a low balance name.
async fn warnings(raw: &Raw) -> Vec<i64> {
    let rows: Vec<(String, Vec<(String, String)>)> =
        raw.run(&["XRANGE", &key("part", "events"), "-", "+"]).await;
    let field = |fields: &[(String, String)], name: &str| {
        let found = fields.iter().find(|(n, _)| n == name);
        found.map(|(_, v)| v.clone()).unwrap_or_default()
    };
    rows.iter()
        .filter(|(_, fields)| field(fields, "e") == "low_balance")
        .map(|(_, fields)| {
            assert_eq!(field(fields, "a"), "acme");
            field(fields, "d").parse::<i64>().expect("a balance") / 1_000_000
        })
        .collect()
}

#[tokio::test]
async fn a_low_balance_is_told_once_and_again_only_after_it_was_above() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 30).await;
    set(&store, &acme, Term::LowBalance(credits(20))).await;
    accept(&store, &job_for(&store, &acme, 10)).await;
    assert_eq!(warnings(&raw).await, [0; 0], "20 are not below 20");
    let job = accept(&store, &job_for(&store, &acme, 5)).await.job;
    accept(&store, &job_for(&store, &acme, 5)).await;
    assert_eq!(warnings(&raw).await, [15]);
    cancel(&store, &job).await;
    accept(&store, &job_for(&store, &acme, 3)).await;
    assert_eq!(warnings(&raw).await, [15], "15 again: it was never above");
    let soon = Some(T0 + 1_000);
    give(&store, &acme, 10, GrantKind::Daily, soon, "top-up").await;
    let later = store.at(T0 + 1_000);
    tick(&later).await;
    assert_eq!(warnings(&raw).await, [15, 12], "an expiry lowers it too");
    assert_sound(&later).await;
}

#[tokio::test]
async fn a_threshold_comes_with_the_account_and_says_nothing_of_what_is_low_already() {
    let mut options = options();
    options.low_balance = credits(10);
    let (store, raw) = store_and_raw(options).await;
    let acme = funded(&store, "acme", 5).await;
    assert_eq!(money(&store, &acme).await.low_balance_ucr, Some(10_000_000));
    accept(&store, &job_for(&store, &acme, 1)).await;
    assert_eq!(warnings(&raw).await, [0; 0], "it was never above");
    give(&store, &acme, 10, GrantKind::Purchase, None, "more").await;
    accept(&store, &job_for(&store, &acme, 5)).await;
    assert_eq!(warnings(&raw).await, [9]);
    set(&store, &acme, Term::LowBalance(Ucr::ZERO)).await;
    give(&store, &acme, 10, GrantKind::Purchase, None, "again").await;
    accept(&store, &job_for(&store, &acme, 15)).await;
    assert_eq!(warnings(&raw).await, [9]);
    assert_eq!(money(&store, &acme).await.low_balance_ucr, None);
    assert_sound(&store).await;
}
