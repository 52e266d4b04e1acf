//! Where messages may be posted to, judged when an endpoint is made; each post is judged anew.

use ipnet::IpNet;
use url::Url;

use crate::guard;

/// Longest address of an endpoint, bytes: it is copied into every view of it.
const ADDRESS_MAX: usize = 2_048;

/// An address that messages are never posted to, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("post to {address}: {why}")]
pub struct BadAddress {
    address: String,
    why: String,
}

/// An address that messages can be posted to, in its normal form: https at a public host, or a host of
/// `allowed`.
///
/// # Errors
/// [`BadAddress`] where it is none, or none that would ever be dialled.
pub fn address(text: &str, allowed: &[IpNet]) -> Result<String, BadAddress> {
    let bad = |why: String| BadAddress {
        address: text.chars().take(100).collect(),
        why,
    };
    if text.len() > ADDRESS_MAX {
        return Err(bad(format!("it has more than {ADDRESS_MAX} bytes")));
    }
    let url = Url::parse(text).map_err(|error| bad(error.to_string()))?;
    let must = "it must be https at a public address, or lie in webhooks.allow_cidr";
    guard::check_url(&url, allowed).map_err(|error| match error {
        guard::Error::Blocked(what) => bad(format!("{what} is not allowed; {must}")),
        guard::Error::Timeout | guard::Error::Transport(_) => bad(must.to_owned()),
    })?;
    if url.scheme() == "http" && allowed.is_empty() {
        return Err(bad("it must be https".to_owned()));
    }
    Ok(url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_at_public_hosts_and_what_is_allowed_is_posted_to() {
        let loopback: Vec<IpNet> = vec!["127.0.0.0/8".parse().expect("a net")];
        assert!(address("https://acme.example/hooks", &[]).is_ok());
        assert!(address("http://127.0.0.1:9000/", &loopback).is_ok());
        for refused in [
            "http://acme.example/hooks",
            "http://127.0.0.1:9000/",
            "https://10.0.0.7/",
            "https://user:pass@acme.example/",
            "ftp://acme.example/",
            "acme.example",
        ] {
            assert!(address(refused, &[]).is_err(), "{refused}");
        }
        let long = format!("https://acme.example/{}", "x".repeat(ADDRESS_MAX));
        assert!(address(&long, &[]).is_err());
    }
}
