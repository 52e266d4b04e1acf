//! History in Postgres: every entry once, the same figures as the store, trimming waits for it.

use meterline::domain::failure::FailureClass;
use meterline::store::{GrantKind, Options, Store, TrimOutcome};
use tokio_util::sync::CancellationToken;

use crate::support::postgres::{
    assert_history, await_level, connect, fresh_history, number, project, projector,
};
use crate::support::*;

/// Jobs that end in several ways: 5 charged of 10, one failed, one open for 20; 3 refunded, 2 adjusted.
async fn live(store: &Store) {
    let acme = funded(store, "acme", 100).await;
    give(
        store,
        &acme,
        7,
        GrantKind::Promo,
        Some(T0 + 86_400_000),
        "promo-1",
    )
    .await;
    let first = accept(store, &job_for(store, &acme, 10)).await;
    let job = claim_one(store, "w1").await;
    settle(store, &job, &settlement(5)).await;
    refund(store, &first.job, Some(3), "refund-1").await;
    accept(store, &job_for(store, &acme, 30)).await;
    let job = claim_one(store, "w1").await;
    fail(store, &job, &ends(FailureClass::ProviderFault)).await;
    accept(store, &job_for(store, &acme, 20)).await;
}

#[tokio::test]
async fn history_says_what_the_store_says_and_each_entry_stands_in_it_once() {
    let store = store().await;
    let url = fresh_history().await;
    live(&store).await;
    let written = project(&store, &url).await;
    assert_eq!(written, store.journal_end(0).await.expect("the end").seq);
    assert_history(&store, &url).await;
    assert_eq!(project(&store, &url).await, 0, "nothing twice");
    funded(&store, "bolt", 50).await;
    assert_eq!(project(&store, &url).await, 2);
    assert_history(&store, &url).await;
    assert_sound(&store).await;
}

#[tokio::test]
async fn views_answer_spending_by_account_tool_and_day_and_margin() {
    let store = store().await;
    let url = fresh_history().await;
    live(&store).await;
    project(&store, &url).await;
    let client = connect(&url).await;
    let sql = "select paid_ucr::bigint from spending_by_account where account = 'acme'";
    assert_eq!(number(&client, sql).await, 2_000_000);
    let sql = "select paid_ucr::bigint from spending where tool = 'image-to-video' and day = '2027-01-15'";
    assert_eq!(number(&client, sql).await, 2_000_000);
    let sql = "select captured_ucr::bigint from spending where jobs = 2 and succeeded = 1";
    assert_eq!(number(&client, sql).await, 5_000_000);
    let sql = "update jobs set provider_cost_usd_micros = 40000 where state = 'succeeded'";
    assert_eq!(client.execute(sql, &[]).await.expect("a cost"), 1);
    let sql = "select provider_cost_usd_micros::bigint from margin where paid_ucr = 2000000 and costed = 1";
    assert_eq!(number(&client, sql).await, 40_000);
    let sql =
        "select count(*) from jobs where state = 'open' and hold_ucr = 20000000 and slices <> ''";
    assert_eq!(number(&client, sql).await, 1);
    assert_sound(&store).await;
}

#[tokio::test]
async fn of_two_projectors_one_writes_a_partition_and_the_other_takes_over() {
    let store = store().await;
    let url = fresh_history().await;
    live(&store).await;
    let stops = [CancellationToken::new(), CancellationToken::new()];
    let runs = stops.clone().map(|stop| {
        let projector = projector(&store, &url);
        tokio::spawn(async move { projector.run(&stop, || ()).await })
    });
    await_level(&store, &url).await;
    for (stop, run) in stops.into_iter().zip(runs) {
        funded(&store, &format!("more-{}", uuid::Uuid::now_v7()), 5).await;
        await_level(&store, &url).await;
        stop.cancel();
        run.await.expect("the task").expect("no error");
    }
    assert_history(&store, &url).await;
    assert_sound(&store).await;
}

#[tokio::test]
async fn nothing_is_trimmed_that_history_has_not_committed() {
    let months = Options {
        opening_ms: 1_000,
        journal_retention_ms: 1_000,
        ..options()
    };
    let store = store_with(months).await;
    let url = fresh_history().await;
    live(&store).await;
    // What is trimmable: a complete round that an audit has found right, and old enough.
    let trimmable = async |at_ms: u64| {
        let later = store.at(at_ms);
        later.open_books(0).await.expect("a round");
        let later = store.at(at_ms + 2_000);
        later.open_books(0).await.expect("a round");
        let mut watch = meterline::ledger::Watch::new(later.clone(), "a1", 1_000);
        watch.round(0).await.expect("an audit");
        store.at(at_ms + 4_000)
    };
    store.note_history(0, 0).await.expect("a mark");
    let later = trimmable(T0 + 10_000).await;
    assert_eq!(
        later.trim_journal(0).await.expect("trim"),
        TrimOutcome::Nothing
    );
    project(&later, &url).await;
    let trimmed = later.trim_journal(0).await.expect("trim");
    assert!(
        matches!(trimmed, TrimOutcome::Trimmed { .. }),
        "{trimmed:?}"
    );
    funded(&later, "later", 1).await;
    assert_eq!(
        project(&later, &url).await,
        2,
        "it goes on from where it was"
    );
    assert_eq!(
        store.note_history(0, 1).await.expect("a mark"),
        later.journal_end(0).await.expect("end").seq
    );
    assert_history(&later, &url).await;
    assert_sound(&later).await;
}

#[tokio::test]
async fn a_history_that_begins_late_takes_the_openings_for_its_beginning() {
    let months = Options {
        opening_ms: 1_000,
        journal_retention_ms: 1_000,
        ..options()
    };
    let store = store_with(months).await;
    let url = fresh_history().await;
    live(&store).await;
    store.at(T0 + 10_000).open_books(0).await.expect("a round");
    let later = store.at(T0 + 12_000);
    later.open_books(0).await.expect("a round");
    let mut watch = meterline::ledger::Watch::new(later.clone(), "a1", 1_000);
    watch.round(0).await.expect("an audit");
    let later = store.at(T0 + 14_000);
    let trimmed = later.trim_journal(0).await.expect("trim");
    assert!(
        matches!(trimmed, TrimOutcome::Trimmed { .. }),
        "{trimmed:?}"
    );
    project(&later, &url).await;
    assert_history(&later, &url).await;
    assert_sound(&later).await;
}

#[tokio::test]
async fn a_database_of_another_store_is_refused() {
    let url = fresh_history().await;
    project(&store().await, &url).await;
    let other = store_with(Options {
        partitions: 2,
        ..options()
    })
    .await;
    let refused = projector(&other, &url)
        .catch_up()
        .await
        .expect_err("another store");
    assert!(
        refused.to_string().contains("other partitions"),
        "{refused}"
    );
}
