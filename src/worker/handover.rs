//! How a worker leaves: it claims nothing more, gives to others what they can go on with, waits for the
//! rest, and gives its lease back, so that nobody has to wait for it to lapse.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::patience::Patience;
use super::running::StopReason;
use super::{House, Worker};
use crate::store::{Error, ReapOutcome};

/// How long a leaving worker tries to say good-bye to a store that does not answer.
const GOOD_BYE_MAX: Duration = Duration::from_secs(5);

/// What became of the jobs of a worker that left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drained {
    /// Jobs that came to an end or to a verdict here after the order.
    pub finished: usize,
    /// Jobs that others go on with: no try spent, no takeover counted.
    pub handed_over: usize,
    /// Jobs that were still under way when the time was up: others take them over.
    pub left: usize,
}

/// Counts what becomes of the jobs that run here.
#[derive(Default)]
pub(super) struct Tally {
    ended: AtomicUsize,
    handed_over: AtomicUsize,
}

impl Tally {
    pub(super) fn ended(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn handed_over(&self) {
        self.handed_over.fetch_add(1, Ordering::Relaxed);
    }
}

impl Worker {
    /// Stops claiming. Jobs that another worker can go on with are handed over at once; requests under
    /// way are waited for (at most `drain_max_ms`), and whatever they bring is worked off or handed
    /// over. Then everything else stops, and the lease is given back.
    pub async fn leave(self) -> Drained {
        let house = &self.house;
        let ended_before = house.tally.ended.load(Ordering::Relaxed);
        self.stop_claiming.cancel();
        house.look_again.notify_one();
        house.running.hand_over_all();
        let all_ended = async {
            // A claim may be under way: what it brings was given to this worker, and is handed over.
            let _ = self.pool.await;
            self.jobs.close();
            self.jobs.wait().await;
        };
        let most = Duration::from_millis(house.options.drain_max_ms);
        let _ = tokio::time::timeout(most, all_ended).await;
        let drained = Drained {
            finished: house.tally.ended.load(Ordering::Relaxed) - ended_before,
            handed_over: house.tally.handed_over.load(Ordering::Relaxed),
            left: house.running.len(),
        };
        self.stop_roles.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        if let Err(error) = give_leases_back(house, drained).await {
            tracing::warn!(%error, "failed to give the lease back, it lapses by itself");
        }
        // What is left belongs to others from here on.
        house.running.stop_all(StopReason::Lost);
        drained
    }
}

async fn give_leases_back(house: &House, drained: Drained) -> Result<(), Error> {
    let words = serde_json::to_string(&drained).unwrap_or_default();
    let mut patience = Patience::for_store();
    let saying = async {
        for partition in 0..house.store.partitions() {
            if !house.identity.has_joined(partition) {
                continue;
            }
            while let Err(error) = say_good_bye(house, partition, &words).await {
                if !error.is_transient() {
                    return Err(error);
                }
                tokio::time::sleep(patience.next()).await;
            }
        }
        Ok(())
    };
    let in_time = tokio::time::timeout(GOOD_BYE_MAX, saying).await;
    in_time.unwrap_or_else(|_| Err(Error::Unreachable("it does not answer".to_owned())))
}

/// What stands under this worker's name and runs nowhere comes from claims whose answers were lost:
/// it goes back first, as it costs nothing then. What still runs is left as a dead worker leaves it.
async fn say_good_bye(house: &House, partition: u16, words: &str) -> Result<(), Error> {
    let (store, worker) = (&house.store, house.identity.at(partition));
    let lease_ms = house.options.lease_ms;
    loop {
        let running = house.running.in_partition(partition);
        match store
            .hand_back(partition, lease_ms, &worker, &running)
            .await?
        {
            ReapOutcome::Reaped { more: true, .. } => {}
            ReapOutcome::Reaped { more: false, .. } | ReapOutcome::Away => break,
        }
    }
    store.leave(partition, &worker, words).await.map(|_| ())
}
