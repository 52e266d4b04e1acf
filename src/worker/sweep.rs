//! Does for all what falls due by itself, and takes jobs back from the dead. Every process sweeps;
//! the store lets one through.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::House;
use crate::store::{Error, ReapOutcome, TickOutcome};

/// Batches in a row in one partition, so that a flood in one does not starve the others.
const BATCHES_MAX: u32 = 50;

pub(super) async fn run(house: Arc<House>, stop: CancellationToken) {
    let mut every = tokio::time::interval(Duration::from_millis(house.options.sweep_ms));
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = every.tick() => {}
        }
        // All at once: a partition whose server is gone must not keep the deadlines of the others.
        let sweeps = (0..house.store.partitions()).map(|partition| sweep(&house, partition));
        for (partition, swept) in join_all(sweeps).await.into_iter().enumerate() {
            if let Err(error) = swept {
                tracing::warn!(%error, partition, "failed to sweep");
            }
        }
    }
}

async fn sweep(house: &House, partition: u16) -> Result<(), Error> {
    let (sweep_ms, lease_ms) = (house.options.sweep_ms, house.options.lease_ms);
    let mut again = false;
    for _ in 0..BATCHES_MAX {
        match house
            .store
            .tick(partition, sweep_ms, lease_ms, again)
            .await?
        {
            TickOutcome::Ticked {
                more, set_back_ms, ..
            } => {
                if set_back_ms > 0 {
                    tracing::error!(
                        partition,
                        set_back_ms,
                        "the store's clock had been ahead and came back: partition {partition} follows \
                         it; what ended or expired meanwhile stays so"
                    );
                }
                again = more;
            }
            TickOutcome::Recent => break,
        }
        if !again {
            break;
        }
    }
    for _ in 0..BATCHES_MAX {
        match house.store.reap(partition, lease_ms).await? {
            ReapOutcome::Reaped {
                workers,
                jobs,
                more,
                ..
            } => {
                if !workers.is_empty() || !jobs.is_empty() {
                    tracing::info!(
                        ?workers,
                        jobs = jobs.len(),
                        "took jobs back from dead workers"
                    );
                }
                if !more {
                    break;
                }
            }
            ReapOutcome::Away => break,
        }
    }
    Ok(())
}
