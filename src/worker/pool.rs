//! The pool: takes free slots, claims as many jobs as there are, starts each in its slot.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::patience::Patience;
use super::wakeup::{self, Cursors};
use super::{House, supervise};
use crate::store::{ClaimOutcome, ClaimedJob, Error};

/// A claim is made at least this often, whatever was or was not heard.
const CLAIM_AT_LEAST_EVERY: Duration = Duration::from_secs(5);
/// Where no claim went round for this long, the task that claims is stuck.
pub(super) const CLAIMS_GO_ROUND_WITHIN: Duration = CLAIM_AT_LEAST_EVERY.saturating_mul(6);
/// Every so many claims the low class is served first, so that it never starves.
const LOW_FIRST_EVERY: u64 = 8;

struct Pool {
    house: Arc<House>,
    jobs: TaskTracker,
    slots: Vec<(String, Arc<Semaphore>)>,
    claims: u64,
}

pub(super) async fn run(house: Arc<House>, jobs: TaskTracker, stop: CancellationToken) {
    let slots = house.options.slots.iter();
    let slots = slots
        .map(|(q, n)| (q.clone(), Arc::new(Semaphore::new(*n as usize))))
        .collect();
    let mut pool = Pool {
        house: Arc::clone(&house),
        jobs,
        slots,
        claims: 0,
    };
    let (orders, inbox) = mpsc::channel(1);
    let waker = tokio::spawn(wakeup::run(Arc::clone(&house), inbox, stop.clone()));
    let mut patience = Patience::for_store();
    while !stop.is_cancelled() {
        let pause = match pool.claim_everywhere(&stop).await {
            Ok(cursors) => {
                patience.reset();
                house.pulse.claimed();
                // Only the first round sets it.
                let _ = house.claiming.set(());
                // With free slots left somebody listens; a full channel means that somebody already does.
                if let Some(cursors) = cursors {
                    let _ = orders.try_send(cursors);
                }
                CLAIM_AT_LEAST_EVERY
            }
            Err(error) => {
                tracing::warn!(%error, "failed to claim, trying again");
                patience.next()
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = house.look_again.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
    house.pulse.claims_no_more();
    drop(orders);
    let _ = waker.await;
}

impl Pool {
    /// Asks each partition once, from a random start, for what still fits. Returns the cursors to
    /// listen from, or `None` when every slot is taken.
    async fn claim_everywhere(
        &mut self,
        stop: &CancellationToken,
    ) -> Result<Option<Cursors>, Error> {
        self.hand_back_lost_claims().await?;
        let partitions = self.house.store.partitions();
        let start = rand::random_range(0..partitions.max(1));
        let mut cursors = Cursors::new();
        for n in 0..partitions {
            let partition = (start + n) % partitions;
            let permits = self.take_free_slots();
            if permits.iter().all(|(_, free)| free.is_empty()) || stop.is_cancelled() {
                return Ok(None);
            }
            if let Some(seen) = self.claim_in(partition, permits).await? {
                cursors.push((partition, seen));
            }
        }
        Ok(Some(cursors))
    }

    fn take_free_slots(&self) -> Vec<(String, Vec<OwnedSemaphorePermit>)> {
        let free = |slots: &Arc<Semaphore>| {
            std::iter::from_fn(|| Arc::clone(slots).try_acquire_owned().ok()).collect()
        };
        self.slots
            .iter()
            .map(|(queue, slots)| (queue.clone(), free(slots)))
            .collect()
    }

    /// One claim: the slot first, the job second. Permits that got no job are free again on return.
    async fn claim_in(
        &mut self,
        partition: u16,
        mut permits: Vec<(String, Vec<OwnedSemaphorePermit>)>,
    ) -> Result<Option<Vec<(String, String)>>, Error> {
        self.claims += 1;
        let worker = self.house.identity.at(partition);
        let wanted: Vec<(String, u32)> = permits
            .iter()
            .map(|(queue, free)| (queue.clone(), u32::try_from(free.len()).unwrap_or(u32::MAX)))
            .collect();
        // Trust in what the store says of the deadline begins when it was asked, not when it answered.
        let asked_at = Instant::now();
        let low_first = self.claims.is_multiple_of(LOW_FIRST_EVERY);
        let lease_ms = self.house.options.lease_ms;
        let outcome = self
            .house
            .store
            .claim(partition, &worker, lease_ms, &wanted, low_first);
        match outcome.await? {
            ClaimOutcome::Lost => {
                self.house.lost(partition, &worker);
                self.house.look_again.notify_one();
                Ok(None)
            }
            ClaimOutcome::Claimed(claimed) => {
                self.house.identity.note_joined(partition, &worker);
                if let Some(reason) = &claimed.frozen {
                    tracing::debug!(partition, reason, "partition {partition} is frozen");
                }
                for job in claimed.jobs {
                    let slots = permits.iter_mut().find(|(queue, _)| *queue == job.queue);
                    let permit = slots.and_then(|(_, free)| free.pop());
                    self.start(job, &worker, permit, asked_at);
                }
                if claimed.more {
                    self.house.look_again.notify_one();
                }
                Ok(Some(claimed.cursors))
            }
        }
    }

    fn start(
        &self,
        job: ClaimedJob,
        worker: &str,
        permit: Option<OwnedSemaphorePermit>,
        asked_at: Instant,
    ) {
        let house = Arc::clone(&self.house);
        let stop = house.running.enter(&job.job, worker);
        self.jobs.spawn(async move {
            supervise::run(&house, job, asked_at, &stop).await;
            drop(permit);
            house.look_again.notify_one();
        });
    }

    /// The reply to a claim got lost: its jobs stand under this worker's name and run nowhere. This
    /// happens here because only this task claims, so that no claim is under way.
    async fn hand_back_lost_claims(&self) -> Result<(), Error> {
        for partition in self.house.take_hand_backs() {
            let (worker, running) = (
                self.house.identity.at(partition),
                self.house.running.in_partition(partition),
            );
            let lease_ms = self.house.options.lease_ms;
            let done = self
                .house
                .store
                .hand_back(partition, lease_ms, &worker, &running)
                .await?;
            tracing::info!(
                partition,
                ?done,
                "handed back jobs whose claim was never answered"
            );
        }
        Ok(())
    }
}

impl House {
    /// This worker is dead in a partition: its jobs there belong to others, it goes on as a new one.
    pub(super) fn lost(&self, partition: u16, worker: &str) {
        tracing::warn!(
            worker,
            partition,
            "worker {worker} was taken for dead, going on as a new one"
        );
        self.running.stop_dead(partition, worker);
        self.identity.renew(partition, worker);
    }

    fn hand_backs(&self) -> std::sync::MutexGuard<'_, Vec<u16>> {
        self.hand_back
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn take_hand_backs(&self) -> Vec<u16> {
        std::mem::take(&mut *self.hand_backs())
    }

    pub(super) fn ask_hand_back(&self, partition: u16) {
        self.hand_backs().push(partition);
        self.look_again.notify_one();
    }
}
