//! Works obligations off: what providers may still be doing for us, and billing us for, after we stopped
//! waiting. Each is asked to stop once, polled to its end, and its cost booked; what nobody can follow, or
//! what has no end in time, is booked at its estimate.
//!
//! Every process does; the store hands each obligation to one of them under a lease, and closes and books
//! in one step. So what a dead process had is looked at by another, and nothing is booked twice.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::intent::{self, Intent};
use super::spent::of_intent;
use crate::domain::cost::{Cost, CostSource};
use crate::domain::failure::FailureClass;
use crate::provider::{Answer, Engine, Handle, PollError, Providers, Usage, Work};
use crate::store::{Closing, Error, Owed, OwedOutcome, Store, SubmissionCost};

/// Nobody else looks at one meanwhile: longer than a stop and a poll can take, ms.
const LEASE_MS: u64 = 120_000;
/// An old obligation is looked at this often at least, ms.
const LOOK_MAX_MS: u64 = 600_000;
/// The older it is, the rarer the looks: its age divided by this.
const AGE_PER_LOOK: u64 = 8;
/// One that nobody can follow here is offered to others again after this, ms.
const NOT_HERE_MS: u64 = 60_000;
/// Between two looks at costs that are old enough to go.
const TRIM_EVERY: Duration = Duration::from_secs(60);

/// How obligations are worked off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchOptions {
    /// Time between two looks for due ones, ms.
    pub poll_ms: u64,
    /// How long one is watched before its estimate is booked, ms.
    pub watch_ms: u64,
    /// Looks under way in this process.
    pub at_a_time: usize,
    /// How long booked costs are kept in the store, ms.
    pub keep_ms: u64,
}

/// The running role.
pub struct ObligationWatch {
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// What every look works with.
struct Round {
    store: Store,
    providers: Providers,
    options: WatchOptions,
    slots: Arc<Semaphore>,
    looks: TaskTracker,
    stop: CancellationToken,
}

impl ObligationWatch {
    /// Starts watching.
    pub fn start(store: Store, providers: Providers, options: WatchOptions) -> Self {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let round = Arc::new(Round {
            store,
            providers,
            options,
            slots: Arc::new(Semaphore::new(options.at_a_time.max(1))),
            looks: tasks.clone(),
            stop: stop.clone(),
        });
        tasks.spawn(run(round, stop.clone()));
        Self { stop, tasks }
    }

    /// Takes nothing more, and leaves the looks that are under way.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

async fn run(round: Arc<Round>, stop: CancellationToken) {
    let mut every = tokio::time::interval(Duration::from_millis(round.options.poll_ms));
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut trim = tokio::time::interval(TRIM_EVERY);
    loop {
        let trims = tokio::select! {
            () = stop.cancelled() => return,
            _ = every.tick() => false,
            _ = trim.tick() => true,
        };
        for partition in 0..round.store.partitions() {
            let looking = async {
                if trims {
                    return round.trim(partition).await;
                }
                look(&round, partition).await
            };
            let looked = tokio::select! {
                () = stop.cancelled() => return,
                looked = looking => looked,
            };
            if let Err(error) = looked {
                tracing::warn!(%error, partition, "failed to look after obligations");
            }
        }
    }
}

/// Takes what is due and starts to look at it. A slot comes first, then the obligation: nothing waits under
/// a lease.
async fn look(round: &Arc<Round>, partition: u16) -> Result<(), Error> {
    let mut slots = Vec::new();
    while let Ok(slot) = Arc::clone(&round.slots).try_acquire_owned() {
        slots.push(slot);
    }
    let store = &round.store;
    if slots.is_empty() {
        return Ok(());
    }
    let due = store.claim_obligations(partition, LEASE_MS, slots.len());
    for (owed, slot) in due.await?.into_iter().zip(slots) {
        let round_again = Arc::clone(round);
        round.looks.spawn(async move {
            // A look can be left anywhere: somebody else takes it up when the lease has lapsed.
            tokio::select! {
                () = round_again.stop.cancelled() => {}
                () = round_again.look_at(&owed) => {}
            }
            drop(slot);
        });
    }
    Ok(())
}

impl Round {
    async fn trim(&self, partition: u16) -> Result<(), Error> {
        let keep_ms = self.options.keep_ms;
        while self.store.trim_costs(partition, keep_ms).await? {}
        Ok(())
    }

