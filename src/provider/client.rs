//! The HTTP client that carries our keys.
//!
//! It dials only the provider's own hosts, follows no redirect, uses no proxy, repeats nothing by
//! itself, and tells a request that never left from one whose outcome is unknown.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{ClientBuilder, Method, Response};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::auth::Key;
use super::classify::clean;
use super::hosts::AllowedHosts;

/// Idle connections kept for polling.
const IDLE_PER_HOST: usize = 8;
/// How long an idle connection is kept. Shorter than the idle time of common servers, so that a
/// poll seldom meets a connection that is being closed.
const IDLE: Duration = Duration::from_secs(20);

/// Two connection pools with the same rules, shared by all providers with one connect timeout.
#[derive(Debug, Clone)]
pub(super) struct Transport {
    /// A new connection for every request. A kept connection that the server is just closing would
    /// make a submit's outcome unknown for nothing.
    fresh: reqwest::Client,
    /// Kept connections, for polling and cancelling.
    kept: reqwest::Client,
}

impl Transport {
    /// Pools whose connections must stand within `connect_timeout`, TLS included.
    pub(super) fn new(connect_timeout: Duration) -> Result<Self, reqwest::Error> {
        // Whoever came first has installed the same provider: there is only one in the binary.
        let _already_installed = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            reqwest::Client::builder()
                .user_agent(concat!("meterline/", env!("CARGO_PKG_VERSION")))
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .referer(false)
                .no_proxy()
                .connect_timeout(connect_timeout)
        };
        Ok(Self {
            fresh: build(&|| builder().pool_max_idle_per_host(0))?,
            kept: build(&|| {
                builder()
                    .pool_max_idle_per_host(IDLE_PER_HOST)
                    .pool_idle_timeout(IDLE)
            })?,
        })
    }
}

/// Builds a client that trusts the system's certificates, or Mozilla's where the system has none,
/// as in a small container.
fn build(builder: &dyn Fn() -> ClientBuilder) -> Result<reqwest::Client, reqwest::Error> {
    builder().build().or_else(|_no_system_certificates| {
        let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS;
        let roots: Result<Vec<_>, _> = roots
            .iter()
            .map(|root| reqwest::Certificate::from_der(root))
            .collect();
        builder().tls_certs_only(roots?).build()
    })
}

/// The client of one provider.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) transport: Transport,
    pub(super) hosts: AllowedHosts,
    pub(super) key: Key,
    /// Sent with every request.
    pub(super) headers: HeaderMap,
    /// No answer is read beyond this many bytes.
    pub(super) response_max_bytes: u64,
}

/// One request.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) url: &'a Url,
    /// In addition to the provider's.
    pub(super) headers: HeaderMap,
    pub(super) body: Option<&'a Value>,
    /// For everything from dialling to the answer's last byte.
    pub(super) timeout: Duration,
    /// Whether the request may start paid work, and so needs a connection of its own.
    pub(super) is_submit: bool,
    /// Whether our key is shown.
    pub(super) with_key: bool,
}

/// An answer. Its status and headers count also where its body was lost.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Result<Bytes, BodyFault>,
}

/// Why a body was not read to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum BodyFault {
    #[error("read an answer of more than {0} bytes")]
    TooLarge(u64),
    #[error("read the answer to its end: {0}")]
    Broken(String),
}

/// No answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error("use the provider: its key is missing, set {0}")]
    KeyMissing(String),
    /// Nothing was sent.
    #[error("{0}")]
    NotSent(String),
    /// The request may have arrived.
    #[error("{0}")]
    Unknown(String),
}

impl Reply {
    /// Whether the status is 200 to 299.
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as JSON.
    pub(super) fn json(&self) -> Result<Value, String> {
        let body = self.body.as_ref().map_err(ToString::to_string)?;
        serde_json::from_slice(body).map_err(|error| format!("read the answer as JSON: {error}"))
    }

    /// Whether the answer calls itself JSON.
    pub(super) fn says_json(&self) -> bool {
        self.headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.split(';').next())
            .is_some_and(|kind| {
                let kind = kind.trim().to_ascii_lowercase();
                kind == "application/json" || kind.ends_with("+json")
            })
    }
}

impl Client {
    /// The variable that should hold the key and does not.
    pub(super) fn missing_key(&self) -> Option<&str> {
        match &self.key {
            Key::Missing(variable) => Some(variable),
            Key::NotNeeded | Key::Ready(..) => None,
        }
    }

    /// Sends a request and reads the answer. The host is checked before the key is attached.
    pub(super) async fn send(&self, call: Call<'_>) -> Result<Reply, Error> {
        if call.timeout.is_zero() {
            return Err(Error::NotSent("no time is left".to_owned()));
        }
        let deadline = Instant::now() + call.timeout;
        let timeout = call.timeout;
        let client = if call.is_submit {
            &self.transport.fresh
        } else {
            &self.transport.kept
        };
        let request = self.request(client, call)?;
        let response = match timeout_at(deadline, client.execute(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) if error.is_connect() || error.is_builder() => {
                return Err(Error::NotSent(describe(error)));
            }
            Ok(Err(error)) => return Err(Error::Unknown(describe(error))),
            Err(_) => {
                return Err(Error::Unknown(format!(
                    "no answer in {} ms",
                    timeout.as_millis()
                )));
            }
        };
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body = self.body(response, deadline).await;
        Ok(Reply {
            status,
            headers,
            body,
        })
    }

    fn request(&self, client: &reqwest::Client, call: Call<'_>) -> Result<reqwest::Request, Error> {
        self.hosts
            .check(call.url)
            .map_err(|error| Error::NotSent(error.to_string()))?;
        let mut request = client
            .request(call.method, call.url.clone())
            .headers(self.headers.clone());
        request = match &self.key {
            Key::NotNeeded => request,
            Key::Ready(..) | Key::Missing(_) if !call.with_key => request,
            Key::Ready(name, value) => request.header(name, value),
            Key::Missing(variable) => return Err(Error::KeyMissing(variable.clone())),
        };
        request = request.headers(call.headers);
        if let Some(body) = call.body {
            request = request.json(body);
        }
        request
            .build()
            .map_err(|error| Error::NotSent(describe(error)))
    }

    /// Reads the body, counting: what the answer says of its own length is only a hint.
    async fn body(&self, mut response: Response, deadline: Instant) -> Result<Bytes, BodyFault> {
        let max = self.response_max_bytes;
        let mut read = BytesMut::new();
        loop {
            match timeout_at(deadline, response.chunk()).await {
                Ok(Ok(None)) => return Ok(read.freeze()),
                Ok(Ok(Some(chunk))) if read.len() as u64 + chunk.len() as u64 <= max => {
                    read.extend_from_slice(&chunk);
                }
                Ok(Ok(Some(_))) => return Err(BodyFault::TooLarge(max)),
                Ok(Err(error)) => return Err(BodyFault::Broken(describe(error))),
                Err(_) => return Err(BodyFault::Broken("time is up".to_owned())),
            }
        }
    }
}

/// The error with its causes and without the URL, which may carry a signature.
fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    clean(&text)
}
