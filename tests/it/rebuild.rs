//! A store that lost acknowledged writes: its partition is frozen, and history brings it back to the
//! micro-credit.

use std::collections::BTreeMap;

use meterline::domain::ids::{AccountId, JobId};
use meterline::ledger::postgres::{Plan, Rebuild};
use meterline::store::{
    AccountView, ClearOutcome, FreezeAct, GrantKind, GrantOutcome, Scope, Store, SubmitRefusal,
    Term,
};
use secrecy::SecretString;

use crate::support::postgres::{assert_history, connect, fresh_history, number, project};
use crate::support::twins::Twins;
use crate::support::*;

/// Two accounts with terms, grants of several kinds, ended and refunded jobs, and an open one.
async fn live(store: &Store) -> JobId {
    let acme = funded(store, "acme", 100).await;
    give(
        store,
        &acme,
        7,
        GrantKind::Promo,
        Some(far(store).await),
        "promo-1",
    )
    .await;
    set(
        store,
        &acme,
        Term::Caps {
            day: Some(credits(60)),
            month: Some(credits(600)),
        },
    )
    .await;
    funded(store, "bolt", 50).await;
    let first = accept(store, &job_for(store, &acme, 10)).await;
    let job = claim_one(store, "w1").await;
    settle(store, &job, &settlement(5)).await;
    refund(store, &first.job, Some(3), "refund-1").await;
    accept(store, &job_for(store, &acme, 20)).await.job
}

async fn far(store: &Store) -> u64 {
    store.server_ms().await.expect("a clock") + 86_400_000
}

async fn views(store: &Store) -> BTreeMap<String, AccountView> {
    let mut views = BTreeMap::new();
    for id in store.accounts_in(0).await.expect("accounts") {
        let mut view = money(store, &id).await;
        // An account's own sequence goes on: its opening is an entry.
        view.sequence = 0;
        views.insert(id.to_string(), view);
    }
    views
}

async fn rebuilt(store: &Store, url: &SecretString) -> Plan {
    let rebuild = Rebuild::open(store.clone(), url).await.expect("a rebuild");
    rebuild.apply(0, "a test", "ann").await.expect("rebuild")
}

async fn clear(store: &Store, operation: &str) {
    let act = FreezeAct {
        scope: Scope::Partition(0),
        reason: "looked".to_owned(),
        actor: "ann".to_owned(),
        operation: operation.parse().expect("an operation id"),
    };
    let cleared = store.clear(&act).await.expect("clear");
    assert!(
        matches!(cleared, ClearOutcome::Cleared { .. }),
        "{cleared:?}"
    );
}

/// The partition's freeze: who, why, and what was named.
async fn frozen(store: &Store) -> (String, String, Vec<String>) {
    let frozen = store.frozen(0).await.expect("frozen").remove(0);
    (frozen.actor, frozen.reason, frozen.differed)
}

async fn refused_as_frozen(store: &Store, id: &AccountId) {
    let refusal = refuse(store, &job_for(store, id, 1)).await;
    assert!(
        matches!(refusal, SubmitRefusal::Frozen { .. }),
        "{refusal:?}"
    );
}

