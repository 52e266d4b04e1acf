//! Corrections of a balance: up, down, into debt; clawbacks of payments; closing and opening again.

use meterline::domain::credits::Ucr;
use meterline::store::{
    AdjustOutcome, Correction, GrantKind, GrantOutcome, StateOutcome, SubmitRefusal,
};

use crate::support::*;

fn up(n: u32) -> Correction {
    Correction::Up(credits(n))
}

fn down(n: u32) -> Correction {
    Correction::Down(credits(n))
}

#[tokio::test]
async fn a_correction_up_pays_debt_first_and_never_expires() {
    let store = store().await;
    let acme = funded(&store, "acme", 10).await;
    assert_eq!(
        adjust(&store, &acme, down(15), "a").await,
        adjusted(15, 5, 0, 5)
    );
    assert_eq!(
        adjust(&store, &acme, up(8), "b").await,
        adjusted(8, 0, 3, 0)
    );
    let view = money(&store, &acme).await;
    assert_eq!(view.adjusted_ucr, -7_000_000);
    let kinds: Vec<(&str, Option<u64>)> = view
        .grants
        .iter()
        .map(|g| (g.kind.as_str(), g.expires_at_ms))
        .collect();
    assert_eq!(kinds, [("adjustment", None)]);
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_01_a_correction_down_burns_in_order_leaves_pinned_credit_alone_and_owes_the_rest()
{
    let store = store().await;
    let acme = funded(&store, "acme", 10).await;
    give(&store, &acme, 10, GrantKind::Daily, days(1), "today").await;
    give(&store, &acme, 10, GrantKind::Plan, days(2), "plan").await;
    // Pins all of the daily grant and two of the plan.
    let job = accept(&store, &job_for(&store, &acme, 12)).await.job;
    assert_eq!(
        adjust(&store, &acme, down(9), "a").await,
        adjusted(9, 0, 9, 0)
    );
    let left: Vec<(String, i64, i64)> = money(&store, &acme)
        .await
        .grants
        .into_iter()
        .map(|g| {
            (
                g.kind,
                g.remaining_ucr / 1_000_000,
                g.pinned_ucr / 1_000_000,
            )
        })
        .collect();
    let row = |kind: &str, free, pinned| (kind.to_owned(), free, pinned);
    assert_eq!(
        left,
        [
            row("purchase", 9, 0),
            row("daily", 0, 10),
            row("plan", 0, 2)
        ]
    );
    assert_eq!(
        adjust(&store, &acme, down(20), "b").await,
        adjusted(20, 11, 0, 11)
    );
    assert_eq!(
        refuse(&store, &job_for(&store, &acme, 1)).await,
        SubmitRefusal::Insufficient {
            need: credits(1),
            available_ucr: -11_000_000
        }
    );
    // What the job gives back pays the debt.
    cancel(&store, &job).await;
    let view = money(&store, &acme).await;
    assert_eq!((view.available_ucr, view.debt_ucr), (1_000_000, 0));
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_03_the_same_correction_again_changes_nothing_and_another_is_refused() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 10).await;
    let AdjustOutcome::Adjusted {
        amount, available, ..
    } = adjust(&store, &acme, down(4), "op").await
    else {
        panic!("not adjusted");
    };
    give(&store, &acme, 5, GrantKind::Purchase, None, "more").await;
    let before = raw.dump().await;
    let again = AdjustOutcome::Adjusted {
        amount,
        debt_made: Ucr::ZERO,
        available,
        debt: Ucr::ZERO,
        replayed: true,
    };
    assert_eq!(adjust(&store, &acme, down(4), "op").await, again);
    let mismatch = |n| AdjustOutcome::Mismatch { amount: credits(n) };
    for correction in [up(4), down(5), clawback("fund-acme", Some(4))] {
        assert_eq!(adjust(&store, &acme, correction, "op").await, mismatch(4));
    }
    // A grant's operation id is no other operation's, and the other way round.
    assert_eq!(adjust(&store, &acme, down(4), "more").await, mismatch(5));
    let grant = give(&store, &acme, 4, GrantKind::Purchase, None, "op").await;
    assert_eq!(grant, GrantOutcome::Mismatch { amount: credits(4) });
    assert_eq!(raw.dump().await, before);
    assert_sound(&store).await;
}

