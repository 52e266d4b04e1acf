//! The pool: takes free slots, claims as many jobs as there are, starts each in its slot.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::patience::Patience;
use super::place::Place;
use super::wakeup::{self, Cursors, News};
use super::{House, supervise};
use crate::store::{ClaimOutcome, ClaimedJob, Error, ReapOutcome};

/// A claim is made at least this often, whatever was or was not heard.
const CLAIM_AT_LEAST_EVERY: Duration = Duration::from_secs(5);
/// Where no claim went round for this long, the task that claims is stuck.
pub(super) const CLAIMS_GO_ROUND_WITHIN: Duration = CLAIM_AT_LEAST_EVERY.saturating_mul(6);
/// Every so many claims the low class is served first, so that it never starves.
const LOW_FIRST_EVERY: u64 = 8;

/// Most jobs that one claim brings.
const CLAIMED_AT_ONCE: usize = 100;
/// Free slots for which a claim is made while another is under way: the more a claim brings, the less a
/// job of it costs the store.
const WORTH_A_CALL: usize = 32;

/// Free slots of one queue that a claim may fill.
type Slots = Option<OwnedSemaphorePermit>;

type Errands = FuturesUnordered<BoxFuture<'static, Done>>;

/// An errand that has come to its end.
struct Done {
    partition: u16,
    what: What,
}

enum What {
    Claimed {
        worker: String,
        wanted: Vec<(String, u32)>,
        permits: Vec<Slots>,
        asked_at: Instant,
        outcome: Result<ClaimOutcome, Error>,
    },
    HandedBack(Result<ReapOutcome, Error>),
}

struct Pool {
    house: Arc<House>,
    jobs: TaskTracker,
    slots: Vec<(String, Arc<Semaphore>)>,
    claims: u64,
    /// What is being asked of the store; of each partition one thing at a time.
    errands: Errands,
    /// Partitions with an errand under way.
    busy: BTreeSet<u16>,
    /// Busy ones that something was heard of meanwhile: the claim under way may have looked before it came.
    heard: BTreeSet<u16>,
    /// By partition and queue (as in `slots`): whether there may be a job that nobody has been told of.
    /// Not where the last claim got less than it asked for and nothing new was heard of since.
    untapped: Vec<Vec<bool>>,
    /// Where the last claim in each partition has read to.
    cursors: Cursors,
    /// When to look everywhere again, whatever is heard until then.
    everywhere_at: Instant,
    /// Partitions that no claim has been answered for yet.
    unasked: BTreeSet<u16>,
    /// No errand before this time: the store did not answer the last.
    rests_until: Option<Instant>,
    patience: Patience,
}

