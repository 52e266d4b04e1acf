//! The HTTP API over real HTTP, on a server in this process and a store of its own.

mod connections;
mod crowds;
mod docs;
mod events;
mod forms;
mod health;
mod history;
mod house;
mod jobs;
mod keys;
mod metrics;
mod money;
mod outage;
mod outputs;
mod repeats;
mod scopes;
mod webhooks;

use std::path::Path;

use meterline::api::{Options, Server};
use meterline::config::{self, Settings};
use meterline::media::kept::KeptOutputs;
use meterline::producer::Producer;
use meterline::store::{ApiSecret, KeyKind, KeyScope, NewKey, Store};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::support::http::http_client;
use crate::support::{account, fresh_url, funded, options};

/// A server, its store, and a key that may do everything.
pub(super) struct Api {
    pub(super) url: String,
    pub(super) store: Store,
    pub(super) admin: String,
    pub(super) server: Server,
    client: reqwest::Client,
}

/// The settings of the API as tests use them.
pub(super) fn settings() -> config::Api {
    let dev = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/dev");
    let loaded = Settings::load(Some(&dev), []).expect("the settings");
    config::Api {
        listen: "127.0.0.1:0".parse().expect("an address"),
        key_requests_per_minute: 0,
        ..loaded.settings.api
    }
}

impl Api {
    pub(super) async fn start() -> Self {
        Self::with(settings()).await
    }

    pub(super) async fn with(api: config::Api) -> Self {
        let store = Store::open(&fresh_url(), options()).await.expect("a store");
        Self::on(store, api).await
    }

    pub(super) async fn on(store: Store, api: config::Api) -> Self {
        Self::beside(store, api, Path::new("/nowhere")).await
    }

    /// A server on the host where the workers keep outputs in this folder.
    pub(super) async fn beside(store: Store, api: config::Api, outputs: &Path) -> Self {
        Self::with_worker(store, api, outputs, None).await
    }

    /// A server with a history in Postgres.
    pub(super) async fn with_history(store: Store, postgres: SecretString) -> Self {
        let nowhere = Path::new("/nowhere");
        Self::of(store, settings(), nowhere, None, Some(postgres)).await
    }

    /// A server in the process of a worker that shows this sign of life.
    pub(super) async fn with_worker(
        store: Store,
        api: config::Api,
        outputs: &Path,
        vital_sign: Option<Box<dyn Fn() -> bool + Send + Sync>>,
    ) -> Self {
        Self::of(store, api, outputs, vital_sign, None).await
    }

    async fn of(
        store: Store,
        api: config::Api,
        outputs: &Path,
        vital_sign: Option<Box<dyn Fn() -> bool + Send + Sync>>,
        postgres: Option<SecretString>,
    ) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dev = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/dev");
        let loaded = Settings::load(Some(&dev), []).expect("the settings");
        let producer = Producer::new(store.clone(), loaded.catalogue, loaded.settings.retry);
        let server = Server::start(Options {
            store: store.clone(),
            history: meterline::ledger::History::new(store.clone(), postgres),
            producer,
            api,
            rewards: loaded.settings.rewards,
            plans: loaded.settings.plans,
            webhooks: loaded.settings.webhooks,
            outputs: KeptOutputs::below(outputs),
            queues: loaded.settings.queues.into_keys().collect(),
            providers: vec!["sim".to_owned()],
            vital_sign,
            credit_usd_micros: loaded.settings.costs.credit_usd_micros,
        })
        .await
        .expect("a server");
        let admin = key(&store, &[KeyScope::Admin], None).await;
        Self {
            url: format!("http://{}", server.address()),
            store,
            admin,
            server,
            client: http_client(),
        }
    }

    /// A request with a key; with an empty one, without any.
    pub(super) fn request(&self, key: &str, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        if key.is_empty() {
            return request;
        }
        request.bearer_auth(key)
    }

    pub(super) async fn get(&self, key: &str, path: &str) -> (StatusCode, Value) {
        read(self.request(key, Method::GET, path)).await
    }

    pub(super) async fn post(&self, key: &str, path: &str, body: Value) -> (StatusCode, Value) {
        read(self.request(key, Method::POST, path).json(&body)).await
    }

    /// An image job of an account.
    pub(super) async fn submit(&self, key: &str, account: &str) -> String {
        let (status, body) = self.post(key, "/v1/jobs", image(account)).await;
        assert_eq!(status, 201, "{body}");
        body["job"].as_str().expect("a job").to_owned()
    }

    /// An account with so many credits, and a key that sees only it.
    pub(super) async fn customer(&self, name: &str, credits: u32) -> String {
        funded(&self.store, name, credits).await;
        key(&self.store, &[KeyScope::Produce], Some(name)).await
    }
}

pub(super) fn image(account: &str) -> Value {
    json!({"account": account, "tool": "text-to-image", "params": {"prompt": "a red fox"}})
}

pub(super) async fn send(request: RequestBuilder) -> Response {
    request.send().await.expect("an answer")
}

pub(super) async fn read(request: RequestBuilder) -> (StatusCode, Value) {
    let response = send(request).await;
    let status = response.status();
    let text = response.text().await.expect("a body");
    (status, serde_json::from_str(&text).unwrap_or_default())
}

/// The last part of a problem's type.
pub(super) fn kind(body: &Value) -> &str {
    let word = body["type"].as_str().unwrap_or_default();
    word.trim_start_matches("/problems/")
}

/// A new key.
pub(super) async fn key(store: &Store, scopes: &[KeyScope], name: Option<&str>) -> String {
    let secret = ApiSecret::new(KeyKind::Key);
    let new = NewKey {
        kind: KeyKind::Key,
        name: "tests".to_owned(),
        scopes: scopes.to_vec(),
        account: name.map(account),
        ttl_ms: 0,
        reason: String::new(),
        actor: "tests".to_owned(),
    };
    store.create_key(&secret, &new).await.expect("a key");
    secret.reveal()
}
