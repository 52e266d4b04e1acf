//! Which servers an address names: one, or some nodes of a cluster.
//!
//! A cluster is `redis+cluster://[user[:password]@]host:port[,host:port...]`, or `rediss+cluster://` with TLS.
//! A few of its nodes are enough: they name all others.

use redis::{ConnectionInfo, IntoConnectionInfo};

use super::Error;

/// What stands in front of a cluster's nodes, and of one of them alone.
const CLUSTERS: [(&str, &str); 2] = [
    ("redis+cluster://", "redis://"),
    ("rediss+cluster://", "rediss://"),
];
/// What stands in front of a single server.
const SINGLE: [&str; 4] = ["redis://", "rediss://", "redis+unix://", "unix://"];

/// The servers of an address.
#[derive(Debug)]
pub(super) struct Address {
    /// Where to begin: the server, or nodes of the cluster.
    pub(super) servers: Vec<ConnectionInfo>,
    pub(super) is_cluster: bool,
}

impl Address {
    pub(super) fn read(url: &str) -> Result<Self, Error> {
        let unusable =
            |why: String| Error::Unreachable(format!("the address is not usable: {why}"));
        let is_cluster = nodes(url).is_some();
        let urls = nodes(url).unwrap_or_else(|| vec![url.to_owned()]);
        let servers: Result<Vec<_>, _> = urls
            .into_iter()
            .map(IntoConnectionInfo::into_connection_info)
            .collect();
        let servers = servers.map_err(|error| unusable(error.to_string()))?;
        if is_cluster
            && servers
                .iter()
                .any(|server| server.redis_settings().db() != 0)
        {
            return Err(unusable(
                "a cluster has no other database than 0".to_owned(),
            ));
        }
        Ok(Self {
            servers,
            is_cluster,
        })
    }
}

/// The parts of a cluster's address.
struct Parts<'a> {
    cluster: &'a str,
    single: &'a str,
    /// Up to its `@`, or empty.
    user: &'a str,
    hosts: &'a str,
    tail: &'a str,
}

/// `None` for the address of a single server.
fn parts(url: &str) -> Option<Parts<'_>> {
    let (rest, cluster, single) = CLUSTERS
        .iter()
        .find_map(|(cluster, single)| Some((url.strip_prefix(cluster)?, *cluster, *single)))?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    // A password may hold an @, as it may in the address of a single server.
    let (user, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    Some(Parts {
        cluster,
        single,
        user,
        hosts,
        tail,
    })
}

/// The addresses of a cluster's nodes, each as that of a single server; `None` for a single server.
fn nodes(url: &str) -> Option<Vec<String>> {
    let Parts {
        single,
        user,
        hosts,
        tail,
        ..
    } = parts(url)?;
    let node = |host: &str| format!("{single}{user}{host}{tail}");
    Some(hosts.split(',').map(node).collect())
}

/// Whether this can be the address of a store.
pub fn is_store_url(url: &str) -> bool {
    let is_single = SINGLE.iter().any(|scheme| url.starts_with(scheme));
    (is_single || nodes(url).is_some()) && Address::read(url).is_ok()
}

/// The address with `***` for its password; `None` where it is none that could be shown safely.
pub fn url_without_password(url: &str) -> Option<String> {
    if let Some(parts) = parts(url) {
        let user = match parts.user.split_once(':') {
            Some((name, _)) => format!("{name}:***@"),
            None => parts.user.to_owned(),
        };
        return Some(format!(
            "{}{user}{}{}",
            parts.cluster, parts.hosts, parts.tail
        ));
    }
    let mut url = url::Url::parse(url).ok()?;
    if url.password().is_some() {
        url.set_password(Some("***")).ok()?;
    }
    Some(url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(url: &str) -> Vec<String> {
        let address = Address::read(url).unwrap();
        let shown = address
            .servers
            .iter()
            .map(|server| server.addr().to_string());
        shown.collect()
    }

    #[test]
    fn a_cluster_is_named_by_some_of_its_nodes() {
        let url = "redis+cluster://user:geheim@10.0.0.1:7000,[::1]:7001,third";
        assert_eq!(servers(url), ["10.0.0.1:7000", "::1:7001", "third:6379"]);
        let address = Address::read(url).unwrap();
        assert!(address.is_cluster);
        for server in &address.servers {
            assert_eq!(server.redis_settings().username(), Some("user"));
            assert_eq!(server.redis_settings().password(), Some("geheim"));
        }
        let address = Address::read("rediss+cluster://a:1,b:2?protocol=resp3").unwrap();
        for server in &address.servers {
            let is_tls = matches!(server.addr(), redis::ConnectionAddr::TcpTls { .. });
            assert!(is_tls, "{:?}", server.addr());
        }
        assert!(!Address::read("redis://a:1").unwrap().is_cluster);
    }

    #[test]
    fn what_is_no_address_of_a_store_is_refused() {
        for url in [
            "redis+cluster://a:1,b:2",
            "rediss+cluster://:geheim@a",
            "redis://a/3",
            "redis+unix:///run/redis.sock",
        ] {
            assert!(is_store_url(url), "{url}");
        }
        for url in [
            "redis+cluster://",
            "redis+cluster://a:1,",
            "redis+cluster://a:1/3",
            "redis+cluster://a:port",
            "redis+sentinel://a",
            "http://a",
            "",
        ] {
            assert!(!is_store_url(url), "{url}");
        }
    }

    #[test]
    fn a_password_is_shown_nowhere() {
        let shown = |url| url_without_password(url).unwrap();
        assert_eq!(
            shown("redis+cluster://user:geheim@a:1,b:2,c:3"),
            "redis+cluster://user:***@a:1,b:2,c:3"
        );
        assert_eq!(
            shown("rediss+cluster://:gehe@im@a:1,b:2?protocol=resp3"),
            "rediss+cluster://:***@a:1,b:2?protocol=resp3"
        );
        assert_eq!(shown("redis://user:geheim@a:1/2"), "redis://user:***@a:1/2");
        assert_eq!(url_without_password("geheim"), None);
    }
}
