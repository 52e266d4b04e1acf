//! History beside a cluster: a replica that lags takes over from one of three masters. What that master had is
//! fenced and rebuilt, what the others have goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use meterline::domain::ids::AccountId;
use meterline::store::{GrantKind, Options, Store};
use tokio_util::sync::CancellationToken;

use crate::failover::{figures, meterline};
use crate::support::cluster::{ClusterNode, PrivateCluster};
use crate::support::postgres::{assert_history, await_level, fresh_history, project, projector};
use crate::support::*;

/// Longest wait for the fence.
const PATIENCE: Duration = Duration::from_secs(60);

/// The replica hears nothing from here on, and keeps asking: it gives a password that nobody asked for.
fn stall(cluster: &PrivateCluster, replica: &ClusterNode) {
    let _: String = replica.ask(&["CONFIG", "SET", "masterauth", "nobody"]);
    let _: u32 = replica.ask(&["CLIENT", "KILL", "TYPE", "master"]);
    let is_down = |node: &ClusterNode| {
        let said: String = node.ask(&["INFO", "replication"]);
        node.id != replica.id || said.contains("master_link_status:down")
    };
    cluster.agree(is_down);
}

/// Gives each account two credits more and takes three jobs of it, of which one is cancelled.
async fn book(store: &Store, accounts: &[AccountId], operation: &str) {
    for id in accounts {
        give(store, id, 2, GrantKind::Purchase, None, operation).await;
        let jobs = [3, 4, 5].map(|ceiling| job_for(store, id, ceiling));
        for job in &jobs {
            accept(store, job).await;
        }
        cancel(store, &jobs[0].job).await;
    }
}

/// Waits until each of the partitions is frozen, and looks at what is said of it.
async fn await_fence(store: &Store, fenced: &BTreeSet<u16>) {
    for partition in fenced {
        let frozen = loop {
            // Nobody has the slots of the dead node for a while.
            match store.frozen(*partition).await.unwrap_or_default().pop() {
                Some(frozen) => break frozen,
                None => tokio::task::yield_now().await,
            }
        };
        assert_eq!(frozen.actor, "history");
        assert!(
            frozen.reason.starts_with("history is ahead: "),
            "{frozen:?}"
        );
        let named = |line: &String| line.starts_with("only history has ");
        assert!(frozen.differed.iter().any(named), "{frozen:?}");
        let shown = format!("--partition {partition} --dry-run");
        assert!(
            frozen.differed.iter().any(|line| line.contains(&shown)),
            "{frozen:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_11_a_lagging_replica_of_one_master_fences_its_partitions_alone_and_they_are_rebuilt()
 {
    let url = fresh_history().await;
    let mut cluster = PrivateCluster::start(3, 1);
    let eight = Options {
        partitions: 8,
        ..options()
    };
    let store = Store::open(&cluster.url(), eight).await.expect("a store");
    let mut accounts = Vec::new();
    for n in 0..24 {
        accounts.push(funded(&store, &format!("acme-{n}"), 100).await);
    }
    let tags = store.tags();
    let owner = |tag: &str| cluster.owner_of(&format!("ml:{{{tag}}}:part:meta"));
    let fenced: BTreeSet<u16> = (0..)
        .zip(tags.split(' '))
        .filter(|(_, tag)| owner(tag) == 0)
        .map(|(n, _)| n)
        .collect();
    assert!(!fenced.is_empty() && fenced.len() < 8, "{fenced:?}");
    project(&store, &url).await;
    let (leave, history) = (CancellationToken::new(), projector(&store, &url));
    let left = leave.clone();
    let history = tokio::spawn(async move { history.run(&left, || ()).await });

    book(&store, &accounts, "heard").await;
    await_level(&store, &url).await;
    stall(&cluster, &cluster.nodes[3]);
    book(&store, &accounts, "not-heard").await;
    await_level(&store, &url).await;
    let before = figures(&url).await;
    assert_eq!(before.len(), accounts.len());
    cluster.nodes[0].server.kill().expect("killed");

    let fence = tokio::time::timeout(PATIENCE, await_fence(&store, &fenced));
    fence.await.expect("a fence");
    for partition in (0..8).filter(|partition| !fenced.contains(partition)) {
        assert!(store.frozen(partition).await.expect("a look").is_empty());
    }
    let done = meterline(
        &cluster.url(),
        &url,
        &["rebuild", "--reason", "a replica lagged"],
    );
    let rebuilt = done["partitions"].as_array().expect("partitions").iter();
    let rebuilt: BTreeSet<u64> = rebuilt
        .filter_map(|plan| plan["partition"].as_u64())
        .collect();
    assert!(
        fenced.iter().all(|n| rebuilt.contains(&u64::from(*n))),
        "{done}"
    );
    for partition in &fenced {
        let number = partition.to_string();
        let clear = [
            "freeze",
            "clear",
            "--reason",
            "looked",
            "--partition",
            &number,
        ];
        meterline(&cluster.url(), &url, &clear);
    }
    await_level(&store, &url).await;
    assert_eq!(figures(&url).await, before);
    assert_history(&store, &url).await;
    // A payment that was not heard of is known again, and each account goes on.
    book(&store, &accounts, "not-heard").await;
    await_level(&store, &url).await;
    let granted = |figures: &BTreeMap<String, [i64; 4]>| -> Vec<i64> {
        figures.values().map(|of| of[1]).collect()
    };
    assert_eq!(granted(&figures(&url).await), granted(&before));
    leave.cancel();
    history.await.expect("the task").expect("no error");
    assert_history(&store, &url).await;
    assert_sound(&store).await;
}
