//! Posts what waits in the outboxes of endpoints. Every process does; the store hands each message to
//! one of them under a lease, so that what a dead process had is posted by another.
//!
//! A slot comes first, then the message: nothing waits under a lease.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::patience::Patience;
use super::told;
use crate::domain::webhook::next_delay_ms;
use crate::store::{Delivery, Error, ReportOutcome, Reported, Sending, Store, Tried};
use crate::webhook::{Answer, Poster, Secret};

/// What a lease is longer than a try can be: time for the store on both sides of it.
const LEASE_MARGIN: Duration = Duration::from_secs(5);
/// An endpoint that has too much to do and does not say for how long is left alone for this at most, ms.
const THROTTLE_MAX_MS: u64 = 60_000;
/// No endpoint's wish to be left alone altogether is heard for longer, ms.
const THROTTLE_ASKED_MAX_MS: u64 = 3_600_000;

/// How messages are posted.
#[derive(Debug, Clone)]
pub struct CourierOptions {
    /// Posts under way in this process.
    pub senders: u32,
    /// Posts under way at one endpoint, over all processes.
    pub at_a_time: u32,
    /// Messages of one outbox at most.
    pub outbox_max: u32,
    /// Dead letters of one endpoint at most.
    pub dead_letters_max: u32,
    /// Time between two looks at the outboxes, ms.
    pub poll_ms: u64,
    /// What each further try waits, ms; a message is given up behind the last.
    pub schedule_ms: Vec<u64>,
    /// How long every try may fail before an endpoint is disabled, ms.
    pub disable_after_ms: u64,
}

/// The running role.
pub struct Courier {
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// What every post works with.
struct Round {
    store: Store,
    poster: Poster,
    options: CourierOptions,
    slots: Arc<Semaphore>,
    /// Partitions where a post has ended: there may be more for its endpoint.
    ended_in: Mutex<BTreeSet<u16>>,
    stirred: Notify,
    posts: TaskTracker,
}

impl Courier {
    /// Starts posting.
    pub fn start(store: Store, poster: Poster, options: CourierOptions) -> Self {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let senders = usize::try_from(options.senders).unwrap_or(Semaphore::MAX_PERMITS);
        let round = Arc::new(Round {
            store,
            poster,
            slots: Arc::new(Semaphore::new(senders)),
            options,
            ended_in: Mutex::new(BTreeSet::new()),
            stirred: Notify::new(),
            posts: tasks.clone(),
        });
        if senders > 0 {
            tasks.spawn(run(round, stop.clone()));
        }
        Self { stop, tasks }
    }

