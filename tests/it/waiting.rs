//! A caller that is in the middle of a call and does not go on (it stopped waiting, or does something else
//! first) keeps nobody else from the store.

use std::time::Duration;

use futures_util::FutureExt;
use meterline::dev::redis::PrivateRedis;
use meterline::domain::ids::JobId;
use meterline::store::{JobView, Store};

use crate::support::cluster::PrivateCluster;
use crate::support::lossy::Lossy;
use crate::support::ports::{free_port, free_ports};
use crate::support::*;

/// Longer than any call may take.
const HELD_UP: Duration = Duration::from_secs(20);

async fn a_job(store: &Store) -> JobId {
    let acme = account("acme");
    store.open_account(&acme, 0).await.expect("open");
    give(
        store,
        &acme,
        10,
        meterline::store::GrantKind::Purchase,
        None,
        "paid",
    )
    .await;
    let job = job_for(store, &acme, 3);
    store.submit(&job).await.expect("held");
    job.job
}

/// What a look at the job brings, whether it can be reached or not.
async fn look(store: &Store, job: &JobId) -> Option<JobView> {
    let looked = tokio::time::timeout(HELD_UP, store.job(job)).await;
    looked.expect("nobody is held up").ok().flatten()
}

#[tokio::test]
async fn a_call_that_does_not_go_on_while_it_connects_holds_up_no_other() {
    let (port, announced) = (free_port(), free_port());
    let mut served = plain_redis();
    served.extra = ["--port", &port.to_string()].map(str::to_owned).into();
    let _server = PrivateRedis::start(served).expect("a server");
    let lossy = Lossy::start(&[(announced, port)]).await;
    let url = format!("redis://127.0.0.1:{announced}");
    let store = Store::open(&url, options()).await.expect("a store");
    let job = a_job(&store).await;

    lossy.lose_every(1);
    assert!(look(&store, &job).await.is_none());
    lossy.lose_every(0);
    let mut first = Box::pin(store.job(&job));
    assert!((&mut first).now_or_never().is_none(), "it connects");
    assert!(look(&store, &job).await.is_some());
    assert!(first.await.expect("an answer").is_some());
}

#[tokio::test]
async fn a_read_that_does_not_go_on_while_it_asks_the_cluster_holds_up_no_call() {
    let announced = free_ports(3);
    let cluster = PrivateCluster::start_behind(3, 0, &announced);
    let servers = cluster.nodes.iter().map(|node| node.port);
    let pairs: Vec<(u16, u16)> = announced.iter().copied().zip(servers).collect();
    let lossy = Lossy::start(&pairs).await;
    let store = Store::open(&cluster.url(), options())
        .await
        .expect("a store");
    let job = a_job(&store).await;
    let mut events = store.follow(&job).await.expect("a reader");

    lossy.lose_every(1);
    assert!(look(&store, &job).await.is_none());
    // The cluster is not asked twice within 50 ms.
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert!(events.next(60_000).now_or_never().is_none(), "it asks");
    assert!(look(&store, &job).await.is_none());
    lossy.lose_every(0);
    assert!(look(&store, &job).await.is_some());
    assert!(events.next(1).await.is_ok());
}
