//! `/metrics`: for Prometheus.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;

use super::shapes::ProblemBody;
use crate::api::House;
use crate::api::metrics::{Audited, Behind, Seen};
use crate::api::problem::Problem;
use crate::store::{Error, TooLate};

/// Postgres has so long to answer, lest a scrape waits for it.
const HISTORY_MAX: Duration = Duration::from_secs(2);
/// The text format, version 0.0.4.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Metrics of this process and of the house, in the text format of Prometheus
#[utoipa::path(get, path = "/metrics", operation_id = "get_metrics", tag = "server",
    security(("key" = ["operate"])),
    responses((status = 200, body = String, content_type = "text/plain"), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
pub(in crate::api) async fn metrics(State(house): State<Arc<House>>) -> Result<Response, Problem> {
    let seen = look(&house).await.map_err(Problem::harmless)?;
    Ok(([(CONTENT_TYPE, TEXT)], house.metrics.text(&seen)).into_response())
}

async fn look(house: &House) -> Result<Seen, Error> {
    let store = &house.store;
    let asked = Instant::now();
    store.check().await?;
    let store_latency = asked.elapsed();
    let (mut frozen, mut audited) = (0, Audited::default());
    let mut too_late = TooLate::default();
    let now_ms = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0);
    for partition in 0..store.partitions() {
        frozen += store.frozen(partition).await?.len();
        if let Some(audit) = store.last_audit(partition).await? {
            audited.add(partition, &audit, now_ms);
        }
        let late = store.too_late(partition).await?;
        too_late.leases_lost += late.leases_lost;
        too_late.fenced += late.fenced;
    }
    let lags = tokio::time::timeout(HISTORY_MAX, house.history.lags()).await;
    let behind = match lags {
        Ok(None) => None,
        Ok(Some(lags)) => Some(Behind::of(Some(lags))),
        Err(_) => Some(Behind::of(None)),
    };
    let workers = store.workers().await?;
    let free = |places: &tokio::sync::Semaphore, all: u32| {
        (all as usize).saturating_sub(places.available_permits())
    };
    let (_, open) = store.oldest_obligations(0).await?;
    let mut spend = store.provider_spend().await?;
    spend.sort_by_key(|one| std::cmp::Reverse(one.cost_usd_micros));
    Ok(Seen {
        spend,
        obligations: usize::try_from(open).unwrap_or(usize::MAX),
        queues: store.queue_views().await?,
        workers: workers
            .iter()
            .filter(|worker| worker.lease_left_ms > 0)
            .count(),
        frozen,
        audited,
        behind,
        too_late,
        store_latency,
        under_way: free(&house.requests, house.settings.requests_max),
        streams: free(&house.streams, house.settings.streams_max),
    })
}
