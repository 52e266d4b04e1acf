//! How far the history in Postgres is behind the store, as metrics.

use std::time::Duration;

use crate::ledger::postgres::{Error, Lag};

/// What the partitions' ends say. Nothing at all where history is off.
pub(in crate::api) struct Behind {
    /// Postgres answers, and holds this store's history.
    pub(super) up: bool,
    /// The most that one partition still has to commit.
    pub(super) entries: u64,
    /// Partitions that have anything to commit.
    pub(super) partitions: u64,
    /// How long the oldest of all that has waited.
    pub(super) waited: Duration,
    /// Partitions whose store and history tell two stories.
    pub(super) broken: u64,
}

impl Behind {
    /// What there is to say; an answer that did not come in time is none.
    pub(in crate::api) fn of(lags: Option<Result<Vec<Lag>, Error>>) -> Self {
        let lags = match lags {
            Some(Ok(lags)) => lags,
            Some(Err(error)) => {
                tracing::warn!("history does not say how far it is behind: failed to {error}");
                return Self::away();
            }
            None => {
                tracing::warn!("history does not say in time how far it is behind");
                return Self::away();
            }
        };
        let count = |is: fn(&&Lag) -> bool| lags.iter().filter(is).count() as u64;
        let waited_ms = lags.iter().map(|lag| lag.behind_ms).max();
        Self {
            up: true,
            entries: lags.iter().map(|lag| lag.behind).max().unwrap_or(0),
            partitions: count(|lag| lag.behind > 0),
            waited: Duration::from_millis(waited_ms.unwrap_or(0)),
            broken: count(|lag| lag.wrong.is_some()),
        }
    }

    fn away() -> Self {
        Self {
            up: false,
            entries: 0,
            partitions: 0,
            waited: Duration::ZERO,
            broken: 0,
        }
    }
}
