//! Endpoints, and a server that plays the receiver: it keeps what it is sent and answers as it is told.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use meterline::domain::ids::{AccountId, EndpointId};
use meterline::store::{
    CreateEndpoint, Delivery, EndpointAct, EndpointActOutcome, EndpointCreated, EndpointView,
    ReportOutcome, Reported, Sending, Store, Tried,
};
use meterline::webhook::{Limits, Poster, Secret};
use meterline::worker::{Courier, CourierOptions};
use serde_json::Value;
use tokio::sync::Notify;

/// Longest time that anything here may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// One request that a receiver got.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().expect("a header")
    }

    pub(crate) fn id(&self) -> &str {
        self.header("webhook-id")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a document")
    }

    /// Whether the public library takes it with this secret.
    pub(crate) fn verifies(&self, secret: &str) -> bool {
        let reader = standardwebhooks::Webhook::new(secret).expect("a secret");
        reader.verify(&self.body, &self.headers).is_ok()
    }
}

/// What a receiver does with one request.
#[derive(Debug, Clone)]
pub(crate) enum Does {
    /// Answers with a status and headers.
    Answers(u16, Vec<(&'static str, String)>),
    /// Says nothing, ever.
    Hangs,
}

struct Shared {
    got: Mutex<Vec<Got>>,
    plan: Mutex<VecDeque<Does>>,
    usual: Mutex<Does>,
    news: Notify,
}

/// The receiver.
#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

impl Receiver {
    /// One that answers everything with 204.
    pub(crate) async fn new() -> Self {
        let shared = Arc::new(Shared {
            got: Mutex::default(),
            plan: Mutex::default(),
            usual: Mutex::new(Does::Answers(204, vec![])),
            news: Notify::new(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new()
            .fallback(receive)
            .with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// What it does with all requests that nothing else is planned for.
    pub(crate) fn usually(&self, does: Does) {
        *self.shared.usual.lock().expect("a lock") = does;
    }

    /// What it does with the next requests, one after the other.
    pub(crate) fn then(&self, does: impl IntoIterator<Item = Does>) {
        self.shared.plan.lock().expect("a lock").extend(does);
    }

    pub(crate) fn got(&self) -> Vec<Got> {
        self.shared.got.lock().expect("a lock").clone()
    }

    /// Waits for so many requests in all.
    pub(crate) async fn wait_for(&self, n: usize) -> Vec<Got> {
        let waiting = async {
            loop {
                let news = self.shared.news.notified();
                let got = self.got();
                if got.len() >= n {
                    return got;
                }
                news.await;
            }
        };
        let got = tokio::time::timeout(PATIENCE, waiting).await;
        got.unwrap_or_else(|_| panic!("{} of {n} messages came", self.got().len()))
    }
}

async fn receive(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    shared
        .got
        .lock()
        .expect("a lock")
        .push(Got { headers, body });
    shared.news.notify_waiters();
    let planned = shared.plan.lock().expect("a lock").pop_front();
    let does = planned.unwrap_or_else(|| shared.usual.lock().expect("a lock").clone());
    match does {
        Does::Hangs => std::future::pending().await,
        Does::Answers(status, headers) => {
            let mut answer = Response::builder().status(status);
            for (name, value) in headers {
                answer = answer.header(name, value);
            }
            answer.body(Body::empty()).expect("an answer")
        }
    }
}

pub(crate) const SECRET: [u8; 32] = [7; 32];

/// An endpoint of an account, and its secret.
pub(crate) async fn endpoint(
    store: &Store,
    account: &AccountId,
    url: &str,
    topics: &str,
) -> (EndpointId, String) {
    let id = store.new_endpoint_id(account);
    let new = create(account, &id, url, topics);
    let made = store.create_endpoint(&new).await.expect("an endpoint");
    assert_eq!(made, EndpointCreated::Created { replayed: false });
    (id, new.secret)
}

pub(crate) fn create(
    account: &AccountId,
    id: &EndpointId,
    url: &str,
    topics: &str,
) -> CreateEndpoint {
    CreateEndpoint {
        account: account.clone(),
        endpoint: id.clone(),
        url: url.to_owned(),
        topics: topics.parse().expect("topics"),
        secret: Secret::of_bytes(SECRET).expose().to_owned(),
        description: String::new(),
        endpoints_max: 10,
        reason: "test".to_owned(),
        actor: "tests".to_owned(),
    }
}

pub(crate) async fn act(store: &Store, id: &EndpointId, act: EndpointAct) -> EndpointActOutcome {
    let done = store.act_on_endpoint(id, &act, "test", "tests").await;
    done.expect("an act")
}

pub(crate) async fn look(store: &Store, id: &EndpointId) -> EndpointView {
    let view = store.endpoint(id).await.expect("a look");
    view.expect("the endpoint")
}

pub(crate) fn sending(room: usize) -> Sending {
    Sending {
        lease_ms: 20_000,
        at_a_time: 4,
        room,
        outbox_max: 1_000,
    }
}

/// Takes what is due, at most so many.
pub(crate) async fn take(store: &Store, room: usize) -> Vec<Delivery> {
    let taken = store.take_messages(0, &sending(room)).await;
    taken.expect("messages")
}

pub(crate) async fn report(store: &Store, delivery: &Delivery, tried: Tried) -> ReportOutcome {
    let said = store.report_message(delivery, &reported(tried)).await;
    said.expect("a report")
}

pub(crate) fn reported(tried: Tried) -> Reported {
    Reported {
        tried,
        words: "status 500".to_owned(),
        throttle_ms: 0,
        disable_after_ms: 432_000_000,
        dead_letters_max: 1_000,
    }
}

/// Short clocks.
pub(crate) fn courier_options() -> CourierOptions {
    CourierOptions {
        senders: 8,
        at_a_time: 4,
        outbox_max: 1_000,
        dead_letters_max: 1_000,
        poll_ms: 50,
        schedule_ms: vec![50, 50, 50],
        disable_after_ms: 432_000_000,
    }
}

pub(crate) fn limits() -> Limits {
    Limits {
        connect: Duration::from_secs(2),
        total: Duration::from_secs(5),
    }
}

/// A courier that may post to this machine.
pub(crate) fn courier(store: &Store, options: CourierOptions) -> Courier {
    let networks = ["127.0.0.0/8".parse().expect("a network")];
    let poster = Poster::new(limits(), networks.to_vec());
    Courier::start(store.clone(), poster, options)
}
