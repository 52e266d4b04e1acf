//! The store on a Redis Cluster: three masters on loopback.

use std::process::{Command, Stdio};

use crate::support::cluster::PrivateCluster;
use crate::support::*;

use meterline::store::{Options, Store};

/// As many partitions as a store has without further ado: some on each of three masters.
fn eight() -> Options {
    Options {
        partitions: 8,
        ..options()
    }
}

#[tokio::test]
async fn a_store_lives_on_three_masters_and_finds_its_keys_from_any_of_them() {
    let cluster = PrivateCluster::start(3, 0);
    let seeds = cluster.url();
    let one = seeds.split(',').next_back().expect("a node");
    let store = Store::open(&format!("redis+cluster://{one}"), eight())
        .await
        .expect("a store");
    for n in 0..32 {
        let id = funded(&store, &format!("acme-{n}"), 10).await;
        accept(&store, &job_for(&store, &id, 3)).await;
        assert_eq!(balance(&store, &id).await, (7, 3));
    }
    for node in &cluster.nodes {
        let keys: u64 = node.ask(&["DBSIZE"]);
        assert!(keys > 30, "{keys} keys on {}", node.port);
    }
    assert_sound(&store).await;
}
