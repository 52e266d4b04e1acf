//! What settings must be, alone and in relation to each other.
//!
//! A wrong pair shows as lost leases or jobs that never end, long after the start; here it shows
//! at the start, with both keys and what to do.

use secrecy::ExposeSecret;

use super::settings::{Queue, Settings};
use crate::domain::catalogue::{Clocks, is_name};
use crate::domain::problem::Problem;
use crate::store::is_store_url;

/// A year: a longer time in any setting is a slip of the keyboard.
const TIME_MAX_MS: u64 = 365 * DAY_MS;

const DAY_MS: u64 = 24 * 3_600_000;

/// Ten years: who wants a longer life of a reward means one that never expires.
const REWARD_DAYS_MAX: u64 = 3_650;

/// Clocks that every tool's own fit into.
pub(super) const WIDEST: Clocks = Clocks {
    submission_timeout_ms: 1,
    deadline_ms: TIME_MAX_MS,
    deadline_max_ms: TIME_MAX_MS,
};

/// The key that the value of another one is checked against.
pub(super) fn other_key(key: &str) -> Option<&'static str> {
    match key {
        "worker.heartbeat_ms" | "worker.sweep_ms" => Some("worker.lease_ms"),
        "retry.base_ms" => Some("retry.cap_ms"),
        "api.request_timeout_ms" => Some("redis.response_timeout_ms"),
        "api.body_max_bytes" => Some("store.payload_max_bytes"),
        _ => None,
    }
}

/// Everything that is wrong with settings whose types are right.
pub(super) fn problems(settings: &Settings) -> Vec<Problem> {
    let mut found = alone(settings);
    found.extend(lease(settings));
    found.extend(journal(settings));
    found.extend(retry(settings));
    found.extend(api(settings));
    for (name, queue) in &settings.queues {
        found.extend(queue_clocks(name, queue));
    }
    found.extend(slots(settings));
    found.extend(plans(settings));
    found.extend(rewards(settings));
    found.extend(webhook_schedule(settings));
    found
}

/// What is wrong with single values, whatever the others are.
pub(super) fn alone(settings: &Settings) -> Vec<Problem> {
    let mut found = Vec::new();
    found.extend(redis_url(settings));
    found.extend(postgres_url(settings));
    found.extend(bounds(settings).into_iter().filter_map(Bound::problem));
    found.extend(names(settings));
    found
}

/// A number and what it may be.
pub(super) struct Bound {
    /// Dotted key of the setting.
    pub(super) key: &'static str,
    value: u64,
    /// The least it may be.
    pub(super) min: u64,
    /// The most it may be.
    pub(super) max: u64,
}

impl Bound {
    fn new(key: &'static str, value: u64, min: u64, max: u64) -> Self {
        Self {
            key,
            value,
            min,
            max,
        }
    }

    fn time(key: &'static str, value: u64) -> Self {
        Self::new(key, value, 1, TIME_MAX_MS)
    }

    fn problem(self) -> Option<Problem> {
        let Self {
            key,
            value,
            min,
            max,
        } = self;
        let message = format!("is {value}, must be from {min} to {max}");
        (!(min..=max).contains(&value)).then(|| Problem::new(key, message))
    }
}

