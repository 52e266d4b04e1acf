//! Refunds: bounded by the capture, back the way it came, once.

use meterline::domain::credits::Ucr;
use meterline::domain::failure::FailureClass;
use meterline::store::{GrantKind, GrantOutcome, RefundOutcome};

use crate::support::*;

/// What can be spent of each live grant, whole credits, by kind.
async fn free(
    store: &meterline::store::Store,
    id: &meterline::domain::ids::AccountId,
) -> Vec<(String, i64)> {
    let view = money(store, id).await;
    let mut free: Vec<(String, i64)> = view
        .grants
        .into_iter()
        .map(|g| (g.kind, g.remaining_ucr / 1_000_000))
        .collect();
    free.sort();
    free
}

fn kinds(pairs: &[(&str, i64)]) -> Vec<(String, i64)> {
    pairs.iter().map(|(k, n)| ((*k).to_owned(), *n)).collect()
}

#[tokio::test]
async fn a_refund_goes_back_in_reverse_of_how_the_charge_was_collected() {
    let store = store().await;
    let acme = funded(&store, "acme", 10).await;
    give(&store, &acme, 10, GrantKind::Daily, days(1), "today").await;
    give(&store, &acme, 10, GrantKind::Plan, days(2), "plan").await;
    // Collected: 10 daily, 10 plan, 5 purchase; 3 were only held.
    let job = charged(&store, &acme, 28, 25).await;
    assert_eq!(free(&store, &acme).await, kinds(&[("purchase", 5)]));
    assert_eq!(
        refund(&store, &job, Some(7), "one").await,
        refunded(7, 0, 12, 18)
    );
    // The plan's grant was used up and gone: it is there again, as it was.
    assert_eq!(
        free(&store, &acme).await,
        kinds(&[("plan", 2), ("purchase", 10)])
    );
    assert_eq!(
        refund(&store, &job, Some(9), "two").await,
        refunded(9, 0, 21, 9)
    );
    assert_eq!(
        free(&store, &acme).await,
        kinds(&[("daily", 1), ("plan", 10), ("purchase", 10)])
    );
    assert_eq!(
        refund(&store, &job, None, "rest").await,
        refunded(9, 0, 30, 0)
    );
    let view = money(&store, &acme).await;
    assert_eq!(
        (view.captured_ucr, view.refunded_ucr),
        (25_000_000, 25_000_000)
    );
    let daily = view
        .grants
        .iter()
        .find(|g| g.kind == "daily")
        .expect("daily");
    assert_eq!((daily.grant.as_str(), daily.expires_at_ms), ("g2", days(1)));
    assert_eq!(
        view_of(&store, &job).await.number("refunded_ucr"),
        25_000_000
    );
    // Spent again, in the order of today.
    accept(&store, &job_for(&store, &acme, 30)).await;
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_03_refunds_of_a_job_never_sum_to_more_than_its_capture() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 50).await;
    let job = charged(&store, &acme, 35, 28).await;
    let above = |n| RefundOutcome::AboveCaptured { left: credits(n) };
    assert_eq!(refund(&store, &job, Some(29), "op").await, above(28));
    assert_eq!(
        refund(&store, &job, Some(20), "op").await,
        refunded(20, 0, 42, 8)
    );
    let before = raw.dump().await;
    assert_eq!(refund(&store, &job, Some(9), "op-2").await, above(8));
    assert_eq!(
        refund(&store, &job, Some(9), "op").await,
        RefundOutcome::Mismatch {
            amount: credits(20)
        }
    );
    let again = refund(&store, &job, Some(20), "op").await;
    assert!(
        matches!(again, RefundOutcome::Refunded { replayed: true, left, .. } if left == credits(8))
    );
    assert_eq!(
        refund(&store, &job, Some(0), "zero").await,
        RefundOutcome::Nothing
    );
    assert_eq!(raw.dump().await, before);
    assert_eq!(
        refund(&store, &job, None, "op-3").await,
        refunded(8, 0, 50, 0)
    );
    assert_eq!(
        refund(&store, &job, None, "op-4").await,
        RefundOutcome::Nothing
    );
    assert_sound(&store).await;
}

#[tokio::test]
async fn what_comes_back_to_an_expired_grant_expires_at_once() {
    let store = store().await;
    let acme = funded(&store, "acme", 10).await;
    give(&store, &acme, 10, GrantKind::Daily, days(1), "today").await;
    let job = charged(&store, &acme, 15, 15).await;
    let later = store.at(T0 + DAY_MS);
    assert_eq!(
        refund(&later, &job, None, "op").await,
        refunded(15, 10, 10, 0)
    );
    let view = money(&later, &acme).await;
    assert_eq!(
        (view.refunded_ucr, view.expired_ucr),
        (15_000_000, 10_000_000)
    );
    assert_eq!(free(&later, &acme).await, kinds(&[("purchase", 10)]));
    assert_sound(&later).await;
}

