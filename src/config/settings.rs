//! The settings as types: one struct for each section of `meterline.toml`.
//!
//! What each key means, its unit and its default stand in that file, which is built in; a test
//! keeps the two equal. A key that stands in a dotted name here is a table there.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ipnet::IpNet;
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};
use url::Url;

use crate::domain::catalogue::{Clocks, Defaults};
use crate::domain::retry::Policy;
use crate::store::url_without_password;

/// Everything that can be set.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How the store is reached.
    pub redis: Redis,
    /// Where history is written.
    pub postgres: Postgres,
    /// Limits of the store.
    pub store: Store,
    /// What operations wait for.
    pub durability: Durability,
    /// What new accounts begin with.
    pub accounts: Accounts,
    /// Credits that accounts get by themselves.
    pub rewards: Rewards,
    /// Plans by name.
    pub plans: BTreeMap<String, Plan>,
    /// How long the books are kept.
    pub journal: Journal,
    /// How often the books are checked.
    pub audit: Audit,
    /// What providers' work costs us.
    pub costs: Costs,
    /// How a worker works.
    pub worker: Worker,
    /// When a job is tried again.
    pub retry: Policy,
    /// The queues by name.
    pub queues: BTreeMap<String, Queue>,
    /// The HTTP API.
    pub api: Api,
    /// Fetching, storing and measuring outputs.
    pub media: Media,
    /// Telling accounts of their jobs.
    pub webhooks: Webhooks,
    /// What only a development set-up may do.
    pub dev: Dev,
    /// What stands above the providers' own files, by provider.
    pub providers: BTreeMap<String, Provider>,
}

/// `[redis]`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    /// Address, which may hold a password: shown without it.
    #[serde(serialize_with = "without_password")]
    #[schemars(with = "String")]
    pub url: SecretString,
    /// Longest time to connect, ms.
    pub connect_timeout_ms: u64,
    /// Longest wait for one answer, ms.
    pub response_timeout_ms: u64,
    /// Connections of one process to each server.
    pub pool_size: usize,
}

/// `[postgres]`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Postgres {
    /// Address, which may hold a password: shown without it. Empty = no history.
    #[serde(serialize_with = "without_password")]
    #[schemars(with = "String")]
    pub url: SecretString,
    /// Between two looks at journals without news, ms.
    pub poll_ms: u64,
    /// Entries committed together at most.
    pub batch_entries: usize,
}

impl Postgres {
    /// The address, where there is one.
    pub fn address(&self) -> Option<&SecretString> {
        let url = &self.url;
        (!url.expose_secret().is_empty()).then_some(url)
    }
}

/// `[store]`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// Partitions of a store that is still empty.
    pub partitions: u16,
    /// Open jobs that all partitions together take.
    pub queue_room: u64,
    /// Waiting jobs of one account's lane.
    pub lane_max: u64,
    /// Active jobs of one account in one queue.
    pub max_active: u32,
    /// Days that finished jobs are kept.
    pub retention_days: u64,
    /// Days that dead letters are kept.
    pub dead_letter_days: u64,
    /// How long a quote stands, ms.
    pub quote_ttl_ms: u64,
    /// Longest parameters and longest stored result, bytes.
    pub payload_max_bytes: usize,
    /// Live grants of one account.
    pub grants_max: u32,
    /// How far ahead a job may be scheduled, ms.
    pub schedule_ahead_ms: u64,
    /// How often another worker may pick a job up.
    pub takeovers_max: u32,
    /// How long a cancelled job may take to stop, ms.
    pub cancel_grace_ms: u64,
    /// How long a job may wait for its first claim, ms.
    pub queue_ttl_ms: u64,
    /// How long an obligation is watched, ms.
    pub obligation_watch_ms: u64,
    /// Share of the store's memory from which on submits are refused, percent.
    pub memory_refuse_percent: u8,
}

/// `[durability]`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Durability {
    /// For credit that was paid for.
    pub grants: Wish,
    /// For refunds, adjustments and clawbacks.
    pub refunds: Wish,
    /// For submissions.
    pub submits: Wish,
    /// For settlements.
    pub settlements: Wish,
    /// Longest wait, ms.
    pub timeout_ms: u64,
}

