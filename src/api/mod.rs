//! The HTTP API: for producers, for their users, and for operators.
//!
//! A request passes [`gate`] (an id, a place, a time limit, a key) and comes to a handler in `routes`,
//! which asks the producer, the store or the ledger and says the answer in JSON. Nothing here decides
//! about money. Which scopes a route needs stands with its handler, in what the OpenAPI document is made
//! of; the gate reads it from there, so that the two cannot differ.

mod connections;
mod document;
mod extract;
mod gate;
mod held;
mod hub;
mod limits;
mod metrics;
mod problem;
mod reference;
mod refusals;
mod repeats;
mod routes;
mod text;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::Request;
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::{Router, http};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::{CompressionLayer, DefaultPredicate, Predicate};
use utoipa_axum::router::OpenApiRouter;

use crate::config;
use crate::ledger::History;
use crate::media::kept::KeptOutputs;
use crate::producer::Producer;
use crate::store::Store;
use document::Document;
use hub::Hub;
use limits::Limits;
use metrics::Metrics;
use problem::{Kind, Problem};

/// Readings of old events that go on at a time: each can be of a whole partition's stream.
const REPLAYS_MAX: usize = 4;

/// What the API works with.
pub struct Options {
    /// The store.
    pub store: Store,
    /// The store with what Postgres remembers behind it.
    pub history: History,
    /// What turns requests into jobs, at today's prices.
    pub producer: Producer,
    /// Its own section of the settings.
    pub api: config::Api,
    /// Credits that accounts get by themselves.
    pub rewards: config::Rewards,
    /// Plans by name.
    pub plans: BTreeMap<String, config::Plan>,
    /// How endpoints are kept.
    pub webhooks: config::Webhooks,
    /// Where the workers keep outputs, whether or not this process sees it.
    pub outputs: KeptOutputs,
    /// The queues there are.
    pub queues: Vec<String>,
    /// The providers there are.
    pub providers: Vec<String>,
    /// Whether the worker in this process works; `None` where there is none.
    pub vital_sign: Option<Box<dyn Fn() -> bool + Send + Sync>>,
    /// What a credit is worth, USD micros; 0 = nobody says.
    pub credit_usd_micros: u64,
}

/// What every handler works with.
struct House {
    store: Store,
    history: History,
    producer: Producer,
    settings: config::Api,
    rewards: config::Rewards,
    plans: BTreeMap<String, config::Plan>,
    webhooks: config::Webhooks,
    outputs: KeptOutputs,
    queues: Vec<String>,
    providers: Vec<String>,
    vital_sign: Option<Box<dyn Fn() -> bool + Send + Sync>>,
    credit_usd_micros: u64,
    document: Document,
    hub: Hub,
    metrics: Metrics,
    limits: Limits,
    /// Places of requests that are worked on.
    requests: Arc<Semaphore>,
    /// Places of streams and long polls.
    streams: Arc<Semaphore>,
    /// Places of downloads.
    downloads: Arc<Semaphore>,
    replays: Semaphore,
    runs: routes::runs::Runs,
    stop: CancellationToken,
}

/// A running server.
pub struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    /// Begins to listen. Everything it starts ends in [`Server::stop`].
    pub async fn start(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(options.api.listen).await?;
        let address = listener.local_addr()?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let settings = options.api.clone();
        let (house, app) = build(options, stop.clone());
        let following = stop.clone();
        tasks.spawn(async move {
            let store = house.store.clone();
            let seen = |event: &crate::store::FeedEvent| house.metrics.event(event);
            house.hub.run(store, following, seen).await;
        });
        let ending = stop.clone();
        tasks.spawn(async move {
            connections::serve(listener, app, &settings, ending).await;
        });
        Ok(Self {
            address,
            stop,
            tasks,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes nothing new, lets requests under way end for at most `api.drain_max_ms`, ends streams.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// The OpenAPI document, as it is served at `/v1/openapi.json`.
pub fn openapi() -> String {
    let (_, document) = described().split_for_parts();
    Document::of(&document).text
}

fn described() -> OpenApiRouter<Arc<House>> {
    let base = <document::Base as utoipa::OpenApi>::openapi();
    OpenApiRouter::with_openapi(base).merge(routes::all())
}

fn build(options: Options, stop: CancellationToken) -> (Arc<House>, Router) {
    let (router, document) = described().split_for_parts();
    let settings = options.api;
    let house = Arc::new(House {
        document: Document::of(&document),
        hub: Hub::default(),
        metrics: Metrics::default(),
        limits: Limits::new(settings.key_requests_per_minute),
        requests: Arc::new(Semaphore::new(settings.requests_max as usize)),
        streams: Arc::new(Semaphore::new(settings.streams_max as usize)),
        downloads: Arc::new(Semaphore::new(settings.downloads_max as usize)),
        replays: Semaphore::new(REPLAYS_MAX),
        runs: routes::runs::Runs::default(),
        history: options.history,
        store: options.store,
        producer: options.producer,
        rewards: options.rewards,
        plans: options.plans,
        webhooks: options.webhooks,
        outputs: options.outputs,
        queues: options.queues,
        providers: options.providers,
        credit_usd_micros: options.credit_usd_micros,
        vital_sign: options.vital_sign,
        settings,
        stop,
    });
    let once = from_fn_with_state(Arc::clone(&house), repeats::once);
    let keyed = router
        .route_layer(once)
        .route_layer(from_fn_with_state(Arc::clone(&house), gate::check_key));
    let worked = keyed
        .method_not_allowed_fallback(|| async {
            let detail = "the header Allow names the methods that there are";
            Problem::new(Kind::MethodNotAllowed, detail)
        })
        .fallback(|request: Request| async move {
            let detail = format!("there is nothing at {}", request.uri().path());
            Problem::new(Kind::NoSuchRoute, detail)
        })
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(Arc::clone(&house), gate::pass));
    // Whoever asks whether the server is well is answered also when it has too much to do.
    let app = worked
        .merge(routes::health::router())
        .layer(CompressionLayer::new().compress_when(DefaultPredicate::new().and(no_file)))
        .layer(map_response(never_sniffed))
        .with_state(Arc::clone(&house));
    (house, app)
}

/// Files are media, which is compressed already, and whoever asks for ranges counts their own bytes.
fn no_file(
    _: http::StatusCode,
    _: http::Version,
    headers: &http::HeaderMap,
    _: &http::Extensions,
) -> bool {
    !headers.contains_key(http::header::ACCEPT_RANGES)
}

/// What a browser must not make of an answer.
async fn never_sniffed(mut response: Response) -> Response {
    response.headers_mut().insert(
        http::header::X_CONTENT_TYPE_OPTIONS,
        http::HeaderValue::from_static("nosniff"),
    );
    response
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("a handler panicked");
    Problem::new(Kind::Internal, Kind::Internal.title()).into_response()
}