/// Every number that has limits of its own.
pub(super) fn bounds(settings: &Settings) -> Vec<Bound> {
    let Settings {
        redis,
        postgres,
        store,
        durability,
        accounts: _,
        rewards,
        plans: _,
        journal,
        audit,
        costs,
        worker,
        retry,
        api,
        media,
        webhooks,
        queues: _,
        dev: _,
        providers: _,
    } = settings;
    vec![
        Bound::time("redis.connect_timeout_ms", redis.connect_timeout_ms),
        Bound::time("redis.response_timeout_ms", redis.response_timeout_ms),
        Bound::new("redis.pool_size", redis.pool_size as u64, 1, 10_000),
        Bound::time("postgres.poll_ms", postgres.poll_ms),
        Bound::new(
            "postgres.batch_entries",
            postgres.batch_entries as u64,
            1,
            10_000,
        ),
        Bound::new("store.partitions", store.partitions.into(), 1, 256),
        Bound::new("store.queue_room", store.queue_room, 1, 1_000_000_000),
        Bound::new("store.lane_max", store.lane_max, 1, 1_000_000),
        Bound::new("store.max_active", store.max_active.into(), 1, 100_000),
        Bound::new("store.retention_days", store.retention_days, 1, 365),
        Bound::new("store.dead_letter_days", store.dead_letter_days, 1, 365),
        Bound::time("durability.timeout_ms", durability.timeout_ms),
        Bound::time("store.quote_ttl_ms", store.quote_ttl_ms),
        Bound::new(
            "store.payload_max_bytes",
            store.payload_max_bytes as u64,
            1024,
            1 << 20,
        ),
        Bound::new("store.grants_max", store.grants_max.into(), 1, 256),
        Bound::time("store.schedule_ahead_ms", store.schedule_ahead_ms),
        Bound::new("store.takeovers_max", store.takeovers_max.into(), 1, 100),
        Bound::time("store.cancel_grace_ms", store.cancel_grace_ms),
        Bound::time("store.queue_ttl_ms", store.queue_ttl_ms),
        Bound::time("store.obligation_watch_ms", store.obligation_watch_ms),
        Bound::new(
            "store.memory_refuse_percent",
            store.memory_refuse_percent.into(),
            1,
            99,
        ),
        Bound::new(
            "rewards.signup_expires_days",
            rewards.signup_expires_days.into(),
            0,
            REWARD_DAYS_MAX,
        ),
        Bound::new(
            "rewards.daily_expires_days",
            rewards.daily_expires_days.into(),
            0,
            REWARD_DAYS_MAX,
        ),
        Bound::new("journal.opening_days", journal.opening_days, 1, 365),
        Bound::new("journal.retention_days", journal.retention_days, 1, 3_650),
        Bound::new("journal.acts_days", journal.acts_days, 1, 36_500),
        Bound::new("audit.every_ms", audit.every_ms, 0, TIME_MAX_MS),
        Bound::new(
            "costs.credit_usd_micros",
            costs.credit_usd_micros,
            0,
            1_000_000_000,
        ),
        Bound::new("costs.retention_days", costs.retention_days, 1, 3_650),
        Bound::time("costs.poll_ms", costs.poll_ms),
        Bound::new("costs.looks", costs.looks.into(), 1, 1_000),
        Bound::time("worker.lease_ms", worker.lease_ms),
        Bound::time("worker.heartbeat_ms", worker.heartbeat_ms),
        Bound::time("worker.sweep_ms", worker.sweep_ms),
        Bound::time("worker.drain_max_ms", worker.drain_max_ms),
        Bound::new("retry.tries", retry.tries.into(), 1, 100),
        Bound::time("retry.base_ms", retry.base_ms),
        Bound::new("retry.factor", retry.factor.into(), 1, 10),
        Bound::time("retry.cap_ms", retry.cap_ms),
        Bound::new(
            "api.connections_max",
            api.connections_max.into(),
            1,
            1_000_000,
        ),
        Bound::new("api.requests_max", api.requests_max.into(), 1, 100_000),
        Bound::new("api.streams_max", api.streams_max.into(), 1, 1_000_000),
        Bound::new("api.downloads_max", api.downloads_max.into(), 1, 100_000),
        Bound::new(
            "api.key_requests_per_minute",
            api.key_requests_per_minute.into(),
            0,
            10_000_000,
        ),
        Bound::new(
            "api.body_max_bytes",
            api.body_max_bytes as u64,
            1024,
            1 << 30,
        ),
        Bound::time("api.header_timeout_ms", api.header_timeout_ms),
        Bound::time("api.request_timeout_ms", api.request_timeout_ms),
        Bound::time("api.idle_timeout_ms", api.idle_timeout_ms),
        Bound::time("api.wait_max_ms", api.wait_max_ms),
        Bound::time("api.keep_alive_ms", api.keep_alive_ms),
        Bound::time("api.drain_max_ms", api.drain_max_ms),
        Bound::time("api.token_max_ms", api.token_max_ms),
        Bound::new("media.max_bytes", media.max_bytes, 1, 1 << 40),
        Bound::time("media.connect_timeout_ms", media.connect_timeout_ms),
        Bound::time("media.idle_timeout_ms", media.idle_timeout_ms),
        Bound::time("media.fetch_timeout_ms", media.fetch_timeout_ms),
        Bound::time("media.probe_timeout_ms", media.probe_timeout_ms),
        Bound::new("webhooks.senders", webhooks.senders.into(), 0, 1_000),
        Bound::new("webhooks.at_a_time", webhooks.at_a_time.into(), 1, 100),
        Bound::new(
            "webhooks.endpoints_max",
            webhooks.endpoints_max.into(),
            1,
            50,
        ),
        Bound::new(
            "webhooks.outbox_max",
            webhooks.outbox_max.into(),
            1,
            100_000,
        ),
        Bound::new(
            "webhooks.dead_letters_max",
            webhooks.dead_letters_max.into(),
            1,
            100_000,
        ),
        Bound::time("webhooks.connect_timeout_ms", webhooks.connect_timeout_ms),
        Bound::new("webhooks.timeout_ms", webhooks.timeout_ms, 1, 300_000),
        Bound::time("webhooks.poll_ms", webhooks.poll_ms),
        Bound::time("webhooks.disable_after_ms", webhooks.disable_after_ms),
        Bound::new("webhooks.overlap_ms", webhooks.overlap_ms, 0, TIME_MAX_MS),
    ]
}