/// What an operation waits for before it is called accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Wish {
    /// Nothing more than the server's answer.
    None,
    /// A replica.
    Replica,
    /// The server's disk.
    Fsync,
    /// What the server has to offer.
    Strongest,
}

/// `[accounts]`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Accounts {
    /// Balance below which an event is written; 0 = never.
    pub low_balance_credits: u32,
}

/// `[rewards]`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rewards {
    /// Credits of a welcome; 0 = none.
    pub signup_credits: u32,
    /// Days of UTC until they expire, the first being today; 0 = never.
    pub signup_expires_days: u32,
    /// Credits of a day; 0 = none.
    pub daily_credits: u32,
    /// Days of UTC until they expire, the first being today; 0 = never.
    pub daily_expires_days: u32,
}

/// `[plans.NAME]`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Credits of one period; they expire with it.
    pub credits: u32,
    /// Active jobs of the account in one queue.
    pub max_active: u32,
    /// What it costs, for people to read.
    pub price: String,
    /// How long one payment lasts.
    pub period: Period,
}

/// How long one payment for a plan lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Period {
    /// Until the same day of the next month, or its last one.
    Month,
    /// Twelve of them.
    Year,
}

impl Period {
    /// Months of one period.
    pub fn months(self) -> u32 {
        match self {
            Self::Month => 1,
            Self::Year => 12,
        }
    }
}

/// `[journal]`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Journal {
    /// Days from one round of openings to the next.
    pub opening_days: u64,
    /// Days that the journal is kept before a round.
    pub retention_days: u64,
    /// Days that operators' acts are kept.
    pub acts_days: u64,
}

/// `[audit]`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    /// Between two looks at the books, ms; 0 = never.
    pub every_ms: u64,
}

/// `[costs]`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Costs {
    /// What a credit is worth, USD micros; 0 = not said.
    pub credit_usd_micros: u64,
    /// Days that booked costs are kept in the store.
    pub retention_days: u64,
    /// Between two looks for obligations that are due, ms.
    pub poll_ms: u64,
    /// Looks at obligations under way in one process.
    pub looks: u32,
}

/// `[worker]`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Worker {
    /// How long a worker owns its jobs without renewing, ms.
    pub lease_ms: u64,
    /// Between two renewals, ms.
    pub heartbeat_ms: u64,
    /// Between two sweeps, ms.
    pub sweep_ms: u64,
    /// Longest wait of a worker that was told to stop, ms.
    pub drain_max_ms: u64,
    /// Jobs run at a time, by queue.
    pub slots: BTreeMap<String, u32>,
}

/// `[queues.NAME]`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// One submission, ms.
    pub submission_timeout_ms: u64,
    /// The whole job from its first claim, ms.
    pub deadline_ms: u64,
    /// The longest deadline a producer may ask for, ms.
    pub deadline_max_ms: u64,
}

/// `[api]`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Api {
    /// Address and port.
    pub listen: std::net::SocketAddr,
    /// Open connections.
    pub connections_max: u32,
    /// Requests that are worked on.
    pub requests_max: u32,
    /// Open event streams and long polls.
    pub streams_max: u32,
    /// Outputs that are downloaded at a time.
    pub downloads_max: u32,
    /// Requests of one key in a minute; 0 = no limit.
    pub key_requests_per_minute: u32,
    /// Longest body, bytes.
    pub body_max_bytes: usize,
    /// Longest time for a request's head, ms.
    pub header_timeout_ms: u64,
    /// Longest time for a request's body and its answer, ms.
    pub request_timeout_ms: u64,
    /// Longest time without a request on a connection, ms.
    pub idle_timeout_ms: u64,
    /// Longest wait for a job's end, ms.
    pub wait_max_ms: u64,
    /// Between two signs of life on a stream, ms.
    pub keep_alive_ms: u64,
    /// Longest wait for requests under way when stopping, ms.
    pub drain_max_ms: u64,
    /// Longest life of a token, ms.
    pub token_max_ms: u64,
}