    /// One look, and what is said of it. What cannot be said is looked at again when the lease has lapsed.
    async fn look_at(&self, owed: &Owed) {
        let closing = self.judge(owed).await;
        match self.store.settle_obligation(owed, &closing).await {
            Ok(OwedOutcome::Closed) => {
                tracing::info!(
                    job.id = owed.job.as_str(),
                    submission = owed.submission,
                    ?closing,
                    "closed the obligation {}",
                    owed.id
                );
            }
            Ok(OwedOutcome::Noted | OwedOutcome::Stale) => {}
            Err(error) => tracing::warn!(%error, "failed to say what became of {}", owed.id),
        }
    }

    async fn judge(&self, owed: &Owed) -> Closing {
        let left_ms = self.options.watch_ms.saturating_sub(owed.age_ms);
        let Some((intent, handle)) = intent::left_behind(&owed.work) else {
            tracing::error!("nothing that can be read is known of {}", owed.id);
            return closed(None, "unreadable");
        };
        if left_ms == 0 {
            return closed(estimate(&intent), "given_up");
        }
        let handle =
            handle.filter(|handle| handle.poll_url.is_some() || handle.cancel_url.is_some());
        let Some(handle) = handle else {
            // Nobody can ask: its time has to go by.
            return Closing::Again { delay_ms: left_ms };
        };
        let Some(engine) = self.providers.get(&intent.provider) else {
            let delay_ms = NOT_HERE_MS.min(left_ms);
            return Closing::Again { delay_ms };
        };
        if owed.looks == 0 {
            let outcome = engine.cancel(&handle).await;
            tracing::info!(
                job.id = owed.job.as_str(),
                ?outcome,
                "asked the provider to stop"
            );
        }
        if handle.poll_url.is_none() {
            return Closing::Again { delay_ms: left_ms };
        }
        follow(&engine, owed, &intent, &handle, left_ms).await
    }
}

/// Asks the provider, and says what its answer means.
async fn follow(
    engine: &Engine,
    owed: &Owed,
    intent: &Intent,
    handle: &Handle,
    left_ms: u64,
) -> Closing {
    let age = Duration::from_millis(owed.age_ms);
    let asked_ms = match engine.poll(handle, age).await {
        Ok(Answer::Pending { .. }) => 0,
        Ok(Answer::Succeeded { outputs, usage, .. }) => {
            let outputs = u32::try_from(outputs.len()).unwrap_or(u32::MAX);
            let work = Work::Delivered {
                outputs,
                measured_ms: None,
                asked_ms: intent.asked_ms,
            };
            return closed(cost(engine, intent, usage, work), "succeeded");
        }
        // Of what a provider has forgotten nobody knows whether it is billed.
        Ok(Answer::Failed(failure)) if failure.class == FailureClass::Lost => {
            return closed(estimate(intent), "lost");
        }
        Ok(Answer::Failed(failure)) => {
            return closed(cost(engine, intent, failure.usage, Work::Failed), "failed");
        }
        Err(PollError::Transient { retry_after_ms, .. }) => retry_after_ms.unwrap_or(0),
        Err(PollError::OurAuth(message)) => {
            let provider = engine.name();
            tracing::error!(provider, message, "the provider refuses our key");
            NOT_HERE_MS
        }
    };
    let usual = u64::try_from(engine.poll_delay(owed.looks).as_millis()).unwrap_or(LOOK_MAX_MS);
    let by_age = (owed.age_ms / AGE_PER_LOOK).min(LOOK_MAX_MS);
    let delay_ms = usual.max(by_age).max(asked_ms).min(left_ms);
    Closing::Again { delay_ms }
}

fn closed(cost: Option<SubmissionCost>, ended: &'static str) -> Closing {
    Closing::Closed { cost, ended }
}

fn cost(engine: &Engine, intent: &Intent, usage: Usage, work: Work) -> Option<SubmissionCost> {
    let cost = engine.cost(&intent.model, usage, work)?;
    Some(of_intent(intent, cost))
}

/// What was reckoned before it was sent, by the rates of then.
fn estimate(intent: &Intent) -> Option<SubmissionCost> {
    let cost = Cost {
        usd_micros: intent.estimate_usd_micros?,
        source: CostSource::Estimated,
    };
    Some(of_intent(intent, cost))
}
