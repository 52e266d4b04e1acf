//! Keeps the books: openings when a round is due, trimming when nothing needs the entries any more,
//! and the log of acts. Every process does; the store says whether there is anything to do.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::House;
use crate::store::{Error, RoundOutcome, TrimOutcome};

/// Between two looks at whether anything is due. Rounds are days apart.
const EVERY: Duration = Duration::from_secs(60);
/// Between two steps of a round or of trimming, so that the store has time for everybody else.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn run(house: Arc<House>, stop: CancellationToken) {
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = every.tick() => {}
        }
        for partition in 0..house.store.partitions() {
            let kept = tokio::select! {
                () = stop.cancelled() => return,
                kept = keep(&house, partition) => kept,
            };
            if let Err(error) = kept {
                tracing::warn!(%error, partition, "failed to keep the books");
            }
        }
    }
}

/// Every step is one script, so that it can be left between any two.
async fn keep(house: &House, partition: u16) -> Result<(), Error> {
    while let RoundOutcome::Written { more: true, .. } = house.store.open_books(partition).await? {
        tokio::time::sleep(PAUSE).await;
    }
    let mut trimmed = 0;
    while let TrimOutcome::Trimmed { entries } = house.store.trim_journal(partition).await? {
        trimmed += entries;
        tokio::time::sleep(PAUSE).await;
    }
    if trimmed > 0 {
        tracing::info!(partition, entries = trimmed, "trimmed the journal");
    }
    while house.store.forget_acts(partition).await? {
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}
