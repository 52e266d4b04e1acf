//! Promise 11: what is frozen starts nothing new, ends what it began, and goes on when cleared.

use meterline::domain::failure::FailureClass;
use meterline::domain::job::State;
use meterline::store::{
    CancelOutcome, ClaimOutcome, ClearOutcome, FreezeAct, FreezeOutcome, GrantKind, NewJob, Scope,
    SettleOutcome, Store, SubmitRefusal,
};

use crate::support::*;

fn act(scope: Scope, operation: &str) -> FreezeAct {
    FreezeAct {
        scope,
        reason: "chargeback".to_owned(),
        actor: "ann".to_owned(),
        operation: operation.parse().expect("an operation id"),
    }
}

fn whole() -> Scope {
    Scope::Partition(0)
}

fn only(name: &str) -> Scope {
    Scope::Account(account(name))
}

async fn freeze(store: &Store, scope: Scope) {
    let outcome = store.freeze(&act(scope, "freeze-1"), &[]).await;
    assert!(
        matches!(
            outcome.expect("freeze"),
            FreezeOutcome::Frozen {
                replayed: false,
                ..
            }
        ),
        "it was not frozen before"
    );
}

/// Clears, and returns how many jobs had been put off.
async fn clear(store: &Store, scope: Scope) -> u32 {
    match store.clear(&act(scope, "clear-1")).await.expect("clear") {
        ClearOutcome::Cleared {
            parked,
            replayed: false,
            ..
        } => parked,
        other => panic!("{other:?}"),
    }
}

/// The kinds of the journal's entries, with a `*` where one was booked while frozen.
async fn entries(store: &Store) -> Vec<String> {
    let page = store.journal(0, "-", 1_000).await.expect("journal");
    let flag = |frozen: bool| if frozen { "*" } else { "" };
    page.entries
        .iter()
        .map(|entry| entry.body().expect("a body"))
        .map(|body| format!("{}{}", body.kind, flag(body.frozen)))
        .collect()
}

#[tokio::test]
async fn promise_11_a_frozen_account_holds_nothing_new_and_says_why() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 100).await;
    let bolt = funded(&store, "bolt", 100).await;
    let click = NewJob {
        idempotency_key: Some("click".parse().expect("a key")),
        ..job_for(&store, &acme, 10)
    };
    accept(&store, &click).await;
    freeze(&store, only("acme")).await;
    assert_eq!(money(&store, &acme).await.state, "frozen");
    let before = raw.dump().await;
    let refusal = refuse(&store, &job_for(&store, &acme, 10)).await;
    assert_eq!(
        refusal,
        SubmitRefusal::Frozen {
            account: Some("acme".to_owned()),
            reason: "chargeback".to_owned()
        }
    );
    assert_eq!(refusal.to_string(), "acme is frozen: chargeback");
    assert_eq!(raw.dump().await, before, "a refusal changes nothing");
    // What was accepted before is still answered.
    assert!(accept(&store, &click).await.replayed);
    accept(&store, &job_for(&store, &bolt, 10)).await;
    clear(&store, only("acme")).await;
    assert_eq!(money(&store, &acme).await.state, "open");
    accept(&store, &job_for(&store, &acme, 10)).await;
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_11_a_frozen_partition_holds_nothing_new_and_hands_nothing_out() {
    let store = store().await;
    let acme = funded(&store, "acme", 100).await;
    let waiting = accept(&store, &job_for(&store, &acme, 10)).await.job;
    freeze(&store, whole()).await;
    let refusal = refuse(&store, &job_for(&store, &acme, 10)).await;
    assert_eq!(
        refusal,
        SubmitRefusal::Frozen {
            account: None,
            reason: "chargeback".to_owned()
        }
    );
    let slots = [("video".to_owned(), 4)];
    let ClaimOutcome::Claimed(claimed) = store
        .claim(0, "w1", LEASE_MS, &slots, false)
        .await
        .expect("claim")
    else {
        panic!("the worker is not lost");
    };
    assert!(claimed.jobs.is_empty());
    assert_eq!(claimed.frozen.as_deref(), Some("chargeback"));
    assert_eq!(state_of(&store, &waiting).await, "queued");
    clear(&store, whole()).await;
    assert_eq!(claim_one(&store, "w1").await.job, waiting);
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_11_a_claim_puts_a_frozen_accounts_job_off_and_a_clear_lets_it_go_on_at_once() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 100).await;
    let bolt = funded(&store, "bolt", 100).await;
    let put_off = accept(&store, &job_for(&store, &acme, 10)).await.job;
    let other = accept(&store, &job_for(&store, &bolt, 10)).await.job;
    freeze(&store, only("acme")).await;
    let got = claim(&store, "w1", 5).await;
    assert_eq!(got.iter().map(|job| &job.job).collect::<Vec<_>>(), [&other]);
    assert_eq!(state_of(&store, &put_off).await, "scheduled");
    assert_eq!(balance(&store, &acme).await, (90, 10));
    let active: i64 = raw
        .run(&["SISMEMBER", &key("active", "acme:video"), put_off.as_str()])
        .await;
    assert_eq!(active, 1, "it keeps its place");

    // Nobody spins: the sweep puts it off again without a claim, and writes no line about it.
    let lines = store.timeline(&put_off).await.expect("timeline").len();
    tick_through(&store, T0 + 1_000, T0 + 130_000).await;
    let late = store.at(T0 + 130_000);
    assert_eq!(state_of(&late, &put_off).await, "scheduled");
    assert_eq!(
        late.timeline(&put_off).await.expect("timeline").len(),
        lines
    );
    assert!(claim(&late, "w2", 5).await.is_empty());

    assert_eq!(clear(&late, only("acme")).await, 1);
    tick(&late.at(T0 + 131_000)).await;
    assert_eq!(claim_one(&late.at(T0 + 131_000), "w2").await.job, put_off);
    assert_sound(&late).await;
}

