//! All providers by name, built from their files once, at the start.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::SecretString;
use toml::Table;

use super::client::{Client, Transport};
use super::engine::Engine;
use super::hosts::AllowedHosts;
use super::layers;
use super::preset::{Idempotency, Preset};

/// Headers that belong to the client.
const RESERVED_HEADERS: [&str; 6] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "expect",
    "content-type",
];

/// Why the provider files are not accepted. Each names the file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A name that is not made of `a-z`, `0-9` and `-`.
    #[error("read provider `{0}`: a name is made of a-z, 0-9 and -")]
    Name(String),
    /// Two files with one name.
    #[error("read provider `{0}` twice")]
    Twice(String),
    /// A base URL was given for a provider that has no file.
    #[error("set the base URL of `{0}`: there is no such provider")]
    UnknownOverride(String),
    /// Not TOML. The source says where.
    #[error("read provider `{name}`")]
    Toml {
        /// The provider.
        name: String,
        /// What the parser says.
        #[source]
        source: toml::de::Error,
    },
    /// A key is unknown, missing or of the wrong type, or keys contradict each other.
    #[error("read provider `{name}`: {problem}")]
    Preset {
        /// The provider.
        name: String,
        /// What is wrong, with the path of the key.
        problem: String,
    },
    /// The HTTP client cannot be built.
    #[error("build the HTTP client")]
    Client(#[source] reqwest::Error),
}

/// All providers by name.
#[derive(Debug, Clone, Default)]
pub struct Providers {
    engines: BTreeMap<String, Arc<Engine>>,
    /// Which provider another one extends.
    bases: BTreeMap<String, String>,
}

impl Providers {
    /// Builds every provider of `files` (name and TOML text).
    ///
    /// `base_urls` replaces base URLs by provider name. `secrets` is asked for the value of each
    /// variable that a file names; a key that is not set leaves its provider loaded but unusable,
    /// so that the others can work.
    pub fn load(
        files: &[(String, String)],
        base_urls: &BTreeMap<String, String>,
        secrets: &dyn Fn(&str) -> Option<SecretString>,
    ) -> Result<Self, Error> {
        let tables = parse(files)?;
        if let Some(name) = base_urls.keys().find(|name| !tables.contains_key(*name)) {
            return Err(Error::UnknownOverride(name.clone()));
        }
        let mut transports = BTreeMap::new();
        let mut engines = BTreeMap::new();
        for name in tables.keys() {
            let fault = |problem: String| Error::Preset {
                name: name.clone(),
                problem,
            };
            let table = layers::merged(&tables, base_urls, name)
                .map_err(|error| fault(error.to_string()))?;
            let preset_version = layers::version(&table);
            let preset = read(table).map_err(fault)?;
            let transport = transport(&mut transports, preset.connect_timeout_ms)?;
            let client = client(&preset, transport, secrets).map_err(fault)?;
            let idempotency_header = idempotency_header(&preset).map_err(fault)?;
            let name = name.clone();
            let engine = Engine {
                name: name.clone(),
                preset_version,
                preset,
                client,
                idempotency_header,
            };
            engines.insert(name, Arc::new(engine));
        }
        let base = |(name, table): (&String, &Table)| {
            let base = table.get("extends")?.as_str()?;
            Some((name.clone(), base.to_owned()))
        };
        let bases = tables.iter().filter_map(base).collect();
        Ok(Self { engines, bases })
    }

    /// The same providers, with these networks (by provider name) in place of what their files allow
    /// outputs to be fetched from. As with a base URL, variants of a provider go with it.
    pub fn allowing(mut self, networks: &BTreeMap<String, Vec<IpNet>>) -> Self {
        for (name, engine) in &mut self.engines {
            let mut nearest = Some(name);
            while let Some(at) = nearest {
                if let Some(list) = networks.get(at) {
                    Arc::make_mut(engine).preset.allow_cidr.clone_from(list);
                    break;
                }
                nearest = self.bases.get(at);
            }
        }
        self
    }

