//! The store on a Redis Cluster: three masters on loopback.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use meterline::domain::ids::{AccountId, JobId};
use meterline::producer::{Asking, Terms};
use meterline::store::{
    ConnectionOptions, Durability, DurabilityOptions, Error, GrantKind, GrantOutcome, Options,
    Store, TickOutcome,
};
use serde_json::{Value, json};

use crate::support::cluster::PrivateCluster;
use crate::support::lossy::Lossy;
use crate::support::ports::free_ports;
use crate::support::rig::Rig;
use crate::support::*;

/// Modules of the store's tests that run on a cluster in an ordinary run; together they run every script
/// but those that need a Postgres beside them.
const ORDINARY: [&str; 14] = [
    "dead_force_fail::",
    "freeze::",
    "handover_store::",
    "money_adjust::",
    "money_plans::",
    "money_refund::",
    "money_rewards::",
    "store_api_keys::",
    "store_cancel::",
    "store_claim::",
    "store_grants::",
    "store_many::",
    "store_settle::",
    "webhooks_endpoints::",
];

/// The others, for `scripts/test-cluster`.
const OTHERS: [&str; 21] = [
    "dead::",
    "dead_redrive::",
    "journal::",
    "ledger_audit::",
    "ledger_examples::",
    "money_caps::",
    "money_statement::",
    "queues::",
    "store_burn::",
    "store_clocks::",
    "store_fence::",
    "store_gather::",
    "store_lane::",
    "store_leases::",
    "store_random::",
    "store_server::",
    "store_submit::",
    "store_time::",
    "webhooks_store::",
    "worker::",
    "worker_wakes::",
];

/// In an ordinary run they would take longer than all others of their module together.
const LONG: [&str; 4] = [
    "money_plans::promise_03_",
    "money_adjust::promise_01_",
    "store_many::more_items_than_a_call_takes_all_get_their_answer",
    "money_refund::promise_01_",
];

/// As many partitions as a store has without further ado: some on each of three masters.
fn eight() -> Options {
    Options {
        partitions: 8,
        ..options()
    }
}

/// Runs tests of this program again, one after the other, with their stores on a cluster.
async fn pass_on_a_cluster(modules: &[&str], without: &[&str]) {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(modules).args(["--test-threads", "1"]);
    command.args(without.iter().flat_map(|name| ["--skip", name]));
    command
        .env("METERLINE_TEST_CLUSTER", "1")
        .stdin(Stdio::null());
    let run = tokio::task::spawn_blocking(move || command.output().expect("the tests"));
    let output = run.await.expect("the tests");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "a test fails on a cluster: {said}");
    assert!(!said.contains(" 0 passed"), "{said}");
}

#[tokio::test]
async fn the_stores_tests_pass_on_three_masters() {
    let all: Vec<&str> = ORDINARY.iter().chain(&OTHERS).copied().collect();
    if std::env::var_os("METERLINE_WHOLE_CLUSTER").is_some() {
        pass_on_a_cluster(&all, &[]).await;
    } else {
        pass_on_a_cluster(&ORDINARY, &LONG).await;
    }
}

#[tokio::test]
async fn a_store_lives_on_three_masters_and_finds_its_keys_from_any_of_them() {
    let cluster = PrivateCluster::start(3, 0);
    let seeds = cluster.url();
    let one = seeds.split(',').next_back().expect("a node");
    let url = format!(
        "redis+cluster://{}",
        one.trim_start_matches("redis+cluster://")
    );
    let store = Store::open(&url, eight()).await.expect("a store");
    for n in 0..32 {
        let id = funded(&store, &format!("acme-{n}"), 10).await;
        accept(&store, &job_for(&store, &id, 3)).await;
        assert_eq!(balance(&store, &id).await, (7, 3));
    }
    for node in &cluster.nodes {
        let keys: u64 = node.ask(&["DBSIZE"]);
        assert!(keys > 30, "{keys} keys on {}", node.port);
    }
    assert_eq!(store.server_reports().await.expect("reports").len(), 3);
    assert_sound(&store).await;

    // Either address says what it should have been.
    let single = format!("redis://127.0.0.1:{}", cluster.nodes[0].port);
    let mut refused = Vec::new();
    for n in 0..3 {
        let single = single.replace(
            &cluster.nodes[0].port.to_string(),
            &cluster.nodes[n].port.to_string(),
        );
        refused.extend(Store::open(&single, eight()).await.err());
    }
    let hints = |error: &Error| error.to_string().contains("redis+cluster://");
    assert!(
        !refused.is_empty() && refused.iter().all(hints),
        "{refused:?}"
    );
}