#[tokio::test]
async fn promise_05_a_job_that_a_freeze_put_off_still_ends_refunded_by_its_clock_or_a_cancel() {
    let store = store().await;
    let acme = funded(&store, "acme", 100).await;
    let first = accept(&store, &job_for(&store, &acme, 10)).await.job;
    let second = accept(&store, &job_for(&store, &acme, 10)).await.job;
    freeze(&store, only("acme")).await;
    assert!(claim(&store, "w1", 5).await.is_empty());
    assert!(matches!(
        cancel(&store, &first).await,
        CancelOutcome::Cancelled { .. }
    ));
    let over = store.at(T0 + options().queue_ttl_ms + 1);
    assert_eq!(tick(&over).await, 1);
    assert_eq!(state_of(&over, &second).await, "timed_out");
    assert_eq!(balance(&over, &acme).await, (100, 0));
    assert_eq!(entries(&over).await[4..], ["release*", "release*"]);
    assert_eq!(clear(&over, only("acme")).await, 2, "both had been put off");
    tick(&over.at(T0 + options().queue_ttl_ms + 2_000)).await;
    assert_sound(&over).await;
}

#[tokio::test]
async fn promise_11_what_runs_settles_fails_and_is_granted_while_frozen_and_is_flagged() {
    for scope in [whole(), only("acme")] {
        let (store, _) = store_and_raw(options()).await;
        let acme = funded(&store, "acme", 100).await;
        for _ in 0..3 {
            accept(&store, &job_for(&store, &acme, 10)).await;
        }
        let jobs = claim(&store, "w1", 3).await;
        freeze(&store, scope).await;
        let settled = settle(&store, &jobs[0], &settlement(7)).await;
        assert!(matches!(settled, SettleOutcome::Settled { .. }));
        let failed = fail(&store, &jobs[1], &ends(FailureClass::ProviderFault)).await;
        assert_eq!(failed, ended(State::Failed));
        give(&store, &acme, 5, GrantKind::Purchase, None, "more").await;
        tick(&store.at(T0 + 61_000)).await;
        assert_eq!(state_of(&store, &jobs[2].job).await, "timed_out");
        assert_eq!(balance(&store, &acme).await, (98, 0));
        let kinds = entries(&store).await;
        assert_eq!(kinds[5..], ["settle*", "release*", "grant*", "release*"]);
        let report = meterline::ledger::audit(&store).await.expect("audit");
        assert_eq!(report.booked_while_frozen, 4);
        assert_sound(&store).await;
    }
}