    /// The provider of this name.
    pub fn get(&self, name: &str) -> Option<Arc<Engine>> {
        self.engines.get(name).cloned()
    }

    /// Every name, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.engines.keys().map(String::as_str)
    }
}

fn parse(files: &[(String, String)]) -> Result<BTreeMap<String, Table>, Error> {
    let mut tables = BTreeMap::new();
    for (name, text) in files {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if name.is_empty() || !name.bytes().all(plain) {
            return Err(Error::Name(name.clone()));
        }
        let table: Table = text.parse().map_err(|source| Error::Toml {
            name: name.clone(),
            source,
        })?;
        if tables.insert(name.clone(), table).is_some() {
            return Err(Error::Twice(name.clone()));
        }
    }
    Ok(tables)
}

fn read(table: Table) -> Result<Preset, String> {
    let preset: Preset =
        serde_path_to_error::deserialize(table).map_err(|error| error.to_string())?;
    let problems = preset.problems();
    if problems.is_empty() {
        Ok(preset)
    } else {
        Err(problems.join("; "))
    }
}

/// Providers with the same connect timeout share their connection pools.
fn transport(known: &mut BTreeMap<u64, Transport>, timeout_ms: u64) -> Result<Transport, Error> {
    if let Some(transport) = known.get(&timeout_ms) {
        return Ok(transport.clone());
    }
    let made = Transport::new(Duration::from_millis(timeout_ms)).map_err(Error::Client)?;
    known.insert(timeout_ms, made.clone());
    Ok(made)
}

fn client(
    preset: &Preset,
    transport: Transport,
    secrets: &dyn Fn(&str) -> Option<SecretString>,
) -> Result<Client, String> {
    let hosts = hosts(preset)?;
    let key = preset
        .auth
        .key(secrets)
        .map_err(|error| error.to_string())?;
    Ok(Client {
        transport,
        hosts,
        key,
        headers: headers(preset)?,
        response_max_bytes: preset.response_max_bytes,
    })
}

/// What a client could not be built from.
pub(super) fn client_faults(preset: &Preset) -> Vec<String> {
    let faults = [
        hosts(preset).err(),
        headers(preset).err(),
        idempotency_header(preset).err(),
    ];
    faults.into_iter().flatten().collect()
}

fn hosts(preset: &Preset) -> Result<AllowedHosts, String> {
    AllowedHosts::new(&preset.base_url, &preset.allow_hosts).map_err(|error| error.to_string())
}

fn headers(preset: &Preset) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in &preset.headers {
        let value = HeaderValue::from_str(value)
            .map_err(|_| format!("headers.{name}: a header cannot carry this value"))?;
        headers.insert(header_name(name)?, value);
    }
    Ok(headers)
}

fn idempotency_header(preset: &Preset) -> Result<Option<HeaderName>, String> {
    match &preset.submit.idempotency {
        Idempotency::Header { name } => header_name(name).map(Some),
        Idempotency::None {} | Idempotency::Url {} | Idempotency::Body {} => Ok(None),
    }
}