fn redis_url(settings: &Settings) -> Option<Problem> {
    let fits = is_store_url(settings.redis.url.expose_secret());
    let message = "must be redis://host:port, rediss://host:port, redis+unix:///path, or for a cluster \
                   redis+cluster://host:port,host:port (rediss+cluster:// with TLS)";
    (!fits).then(|| Problem::new("redis.url", message))
}

fn postgres_url(settings: &Settings) -> Option<Problem> {
    let url = settings.postgres.address()?.expose_secret();
    let fits = ["postgresql://", "postgres://"].map(|scheme| url.starts_with(scheme));
    let message = "must be empty or postgresql://user@host/database";
    (fits == [false, false]).then(|| Problem::new("postgres.url", message))
}

/// A worker must be able to miss one renewal, and a lost worker must be seen within its lease.
fn lease(settings: &Settings) -> Vec<Problem> {
    let worker = &settings.worker;
    [
        ("worker.heartbeat_ms", worker.heartbeat_ms, 2),
        ("worker.sweep_ms", worker.sweep_ms, 4),
    ]
    .into_iter()
    .filter(|&(_, value, times)| value.saturating_mul(times) > worker.lease_ms)
    .map(|(key, value, times)| {
        let lease_ms = worker.lease_ms;
        let message = format!(
            "is {value}, and {times} x {value} is above worker.lease_ms ({lease_ms}): lower it to \
             {} or raise worker.lease_ms to {}",
            lease_ms / times,
            value.saturating_mul(times)
        );
        Problem::new(key, message)
    })
    .collect()
}

/// What is trimmed away must be older than any hold that can still be open.
fn journal(settings: &Settings) -> Option<Problem> {
    let store = &settings.store;
    let deadlines = settings.queues.values().map(|queue| queue.deadline_max_ms);
    let longest_ms = store
        .schedule_ahead_ms
        .saturating_add(store.queue_ttl_ms)
        .saturating_add(deadlines.max().unwrap_or(0));
    let (days, needed) = (settings.journal.retention_days, longest_ms / DAY_MS + 1);
    let message = format!(
        "is {days}, and a job can be open for {needed} days (store.schedule_ahead_ms, \
         store.queue_ttl_ms and the longest deadline_max_ms): raise it to {needed}"
    );
    (days < needed).then(|| Problem::new("journal.retention_days", message))
}

fn retry(settings: &Settings) -> Option<Problem> {
    let (base_ms, cap_ms) = (settings.retry.base_ms, settings.retry.cap_ms);
    let message = format!(
        "is {base_ms}, above retry.cap_ms ({cap_ms}): lower it or raise retry.cap_ms to {base_ms}"
    );
    (base_ms > cap_ms).then(|| Problem::new("retry.base_ms", message))
}