#[tokio::test]
async fn an_empty_store_is_brought_back_to_the_micro_credit() {
    let store = store().await;
    let url = fresh_history().await;
    let open = live(&store).await;
    project(&store, &url).await;
    let before = views(&store).await;
    let seq = store.journal_end(0).await.expect("the end").seq;

    let store = self::store().await;
    let rebuild = Rebuild::open(store.clone(), &url).await.expect("a rebuild");
    let plan = rebuild.plan(0).await.expect("a plan");
    assert_eq!(
        (plan.store_seq, plan.history_seq, plan.in_step),
        (Some(0), seq, false)
    );
    assert_eq!(
        (plan.accounts, plan.changes.len(), plan.holds_lost),
        (2, 2, 1)
    );
    assert_eq!(plan.holds_lost_ucr, 20_000_000);
    assert!(
        store.frozen(0).await.expect("frozen").is_empty(),
        "a plan writes nothing"
    );

    rebuilt(&store, &url).await;
    assert_eq!(frozen(&store).await.1, "rebuilt from history: a test");
    let mut after = views(&store).await;
    // The job is lost: its hold went back, and left the caps.
    let acme = after.get_mut("acme").expect("acme");
    assert_eq!(acme.held_ucr, 0);
    let was = &before["acme"];
    assert_eq!(acme.available_ucr, was.available_ucr + 20_000_000);
    assert_eq!(acme.day.spent_ucr, was.day.spent_ucr - 20_000_000);
    assert_eq!(
        (acme.day.cap_ucr, &acme.day.until_ms),
        (was.day.cap_ucr, &was.day.until_ms)
    );
    assert_eq!(after["bolt"], before["bolt"]);
    let end = store.journal_end(0).await.expect("the end");
    assert_eq!(
        (end.epoch, end.seq),
        (Some(2), seq + 3),
        "two openings and a release"
    );
    assert_sound(&store).await;

    // A rebuild changes nothing the second time, and history goes on from where it was.
    assert!(rebuilt(&store, &url).await.in_step);
    assert_eq!(project(&store, &url).await, 3);
    assert_history(&store, &url).await;
    let client = connect(&url).await;
    let sql =
        format!("select count(*) from entries where job = '{open}' and reason = 'store_lost'");
    assert_eq!(number(&client, &sql).await, 1);
    // A payment that is sent again is known.
    let again = give(
        &store,
        &account("acme"),
        100,
        GrantKind::Purchase,
        None,
        "fund-acme",
    )
    .await;
    assert!(
        matches!(again, GrantOutcome::Granted { replayed: true, .. }),
        "{again:?}"
    );
    refused_as_frozen(&store, &account("acme")).await;
    clear(&store, "clear-1").await;
    accept(&store, &job_for(&store, &account("acme"), 10)).await;
    project(&store, &url).await;
    assert_history(&store, &url).await;
    assert_sound(&store).await;
}

#[tokio::test]
async fn a_promoted_replica_that_lagged_is_frozen_and_rebuilt() {
    let url = fresh_history().await;
    let mut twins = Twins::start().await;
    let store = twins.store().await;
    let open = live(&store).await;
    twins.level().await;
    twins.stall().await;
    // Acknowledged, committed to history, never heard by the replica.
    let acme = account("acme");
    give(&store, &acme, 30, GrantKind::Purchase, None, "pay-2").await;
    let lost = accept(&store, &job_for(&store, &acme, 11)).await.job;
    project(&store, &url).await;
    let before = views(&store).await;

    let store = twins.fail_over().await;
    project(&store, &url).await;
    let (actor, reason, differed) = frozen(&store).await;
    assert_eq!(actor, "history");
    assert!(
        reason.starts_with("history is ahead: the store lost entries "),
        "{reason}"
    );
    assert!(
        differed
            .iter()
            .any(|line| line.contains("grant of acme pay-2 (30000000 ucr)")),
        "{differed:?}"
    );
    refused_as_frozen(&store, &acme).await;

    // Its workers are gone, and their lease has ended.
    let store = store.at(store.server_ms().await.expect("a clock") + 60_000);
    let plan = rebuilt(&store, &url).await;
    assert_eq!(
        (plan.jobs_kept, plan.holds_lost, plan.dropped.len()),
        (1, 1, 0)
    );
    assert_eq!(state_of(&store, &open).await, "queued", "it goes on");
    assert_eq!(state_of(&store, &lost).await, "");
    let after = views(&store).await;
    assert_eq!(after["acme"].held_ucr, 20_000_000);
    assert_eq!(
        after["acme"].available_ucr,
        before["acme"].available_ucr + 11_000_000
    );
    assert_eq!(after["acme"].granted_ucr, before["acme"].granted_ucr);
    assert_tallies(&store).await;
    assert_sound(&store).await;
    clear(&store, "clear-1").await;
    let job = claim_one(&store, "w2").await;
    assert_eq!(job.job, open);
    settle(&store, &job, &settlement(9)).await;
    project(&store, &url).await;
    assert_history(&store, &url).await;
    assert_sound(&store).await;
}