#[tokio::test]
async fn a_freeze_and_a_clear_happen_once_and_are_told_again() {
    let (store, raw) = store_and_raw(options()).await;
    funded(&store, "acme", 100).await;
    let freeze_1 = act(only("acme"), "op-1");
    let outcome = store
        .freeze(&freeze_1, &["available differs".to_owned()])
        .await;
    let FreezeOutcome::Frozen { frozen, .. } = outcome.expect("freeze") else {
        panic!("it was not frozen before");
    };
    assert_eq!(frozen.differed, ["available differs"]);
    assert_eq!(
        store.frozen(0).await.expect("frozen"),
        std::slice::from_ref(&frozen)
    );

    let before = raw.dump().await;
    let again = store.freeze(&freeze_1, &[]).await.expect("freeze");
    assert_eq!(
        again,
        FreezeOutcome::Frozen {
            frozen: frozen.clone(),
            replayed: true
        }
    );
    let other = store.freeze(&act(only("acme"), "op-2"), &[]).await;
    assert_eq!(other.expect("freeze"), FreezeOutcome::Already(frozen));
    let elsewhere = store.freeze(&act(only("bolt"), "op-1"), &[]).await;
    assert_eq!(elsewhere.expect("freeze"), FreezeOutcome::Mismatch);
    let nobody = store.freeze(&act(only("bolt"), "op-3"), &[]).await;
    assert_eq!(nobody.expect("freeze"), FreezeOutcome::UnknownAccount);
    let wrong = store.clear(&freeze_1).await.expect("clear");
    assert_eq!(wrong, ClearOutcome::Mismatch);
    let not = store.clear(&act(whole(), "op-4")).await.expect("clear");
    assert_eq!(not, ClearOutcome::NotFrozen);
    assert_eq!(
        raw.dump().await,
        before,
        "refusals and replays change nothing"
    );

    clear(&store, only("acme")).await;
    // The first freeze is sent again by a client that never had its answer: it freezes nothing.
    let late = store.freeze(&freeze_1, &[]).await.expect("freeze");
    assert!(matches!(late, FreezeOutcome::Frozen { replayed: true, .. }));
    assert_eq!(store.frozen(0).await.expect("frozen"), []);
    let told = store.clear(&act(only("acme"), "clear-1")).await;
    assert!(matches!(
        told.expect("clear"),
        ClearOutcome::Cleared { replayed: true, .. }
    ));
    let acts = store.acts(0, "-", 10).await.expect("acts");
    let acts: Vec<_> = acts
        .iter()
        .map(|one| (one.act.as_str(), one.subject.as_str(), one.actor.as_str()))
        .collect();
    assert_eq!(acts, [("freeze", "acme", "ann"), ("clear", "acme", "ann")]);
}

#[tokio::test]
async fn an_account_and_its_partition_are_frozen_and_cleared_each_for_itself() {
    let store = store().await;
    let acme = funded(&store, "acme", 100).await;
    freeze(&store, only("acme")).await;
    let outcome = store.freeze(&act(whole(), "freeze-2"), &[]).await;
    assert!(matches!(
        outcome.expect("freeze"),
        FreezeOutcome::Frozen { .. }
    ));
    let frozen = store.frozen(0).await.expect("frozen");
    let names: Vec<_> = frozen.iter().map(|one| one.account.as_deref()).collect();
    assert_eq!(names, [None, Some("acme")]);
    clear(&store, only("acme")).await;
    assert!(matches!(
        refuse(&store, &job_for(&store, &acme, 1)).await,
        SubmitRefusal::Frozen { account: None, .. }
    ));
    let cleared = store.clear(&act(whole(), "clear-2")).await.expect("clear");
    assert!(matches!(cleared, ClearOutcome::Cleared { .. }));
    accept(&store, &job_for(&store, &acme, 1)).await;
}

#[tokio::test]
async fn promise_11_a_job_that_does_not_add_up_freezes_its_account_until_it_is_repaired() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 50).await;
    let job = accept(&store, &job_for(&store, &acme, 10)).await.job;
    let row: String = raw.run(&["HGET", &key("grants", "acme"), "g1"]).await;
    let _: i64 = raw.run(&["HDEL", &key("grants", "acme"), "g1"]).await;
    let over = T0 + options().queue_ttl_ms + 1;
    tick(&store.at(over)).await;
    let frozen = store.frozen(0).await.expect("frozen");
    assert_eq!(frozen.len(), 1);
    assert_eq!(frozen[0].actor, "sweep");
    assert_eq!(frozen[0].reason, format!("job {job} does not add up"));
    assert_eq!(money(&store, &acme).await.state, "frozen");

    let _: i64 = raw.run(&["HSET", &key("grants", "acme"), "g1", &row]).await;
    // An hour later it is tried again, in vain; what stood there before the freeze is still known.
    let over = over + 3_600_001;
    let _: i64 = raw.run(&["HDEL", &key("grants", "acme"), "g1"]).await;
    tick(&store.at(over)).await;
    let acts = store.acts(0, "-", 10).await.expect("acts");
    assert_eq!(acts.len(), 1, "it is frozen once");
    let _: i64 = raw.run(&["HSET", &key("grants", "acme"), "g1", &row]).await;
    clear(&store.at(over + 1_000), only("acme")).await;
    assert_eq!(money(&store, &acme).await.state, "open");
    assert_eq!(tick(&store.at(over + 2_000)).await, 1);
    assert_eq!(state_of(&store, &job).await, "timed_out");
    assert_eq!(balance(&store, &acme).await, (50, 0));
    assert_sound(&store).await;
}