/// What a script does with keys of which half have left must not depend on which half: none does anything.
#[tokio::test]
async fn promise_09_while_a_slot_moves_no_script_does_anything() {
    let cluster = PrivateCluster::start(3, 0);
    let hasty = Options {
        connection: ConnectionOptions {
            connect_timeout_ms: 60,
            ..options().connection
        },
        ..options()
    };
    let store = Store::open(&cluster.url(), hasty)
        .await
        .expect("a store")
        .at(T0);
    let raw = Raw::open(&cluster.url()).await;
    let acme = funded(&store, "acme", 100).await;
    for _ in 0..3 {
        accept(&store, &job_for(&store, &acme, 10)).await;
    }
    let running = claim(&store, "w1", 2).await;
    let meta = key("part", "meta");
    let to = (cluster.owner_of(&meta) + 1) % 3;

    let moving = cluster.begin_move(&meta, to);
    let mut steps = 0;
    loop {
        let before = raw.dump().await;
        nothing_can_be_done(&store, &acme, &running[0]).await;
        assert!(
            before == raw.dump().await,
            "after {steps} steps something was written"
        );
        // What can be read is read, wherever it is.
        assert_eq!(state_of(&store, &running[0].job).await, "running");
        steps += 1;
        if moving.step(4) == 0 {
            break;
        }
    }
    assert!(steps > 4, "{steps}");
    nothing_can_be_done(&store, &acme, &running[0]).await;
    moving.finish();

    settle(&store, &running[0], &settlement(4)).await;
    assert_eq!(balance(&store, &acme).await, (76, 20));
    assert_eq!(cluster.owner_of(&meta), to);
    assert_sound(&store).await;
}

/// A call of each kind; each is told that nothing happened, and may be repeated.
async fn nothing_can_be_done(store: &Store, acme: &AccountId, job: &meterline::store::ClaimedJob) {
    let slots = [("video".to_owned(), 1)];
    let queues = ["video".to_owned()];
    let purchase = request(acme, 1_000_000, "while-it-moves");
    let errors = [
        store.submit(&job_for(store, acme, 1)).await.err(),
        store.claim(0, "w2", LEASE_MS, &slots, false).await.err(),
        store
            .settle(&job.job, &job.token, &settlement(4))
            .await
            .err(),
        store
            .checkpoint(&job.job, &job.token, intent(1), "{}")
            .await
            .err(),
        store.cancel(&job.job, "tests").await.err(),
        store.grant(&purchase).await.err(),
        store.tick(0, SWEEP_MS, LEASE_MS, false).await.err(),
        store.reap(0, LEASE_MS).await.err(),
        store
            .heartbeat(0, "w1", LEASE_MS, &queues, "{}", &[])
            .await
            .err(),
        store.open_account(&account("bolt"), 0).await.err(),
    ];
    for error in errors {
        let error = error.expect("the slot is on its way");
        assert!(matches!(error, Error::Unreachable(_)), "{error}");
    }
}

