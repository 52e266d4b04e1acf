//! Keeps the books: openings when a round is due, trimming when nothing needs the entries any more,
//! the log of acts, and the file that all of it stands in. Every process does; the store says whether there
//! is anything to do.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::House;
use crate::store::{Error, FileRenewal, RoundOutcome, TrimOutcome};

/// Between two looks at whether anything is due. Rounds are days apart.
const EVERY: Duration = Duration::from_secs(60);
/// Between two steps of a round or of trimming, so that the store has time for everybody else.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn run(house: Arc<House>, stop: CancellationToken) {
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut was_refused = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = every.tick() => {}
        }
        renew_file(&house, &mut was_refused).await;
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

/// A server that was started on a file that was cut off drops the rest of it only by writing it anew. One
/// that does not allow that is complained of once.
async fn renew_file(house: &House, was_refused: &mut bool) {
    match house.store.renew_file().await {
        Ok(FileRenewal::NotNeeded) => {}
        Ok(FileRenewal::Begun) => tracing::info!(
            "the store was started anew: it rewrites its append-only file, whose end may have been cut off"
        ),
        Err(error) if error.is_transient() || *was_refused => {}
        Err(error) => {
            *was_refused = true;
            tracing::warn!(%error, "failed to have the store's append-only file rewritten: after a start on a \
                 file that was cut off do it by hand");
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
