//! Costs in Postgres: each once, the same sums as the store, refunds taken off; and the command that shows them.

use meterline::domain::cost::{Cost, CostSource};
use meterline::domain::failure::FailureClass;
use meterline::ledger::postgres::{Rebuild, costs_in_history};
use meterline::ledger::{CostLine, CostsBy, costs_in_store};
use meterline::store::{FreezeAct, Scope, Store, SubmissionCost};

use crate::support::postgres::{connect, fresh_history, number, project};
use crate::support::*;

const ALWAYS: (u64, u64) = (0, 1 << 50);

fn cost(usd_micros: u64) -> SubmissionCost {
    SubmissionCost {
        cost: Cost {
            usd_micros,
            source: CostSource::Reported,
        },
        provider: "sim".to_owned(),
        route: "fast".to_owned(),
        model: "m".to_owned(),
    }
}

/// A failed try and a success of one job, which is refunded in part; and a job that failed.
pub(crate) async fn live(store: &Store) {
    let acme = funded(store, "acme", 100).await;
    let first = accept(store, &job_for(store, &acme, 10)).await;
    let job = claim_one(store, "w1").await;
    note(store, &job, intent(1)).await;
    let (how, paid) = (again(0), cost(100));
    let failed = store.fail_at_cost(&job.job, &job.token, &how, Some(&paid));
    failed.await.expect("fail");
    let at = store.at(T0 + 1_000);
    tick(&at).await;
    let job = claim_one(&at, "w1").await;
    note(&at, &job, intent(2)).await;
    let (how, paid) = (settlement(5), cost(1_000));
    let settled = at.settle_at_cost(&job.job, &job.token, &how, Some(&paid));
    settled.await.expect("settle");
    refund(&at, &first.job, Some(3), "refund-1").await;
    accept(&at, &job_for(&at, &acme, 10)).await;
    let job = claim_one(&at, "w1").await;
    note(&at, &job, intent(1)).await;
    let (how, paid) = (ends(FailureClass::ContentPolicy), cost(10));
    let failed = at.fail_at_cost(&job.job, &job.token, &how, Some(&paid));
    failed.await.expect("fail");
}

#[tokio::test]
async fn costs_stand_in_history_once_with_refunds_taken_off() {
    let store = store().await;
    let url = fresh_history().await;
    live(&store).await;
    for _ in 0..2 {
        project(&store, &url).await;
    }
    let line = CostLine {
        submissions: 3,
        wasted: 2,
        cost_usd_micros: 1_110,
        waste_usd_micros: 110,
        paid_ucr: 2_000_000,
    };
    for (by, name) in [
        (CostsBy::Provider, "sim"),
        (CostsBy::Route, "sim/fast"),
        (CostsBy::Day, "2027-01-15"),
    ] {
        let found = costs_in_history(&url, by, ALWAYS).await.expect("costs");
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[name], line, "{by:?}");
        let kept = costs_in_store(&store, by, ALWAYS).await.expect("costs");
        let paid_ucr = 5_000_000; // the store does not know of refunds here
        assert_eq!(kept[name], CostLine { paid_ucr, ..line }, "{by:?}");
    }
    let none = costs_in_history(&url, CostsBy::Tool, (0, T0)).await;
    assert!(none.expect("costs").is_empty(), "before the first");
    let client = connect(&url).await;
    let sum = "select sum(provider_cost_usd_micros)::bigint from margin";
    assert_eq!(number(&client, sum).await, 1_110, "joined by the job");
    // What history has may go from the store, and nothing else.
    let late = store.at(T0 + 10_000_000);
    late.trim_costs(0, 0).await.expect("a trim");
    let left = late.costs(0, "-", 10).await.expect("costs").len();
    assert!(left < 3, "{left}");
    project(&store, &url).await;
    let found = costs_in_history(&url, CostsBy::Provider, ALWAYS).await;
    assert_eq!(found.expect("costs")["sim"], line);
    assert_sound(&late).await;
}

