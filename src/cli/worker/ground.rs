//! Where workers are looked for: in the store, or at a server.

use std::collections::HashMap;

use serde_json::json;

use crate::cli::Call;
use crate::cli::failure::{Failure, Kind};
use crate::cli::server::Server;
use crate::store::{Store, WorkerDrain, WorkerView};
use crate::wire::DrainRequest;

/// Whoever knows the workers.
pub(super) enum Ground {
    Store(Store),
    Server(Server),
}

impl Ground {
    pub(super) async fn of(call: &Call) -> Result<Self, Failure> {
        match call.server()? {
            Some(server) => Ok(Self::Server(server)),
            None => Ok(Self::Store(call.house()?.store().await?)),
        }
    }

    pub(super) async fn workers(&self) -> Result<Vec<WorkerView>, Failure> {
        let server = match self {
            Self::Store(store) => return Ok(store.workers().await?),
            Self::Server(server) => server,
        };
        let workers = server.client.workers().await?.into_iter();
        let view = |worker: crate::wire::Worker| WorkerView {
            about: json!({
                "slots": worker.slots,
                "running": worker.running,
                "draining": worker.draining,
                "version": worker.version,
            })
            .to_string(),
            worker: worker.worker,
            lease_left_ms: worker.lease_left_ms,
        };
        Ok(workers.map(view).collect())
    }

    /// Orders a worker to leave. Through a server the key's name stands in the log, not `actor`.
    pub(super) async fn drain(
        &self,
        worker: &str,
        reason: &str,
        actor: &str,
    ) -> Result<WorkerDrain, Failure> {
        let server = match self {
            Self::Store(store) => return Ok(store.drain_worker(worker, reason, actor).await?),
            Self::Server(server) => server,
        };
        let why = DrainRequest {
            reason: reason.to_owned(),
        };
        let told = server.client.drain_worker(worker, &why).await;
        match told.map_err(Failure::from) {
            Ok(answer) if answer.replayed => Ok(WorkerDrain::Already),
            Ok(_) => Ok(WorkerDrain::Ordered),
            Err(failure) if failure.kind() == Kind::UnknownWorker => Ok(WorkerDrain::Gone),
            Err(failure) => Err(failure),
        }
    }

    /// What workers said last of themselves, JSON by id; a server does not tell.
    pub(super) async fn last_words(&self) -> Result<HashMap<String, String>, Failure> {
        match self {
            Self::Store(store) => Ok(store.last_words().await?),
            Self::Server(_) => Ok(HashMap::new()),
        }
    }
}
