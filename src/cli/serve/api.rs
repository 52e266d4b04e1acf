//! The HTTP API of a server process, put together from the settings.

use crate::api::{Options, Server};
use crate::cli::failure::{Failure, Kind};
use crate::cli::house::House;
use crate::cli::output::note;
use crate::media::kept::KeptOutputs;
use crate::store::Store;

/// Begins to listen, and says where.
pub(super) async fn start(
    house: &House,
    store: &Store,
    vital_sign: Option<Box<dyn Fn() -> bool + Send + Sync>>,
) -> Result<Server, Failure> {
    let settings = house.settings();
    let names = house.loaded.provider_files.iter();
    let options = Options {
        store: store.clone(),
        history: house.history(store),
        producer: house.producer(store.clone()),
        api: settings.api.clone(),
        rewards: settings.rewards.clone(),
        plans: settings.plans.clone(),
        webhooks: settings.webhooks.clone(),
        outputs: KeptOutputs::below(&settings.media.artifacts_dir),
        queues: settings.queues.keys().cloned().collect(),
        providers: names.map(|(name, _)| name.clone()).collect(),
        vital_sign,
        credit_usd_micros: settings.costs.credit_usd_micros,
    };
    let listen = settings.api.listen;
    let server = Server::start(options).await.map_err(|error| {
        let message = format!("failed to listen on {listen} (api.listen): {error}");
        Failure::new(Kind::Io, message)
    })?;
    note(&format!("listening http://{}", server.address()));
    Ok(server)
}