    /// Takes nothing more, and waits for the posts that are under way: each has its time limit.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

async fn run(round: Arc<Round>, stop: CancellationToken) {
    let mut every = tokio::time::interval(Duration::from_millis(round.options.poll_ms));
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let partitions: Vec<u16> = tokio::select! {
            () = stop.cancelled() => return,
            _ = every.tick() => (0..round.store.partitions()).collect(),
            () = round.stirred.notified() => round.take_ended().into_iter().collect(),
        };
        for partition in partitions {
            let looked = tokio::select! {
                () = stop.cancelled() => return,
                looked = look(&round, partition) => looked,
            };
            if let Err(error) = looked {
                tracing::warn!(%error, partition, "failed to look into the outboxes");
            }
        }
    }
}

/// Takes what is due and starts to post it, as long as there are slots.
async fn look(round: &Arc<Round>, partition: u16) -> Result<(), Error> {
    let options = &round.options;
    let lease = round.poster.longest() + LEASE_MARGIN;
    loop {
        let Ok(first) = Arc::clone(&round.slots).acquire_owned().await else {
            return Ok(());
        };
        let mut slots = vec![first];
        while let Ok(slot) = Arc::clone(&round.slots).try_acquire_owned() {
            slots.push(slot);
        }
        let sending = Sending {
            lease_ms: u64::try_from(lease.as_millis()).unwrap_or(u64::MAX),
            at_a_time: options.at_a_time,
            room: slots.len(),
            outbox_max: options.outbox_max,
        };
        let taken = round.store.take_messages(partition, &sending).await?;
        let was_full = taken.len() >= slots.len();
        for (delivery, slot) in taken.into_iter().zip(slots) {
            round
                .posts
                .spawn(deliver(Arc::clone(round), delivery, slot));
        }
        if !was_full {
            return Ok(());
        }
    }
}

async fn deliver(round: Arc<Round>, delivery: Delivery, slot: OwnedSemaphorePermit) {
    let answer = post(&round, &delivery).await;
    let reported = round.options.judge(&delivery, answer);
    match report(&round, &delivery, &reported).await {
        Ok(ReportOutcome::Noted | ReportOutcome::Stale) => {}
        Ok(ReportOutcome::Disabled) => {
            let endpoint = delivery.endpoint.as_str();
            tracing::warn!(webhook.endpoint = endpoint, why = %reported.words, "disabled {endpoint}");
        }
        Err(error) => {
            tracing::warn!(%error, "failed to say what became of a message: it is posted again when its lease has lapsed");
        }
    }
    drop(slot);
    round.ended(delivery.endpoint.partition());
}

async fn post(round: &Round, delivery: &Delivery) -> Answer {
    let secrets: Vec<Secret> = delivery
        .secrets
        .iter()
        .filter_map(|text| Secret::parse(text).ok())
        .collect();
    let message = told::message(delivery.endpoint.as_str(), &delivery.happened);
    let Some(message) = message.filter(|_| !secrets.is_empty()) else {
        return Answer::Failed {
            why: "what is stored of it cannot be read".to_owned(),
            retry_after_ms: None,
            throttled: false,
        };
    };
    // The receiver compares it with its own clock: the time of this try, not of what happened.
    let now = jiff::Timestamp::now();
    round
        .poster
        .post(&delivery.url, &secrets, &message, now)
        .await
}

/// Says it again while the store is away, as long as the lease may last.
async fn report(
    round: &Round,
    delivery: &Delivery,
    reported: &Reported,
) -> Result<ReportOutcome, Error> {
    let mut patience = Patience::for_store();
    let until = tokio::time::Instant::now() + LEASE_MARGIN;
    loop {
        let said = round.store.report_message(delivery, reported).await;
        match said {
            Err(error) if error.is_transient() && tokio::time::Instant::now() < until => {
                tokio::time::sleep(patience.next()).await;
            }
            said => return said,
        }
    }
}

impl Round {
    fn take_ended(&self) -> BTreeSet<u16> {
        let mut ended = self.ended_in.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *ended)
    }

    fn ended(&self, partition: u16) {
        let mut ended = self.ended_in.lock().unwrap_or_else(PoisonError::into_inner);
        ended.insert(partition);
        drop(ended);
        self.stirred.notify_one();
    }
}

impl CourierOptions {
    /// What is to be done after an answer.
    fn judge(&self, delivery: &Delivery, answer: Answer) -> Reported {
        let reported = |tried, words, throttle_ms| Reported {
            tried,
            words,
            throttle_ms,
            disable_after_ms: self.disable_after_ms,
            dead_letters_max: self.dead_letters_max,
        };
        match answer {
            Answer::Taken { status } => reported(Tried::Taken, format!("status {status}"), 0),
            Answer::Gone => reported(Tried::Gone, "status 410".to_owned(), 0),
            Answer::Failed {
                why,
                retry_after_ms,
                throttled,
            } => {
                let tries = delivery.tries.saturating_add(1);
                let delay = next_delay_ms(&self.schedule_ms, tries, retry_after_ms, rand::random());
                let usual = || delay.unwrap_or(THROTTLE_MAX_MS).min(THROTTLE_MAX_MS);
                let throttle_ms = match (throttled, retry_after_ms) {
                    (false, _) => 0,
                    (true, Some(asked_ms)) => asked_ms.min(THROTTLE_ASKED_MAX_MS),
                    (true, None) => usual(),
                };
                let tried = delay.map_or(Tried::Dead, |delay_ms| Tried::Again { delay_ms });
                reported(tried, why, throttle_ms)
            }
        }
    }
}
