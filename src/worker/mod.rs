//! The worker: a pool that claims jobs, one straight line per job, and background roles.
//!
//! - `pool`: free slots in, claimed jobs out;
//! - `place`: a job's slot, and when it is free for the next one;
//! - `attempt`: what happens to one job, from its claim to its end, as a straight line;
//! - `submission`: the decided POST of that line, its answer and its polls;
//! - `supervise`, `conclude`: what stands around that line: orders to stop, setbacks, panics;
//! - `handover`, `grip`: how a worker leaves: which lines may be left where they are, and to whom;
//! - `tidings`: what the pool is told by the others;
//! - `wakeup`: blocking reads that say "look again";
//! - `heartbeat`: keeps the lease, learns what to stop;
//! - `sweep`: does for all what falls due, and takes jobs back from the dead;
//! - `spent`: what a submission has cost us, as far as its line knows;
//! - `obligations`: follows what providers may still be doing to its end, and books what it cost;
//! - `courier`, `told`: post what waits in the outboxes of endpoints, and what each message says;
//! - `books`: openings of the journal, its trimming, and the log of acts.

mod attempt;
mod books;
mod conclude;
mod courier;
mod grip;
mod handover;
mod heartbeat;
mod identity;
mod intent;
mod obligations;
mod outputs;
mod patience;
mod place;
mod pool;
mod pulse;
mod running;
mod spent;
mod steps;
mod submission;
mod supervise;
mod sweep;
mod tidings;
mod told;
mod wakeup;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{Notify, Semaphore, SetOnce};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use courier::{Courier, CourierOptions};
pub use handover::Drained;
pub use intent::LeftOpen;
pub use obligations::{ObligationWatch, WatchOptions};
pub use outputs::{ArtifactRecord, Outputs, StoredOutput};
pub use place::Place;
pub use steps::{StepHook, StepPhase, StepPoint};

use crate::provider::Providers;
use crate::store::{ClaimedJob, DrainOrder, Store};
use handover::Tally;
use identity::Identity;
use pulse::Pulse;
use running::Running;

/// How a worker process behaves.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// Jobs that run at the same time, by queue. Queues that are not named are not served.
    pub slots: BTreeMap<String, u32>,
    /// How long the store believes that this worker lives after a heartbeat, ms.
    pub lease_ms: u64,
    /// Time between heartbeats, ms.
    pub heartbeat_ms: u64,
    /// Time between sweeps, ms.
    pub sweep_ms: u64,
    /// How long submissions that nobody else could take over are waited for after the order to stop, ms.
    pub drain_max_ms: u64,
}

/// What a slot runs instead of a generation, to measure or rehearse a house without any provider. It
/// has to say itself what came of the job, and when it needs its slot no more; everything around a slot
/// stays as it is.
pub type StandIn = Arc<dyn Fn(Store, ClaimedJob, Place) -> BoxFuture<'static, ()> + Send + Sync>;

/// What every part of a worker works with.
struct House {
    store: Store,
    providers: Providers,
    outputs: Outputs,
    options: WorkerOptions,
    identity: Identity,
    running: Running,
    pulse: Pulse,
    /// What became of the jobs that ran here.
    tally: Tally,
    /// An operator's order to leave.
    ordered: SetOnce<DrainOrder>,
    /// The store has answered the first claims.
    claiming: SetOnce<()>,
    /// For jobs that have left their slots and are still to be settled.
    desks: Arc<Semaphore>,
    /// Something makes a claim in every partition worth while.
    look_again: Notify,
    /// A slot became free, or there is news.
    stirred: Notify,
    /// Where new entries were seen since the pool last looked.
    news: std::sync::Mutex<Vec<wakeup::News>>,
    /// Partitions whose pending list holds more than runs here.
    hand_back: std::sync::Mutex<Vec<u16>>,
    hook: Option<StepHook>,
    stand_in: Option<StandIn>,
}

/// A running worker.
pub struct Worker {
    house: Arc<House>,
    tasks: TaskTracker,
    jobs: TaskTracker,
    /// The one task that starts jobs.
    pool: JoinHandle<()>,
    stop_claiming: CancellationToken,
    stop_roles: CancellationToken,
}