fn header_name(name: &str) -> Result<HeaderName, String> {
    let parsed =
        HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is no header"))?;
    if RESERVED_HEADERS.contains(&parsed.as_str()) {
        return Err(format!("header `{name}` is set by the client"));
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: [(&str, &str); 5] = [
        ("cog", include_str!("../../config/providers/cog.toml")),
        ("sim", include_str!("../../config/providers/sim.toml")),
        (
            "sim-blind",
            include_str!("../../config/providers/sim-blind.toml"),
        ),
        (
            "sim-bytes",
            include_str!("../../config/providers/sim-bytes.toml"),
        ),
        (
            "sim-sync",
            include_str!("../../config/providers/sim-sync.toml"),
        ),
    ];

    fn load(more: &[(&str, &str)], urls: &[(&str, &str)]) -> Result<Providers, Error> {
        let own = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
        let files: Vec<_> = SHIPPED.iter().chain(more).map(own).collect();
        Providers::load(&files, &urls.iter().map(own).collect(), &|_| None)
    }

    fn problem(text: &str) -> String {
        load(&[("v", text)], &[]).unwrap_err().to_string()
    }

    #[test]
    fn the_shipped_files_load_and_differ_where_they_say() {
        use crate::provider::Attach;
        let providers = load(&[], &[]).unwrap();
        let table = [
            ("cog", Attach::ResubmitSameId, true, 0),
            ("sim", Attach::Poll, true, 2),
            ("sim-blind", Attach::Poll, false, 2),
            ("sim-bytes", Attach::None, false, 2),
            ("sim-sync", Attach::ResubmitSameId, true, 2),
        ];
        assert_eq!(
            providers.names().collect::<Vec<_>>(),
            table.map(|(name, ..)| name)
        );
        for (name, attach, takes_key, networks) in table {
            let engine = providers.get(name).unwrap();
            assert_eq!(
                (engine.attach(), engine.takes_idempotency_key()),
                (attach, takes_key)
            );
            assert_eq!(
                (engine.allow_cidr().len(), engine.missing_key()),
                (networks, None)
            );
        }
    }

    #[test]
    fn moving_the_simulated_provider_moves_all_its_variants_and_their_versions() {
        let here = load(&[], &[]).unwrap();
        let there = load(&[], &[("sim", "http://127.0.0.1:1")]).unwrap();
        for name in here.names().filter(|name| name.starts_with("sim")) {
            let version = |all: &Providers| all.get(name).unwrap().preset_version().to_owned();
            assert_ne!(version(&here), version(&there), "{name}");
        }
    }

    #[test]
    fn networks_of_the_settings_replace_those_of_the_file_and_of_its_variants() {
        let net = |text: &str| vec![text.parse::<IpNet>().unwrap()];
        let own = "extends = 'sim-sync'\nallow_cidr = ['10.1.0.0/16']";
        let networks = BTreeMap::from([
            ("sim".to_owned(), net("172.16.0.0/12")),
            ("sim-blind".to_owned(), Vec::new()),
        ]);
        let all = load(&[("own", own)], &[]).unwrap().allowing(&networks);
        let table = [
            ("cog", Vec::new()),
            ("own", net("172.16.0.0/12")),
            ("sim", net("172.16.0.0/12")),
            ("sim-blind", Vec::new()),
            ("sim-sync", net("172.16.0.0/12")),
        ];
        for (name, want) in table {
            assert_eq!(all.get(name).unwrap().allow_cidr(), want, "{name}");
        }
    }

    #[test]
    fn a_missing_key_leaves_a_provider_loaded_but_says_so() {
        let file = "extends = 'sim'\nauth = { kind = 'bearer', secret_env = 'K' }";
        let engine = load(&[("keyed", file)], &[]).unwrap().get("keyed").unwrap();
        assert_eq!((engine.missing_key(), engine.key_id()), (Some("K"), "K"));
    }

    #[test]
    fn polls_grow_apart_up_to_the_limit() {
        let file = "extends = 'sim'\n\
            poll.interval = { first_ms = 5000, min_ms = 100, max_ms = 450, factor = 2.0 }";
        let engine = load(&[("v", file)], &[]).unwrap().get("v").unwrap();
        let delays = [0, 1, 2, 3, 4, u32::MAX].map(|n| engine.poll_delay(n).as_millis());
        assert_eq!(delays, [5000, 100, 200, 400, 450, 450]);
    }

    #[test]
    fn files_that_contradict_themselves_are_refused_with_the_key() {
        let table = [
            ("extends = 'sim'\nbogus = 1", "unknown field `bogus`"),
            (
                "extends = 'sim'\nsubmit.methd = 'GET'",
                "submit.methd: unknown field",
            ),
            (
                "extends = 'sim'\nsubmit.method = 'get'",
                "submit.method: unknown variant",
            ),
            (
                "extends = 'sim'\nsubmit.id = 'id'",
                "submit.id: read pointer `id`",
            ),
            (
                "extends = 'sim'\nsubmit.url = '/{{secret}}'",
                "no such name",
            ),
            (
                "extends = 'sim'\nsubmit.url = '/{{id}}'",
                "cannot hold the id",
            ),
            (
                "extends = 'sim'\nsubmit.body.x = 'a {{key}}'",
                "stands alone",
            ),
            (
                "extends = 'sim'\ndrop = ['poll']",
                "attach = \"poll\" needs [poll]",
            ),
            (
                "extends = 'sim-blind'\nattach = 'resubmit_same_id'",
                "needs an idempotency key",
            ),
            (
                "extends = 'sim'\nsubmit.idempotency = { kind = 'url' }",
                "needs {{key}}",
            ),
            (
                "extends = 'sim'\nanswer.outputs = []",
                "answer.outputs is empty",
            ),
            (
                "extends = 'sim'\nanswer.outputs = [{ kind = 'url' }]",
                "needs `at`",
            ),
            (
                "extends = 'sim'\nanswer.outputs = [{ kind = 'bytes_body' }]",
                "stands alone",
            ),
            (
                "extends = 'sim'\nanswer.status_map.failed = ['queued']",
                "stands twice",
            ),
            (
                "extends = 'sim'\nanswer.status_map.succeeded = []",
                "succeeded is empty",
            ),
            (
                "extends = 'sim'\ndrop = ['answer.status']",
                "[poll] needs answer.status",
            ),
            (
                "extends = 'sim'\npoll.interval.factor = 0.5",
                "poll.interval needs",
            ),
            (
                "extends = 'sim'\ndrop = ['submit.poll_url']",
                "[poll] needs poll.url",
            ),
            (
                "extends = 'sim'\ndrop = ['submit.id']\npoll.url = '/{{id}}'",
                "submit.id must say",
            ),
            (
                "extends = 'sim'\nrequest_timeout_ms = 100",
                "must be above connect_timeout_ms",
            ),
            (
                "extends = 'sim'\nbase_url = 'ftp://x.test'",
                "base_url must be http or https",
            ),
            (
                "extends = 'sim'\nbase_url = 'http://u:p@x.test'",
                "base_url must be http or https",
            ),
            ("extends = 'sim'\nallow_hosts = ['*']", "read allowed host"),
            (
                "extends = 'sim'\nheaders.host = 'x'",
                "is set by the client",
            ),
            (
                "extends = 'sim'\nheaders.x = \"a\\nb\"",
                "cannot carry this value",
            ),
            (
                "extends = 'sim'\nresult.method = 'GET'",
                "[result] needs result.url",
            ),
            (
                "extends = 'sim'\nresult = { method = 'GET', id = '/f' }",
                "result.id needs result.url",
            ),
            (
                "extends = 'sim'\nresult = { method = 'GET', id = '/f', url = '/{{key}}' }",
                "no name but id",
            ),
            (
                "extends = 'sim-sync'\nresult = { method = 'GET', url = '/x' }",
                "[result] needs [poll]",
            ),
            ("extends = 'cog'\nhealth.url = 'up'", "health.url must be"),
            ("extends = 'nobody'", "find `nobody`"),
        ];
        for (text, want) in table {
            let got = problem(text);
            assert!(
                got.starts_with("read provider `v`: ") && got.contains(want),
                "{text}: {got}"
            );
        }
        assert!(matches!(load(&[("V", "")], &[]), Err(Error::Name(_))));
        assert!(matches!(load(&[("sim", "")], &[]), Err(Error::Twice(_))));
        assert!(matches!(load(&[("v", "=")], &[]), Err(Error::Toml { .. })));
        assert!(matches!(
            load(&[], &[("nobody", "x")]),
            Err(Error::UnknownOverride(_))
        ));
    }
}
