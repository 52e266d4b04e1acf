//! One reader of the store's events for the whole process, handed on to whoever follows an account.
//!
//! What follows has a bounded buffer. Whoever is too slow for it, and everybody after the store was away,
//! is told to read again from the store what it has not seen: nothing is lost as long as the store has it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::store::{EventId, FeedEvent, Store};

/// Events that one who follows may be behind.
const BUFFER: usize = 64;
/// Longest wait of one read, ms.
const READ_MS: usize = 5_000;
/// A read that takes longer than this has lost its connection.
const READ_MAX: Duration = Duration::from_secs(15);
/// Wait after the connection broke.
const RECONNECT: Duration = Duration::from_millis(250);

/// What followers are told.
#[derive(Debug, Clone)]
pub(super) enum News {
    /// Something happened.
    Event(Arc<FeedEvent>),
    /// Some may have been missed: read again.
    ReadAgain,
}

/// Followers by account.
#[derive(Default)]
pub(super) struct Hub {
    followers: Mutex<HashMap<String, broadcast::Sender<News>>>,
    /// The last event of each partition that followers were told.
    tips: Mutex<HashMap<u16, EventId>>,
}

impl Hub {
    /// The last event of a partition that was told. Whoever follows there and has nothing more to hear has
    /// heard everything up to it.
    pub(super) fn tip(&self, partition: u16) -> Option<EventId> {
        self.tips().get(&partition).copied()
    }

    fn tips(&self) -> std::sync::MutexGuard<'_, HashMap<u16, EventId>> {
        self.tips.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hears of an account's events from now on.
    pub(super) fn follow(&self, account: &str) -> broadcast::Receiver<News> {
        let mut followers = self.followers();
        let sender = followers
            .entry(account.to_owned())
            .or_insert_with(|| broadcast::channel(BUFFER).0);
        sender.subscribe()
    }

    fn followers(&self) -> std::sync::MutexGuard<'_, HashMap<String, broadcast::Sender<News>>> {
        self.followers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, event: FeedEvent) {
        let (partition, id) = (event.partition, event.id);
        self.tell_followers(event);
        // Only now: a tip says that everything before it was told.
        self.tips().insert(partition, id);
    }

    fn tell_followers(&self, event: FeedEvent) {
        let mut followers = self.followers();
        let account = event.event.account.clone();
        let Some(sender) = followers.get(&account) else {
            return;
        };
        // An error means that nobody follows any more.
        if sender.send(News::Event(Arc::new(event))).is_err() {
            followers.remove(&account);
        }
    }

    fn tell_all_to_read_again(&self) {
        let mut followers = self.followers();
        followers.retain(|_, sender| sender.send(News::ReadAgain).is_ok());
    }

    /// Reads until `stop`. `seen` is called for each event of the house.
    pub(super) async fn run(
        &self,
        store: Store,
        stop: CancellationToken,
        seen: impl Fn(&FeedEvent),
    ) {
        loop {
            tokio::select! {
                () = self.read(&store, &seen) => {}
                () = stop.cancelled() => return,
            }
            tokio::select! {
                () = tokio::time::sleep(RECONNECT) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Reads until the connection breaks.
    async fn read(&self, store: &Store, seen: &impl Fn(&FeedEvent)) {
        let mut feed = match store.feed().await {
            Ok(feed) => feed,
            Err(error) => {
                tracing::debug!("failed to {error}");
                return;
            }
        };
        // What happened before the feed stood is read by each for itself.
        self.tell_all_to_read_again();
        loop {
            match tokio::time::timeout(READ_MAX, feed.next(READ_MS)).await {
                Ok(Ok(events)) => {
                    for event in events {
                        seen(&event);
                        self.tell(event);
                    }
                }
                Ok(Err(error)) => {
                    tracing::warn!("the stream of events broke: failed to {error}");
                    return;
                }
                Err(_) => return,
            }
        }
    }
}
