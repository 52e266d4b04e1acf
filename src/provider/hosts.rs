//! Which hosts a provider's key may be sent to.
//!
//! URLs come back inside answers, where a provider, a model's author or someone in between can
//! write anything. Every one of them is checked here before the key is attached.

use url::Url;

/// Why a URL is not called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error("call a URL that is not http or https")]
    Scheme,
    #[error("call an unencrypted URL of a provider that is reached over https")]
    Downgrade,
    #[error("call a URL that carries a user name")]
    UserInfo,
    #[error("call host `{0}`, which is not allowed for this provider")]
    Host(String),
    #[error("read allowed host `{0}`: write `host`, `host:port` or `*.domain.tld`")]
    BadEntry(String),
}

/// The hosts of one provider.
#[derive(Debug, Clone)]
pub(super) struct AllowedHosts {
    entries: Vec<Entry>,
    https_only: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    /// This host at this port; without one, at the scheme's own port.
    Exact { host: String, port: Option<u16> },
    /// Every host below this domain (with its leading dot), at the scheme's own port.
    Below(String),
}

impl AllowedHosts {
    /// The base URL's host and port, and what the preset adds. When the base URL is https, so must
    /// be every other URL.
    pub(super) fn new(base_url: &Url, more: &[String]) -> Result<Self, Error> {
        let base_host = host_of(base_url).ok_or(Error::Scheme)?;
        let base = Entry::Exact {
            host: base_host,
            port: base_url.port(),
        };
        let mut entries = vec![base];
        for text in more {
            entries
                .push(entry(text, base_url.scheme()).ok_or_else(|| Error::BadEntry(text.clone()))?);
        }
        Ok(Self {
            entries,
            https_only: base_url.scheme() == "https",
        })
    }

    /// Every entry as it is written in a provider's file.
    pub(super) fn names(&self) -> Vec<String> {
        let name = |entry: &Entry| match entry {
            Entry::Exact { host, port: None } => host.clone(),
            Entry::Exact {
                host,
                port: Some(port),
            } => format!("{host}:{port}"),
            Entry::Below(domain) => format!("*{domain}"),
        };
        self.entries.iter().map(name).collect()
    }

    /// Whether the key may be sent to this URL.
    pub(super) fn check(&self, url: &Url) -> Result<(), Error> {
        match url.scheme() {
            "https" => {}
            "http" if !self.https_only => {}
            "http" => return Err(Error::Downgrade),
            _ => return Err(Error::Scheme),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Error::UserInfo);
        }
        let host = host_of(url).ok_or(Error::Scheme)?;
        // `Url::port` is `None` for the scheme's own port, however it was written.
        let port = url.port();
        let allowed = self.entries.iter().any(|entry| match entry {
            Entry::Exact {
                host: known,
                port: at,
            } => *known == host && *at == port,
            Entry::Below(domain) => {
                port.is_none() && host.len() > domain.len() && host.ends_with(domain.as_str())
            }
        });
        if allowed {
            Ok(())
        } else {
            Err(Error::Host(super::classify::clean(&host)))
        }
    }
}

fn host_of(url: &Url) -> Option<String> {
    url.host_str()
        .filter(|host| !host.is_empty())
        .map(str::to_owned)
}

/// Reads an entry with the parser that reads URLs, so that both spell host and port the same way.
fn entry(text: &str, scheme: &str) -> Option<Entry> {
    if let Some(domain) = text.strip_prefix("*.") {
        let url = Url::parse(&format!("{scheme}://{domain}/")).ok()?;
        let plain = matches!(url.host()?, url::Host::Domain(d) if d.contains('.'));
        let named = plain && url.port().is_none() && is_bare(&url);
        return named.then(|| Entry::Below(format!(".{}", url.host_str().unwrap_or_default())));
    }
    let url = Url::parse(&format!("{scheme}://{text}/"))
        .ok()
        .filter(|_| !text.contains('*'))?;
    is_bare(&url).then(|| Entry::Exact {
        host: host_of(&url).unwrap_or_default(),
        port: url.port(),
    })
}

/// Nothing but host and port.
fn is_bare(url: &Url) -> bool {
    url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && host_of(url).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(base: &str, more: &[&str]) -> AllowedHosts {
        let more: Vec<String> = more.iter().map(|&text| text.to_owned()).collect();
        AllowedHosts::new(&base.parse().unwrap(), &more).unwrap()
    }

    #[test]
    fn only_listed_hosts_are_called() {
        let list = allowed(
            "https://api.example.com",
            &["files.example.net:8443", "*.cdn.example.org"],
        );
        let host = |name: &str| Err(Error::Host(name.to_owned()));
        let table = [
            ("https://api.example.com/x", Ok(())),
            ("https://API.EXAMPLE.COM:443/x", Ok(())),
            ("https://api.example.com:444/x", host("api.example.com")),
            ("https://api.example.com./x", host("api.example.com.")),
            (
                "https://api.example.com.evil.test/x",
                host("api.example.com.evil.test"),
            ),
            ("https://xapi.example.com/", host("xapi.example.com")),
            ("https://files.example.net:8443/", Ok(())),
            ("https://files.example.net/", host("files.example.net")),
            ("https://a.cdn.example.org/", Ok(())),
            ("https://a.b.cdn.example.org/", Ok(())),
            ("https://cdn.example.org/", host("cdn.example.org")),
            ("https://evilcdn.example.org/", host("evilcdn.example.org")),
            ("https://a.cdn.example.org:8080/", host("a.cdn.example.org")),
            ("http://api.example.com/x", Err(Error::Downgrade)),
            ("ftp://api.example.com/x", Err(Error::Scheme)),
            ("s3://bucket/x", Err(Error::Scheme)),
            ("https://user@api.example.com/x", Err(Error::UserInfo)),
            ("https://api.example.com@evil.test/x", Err(Error::UserInfo)),
            ("https://169.254.169.254/latest", host("169.254.169.254")),
            ("https://[::1]/", host("[::1]")),
        ];
        for (url, want) in table {
            assert_eq!(list.check(&url.parse().unwrap()), want, "{url}");
        }
    }

    #[test]
    fn a_local_base_url_allows_exactly_its_own_port() {
        let list = allowed("http://127.0.0.1:9100", &[]);
        assert_eq!(
            list.check(&"http://127.0.0.1:9100/a".parse().unwrap()),
            Ok(())
        );
        // The URL parser reads these as 127.0.0.1 too; what is checked is what would be dialled.
        assert_eq!(
            list.check(&"http://2130706433:9100/".parse().unwrap()),
            Ok(())
        );
        for other in [
            "http://127.0.0.1:9101/",
            "http://127.0.0.1/",
            "http://localhost:9100/",
        ] {
            assert!(list.check(&other.parse().unwrap()).is_err(), "{other}");
        }
    }

    #[test]
    fn entries_that_are_no_host_are_refused() {
        let base = "https://api.example.com".parse().unwrap();
        for text in [
            "",
            "*",
            "*.",
            "*.com",
            "a/b",
            "https://x.test",
            "u@x.test",
            "x.test?",
            "*.1.2.3.4",
        ] {
            let list = AllowedHosts::new(&base, &[text.to_owned()]);
            assert_eq!(list.unwrap_err(), Error::BadEntry(text.to_owned()));
        }
    }
}