/// Submits an image, and again under the same key until there is an answer.
async fn submit_at_last(rig: &Rig, account: &AccountId, n: usize) -> JobId {
    let Value::Object(params) = json!({"prompt": "x", "sim": {"delay_ms": 20}}) else {
        unreachable!("it is an object")
    };
    let asking = Asking {
        account: account.clone(),
        tool: "text-to-image".to_owned(),
        params,
        route: None,
    };
    let terms = Terms {
        idempotency_key: Some(format!("click-{n}").parse().expect("a key")),
        ..Terms::default()
    };
    loop {
        match rig.producer.submit(&asking, &terms).await {
            Ok(submitted) => return submitted.job,
            Err(error) => {
                let text = error.to_string();
                assert!(!text.contains("refused"), "{text}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// Submits for every account in turn until told to stop.
async fn load(rig: &Rig, accounts: &[AccountId], goes_on: &AtomicBool) -> Vec<(AccountId, JobId)> {
    let mut jobs = Vec::new();
    while goes_on.load(Ordering::Relaxed) || jobs.len() < 2 * accounts.len() {
        let account = &accounts[jobs.len() % accounts.len()];
        jobs.push((
            account.clone(),
            submit_at_last(rig, account, jobs.len()).await,
        ));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    jobs
}

/// Every job has ended and was paid once, as the account's balance says too; nothing was started twice.
async fn all_is_right(rig: &Rig, accounts: &[AccountId], jobs: &[(AccountId, JobId)], given: i64) {
    const PRICE: i64 = 7;
    for (_, job) in jobs {
        let view = rig.ended(job).await;
        assert_eq!(view.text("state"), "succeeded", "{view:?}");
    }
    for id in accounts {
        let paid = PRICE * jobs.iter().filter(|(account, _)| account == id).count() as i64;
        assert_eq!(balance(&rig.store, id).await, (given - paid, 0), "{id}");
    }
    let started = rig.started().await;
    assert!(started.values().all(|times| *times == 1), "{started:?}");
    assert_eq!(started.len(), jobs.len());
    assert_tallies(&rig.store).await;
    rig.assert_sound().await;
}

async fn accounts_of(rig: &Rig, credits: u32) -> Vec<AccountId> {
    let accounts: Vec<AccountId> = (0..12).map(|n| account(&format!("acme-{n}"))).collect();
    for id in &accounts {
        rig.fund(id, credits).await;
    }
    accounts
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_02_slots_move_under_load_and_no_script_is_cut_in_half() {
    let cluster = PrivateCluster::start(3, 0);
    Store::open(&cluster.url(), eight()).await.expect("a store");
    let rig = Rig::patient(cluster.url()).await;
    let accounts = accounts_of(&rig, 10_000).await;
    let worker = rig.worker(None);
    let goes_on = AtomicBool::new(true);

    let moves = async {
        let raw = Raw::open(&cluster.url()).await;
        let metas: Vec<String> = raw.dump().await.into_keys().collect();
        let metas = metas.iter().filter(|name| name.ends_with(":part:meta"));
        let mut moved = 0;
        for meta in metas.take(5) {
            let to = (cluster.owner_of(meta) + 1 + moved % 2) % 3;
            let moving = cluster.begin_move(meta, to);
            // As slowly as the keys of a large partition move.
            while moving.step(3) > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            moving.finish();
            assert_eq!(cluster.owner_of(meta), to);
            moved += 1;
        }
        goes_on.store(false, Ordering::Relaxed);
        moved
    };
    let (moved, jobs) = tokio::join!(moves, load(&rig, &accounts, &goes_on));
    assert_eq!(moved, 5);
    all_is_right(&rig, &accounts, &jobs, 10_000).await;
    assert_eq!(worker.drain().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_03_answers_are_lost_on_the_way_and_nothing_happens_twice() {
    let announced = free_ports(3);
    let cluster = PrivateCluster::start_behind(3, 0, &announced);
    let servers = cluster.nodes.iter().map(|node| node.port);
    let pairs: Vec<(u16, u16)> = announced.iter().copied().zip(servers).collect();
    let lossy = Lossy::start(&pairs).await;
    Store::open(&cluster.url(), eight()).await.expect("a store");
    let rig = Rig::patient(cluster.url()).await;
    let accounts = accounts_of(&rig, 10_000).await;
    let worker = rig.worker(None);
    let goes_on = AtomicBool::new(true);

    lossy.lose_every(15);
    let grants = async {
        for id in &accounts {
            for n in 0..4 {
                let purchase = request(id, 1_000_000, &format!("pay-{n}"));
                // Sent again until there is an answer, as every caller does.
                while rig.store.grant(&purchase).await.is_err() {}
            }
        }
        // The load goes on until enough was lost, however fast the machine is.
        while lossy.lost() <= 30 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        goes_on.store(false, Ordering::Relaxed);
    };
    let ((), jobs) = tokio::join!(grants, load(&rig, &accounts, &goes_on));
    lossy.lose_every(0);
    all_is_right(&rig, &accounts, &jobs, 10_004).await;
    assert_eq!(worker.drain().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_10_a_replica_takes_over_and_what_it_confirmed_is_there() {
    let mut cluster = PrivateCluster::start(3, 1);
    let safe = Options {
        durability: DurabilityOptions {
            grants: Durability::Replica,
            ..options().durability
        },
        ..eight()
    };
    let store = Store::open(&cluster.url(), safe).await.expect("a store");
    let accounts: Vec<AccountId> = (0..12).map(|n| account(&format!("acme-{n}"))).collect();
    for id in &accounts {
        store.open_account(id, 0).await.expect("open");
        give(&store, id, 10, GrantKind::Purchase, None, "confirmed").await;
    }
    cluster.nodes[0].server.kill().expect("killed");
    for id in &accounts {
        let job = job_for(&store, id, 3);
        // Nobody has the slots of the dead node for a while.
        while store.submit(&job).await.is_err() {}
        assert_eq!(balance(&store, id).await, (7, 3));
        let again = store.grant(&request(id, 10_000_000, "confirmed")).await;
        if let Ok(outcome) = again {
            assert!(
                matches!(outcome, GrantOutcome::Granted { replayed: true, .. }),
                "{outcome:?}"
            );
        }
    }
    for partition in 0..8 {
        let swept = store.tick(partition, SWEEP_MS, LEASE_MS, false).await;
        assert!(matches!(swept, Ok(TickOutcome::Ticked { .. })), "{swept:?}");
    }
    assert_sound(&store).await;
}