#[tokio::test]
async fn two_operators_with_one_operation_id_adjust_once() {
    let store = store().await;
    let acme = funded(&store, "acme", 10).await;
    let both = futures_util::future::join_all((0..8).map(|_| {
        let (store, acme) = (store.clone(), acme.clone());
        async move { adjust(&store, &acme, down(3), "button").await }
    }));
    let first = |o: &AdjustOutcome| {
        matches!(
            o,
            AdjustOutcome::Adjusted {
                replayed: false,
                ..
            }
        )
    };
    let outcomes = both.await;
    assert_eq!(
        outcomes.iter().filter(|o| first(o)).count(),
        1,
        "{outcomes:?}"
    );
    assert_eq!(balance(&store, &acme).await, (7, 0));
    let acts = store.acts(0, "-", 100).await.expect("acts");
    assert_eq!(acts.len(), 1, "{acts:?}");
    let act = &acts[0];
    let told = [&act.actor, &act.act, &act.subject, &act.reason, &act.detail];
    assert_eq!(
        told,
        ["tests", "adjust", "acme", "a test", "-3000000 button"]
    );
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_09_corrections_that_cannot_be_change_nothing() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 10).await;
    let full = funded(&store, "full", 0).await;
    let all = store.grant(&request(&full, Ucr::MAX.get(), "all")).await;
    assert!(matches!(all, Ok(GrantOutcome::Granted { .. })));
    let max = Correction::Down(Ucr::MAX);
    let before = raw.dump().await;
    let nobody = account("nobody");
    for (id, correction, expected) in [
        (&nobody, up(1), AdjustOutcome::UnknownAccount),
        (&nobody, down(1), AdjustOutcome::UnknownAccount),
        (&acme, up(0), AdjustOutcome::Nothing),
        (&acme, down(0), AdjustOutcome::Nothing),
        (
            &acme,
            clawback("fund-acme", Some(0)),
            AdjustOutcome::Nothing,
        ),
        (
            &acme,
            clawback("other", None),
            AdjustOutcome::UnknownPayment,
        ),
        (&full, Correction::Up(Ucr::MAX), AdjustOutcome::Overflow),
        (
            &acme,
            clawback("fund-acme", Some(11)),
            AdjustOutcome::AbovePayment { left: credits(10) },
        ),
    ] {
        let said = format!("{correction:?}");
        assert_eq!(
            adjust(&store, id, correction, "op").await,
            expected,
            "{said}"
        );
    }
    assert_eq!(raw.dump().await, before);
    // A debt can be as large as an amount, and no larger.
    assert!(matches!(
        adjust(&store, &acme, max.clone(), "most").await,
        AdjustOutcome::Adjusted { .. }
    ));
    assert_eq!(
        adjust(&store, &acme, max, "over").await,
        AdjustOutcome::Overflow
    );
    assert_sound(&store).await;
}

#[tokio::test]
async fn corrections_up_are_bounded_like_grants() {
    let mut options = options();
    options.grants_max = 1;
    let store = store_with(options).await;
    let acme = funded(&store, "acme", 1).await;
    assert_eq!(
        adjust(&store, &acme, up(1), "a").await,
        AdjustOutcome::TooManyGrants
    );
    assert_sound(&store).await;
}

