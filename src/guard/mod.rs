//! What may be dialled at a stranger's word: the addresses of outputs and of webhooks.
//!
//! URLs are judged before each hop, names after their resolution, so that the address that was judged
//! is the address that is dialled. Nothing here holds a credential, follows a redirect or knows a proxy.

pub mod addresses;

mod client;

use std::error::Error as StdError;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use url::{Host, Url};

use addresses::is_public;
pub use client::{Clients, Lookup};

/// Longest URL that is dialled.
const URL_CHARS_MAX: usize = 8 * 1024;

/// Why a stranger's address was not reached.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The scheme, host, port or address is one we never dial.
    #[error("reach a stranger's address: {0} is not allowed")]
    Blocked(String),
    /// No connection or no answer within its time limit.
    #[error("reach a stranger's address in time")]
    Timeout,
    /// The connection failed or broke. The address is left out: it may be signed.
    #[error("talk to a stranger's address")]
    Transport(#[source] reqwest::Error),
}

/// How far a client may reach. The scheme and port of a URL decide which one is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Reach {
    /// Public hosts and those of the allow-list: for `https` on its own port.
    PublicAndAllowed,
    /// Only hosts of the allow-list: for plain `http`, and for other ports.
    AllowedOnly,
}

impl Reach {
    /// True where an address may be dialled.
    fn permits(self, allow_cidr: &[IpNet], address: IpAddr) -> bool {
        let address = address.to_canonical();
        let allowed = allow_cidr.iter().any(|net| net.contains(&address));
        match self {
            Self::PublicAndAllowed => allowed || is_public(address),
            Self::AllowedOnly => allowed,
        }
    }
}

/// Whether a URL may be dialled as it stands; what its name resolves to is judged when it is.
///
/// # Errors
/// [`Error::Blocked`], with a text that holds no part of the URL but its scheme or host.
pub fn check_url(url: &Url, allow_cidr: &[IpNet]) -> Result<(), Error> {
    judge_url(url, allow_cidr).map(|_| ())
}

/// Judges one URL before it is dialled: the first one, and the target of every redirect.
///
/// A host that is an address never reaches the resolver and is therefore judged here.
///
/// # Errors
/// [`Error::Blocked`], with a text that holds no part of the URL but its scheme or host.
pub(crate) fn judge_url(url: &Url, allow_cidr: &[IpNet]) -> Result<Reach, Error> {
    let reach = match (url.scheme(), url.port_or_known_default()) {
        ("https", Some(443)) => Reach::PublicAndAllowed,
        ("https" | "http", Some(_)) => Reach::AllowedOnly,
        (scheme, _) => return Err(Error::Blocked(format!("scheme {scheme}"))),
    };
    if url.as_str().len() > URL_CHARS_MAX {
        return Err(Error::Blocked("a url of that length".to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::Blocked("a url with a user name".to_owned()));
    }
    let literal = match url.host() {
        Some(Host::Ipv4(v4)) => IpAddr::V4(v4),
        Some(Host::Ipv6(v6)) => IpAddr::V6(v6),
        Some(Host::Domain(_)) => return Ok(reach),
        None => return Err(Error::Blocked("a url without host".to_owned())),
    };
    if reach.permits(allow_cidr, literal) {
        Ok(reach)
    } else {
        Err(Error::Blocked(format!("address {literal}")))
    }
}

/// Every address of a name was refused. Travels through the client's own error as a source.
#[derive(Debug)]
struct BlockedHost(String);

impl fmt::Display for BlockedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "every address of host {} is refused", self.0)
    }
}

impl StdError for BlockedHost {}

/// Turns the error of one of these clients into ours: a refusal of the resolver, a timeout, or the transport.
pub fn classify(error: reqwest::Error) -> Error {
    let mut source: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(inner) = source {
        if let Some(BlockedHost(host)) = inner.downcast_ref() {
            return Error::Blocked(format!("host {host}"));
        }
        source = inner.source();
    }
    if error.is_timeout() {
        Error::Timeout
    } else {
        Error::Transport(error.without_url())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(url: &str, allow: &[&str]) -> Result<Reach, Error> {
        let allow: Vec<IpNet> = allow.iter().map(|net| net.parse().unwrap()).collect();
        judge_url(&url.parse().unwrap(), &allow)
    }

    #[test]
    fn https_on_its_port_reaches_the_public_internet() {
        assert_eq!(
            judge("https://cdn.example/x.mp4", &[]).unwrap(),
            Reach::PublicAndAllowed
        );
        assert_eq!(
            judge("https://1.1.1.1/x.mp4", &[]).unwrap(),
            Reach::PublicAndAllowed
        );
    }

    #[test]
    fn plain_http_and_odd_ports_reach_only_what_is_allowed() {
        assert_eq!(
            judge("http://cdn.example/x.mp4", &[]).unwrap(),
            Reach::AllowedOnly
        );
        assert_eq!(
            judge("https://cdn.example:8443/x", &[]).unwrap(),
            Reach::AllowedOnly
        );
        assert!(matches!(
            judge("http://1.1.1.1/x", &[]),
            Err(Error::Blocked(_))
        ));
        assert!(judge("http://127.0.0.1:9100/x", &["127.0.0.0/8"]).is_ok());
        assert!(judge("http://[::1]:9100/x", &["::1/128"]).is_ok());
    }

    #[test]
    fn every_spelling_of_an_inner_address_is_blocked() {
        for url in [
            "https://127.0.0.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://017700000001/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:a00:1]/",
            "https://169.254.169.254/latest/meta-data/",
            "https://[fd00:ec2::254]/",
        ] {
            assert!(matches!(judge(url, &[]), Err(Error::Blocked(_))), "{url}");
        }
    }

    #[test]
    fn an_allow_list_covers_the_mapped_spelling_of_its_own_addresses_alone() {
        assert!(judge("http://[::ffff:127.0.0.1]:1/", &["127.0.0.0/8"]).is_ok());
        assert!(judge("http://127.0.0.1:1/", &["10.0.0.0/8"]).is_err());
    }

    #[test]
    fn other_schemes_and_user_names_are_blocked() {
        for url in [
            "ftp://cdn.example/x",
            "file:///etc/passwd",
            "https://user@cdn.example/x",
        ] {
            assert!(
                matches!(judge(url, &["0.0.0.0/0"]), Err(Error::Blocked(_))),
                "{url}"
            );
        }
    }
}
