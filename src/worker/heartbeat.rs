//! Keeps this worker's leases, and learns what it has to stop.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::House;
use super::patience::Patience;
use super::running::StopReason;
use super::wakeup::WAIT_MS;
use crate::store::{HeartbeatOutcome, Order};

/// Beats every `heartbeat_ms` in every partition until told to stop.
pub(super) async fn run(house: Arc<House>, stop: CancellationToken) {
    let mut every = tokio::time::interval(Duration::from_millis(house.options.heartbeat_ms));
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut suspects = HashMap::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = every.tick() => {}
        }
        // All at once: a partition whose server is gone must not cost the leases of the others.
        let beats = (0..house.store.partitions()).map(|partition| beat(&house, partition));
        for (partition, more) in (0..).zip(join_all(beats).await) {
            suspect(&house, partition, more, &mut suspects);
        }
    }
}

/// A partition that twice in a row shows more pending entries than jobs run here is looked at: once
/// may be a claim whose answer is on its way.
fn suspect(house: &House, partition: u16, more: bool, suspects: &mut HashMap<u16, u32>) {
    let seen = suspects.entry(partition).or_default();
    *seen = if more { *seen + 1 } else { 0 };
    if *seen >= 2 {
        *seen = 0;
        house.ask_hand_back(partition);
    }
}

/// Listens to what the store says to workers between two beats: a cancel should not wait for one. A
/// message that names another worker costs nothing here.
pub(super) async fn run_control(house: Arc<House>, stop: CancellationToken) {
    let mut patience = Patience::for_store();
    while !stop.is_cancelled() {
        let mut control = match house.store.control().await {
            Ok(control) => control,
            Err(error) => {
                tracing::debug!(%error, "failed to listen for orders, trying again");
                tokio::time::sleep(patience.next()).await;
                continue;
            }
        };
        loop {
            let heard = tokio::select! {
                () = stop.cancelled() => return,
                heard = control.next(WAIT_MS) => heard,
            };
            let Ok(orders) = heard else {
                tokio::time::sleep(patience.next()).await;
                break;
            };
            patience.reset();
            obey(&house, orders).await;
        }
    }
}

/// One beat for all that was said to this worker in a partition, one look for all queues.
async fn obey(house: &House, orders: Vec<(u16, Order)>) {
    let mut beats = BTreeSet::new();
    for (partition, order) in orders {
        match order {
            Order::Beat { worker } if worker == house.identity.at(partition) => {
                beats.insert(partition);
            }
            Order::Beat { .. } => {}
            Order::Claim { queue } if house.options.slots.contains_key(&queue) => {
                house.look_again.notify_one();
            }
            Order::Claim { .. } => {}
        }
    }
    for partition in beats {
        beat(house, partition).await;
    }
}

/// One heartbeat in one partition. Returns whether more is pending there than runs here.
async fn beat(house: &House, partition: u16) -> bool {
    let worker = house.identity.at(partition);
    // Looked at before the store is asked: a claim may be made while the answer is on its way.
    let had_joined = house.identity.has_joined(partition);
    let queues: Vec<String> = house.options.slots.keys().cloned().collect();
    let about = about(house);
    let lease_ms = house.options.lease_ms;
    let outcome = house
        .store
        .heartbeat(partition, &worker, lease_ms, &queues, &about, &[])
        .await;
    if outcome.is_ok() {
        house.pulse.renewed();
    }
    match outcome {
        Ok(HeartbeatOutcome::Renewed {
            stops,
            pending,
            drain,
            schema: _,
        }) => {
            if let Some(order) = drain {
                // Every partition may say it; once is enough.
                let _ = house.ordered.set(order);
            }
            for job in stops {
                if house.running.stop(&job, StopReason::Told) {
                    tracing::info!(job.id = job, "stopping job {job}: the store says so");
                } else {
                    house.forget_stop(partition, &worker, &job).await;
                }
            }
            pending as usize > house.running.in_partition(partition).len()
        }
        Ok(HeartbeatOutcome::Lost) => {
            // A worker that had not claimed yet has no lease and cannot have lost one.
            if had_joined {
                house.lost(partition, &worker);
                house.look_again.notify_one();
            }
            false
        }
        Err(error) => {
            tracing::warn!(%error, partition, "failed to renew the lease");
            false
        }
    }
}

impl House {
    /// An order for a job that no longer runs here has been carried out.
    async fn forget_stop(&self, partition: u16, worker: &str, job: &str) {
        let queues: Vec<String> = self.options.slots.keys().cloned().collect();
        let (about, lease_ms) = (about(self), self.options.lease_ms);
        let done = [job.to_owned()];
        let beat = self
            .store
            .heartbeat(partition, worker, lease_ms, &queues, &about, &done);
        if let Err(error) = beat.await {
            tracing::debug!(%error, "failed to tell the store that job {job} has stopped");
        }
    }
}

/// What this worker says of itself, for `worker ls`.
pub(super) fn about(house: &House) -> String {
    serde_json::json!({
        "process": house.identity.base(),
        "pid": std::process::id(),
        "draining": house.running.is_handing_over(),
        "slots": house.options.slots,
        "running": house.running.len(),
        "version": env!("CARGO_PKG_VERSION"),
    })
    .to_string()
}