#[tokio::test]
async fn a_promoted_replica_that_went_its_own_way_is_frozen_and_its_entries_are_kept() {
    let url = fresh_history().await;
    let mut twins = Twins::start().await;
    let store = twins.store().await;
    let open = live(&store).await;
    twins.level().await;
    twins.stall().await;
    let acme = account("acme");
    give(&store, &acme, 30, GrantKind::Purchase, None, "pay-2").await;
    project(&store, &url).await;
    let before = views(&store).await;

    // On the other branch: a payment, a new account, the open job is charged, another one is taken.
    let store = twins.fail_over().await;
    give(&store, &acme, 40, GrantKind::Purchase, None, "pay-3").await;
    funded(&store, "cora", 5).await;
    let job = claim_one(&store, "w1").await;
    settle(&store, &job, &settlement(20)).await;
    let strange = accept(&store, &job_for(&store, &acme, 12)).await.job;
    project(&store, &url).await;
    let (_, reason, _) = frozen(&store).await;
    assert!(
        reason.starts_with("history knows another entry "),
        "{reason}"
    );

    // Its workers are gone, and their lease has ended.
    let store = store.at(store.server_ms().await.expect("a clock") + 60_000);
    let plan = rebuilt(&store, &url).await;
    assert_eq!(
        (plan.jobs_kept, plan.jobs_ended, plan.holds_lost),
        (0, 2, 1)
    );
    assert_eq!(plan.dropped.len(), 5, "{:?}", plan.dropped);
    assert!(plan.dropped.iter().any(|entry| entry.op == "pay-3"));
    let after = views(&store).await;
    assert!(!after.contains_key("cora"));
    let was = &before["acme"];
    assert_eq!(after["acme"].available_ucr, was.available_ucr + 20_000_000);
    assert_eq!(
        (after["acme"].held_ucr, after["acme"].captured_ucr),
        (0, was.captured_ucr)
    );
    assert_eq!(state_of(&store, &open).await, "failed");
    assert_eq!(state_of(&store, &strange).await, "failed");
    assert_tallies(&store).await;
    assert_sound(&store).await;
    let client = connect(&url).await;
    assert_eq!(
        number(&client, "select count(*) from dropped_entries").await,
        5
    );
    // The payment of the other branch can be sent again, the one that history has is known.
    let again = async |n, op| give(&store, &acme, n, GrantKind::Purchase, None, op).await;
    let granted = again(40, "pay-3").await;
    assert!(
        matches!(
            granted,
            GrantOutcome::Granted {
                replayed: false,
                ..
            }
        ),
        "{granted:?}"
    );
    let known = again(30, "pay-2").await;
    assert!(
        matches!(known, GrantOutcome::Granted { replayed: true, .. }),
        "{known:?}"
    );
    clear(&store, "clear-1").await;
    project(&store, &url).await;
    assert_history(&store, &url).await;
    assert_sound(&store).await;
}

#[tokio::test]
async fn a_clear_without_a_rebuild_is_frozen_again() {
    let store = store().await;
    let url = fresh_history().await;
    live(&store).await;
    project(&store, &url).await;
    let store = self::store().await;
    funded(&store, "acme", 5).await;
    project(&store, &url).await;
    assert_eq!(frozen(&store).await.0, "history");
    clear(&store, "clear-1").await;
    project(&store, &url).await;
    assert_eq!(frozen(&store).await.0, "history");
}

#[tokio::test]
async fn a_partition_with_workers_is_not_rebuilt() {
    let store = store().await;
    let url = fresh_history().await;
    live(&store).await;
    project(&store, &url).await;
    let store = self::store().await;
    funded(&store, "acme", 5).await;
    claim(&store, "w1", 1).await;
    let rebuild = Rebuild::open(store.clone(), &url).await.expect("a rebuild");
    let refused = rebuild
        .apply(0, "a test", "ann")
        .await
        .expect_err("a worker");
    assert!(
        refused.to_string().contains("served by 1 workers"),
        "{refused}"
    );
}