/// `[media]`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Media {
    /// Folder of the outputs.
    pub artifacts_dir: PathBuf,
    /// Largest output, bytes.
    pub max_bytes: u64,
    /// Longest time to connect, ms.
    pub connect_timeout_ms: u64,
    /// Longest silence in a fetch, ms.
    pub idle_timeout_ms: u64,
    /// Longest fetch, ms.
    pub fetch_timeout_ms: u64,
    /// Longest measuring of one output, ms.
    pub probe_timeout_ms: u64,
}

/// `[webhooks]`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhooks {
    /// Posts under way in one process; 0 = none from here.
    pub senders: u32,
    /// Posts under way at one endpoint.
    pub at_a_time: u32,
    /// Endpoints of one account.
    pub endpoints_max: u32,
    /// Messages that wait for one endpoint.
    pub outbox_max: u32,
    /// Messages of one endpoint that were given up and are kept.
    pub dead_letters_max: u32,
    /// Longest time to connect, ms.
    pub connect_timeout_ms: u64,
    /// Longest time until an answer, ms.
    pub timeout_ms: u64,
    /// Between two looks at the outboxes, ms.
    pub poll_ms: u64,
    /// Waits before the second try and each further one, ms.
    pub schedule_ms: Vec<u64>,
    /// How long every try may fail before an endpoint is disabled, ms.
    pub disable_after_ms: u64,
    /// How long a replaced secret goes on signing, ms.
    pub overlap_ms: u64,
    /// Private networks that may be posted to.
    #[schemars(with = "Vec<String>")]
    pub allow_cidr: Vec<IpNet>,
}

/// `[dev]`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dev {
    /// Whether requests may steer the simulated provider.
    pub allow_sim: bool,
}

/// `[providers.NAME]`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// In place of the address in the provider's file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<Url>,
    /// In place of the private networks that the provider's file allows outputs to be fetched from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<String>>")]
    pub allow_cidr: Option<Vec<IpNet>>,
}

impl Settings {
    /// What the catalogue is checked against.
    pub fn catalogue_defaults(&self) -> Defaults {
        let queues = self
            .queues
            .iter()
            .map(|(name, queue)| (name.clone(), queue.clocks()));
        Defaults {
            queues: queues.collect(),
            tries_max: self.retry.tries,
            allow_sim: self.dev.allow_sim,
        }
    }

    /// The addresses that stand above those in the providers' files, without a closing slash.
    pub fn base_urls(&self) -> BTreeMap<String, String> {
        let url_of = |provider: &Provider| {
            let url = provider.base_url.as_ref()?.as_str();
            Some(url.trim_end_matches('/').to_owned())
        };
        self.providers
            .iter()
            .filter_map(|(name, provider)| Some((name.clone(), url_of(provider)?)))
            .collect()
    }

    /// The private networks that stand above those in the providers' files.
    pub fn networks(&self) -> BTreeMap<String, Vec<IpNet>> {
        self.providers
            .iter()
            .filter_map(|(name, provider)| Some((name.clone(), provider.allow_cidr.clone()?)))
            .collect()
    }
}

impl Queue {
    /// The clocks of its jobs.
    pub fn clocks(&self) -> Clocks {
        Clocks {
            submission_timeout_ms: self.submission_timeout_ms,
            deadline_ms: self.deadline_ms,
            deadline_max_ms: self.deadline_max_ms,
        }
    }
}

fn without_password<S: Serializer>(url: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    if url.expose_secret().is_empty() {
        return serializer.serialize_str("");
    }
    let shown = url_without_password(url.expose_secret());
    serializer.serialize_str(shown.as_deref().unwrap_or("(not a URL)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_shown_nowhere() {
        let shown = |url: &str| {
            let redis = Redis {
                url: url.into(),
                connect_timeout_ms: 1,
                response_timeout_ms: 1,
                pool_size: 1,
            };
            format!("{redis:?} {}", toml::to_string(&redis).unwrap())
        };
        for url in [
            "redis://user:geheim@host:1/2",
            "rediss://:geheim@host",
            "redis+cluster://user:geheim@host:1,other:2",
            "geheim",
        ] {
            assert!(!shown(url).contains("geheim"), "{}", shown(url));
        }
        assert!(shown("redis://user:geheim@host:1/2").contains("redis://user:***@host:1/2"));
        assert!(shown("redis+unix:///run/redis.sock").contains("redis+unix:///run/redis.sock"));
    }
}