#[tokio::test]
async fn nothing_goes_from_the_store_that_a_history_still_has_to_commit() {
    let store = store().await;
    let url = fresh_history().await;
    project(&store, &url).await;
    live(&store).await;
    let late = store.at(T0 + 10_000_000);
    late.trim_costs(0, 0).await.expect("a trim");
    assert_eq!(late.costs(0, "-", 10).await.expect("costs").len(), 3);
    assert_sound(&late).await;
}

#[tokio::test]
async fn costs_of_a_replica_whose_clock_is_behind_its_masters_are_committed() {
    let store = store().await;
    let url = fresh_history().await;
    live(&store).await;
    project(&store, &url).await;
    let before = costs_in_history(&url, CostsBy::Tool, ALWAYS).await;
    let before = before.expect("costs")["image-to-video"];
    // What the master booked last was committed, and lost with it.
    let ahead = "update cost_heads set last_id = '99999999999999-0'";
    let moved = connect(&url).await.execute(ahead, &[]).await;
    assert_eq!(moved.expect("a later head"), 1);

    let at = store.at(T0 + 2_000);
    accept(&at, &job_for(&at, &account("acme"), 10)).await;
    let job = claim_one(&at, "w1").await;
    note(&at, &job, intent(1)).await;
    let (how, paid) = (settlement(4), cost(500));
    let settled = at.settle_at_cost(&job.job, &job.token, &how, Some(&paid));
    settled.await.expect("settle");
    for _ in 0..2 {
        project(&at, &url).await;
    }
    let found = costs_in_history(&url, CostsBy::Tool, ALWAYS).await;
    let more = CostLine {
        submissions: before.submissions + 1,
        cost_usd_micros: before.cost_usd_micros + 500,
        paid_ucr: before.paid_ucr + 4_000_000,
        ..before
    };
    assert_eq!(found.expect("costs")["image-to-video"], more);
}

#[tokio::test]
async fn a_rebuild_leaves_what_history_knows_of_costs_as_it_was_and_new_ones_join_it() {
    let store = store().await;
    let url = fresh_history().await;
    live(&store).await;
    project(&store, &url).await;
    let before = costs_in_history(&url, CostsBy::Tool, ALWAYS).await;
    let before = before.expect("costs")["image-to-video"];
    // The server that was lost had a clock ahead of the one that takes its place.
    let ahead = "update cost_heads set last_id = '99999999999999-0'";
    let moved = connect(&url).await.execute(ahead, &[]).await;
    assert_eq!(moved.expect("a later head"), 1);

    let store = self::store().await.at(T0 + 2_000);
    let rebuild = Rebuild::open(store.clone(), &url).await.expect("a rebuild");
    rebuild.apply(0, "a test", "ann").await.expect("rebuilt");
    project(&store, &url).await;
    let after = costs_in_history(&url, CostsBy::Tool, ALWAYS).await;
    assert_eq!(after.expect("costs")["image-to-video"], before);
    let kept = costs_in_store(&store, CostsBy::Tool, ALWAYS).await;
    assert!(kept.expect("costs").is_empty(), "the store begins anew");

    let act = FreezeAct {
        scope: Scope::Partition(0),
        reason: "looked".to_owned(),
        actor: "ann".to_owned(),
        operation: "clear-1".parse().expect("an operation id"),
    };
    store.clear(&act).await.expect("cleared");
    accept(&store, &job_for(&store, &account("acme"), 10)).await;
    let job = claim_one(&store, "w2").await;
    note(&store, &job, intent(1)).await;
    let (how, paid) = (settlement(4), cost(500));
    let settled = store.settle_at_cost(&job.job, &job.token, &how, Some(&paid));
    settled.await.expect("settle");
    project(&store, &url).await;
    let found = costs_in_history(&url, CostsBy::Tool, ALWAYS).await;
    let more = CostLine {
        submissions: before.submissions + 1,
        cost_usd_micros: before.cost_usd_micros + 500,
        paid_ucr: before.paid_ucr + 4_000_000,
        ..before
    };
    assert_eq!(found.expect("costs")["image-to-video"], more);
    assert_sound(&store).await;
}