/// A store that is away must be told as such, and a job that the store would take must fit into a request.
fn api(settings: &Settings) -> Vec<Problem> {
    let (api, redis) = (&settings.api, &settings.redis);
    let store_ms = redis
        .connect_timeout_ms
        .saturating_add(redis.response_timeout_ms);
    let slow = (api.request_timeout_ms <= store_ms).then(|| {
        let message = format!(
            "is {}, not above redis.connect_timeout_ms and redis.response_timeout_ms together \
             ({store_ms}): raise it to {}",
            api.request_timeout_ms,
            store_ms.saturating_add(1)
        );
        Problem::new("api.request_timeout_ms", message)
    });
    // Parameters written with escapes take up to six times their size.
    let needed = settings.store.payload_max_bytes.saturating_mul(6);
    let small = (api.body_max_bytes < needed).then(|| {
        let message = format!(
            "is {}, and a job's parameters (store.payload_max_bytes is {}) can take {needed}: raise \
             it to {needed}",
            api.body_max_bytes, settings.store.payload_max_bytes
        );
        Problem::new("api.body_max_bytes", message)
    });
    slow.into_iter().chain(small).collect()
}

fn queue_clocks(name: &str, queue: &Queue) -> Vec<Problem> {
    let path = format!("queues.{name}");
    let too_long = Bound::time("deadline_max_ms", queue.deadline_max_ms).problem();
    let too_long = too_long.map(|problem| (problem.key, problem.message));
    let faults = queue
        .clocks()
        .faults()
        .into_iter()
        .map(|(key, message)| (key.to_owned(), message));
    faults
        .chain(too_long)
        .map(|(key, message)| Problem::new(format!("{path}.{key}"), message))
        .collect()
}

fn slots(settings: &Settings) -> Vec<Problem> {
    let unknown = settings
        .worker
        .slots
        .keys()
        .filter(|name| !settings.queues.contains_key(*name));
    let known = || settings.queues.keys().map(String::as_str);
    unknown
        .map(|name| {
            let mend = crate::domain::nearest::did_you_mean(name, known());
            let message = format!("there is no [queues.{name}]{mend}");
            Problem::new(format!("worker.slots.{name}"), message)
        })
        .collect()
}

/// A plan gives something, and `none` is the word for having no plan.
fn plans(settings: &Settings) -> Vec<Problem> {
    let of_one = |(name, plan): (&String, &crate::config::Plan)| {
        let path = format!("plans.{name}");
        let bound = (!(1..=100_000).contains(&plan.max_active)).then(|| {
            let message = format!("is {}, must be from 1 to 100000", plan.max_active);
            Problem::new(format!("{path}.max_active"), message)
        });
        let taken = (name == "none")
            .then(|| Problem::new(path.clone(), "the word none stands for having no plan"));
        let long = (plan.price.len() > 64)
            .then(|| Problem::new(format!("{path}.price"), "is longer than 64 bytes"));
        bound.into_iter().chain(taken).chain(long)
    };
    settings.plans.iter().flat_map(of_one).collect()
}

/// A reward of every day that lives for months would leave no room for other grants.
fn rewards(settings: &Settings) -> Option<Problem> {
    let (days, grants_max) = (
        settings.rewards.daily_expires_days,
        settings.store.grants_max,
    );
    let message = format!(
        "is {days}, not below store.grants_max ({grants_max}): each day of it is a live grant of its own"
    );
    (days > 0 && days >= grants_max).then(|| Problem::new("rewards.daily_expires_days", message))
}

/// A schedule of nothing gives a message up at its first failure, by mistake rather than by will.
fn webhook_schedule(settings: &Settings) -> Option<Problem> {
    let waits = &settings.webhooks.schedule_ms;
    let fits = (1..=50).contains(&waits.len())
        && waits.iter().all(|wait| (1..=TIME_MAX_MS).contains(wait));
    let message = format!("must be 1 to 50 waits, each from 1 to {TIME_MAX_MS}");
    (!fits).then(|| Problem::new("webhooks.schedule_ms", message))
}

fn names(settings: &Settings) -> Vec<Problem> {
    let queues = settings.queues.keys().map(|name| ("queues", name));
    let providers = settings.providers.keys().map(|name| ("providers", name));
    let plans = settings.plans.keys().map(|name| ("plans", name));
    queues
        .chain(providers)
        .chain(plans)
        .filter(|(_, name)| !is_name(name))
        .map(|(section, name)| {
            let message = "a name must be of small letters, digits and inner dashes, at most 40";
            Problem::new(format!("{section}.{name}"), message)
        })
        .collect()
}