impl Worker {
    /// Starts claiming. Nothing runs before this call, and everything it starts ends in
    /// [`Worker::drain`].
    pub fn start(
        store: Store,
        providers: Providers,
        outputs: Outputs,
        options: WorkerOptions,
        hook: Option<StepHook>,
    ) -> Self {
        Self::start_with(store, providers, outputs, options, hook, None)
    }

    /// Starts a worker whose slots run `stand_in` instead of generations.
    pub fn start_stand_in(
        store: Store,
        providers: Providers,
        outputs: Outputs,
        options: WorkerOptions,
        stand_in: StandIn,
    ) -> Self {
        Self::start_with(store, providers, outputs, options, None, Some(stand_in))
    }

    fn start_with(
        store: Store,
        providers: Providers,
        outputs: Outputs,
        options: WorkerOptions,
        hook: Option<StepHook>,
        stand_in: Option<StandIn>,
    ) -> Self {
        let identity = Identity::new(store.partitions());
        let house = Arc::new(House {
            store,
            providers,
            outputs,
            desks: place::desks(options.slots.values().copied()),
            options,
            identity,
            running: Running::default(),
            pulse: Pulse::new(),
            tally: Tally::default(),
            ordered: SetOnce::new(),
            claiming: SetOnce::new(),
            look_again: Notify::new(),
            stirred: Notify::new(),
            news: std::sync::Mutex::new(Vec::new()),
            hand_back: std::sync::Mutex::new(Vec::new()),
            hook,
            stand_in,
        });
        let (tasks, jobs) = (TaskTracker::new(), TaskTracker::new());
        let stop_claiming = CancellationToken::new();
        let claiming = pool::run(Arc::clone(&house), jobs.clone(), stop_claiming.clone());
        let worker = Self {
            house,
            pool: tasks.spawn(claiming),
            tasks,
            jobs,
            stop_claiming,
            stop_roles: CancellationToken::new(),
        };
        let (house, stop) = (&worker.house, &worker.stop_roles);
        worker
            .tasks
            .spawn(heartbeat::run(Arc::clone(house), stop.clone()));
        worker
            .tasks
            .spawn(heartbeat::run_control(Arc::clone(house), stop.clone()));
        worker
            .tasks
            .spawn(sweep::run(Arc::clone(house), stop.clone()));
        worker
            .tasks
            .spawn(books::run(Arc::clone(house), stop.clone()));
        worker
    }

    /// The worker's id: host and boot nonce.
    pub fn id(&self) -> &str {
        self.house.identity.base()
    }

    /// Waits until every partition has been asked for jobs for the first time: from then on a job that
    /// is submitted is noticed.
    pub async fn claiming(&self) {
        self.house.claiming.wait().await;
    }

    /// Tells, as often as it is called and also while the worker drains, whether the worker works:
    /// its lease was renewed within a lease, and its claims still go round.
    pub fn vital_sign(&self) -> impl Fn() -> bool + Send + 'static {
        let house = Arc::clone(&self.house);
        let lease = Duration::from_millis(house.options.lease_ms);
        move || house.pulse.beats(lease, pool::CLAIMS_GO_ROUND_WITHIN)
    }

    /// How many jobs run here now.
    pub fn running(&self) -> usize {
        self.house.running.len()
    }

    /// Waits until an operator orders this worker to leave.
    pub async fn ordered_to_leave(&self) -> DrainOrder {
        self.house.ordered.wait().await.clone()
    }

    /// Leaves as [`Worker::leave`] does. Returns how many jobs were left under way.
    pub async fn drain(self) -> usize {
        self.leave().await.left
    }

    /// Stops at once, as if the process had died: nothing is said to the store.
    pub async fn abort(self) {
        self.stop_claiming.cancel();
        self.stop_roles.cancel();
        self.house.running.stop_all(running::StopReason::Lost);
        self.house.look_again.notify_one();
        let _ = self.pool.await;
        self.house.running.stop_all(running::StopReason::Lost);
        self.jobs.close();
        self.tasks.close();
        self.jobs.wait().await;
        self.tasks.wait().await;
    }
}