#[tokio::test]
async fn a_clawback_takes_the_payment_s_own_credit_first_and_the_rest_becomes_debt() {
    let store = store().await;
    let acme = funded(&store, "acme", 20).await;
    give(&store, &acme, 10, GrantKind::Daily, days(1), "today").await;
    // 20 bought, 10 daily: the job burns the daily ones and 15 of the bought ones.
    charged(&store, &acme, 25, 25).await;
    give(&store, &acme, 4, GrantKind::Promo, days(1), "promo").await;
    let outcome = adjust(&store, &acme, clawback("fund-acme", Some(3)), "part").await;
    assert_eq!(outcome, adjusted(3, 0, 6, 0));
    let kinds: Vec<(String, i64)> = money(&store, &acme)
        .await
        .grants
        .into_iter()
        .map(|g| (g.kind, g.remaining_ucr / 1_000_000))
        .collect();
    assert_eq!(kinds, [("purchase".to_owned(), 2), ("promo".to_owned(), 4)]);
    let outcome = adjust(&store, &acme, clawback("fund-acme", None), "rest").await;
    assert_eq!(outcome, adjusted(17, 11, 0, 11));
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_03_of_one_payment_never_more_is_clawed_back_than_it_gave() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 10).await;
    give(&store, &acme, 50, GrantKind::Purchase, None, "other").await;
    adjust(&store, &acme, clawback("fund-acme", Some(6)), "one").await;
    let before = raw.dump().await;
    let above = AdjustOutcome::AbovePayment { left: credits(4) };
    let five = clawback("fund-acme", Some(5));
    assert_eq!(adjust(&store, &acme, five, "two").await, above);
    assert_eq!(raw.dump().await, before);
    let outcome = adjust(&store, &acme, clawback("fund-acme", None), "three").await;
    assert_eq!(outcome, adjusted(4, 0, 50, 0));
    let nothing = adjust(&store, &acme, clawback("fund-acme", None), "four").await;
    assert_eq!(nothing, AdjustOutcome::Nothing);
    let again = adjust(&store, &acme, clawback("fund-acme", None), "three").await;
    assert!(matches!(
        again,
        AdjustOutcome::Adjusted { replayed: true, .. }
    ));
    assert_eq!(money(&store, &acme).await.adjusted_ucr, -10_000_000);
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_11_nothing_is_taken_from_a_frozen_account_and_it_cannot_be_closed() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 10).await;
    let first = adjust(&store, &acme, down(1), "before").await;
    assert_eq!(first, adjusted(1, 0, 9, 0));
    let _: i64 = raw
        .run(&["HSET", &key("acct", "acme"), "state", "frozen"])
        .await;
    let before = raw.dump().await;
    for correction in [down(1), clawback("fund-acme", None)] {
        let outcome = adjust(&store, &acme, correction, "op").await;
        assert_eq!(outcome, AdjustOutcome::AccountFrozen);
    }
    for outcome in [
        store.close_account(&acme, "a test", "tests").await,
        store.reopen_account(&acme, "a test", "tests").await,
    ] {
        assert_eq!(outcome.expect("state"), StateOutcome::AccountFrozen);
    }
    // What was done before is still told.
    let again = adjust(&store, &acme, down(1), "before").await;
    assert!(matches!(
        again,
        AdjustOutcome::Adjusted { replayed: true, .. }
    ));
    assert_eq!(raw.dump().await, before);
    // The same where the whole partition is frozen.
    let bolt = funded(&store, "bolt", 1).await;
    let meta = key("part", "meta");
    let _: i64 = raw.run(&["HSET", &meta, "frozen", "a test"]).await;
    let outcome = adjust(&store, &bolt, down(1), "op").await;
    assert_eq!(outcome, AdjustOutcome::AccountFrozen);
    let _: i64 = raw.run(&["HDEL", &meta, "frozen"]).await;
    assert_eq!(
        adjust(&store, &acme, up(1), "up").await,
        adjusted(1, 0, 10, 0)
    );
    assert_sound(&store).await;
}

#[tokio::test]
async fn an_account_is_closed_once_it_has_no_open_jobs_and_keeps_what_it_has() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 10).await;
    let close = || store.close_account(&acme, "left", "ann");
    let job = accept(&store, &job_for(&store, &acme, 4)).await.job;
    let before = raw.dump().await;
    let open_jobs = StateOutcome::HasOpenJobs { held: credits(4) };
    assert_eq!(close().await.expect("close"), open_jobs);
    assert_eq!(raw.dump().await, before);
    cancel(&store, &job).await;
    let done = |replayed| StateOutcome::Done { replayed };
    assert_eq!(close().await.expect("close"), done(false));
    let before = raw.dump().await;
    assert_eq!(close().await.expect("close"), done(true));
    // Nothing comes in any more.
    assert_eq!(
        refuse(&store, &job_for(&store, &acme, 1)).await,
        SubmitRefusal::AccountClosed("closed".to_owned())
    );
    let grant = give(&store, &acme, 1, GrantKind::Purchase, None, "late").await;
    assert_eq!(grant, GrantOutcome::AccountClosed("closed".to_owned()));
    let stranger = account("nobody");
    let unknown = store.close_account(&stranger, "left", "ann").await;
    assert_eq!(unknown.expect("close"), StateOutcome::UnknownAccount);
    assert_eq!(raw.dump().await, before);
    // A dispute of before still is.
    let late = adjust(&store, &acme, clawback("fund-acme", Some(2)), "dispute").await;
    assert_eq!(late, adjusted(2, 0, 8, 0));
    let reopened = store.reopen_account(&acme, "back", "ann").await;
    assert_eq!(reopened.expect("reopen"), done(false));
    accept(&store, &job_for(&store, &acme, 8)).await;
    let acts = store.acts(0, "-", 100).await.expect("acts");
    let told: Vec<&str> = acts.iter().map(|act| act.act.as_str()).collect();
    assert_eq!(told, ["close", "clawback", "reopen"]);
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_09_the_store_itself_refuses_grants_that_must_not_be() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 1).await;
    let mut expiring = request(&acme, 1, "a");
    expiring.expires_at_ms = days(1);
    let mut grace = request(&acme, 1, "a");
    grace.kind = GrantKind::Grace;
    let before = raw.dump().await;
    for (request, expected) in [
        (request(&acme, 0, "a"), GrantOutcome::Nothing),
        (expiring, GrantOutcome::PurchaseExpires),
        (grace, GrantOutcome::NotGrantable),
    ] {
        assert_eq!(store.grant(&request).await.expect("grant"), expected);
    }
    assert_eq!(raw.dump().await, before);
}