#[tokio::test]
async fn a_refund_pays_debt_first() {
    let store = store().await;
    let acme = funded(&store, "acme", 20).await;
    let job = charged(&store, &acme, 15, 15).await;
    adjust(&store, &acme, clawback("fund-acme", None), "dispute").await;
    assert_eq!(money(&store, &acme).await.debt_ucr, 15_000_000);
    let outcome = refund(&store, &job, Some(12), "op").await;
    assert!(matches!(outcome, RefundOutcome::Refunded { debt, .. } if debt == credits(3)));
    assert_eq!(
        refund(&store, &job, None, "rest").await,
        refunded(3, 0, 0, 0)
    );
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_09_only_what_was_charged_can_be_refunded() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 100).await;
    let free = charged(&store, &acme, 10, 0).await;
    accept(&store, &job_for(&store, &acme, 10)).await;
    let failed = claim_one(&store, "w1").await;
    fail(&store, &failed, &ends(FailureClass::ProviderFault)).await;
    let house = charged(&store, &acme, 10, 10).await;
    let _: i64 = raw
        .run(&["HSET", &key("job", house.as_str()), "payer", "house"])
        .await;
    let open = accept(&store, &job_for(&store, &acme, 10)).await.job;
    let before = raw.dump().await;
    for (job, state) in [
        (&free, "succeeded"),
        (&house, "paid for by the house"),
        (&failed.job, "failed"),
        (&open, "queued"),
    ] {
        let expected = RefundOutcome::NotCaptured {
            state: state.to_owned(),
        };
        assert_eq!(refund(&store, job, Some(1), "op").await, expected);
        assert_eq!(refund(&store, job, None, "op").await, expected);
    }
    let nobody = store.new_job_id(&acme);
    assert_eq!(
        refund(&store, &nobody, None, "op").await,
        RefundOutcome::UnknownJob
    );
    assert_eq!(raw.dump().await, before);
    assert_sound(&store).await;
}

#[tokio::test]
async fn a_job_that_was_forgotten_cannot_be_refunded() {
    let store = store().await;
    let acme = funded(&store, "acme", 100).await;
    let job = charged(&store, &acme, 10, 10).await;
    let late = store.at(T0 + options().retention_ms + 1);
    tick(&late).await;
    assert_eq!(
        refund(&late, &job, None, "op").await,
        RefundOutcome::UnknownJob
    );
    assert_eq!(balance(&late, &acme).await, (90, 0));
    assert_sound(&late).await;
}

#[tokio::test]
async fn promise_09_a_refund_that_cannot_be_traced_or_counted_changes_nothing() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 0).await;
    let all = store.grant(&request(&acme, Ucr::MAX.get(), "all")).await;
    assert!(matches!(all, Ok(GrantOutcome::Granted { .. })));
    let full = charged(&store, &acme, 10, 10).await;
    let bolt = funded(&store, "bolt", 10).await;
    let untraced = charged(&store, &bolt, 10, 10).await;
    let _: i64 = raw
        .run(&["HDEL", &key("work", untraced.as_str()), "taken"])
        .await;
    let before = raw.dump().await;
    assert_eq!(
        refund(&store, &full, None, "op").await,
        RefundOutcome::Overflow
    );
    assert!(matches!(
        refund(&store, &untraced, None, "op").await,
        RefundOutcome::NotCaptured { .. }
    ));
    assert_eq!(raw.dump().await, before);
    assert_sound(&store).await;
}

#[tokio::test]
async fn two_operators_who_refund_the_same_job_at_once_refund_once() {
    let store = store().await;
    let acme = funded(&store, "acme", 50).await;
    let job = charged(&store, &acme, 35, 28).await;
    let both = futures_util::future::join_all((0..6).map(|n| {
        let (store, job) = (store.clone(), job.clone());
        // Half of them with one id, half each with their own.
        let operation = if n % 2 == 0 {
            "same".to_owned()
        } else {
            format!("op-{n}")
        };
        async move { refund(&store, &job, Some(28), &operation).await }
    }));
    let outcomes = both.await;
    let first = |o: &&RefundOutcome| {
        matches!(
            o,
            RefundOutcome::Refunded {
                replayed: false,
                ..
            }
        )
    };
    assert_eq!(outcomes.iter().filter(first).count(), 1, "{outcomes:?}");
    assert_eq!(balance(&store, &acme).await, (50, 0));
    assert_sound(&store).await;
}

#[tokio::test]
async fn a_refund_is_booked_out_of_the_revenue_and_noted_as_an_act() {
    let store = store().await;
    let acme = funded(&store, "acme", 50).await;
    let job = charged(&store, &acme, 35, 28).await;
    refund(&store, &job, Some(3), "op").await;
    let entries = store.journal(0, "-", 100).await.expect("journal").entries;
    let body = entries
        .last()
        .and_then(|entry| entry.body())
        .expect("a body");
    assert_eq!(
        (body.kind.as_str(), body.tool.as_str()),
        ("refund", "image-to-video")
    );
    let posts: Vec<(&str, i64)> = body.post.iter().map(|(b, n)| (b.as_str(), *n)).collect();
    assert_eq!(posts, [("revenue", -3_000_000), ("available", 3_000_000)]);
    assert_eq!(
        (body.reason.as_str(), body.job.as_str()),
        ("a test", job.as_str())
    );
    let acts = store.acts(0, "-", 10).await.expect("acts");
    assert_eq!(
        (acts[0].act.as_str(), acts[0].subject.as_str()),
        ("refund", job.as_str())
    );
    assert_sound(&store).await;
}
