//! The typed client of the HTTP API: what producers and operators ask a server, in the server's own types
//! ([`crate::wire`]).
//!
//! Every call can be repeated, and is: a POST carries an `Idempotency-Key`, the caller's or one made for
//! it, which stays the same over all repetitions. Repeated are lost connections, 429 and 503, after
//! `Retry-After` or a growing delay, for as long as [`Options::patience`] lasts. What then still has no
//! answer ends as [`Error::Unknown`] with the key to repeat with.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use meterline::client::{Client, Options};
//! use meterline::wire::JobRequest;
//!
//! let client = Client::new(&Options::new("https://meterline.example", "mlk_...".into()))?;
//! let asked = JobRequest {
//!     account: Some("acme".parse()?),
//!     tool: Some("text-to-image".to_owned()),
//!     params: [("prompt".to_owned(), "a red fox".into())].into_iter().collect(),
//!     ..JobRequest::default()
//! };
//! let accepted = client.submit(&asked, Some("click-1")).await?.body;
//! let job = client.wait_job(&accepted.job, std::time::Duration::from_secs(60)).await?;
//! println!("{}: {} charged", job.state, job.captured_ucr);
//! # Ok(())
//! # }
//! ```

mod accounts;
mod call;
mod error;
mod events;
mod health;
mod house;
mod jobs;
mod sse;
mod still;
mod webhooks;

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

pub use accounts::StretchQuery;
pub use error::{Error, Refused};
pub use events::{Events, Happened};
pub use health::readiness;
pub use jobs::JobQuery;

use crate::domain::retry::Policy;

/// Between repetitions where the server names no time.
const SPACING: Policy = Policy {
    tries: u32::MAX,
    base_ms: 200,
    factor: 2,
    cap_ms: 10_000,
};

/// Where the server is, who calls, and how long a call may take.
#[derive(Debug, Clone)]
pub struct Options {
    /// The server's address, without `/v1`.
    pub url: String,
    /// An API key (`mlk_...`) or a token (`mlt_...`).
    pub key: SecretString,
    /// For a connection to stand, TLS included.
    pub connect_timeout: Duration,
    /// For one answer, from dialling to its last byte; what the server is asked to wait comes on top.
    pub request_timeout: Duration,
    /// For how long a call is repeated. Zero: it is sent once.
    pub patience: Duration,
}

impl Options {
    /// The usual times: 5 s, 30 s, 60 s.
    pub fn new(url: &str, key: SecretString) -> Self {
        Self {
            url: url.to_owned(),
            key,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            patience: Duration::from_secs(60),
        }
    }
}

/// An answer, and whether it is an earlier call's once more.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer<T> {
    /// What was answered.
    pub body: T,
    /// The operation had been done before, under the same key.
    pub replayed: bool,
}

/// A client of one server. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    request_timeout: Duration,
    patience: Duration,
}

impl Client {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Setup`] where the address is no http URL, the key cannot stand in a header, or no
    /// certificates can be found.
    pub fn new(options: &Options) -> Result<Self, Error> {
        let base = address(&options.url)?;
        let bearer = format!("Bearer {}", options.key.expose_secret());
        let mut bearer = HeaderValue::from_str(&bearer)
            .map_err(|_| Error::Setup("take the key: it is none that can be sent".to_owned()))?;
        bearer.set_sensitive(true);
        let headers = HeaderMap::from_iter([(AUTHORIZATION, bearer)]);
        let http = http(&base, options.connect_timeout, &headers)?;
        Ok(Self {
            http,
            base,
            request_timeout: options.request_timeout,
            patience: options.patience,
        })
    }

    /// Where the server is.
    pub fn url(&self) -> &Url {
        &self.base
    }

    /// The address of a route, each part escaped.
    fn at(&self, parts: &[&str]) -> Url {
        let mut url = self.base.clone();
        // An http URL always has a path to add to.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push("v1").extend(parts);
        }
        url
    }
}

/// What sends requests to `base` alone, each with these headers.
fn http(base: &Url, connect: Duration, headers: &HeaderMap) -> Result<reqwest::Client, Error> {
    // Whoever came first has installed the same provider: there is only one in the binary.
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    let builder = || {
        let builder = reqwest::Client::builder()
            .user_agent(concat!("meterline/", env!("CARGO_PKG_VERSION")))
            // The key goes to the address that was named, and nowhere else.
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(connect)
            .default_headers(headers.clone());
        if is_here(base) {
            builder.no_proxy()
        } else {
            builder
        }
    };
    let http = builder().build().or_else(|_no_system_certificates| {
        let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
        let roots: Result<Vec<_>, _> = roots
            .map(|root| reqwest::Certificate::from_der(root))
            .collect();
        builder().tls_certs_only(roots?).build()
    });
    http.map_err(|error| Error::Setup(format!("make a client: {error}")))
}

fn address(text: &str) -> Result<Url, Error> {
    let bad = |why: String| Error::Setup(format!("read the address {text:?}: {why}"));
    let url = Url::parse(text).map_err(|error| bad(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(bad("it is not http:// or https://".to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("keys do not stand in addresses".to_owned()));
    }
    Ok(url)
}

/// A server on this host is not reached through a proxy.
fn is_here(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_http_and_carry_no_key() {
        for text in ["", "redis://x", "https://", "http://key@host", "host:80"] {
            assert!(matches!(address(text), Err(Error::Setup(_))), "{text}");
        }
    }

    #[test]
    fn parts_of_a_path_are_escaped_and_stand_behind_the_servers_own() {
        for (base, expected) in [
            ("http://127.0.0.1:1", "http://127.0.0.1:1/v1/jobs/a%2Fb%3Fc"),
            (
                "https://x.example/api/",
                "https://x.example/api/v1/jobs/a%2Fb%3Fc",
            ),
        ] {
            let client = Client::new(&Options::new(base, "mlk_a".into())).unwrap();
            assert_eq!(client.at(&["jobs", "a/b?c"]).as_str(), expected);
        }
    }

    #[test]
    fn a_key_is_never_printed() {
        let options = Options::new("http://127.0.0.1:1", "mlk_secret".into());
        let client = Client::new(&options).unwrap();
        assert!(!format!("{options:?} {client:?}").contains("mlk_secret"));
    }
}
