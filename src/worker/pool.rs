//! The pool: takes free slots, claims as many jobs as there are, starts each in its slot.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::patience::Patience;
use super::wakeup::{self, Cursors, News};
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
    /// By partition and queue (as in `slots`): whether there may be a job that nobody has been told of.
    /// Not where the last claim got less than it asked for and nothing new was heard of since.
    untapped: Vec<Vec<bool>>,
    /// Where the last claim in each partition has read to.
    cursors: Cursors,
    /// When to look everywhere again, whatever is heard until then.
    everywhere_at: Instant,
}

pub(super) async fn run(house: Arc<House>, jobs: TaskTracker, stop: CancellationToken) {
    let mut pool = Pool::new(Arc::clone(&house), jobs);
    let (orders, inbox) = mpsc::channel(1);
    let waker = tokio::spawn(wakeup::run(Arc::clone(&house), inbox, stop.clone()));
    let mut patience = Patience::for_store();
    while !stop.is_cancelled() {
        let pause = match pool.claim_where_due(&stop).await {
            Ok(()) => {
                patience.reset();
                house.pulse.claimed();
                // Only the first round sets it.
                let _ = house.claiming.set(());
                pool.listen(&orders);
                CLAIM_AT_LEAST_EVERY
            }
            Err(error) => {
                tracing::warn!(%error, "failed to claim, trying again");
                pool.everywhere_at = Instant::now();
                patience.next()
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = house.look_again.notified() => pool.everywhere_at = Instant::now(),
            () = house.stirred.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
    house.pulse.claims_no_more();
    drop(orders);
    let _ = waker.await;
}

impl Pool {
    fn new(house: Arc<House>, jobs: TaskTracker) -> Self {
        let slots = house.options.slots.iter();
        let slots: Vec<_> = slots
            .map(|(q, n)| (q.clone(), Arc::new(Semaphore::new(*n as usize))))
            .collect();
        Self {
            untapped: vec![vec![true; slots.len()]; usize::from(house.store.partitions())],
            house,
            jobs,
            slots,
            claims: 0,
            cursors: Cursors::new(),
            everywhere_at: Instant::now(),
        }
    }

    /// Asks each partition in which something may wait once, from a random start, for what still fits;
    /// every so often all of them, whatever was heard.
    async fn claim_where_due(&mut self, stop: &CancellationToken) -> Result<(), Error> {
        self.hand_back_lost_claims().await?;
        self.hear();
        if Instant::now() >= self.everywhere_at {
            self.everywhere_at = Instant::now() + CLAIM_AT_LEAST_EVERY;
            self.untapped
                .iter_mut()
                .for_each(|queues| queues.fill(true));
        }
        let partitions = self.house.store.partitions();
        let start = rand::random_range(0..partitions.max(1));
        for n in 0..partitions {
            let partition = (start + n) % partitions;
            if !self.is_due(partition) {
                continue;
            }
            let permits = self.take_free_slots();
            if stop.is_cancelled() {
                return Ok(());
            }
            self.claim_in(partition, permits).await?;
        }
        Ok(())
    }

    /// Takes in what the waker heard.
    fn hear(&mut self) {
        for news in self.house.take_news() {
            match news {
                News::Anywhere => self.everywhere_at = Instant::now(),
                News::In(partitions) => partitions.into_iter().for_each(|p| self.look_in(p)),
            }
        }
    }

    fn look_in(&mut self, partition: u16) {
        if let Some(queues) = self.untapped.get_mut(usize::from(partition)) {
            queues.fill(true);
        }
    }

    /// Whether there is a free slot for a queue in which the partition may have a job.
    fn is_due(&self, partition: u16) -> bool {
        let queues = self.untapped.get(usize::from(partition));
        let slots = queues.into_iter().flatten().zip(&self.slots);
        slots
            .into_iter()
            .any(|(untapped, (_, slots))| *untapped && slots.available_permits() > 0)
    }

    /// With free slots left and nothing more to take, somebody listens; a full channel means that
    /// somebody already does, from cursors that are as old or older.
    fn listen(&self, orders: &mpsc::Sender<Cursors>) {
        let is_full = |(_, slots): &(String, Arc<Semaphore>)| slots.available_permits() == 0;
        let any_due = (0..self.house.store.partitions()).any(|partition| self.is_due(partition));
        if any_due || self.slots.iter().all(is_full) {
            return;
        }
        if let Ok(place) = orders.try_reserve() {
            place.send(self.cursors.clone());
        }
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
    ) -> Result<(), Error> {
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
                self.look_in(partition);
                self.house.stirred.notify_one();
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
                    self.house.stirred.notify_one();
                }
                self.note_tapped(partition, &wanted, &permits, claimed.more);
                self.cursors.insert(partition, claimed.cursors);
            }
        }
        Ok(())
    }

    /// Notes what a claim has shown: a queue that did not fill the slots it was asked for is empty, up
    /// to the claim's cursors. Of one that was not asked nothing is known any more: what came before
    /// these cursors, nobody will be told of.
    fn note_tapped(
        &mut self,
        partition: u16,
        wanted: &[(String, u32)],
        left: &[(String, Vec<OwnedSemaphorePermit>)],
        more: bool,
    ) {
        let Some(queues) = self.untapped.get_mut(usize::from(partition)) else {
            return;
        };
        for ((untapped, (_, asked)), (_, left)) in queues.iter_mut().zip(wanted).zip(left) {
            *untapped = *asked == 0 || left.is_empty() || more;
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
            house.stirred.notify_one();
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

    fn news(&self) -> std::sync::MutexGuard<'_, Vec<News>> {
        self.news
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn take_news(&self) -> Vec<News> {
        std::mem::take(&mut *self.news())
    }

    /// Says where the pool has to look.
    pub(super) fn tell(&self, news: News) {
        self.news().push(news);
        self.stirred.notify_one();
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
