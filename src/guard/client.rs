//! Clients that dial only what may be dialled.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use ipnet::IpNet;
use reqwest::Client;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::Url;

use super::{BlockedHost, Error, Reach, judge_url};

/// How a name becomes addresses. Asked anew for each connection.
pub type Lookup =
    Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

type Known = HashMap<(Arc<[IpNet]>, Reach), Client>;

/// One client for each allow-list and reach: the resolver belongs to the client, and so do the
/// connections it keeps. There are as many as there are allow-lists in the settings, twice.
pub struct Clients {
    connect: Duration,
    lookup: Lookup,
    known: Mutex<Known>,
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients")
            .field("connect", &self.connect)
            .finish_non_exhaustive()
    }
}

impl Clients {
    /// Clients that wait so long for name resolution, connection and TLS together, and ask the
    /// system for names.
    pub fn new(connect: Duration) -> Self {
        let system: Lookup = Arc::new(|name| {
            Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) })
        });
        Self::with_lookup(connect, system)
    }

    /// The same with names from somewhere else.
    pub fn with_lookup(connect: Duration, lookup: Lookup) -> Self {
        Self {
            connect,
            lookup,
            known: Mutex::new(HashMap::new()),
        }
    }

    /// The client that may dial this URL. `allow_cidr` are inner addresses that may be reached; plain
    /// `http` and odd ports go there and nowhere else. No redirect is followed: whoever follows one
    /// asks here again.
    ///
    /// # Errors
    /// [`Error::Blocked`] for a URL that is never dialled, [`Error::Transport`] where no client can be
    /// made.
    pub fn for_url(&self, url: &Url, allow_cidr: &[IpNet]) -> Result<Client, Error> {
        let reach = judge_url(url, allow_cidr)?;
        let allow_cidr: Arc<[IpNet]> = allow_cidr.into();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = known.get(&(Arc::clone(&allow_cidr), reach)) {
            return Ok(client.clone());
        }
        let resolver = GuardedResolver {
            allow_cidr: Arc::clone(&allow_cidr),
            reach,
            lookup: Arc::clone(&self.lookup),
        };
        let client = build(resolver, self.connect)?;
        known.insert((allow_cidr, reach), client.clone());
        Ok(client)
    }
}

fn build(resolver: GuardedResolver, connect: Duration) -> Result<Client, Error> {
    // The first provider of a process stays. Whoever installed one before chose the same: only ring
    // is compiled in.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .user_agent(concat!("meterline/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(Arc::new(resolver))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .referer(false)
        .connect_timeout(connect)
        .build()
        .map_err(Error::Transport)
}

/// A resolver that hands out only addresses that may be dialled.
struct GuardedResolver {
    allow_cidr: Arc<[IpNet]>,
    reach: Reach,
    lookup: Lookup,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_cidr = Arc::clone(&self.allow_cidr);
        let reach = self.reach;
        let found = (self.lookup)(name.as_str().to_owned());
        Box::pin(async move {
            let mut permitted = found.await?;
            permitted.retain(|socket| reach.permits(&allow_cidr, socket.ip()));
            if permitted.is_empty() {
                return Err(BlockedHost(name.as_str().to_owned()).into());
            }
            Ok(Box::new(permitted.into_iter()) as Addrs)
        })
    }
}
