//! `serve --role projector`: writes history to Postgres, alone or next to a worker.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::failure::{Exit, Failure, Kind};
use super::house::House;
use super::output::note;
use super::serve::Signals;
use crate::ledger::postgres::{Error, Projector, ProjectorOptions};
use crate::store::Store;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Store(error) => Self::from(error),
            Error::Unreachable(_) => Self::new(Kind::Unreachable, format!("failed to {error}")),
            Error::Rule(text) => Self::new(Kind::RebuildRefused, text),
            Error::Refused(_) | Error::Unfit(_) | Error::Taken(_) => {
                Self::new(Kind::BadHistory, format!("failed to {error}"))
            }
        }
    }
}

/// Writes history until a signal.
pub(super) async fn run(house: &House) -> Result<Exit, Failure> {
    if house.settings().postgres.address().is_none() {
        let message =
            "there is no Postgres to write to: set postgres.url (METERLINE__POSTGRES__URL)";
        return Err(Failure::new(Kind::Usage, message));
    }
    let mut signals = Signals::new()?;
    let store = tokio::select! {
        store = house.store() => store?,
        () = signals.next() => return Ok(Exit::Done),
    };
    let stop = CancellationToken::new();
    let Some(projector) = projector(house, &store) else {
        return Ok(Exit::Done);
    };
    let mut told = false;
    let ready = || {
        if !told {
            note("ready projector");
        }
        told = true;
    };
    tokio::select! {
        ended = projector.run(&stop, ready) => ended?,
        // What is not committed yet is read again by whoever comes next.
        () = signals.next() => note("left projector"),
    }
    Ok(Exit::Done)
}

fn projector(house: &House, store: &Store) -> Option<Projector> {
    let postgres = &house.settings().postgres;
    let url = postgres.address()?.clone();
    let options = ProjectorOptions {
        poll_ms: postgres.poll_ms,
        batch: postgres.batch_entries,
    };
    Some(Projector::new(store.clone(), url, options))
}

/// Where history is wanted, no journal is trimmed before a projector has written it, whether one runs yet
/// or not.
pub(super) async fn hold_trimming(house: &House, store: &Store) -> Result<(), Failure> {
    if house.settings().postgres.address().is_some() {
        for partition in 0..store.partitions() {
            store.note_history(partition, 0).await?;
            store.note_costs(partition, "0-0").await?;
        }
    }
    Ok(())
}

/// A projector next to a worker.
pub(super) struct History {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl History {
    /// There is none.
    pub(super) fn none() -> Self {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        Self { stop, tasks }
    }

    /// Starts one where the settings name a Postgres.
    pub(super) fn start(house: &House, store: &Store) -> Self {
        let history = Self::none();
        if let Some(projector) = projector(house, store) {
            let stop = history.stop.clone();
            history.tasks.spawn(async move {
                if let Err(error) = projector.run(&stop, || ()).await {
                    tracing::error!(%error, "no history is written: failed to {error}");
                }
            });
        }
        history
    }

    /// Every batch is committed whole or not at all, so that it can be left anywhere.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
