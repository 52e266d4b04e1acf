//! Says where to look again when something new stands in a ready stream. It never takes a job itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::House;
use super::patience::Patience;
use crate::store::Waker;

/// Longest single wait, ms: a stream that was deleted under a reader must not keep it for ever.
pub(super) const WAIT_MS: usize = 5_000;

/// Where to read on from: by partition, the cursors that its last claim returned.
pub(super) type Cursors = BTreeMap<u16, Vec<(String, String)>>;

/// Which partitions are worth a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    /// Something new stands in these.
    In(Vec<u16>),
    /// Nothing was heard, or could be: look everywhere.
    Anywhere,
}

/// Waits on behalf of the pool: one order with the cursors of its last claims, news back. Between orders nothing is read, so that a pool without free slots is not woken by
/// every new job.
pub(super) async fn run(
    house: Arc<House>,
    mut orders: mpsc::Receiver<Cursors>,
    stop: CancellationToken,
) {
    let mut waker: Option<Waker> = None;
    let mut patience = Patience::for_store();
    while let Some(cursors) = orders.recv().await {
        let waited = tokio::select! {
            () = stop.cancelled() => return,
            waited = wait(&house, &mut waker, cursors) => waited,
        };
        match waited {
            Ok(woken) => {
                patience.reset();
                house.tell(if woken.is_empty() {
                    News::Anywhere
                } else {
                    News::In(woken)
                });
            }
            Err(error) => {
                // A new connection, and a claim after it: what came meanwhile is not missed.
                tracing::warn!(%error, "failed to wait for new jobs, connecting again");
                waker = None;
                tokio::time::sleep(patience.next()).await;
                house.tell(News::Anywhere);
            }
        }
    }
}

async fn wait(
    house: &House,
    waker: &mut Option<Waker>,
    cursors: Cursors,
) -> Result<Vec<u16>, crate::store::Error> {
    let connected = match waker {
        Some(connected) => connected,
        None => waker.insert(house.store.ready_waker()),
    };
    for (partition, cursors) in cursors {
        connected.seen(partition, cursors);
    }
    connected.wait(WAIT_MS).await
}