pub(super) async fn run(house: Arc<House>, jobs: TaskTracker, stop: CancellationToken) {
    if house.options.slots.values().all(|slots| *slots == 0) {
        // It only sends webhooks and sweeps, and nobody waits for its first claim.
        let _ = house.claiming.set(());
    }
    let mut pool = Pool::new(Arc::clone(&house), jobs);
    let (orders, inbox) = mpsc::channel(1);
    let waker = tokio::spawn(wakeup::run(Arc::clone(&house), inbox, stop.clone()));
    while !stop.is_cancelled() {
        pool.set_out();
        let pause = pool.pause(&orders);
        tokio::select! {
            () = stop.cancelled() => {}
            Some(done) = pool.errands.next() => pool.take_in(done),
            () = house.look_again.notified() => pool.everywhere_at = Instant::now(),
            () = house.stirred.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
    house.pulse.claims_no_more();
    // What a claim under way brings was given to this worker, and is handed over.
    while let Some(done) = pool.errands.next().await {
        pool.take_in(done);
    }
    drop(orders);
    let _ = waker.await;
}

impl Pool {
    fn new(house: Arc<House>, jobs: TaskTracker) -> Self {
        let slots = house.options.slots.iter();
        let slots: Vec<_> = slots
            .map(|(q, n)| (q.clone(), Arc::new(Semaphore::new(*n as usize))))
            .collect();
        let partitions = house.store.partitions();
        Self {
            untapped: vec![vec![true; slots.len()]; usize::from(partitions)],
            house,
            jobs,
            slots,
            claims: 0,
            errands: Errands::new(),
            busy: BTreeSet::new(),
            heard: BTreeSet::new(),
            cursors: Cursors::new(),
            everywhere_at: Instant::now(),
            unasked: (0..partitions).collect(),
            rests_until: None,
            patience: Patience::for_store(),
        }
    }

    /// Begins every errand that is due: lost claims are handed back, and each partition in which something
    /// may wait is asked, from a random start, for what still fits; every so often all of them, whatever
    /// was heard.
    fn set_out(&mut self) {
        self.hear();
        if self.rests_until.is_some_and(|until| Instant::now() < until) {
            return;
        }
        self.rests_until = None;
        self.hand_back_lost_claims();
        if Instant::now() >= self.everywhere_at {
            self.everywhere_at = Instant::now() + CLAIM_AT_LEAST_EVERY;
            (0..self.house.store.partitions()).for_each(|partition| self.look_in(partition));
        }
        let partitions = self.house.store.partitions();
        let start = rand::random_range(0..partitions.max(1));
        for n in 0..partitions {
            let partition = (start + n) % partitions;
            // The first claim goes for a single slot; beside others a claim has to be worth its call.
            let least = if self.errands.is_empty() {
                1
            } else {
                WORTH_A_CALL
            };
            if self.is_due(partition, least) && !self.busy.contains(&partition) {
                self.begin_claim(partition);
            }
        }
    }

    /// How long to wait where nothing happens. With nothing under way, somebody listens meanwhile.
    fn pause(&mut self, orders: &mpsc::Sender<Cursors>) -> Duration {
        if let Some(until) = self.rests_until {
            return until.saturating_duration_since(Instant::now());
        }
        self.house.pulse.claimed();
        if self.errands.is_empty() {
            self.listen(orders);
        }
        CLAIM_AT_LEAST_EVERY
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
        if self.busy.contains(&partition) {
            self.heard.insert(partition);
        }
    }

    /// Whether there are so many free slots for a queue in which the partition may have a job.
    fn is_due(&self, partition: u16, least: usize) -> bool {
        let queues = self.untapped.get(usize::from(partition));
        let slots = queues.into_iter().flatten().zip(&self.slots);
        slots
            .into_iter()
            .any(|(untapped, (_, slots))| *untapped && slots.available_permits() >= least)
    }

    /// With free slots left and nothing more to take, somebody listens; a full channel means that
    /// somebody already does, from cursors that are as old or older.
    fn listen(&self, orders: &mpsc::Sender<Cursors>) {
        let is_full = |(_, slots): &(String, Arc<Semaphore>)| slots.available_permits() == 0;
        let any_due = (0..self.house.store.partitions()).any(|partition| self.is_due(partition, 1));
        if any_due || self.slots.iter().all(is_full) {
            return;
        }
        if let Ok(place) = orders.try_reserve() {
            place.send(self.cursors.clone());
        }
    }

    /// Takes what is free of each queue, as far as one claim can fill it.
    fn take_free_slots(&self) -> Vec<Slots> {
        let take = |(_, slots): &(String, Arc<Semaphore>)| {
            let free = slots.available_permits().min(CLAIMED_AT_ONCE);
            let permits = Arc::clone(slots).try_acquire_many_owned(u32::try_from(free).ok()?);
            permits.ok().filter(|permits| permits.num_permits() > 0)
        };
        self.slots.iter().map(take).collect()
    }

    /// One claim: the slot first, the job second. Permits that got no job are free again afterwards.
    fn begin_claim(&mut self, partition: u16) {
        self.claims += 1;
        self.busy.insert(partition);
        let permits = self.take_free_slots();
        let free = |slots: &Slots| slots.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let wanted: Vec<(String, u32)> = self
            .slots
            .iter()
            .zip(&permits)
            .map(|((queue, _), slots)| {
                (
                    queue.clone(),
                    u32::try_from(free(slots)).unwrap_or(u32::MAX),
                )
            })
            .collect();
        let (store, worker) = (self.house.store.clone(), self.house.identity.at(partition));
        let lease_ms = self.house.options.lease_ms;
        let low_first = self.claims.is_multiple_of(LOW_FIRST_EVERY);
        let errand = async move {
            // Trust in what the store says of the deadline begins when it was asked, not when it answered.
            let asked_at = Instant::now();
            let outcome = store
                .claim(partition, &worker, lease_ms, &wanted, low_first)
                .await;
            let what = What::Claimed {
                worker,
                wanted,
                permits,
                asked_at,
                outcome,
            };
            Done { partition, what }
        };
        self.errands.push(errand.boxed());
    }

    /// Takes in what an errand has brought.
    fn take_in(&mut self, Done { partition, what }: Done) {
        self.busy.remove(&partition);
        match what {
            What::HandedBack(Ok(done)) => {
                tracing::info!(
                    partition,
                    ?done,
                    "handed back jobs whose claim was never answered"
                );
            }
            What::HandedBack(Err(error))
            | What::Claimed {
                outcome: Err(error),
                ..
            } => {
                tracing::warn!(%error, partition, "failed to claim, trying again");
                self.rests_until = Some(Instant::now() + self.patience.next());
                self.everywhere_at = Instant::now();
            }
            What::Claimed {
                worker,
                wanted,
                permits,
                asked_at,
                outcome: Ok(outcome),
            } => {
                self.patience.reset();
                self.claimed(partition, &worker, asked_at, (&wanted, permits), outcome);
                if self.unasked.remove(&partition) && self.unasked.is_empty() {
                    let _ = self.house.claiming.set(());
                }
            }
        }
        if self.heard.remove(&partition) {
            self.look_in(partition);
        }
    }

    fn claimed(
        &mut self,
        partition: u16,
        worker: &str,
        asked_at: Instant,
        (wanted, mut permits): (&[(String, u32)], Vec<Slots>),
        outcome: ClaimOutcome,
    ) {
        let claimed = match outcome {
            ClaimOutcome::Lost => {
                self.house.lost(partition, worker);
                return self.look_in(partition);
            }
            ClaimOutcome::Claimed(claimed) => claimed,
        };
        self.house.identity.note_joined(partition, worker);
        if let Some(reason) = &claimed.frozen {
            tracing::debug!(partition, reason, "partition {partition} is frozen");
        }
        for job in claimed.jobs {
            let place = self.slots.iter().position(|(queue, _)| *queue == job.queue);
            let slots = place.and_then(|place| permits[place].as_mut());
            let permit = slots.and_then(|slots| slots.split(1));
            self.start(job, worker, permit, asked_at);
        }
        self.note_tapped(partition, wanted, &permits, claimed.more);
        self.cursors.insert(partition, claimed.cursors);
    }

    /// Notes what a claim has shown: a queue that did not fill the slots it was asked for is empty, up
    /// to the claim's cursors. Of one that was not asked nothing is known any more: what came before
    /// these cursors, nobody will be told of.
    fn note_tapped(
        &mut self,
        partition: u16,
        wanted: &[(String, u32)],
        left: &[Slots],
        more: bool,
    ) {
        let Some(queues) = self.untapped.get_mut(usize::from(partition)) else {
            return;
        };
        for ((untapped, (_, asked)), left) in queues.iter_mut().zip(wanted).zip(left) {
            let is_filled = left.as_ref().is_none_or(|slots| slots.num_permits() == 0);
            *untapped = *asked == 0 || is_filled || more;
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
        let place = Place::new(Arc::clone(&self.house), permit);
        self.jobs
            .spawn(async move { supervise::run(&house, job, asked_at, &stop, place).await });
    }

    /// The reply to a claim got lost: its jobs stand under this worker's name and run nowhere. Of what runs
    /// here the store is told with no claim under way in the partition; where one is, afterwards.
    fn hand_back_lost_claims(&mut self) {
        for partition in self.house.take_hand_backs() {
            if !self.busy.insert(partition) {
                self.house.hand_backs().push(partition);
                continue;
            }
            let (store, worker) = (self.house.store.clone(), self.house.identity.at(partition));
            let running = self.house.running.in_partition(partition);
            let lease_ms = self.house.options.lease_ms;
            let errand = async move {
                let done = store.hand_back(partition, lease_ms, &worker, &running);
                let what = What::HandedBack(done.await);
                Done { partition, what }
            };
            self.errands.push(errand.boxed());
        }
    }
}
