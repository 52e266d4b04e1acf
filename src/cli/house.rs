//! What commands work with: the settings with their flags on top, and the store they name.

use std::path::Path;

use secrecy::{ExposeSecret, SecretString};

use super::failure::{Failure, Kind};
use crate::config::{self, Flag, Loaded, Settings, Wish};
use crate::domain::credits::Ucr;
use crate::ledger::{History, postgres};
use crate::producer::Producer;
use crate::store::{ConnectionOptions, Durability, DurabilityOptions, Options, Store};

const DAY_MS: u64 = 86_400_000;

/// Settings as this process uses them.
pub(super) struct House {
    /// What was read.
    pub(super) loaded: Loaded,
}

impl House {
    /// Reads the settings with `flags` above them.
    pub(super) fn open(dir: Option<&Path>, flags: &[Flag]) -> Result<Self, Failure> {
        let loaded = Settings::load_with_flags(dir, config::environment(), flags)?;
        Ok(Self { loaded })
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.loaded.settings
    }

    /// Connects. Whatever goes wrong here, nothing has been asked of the store yet.
    pub(super) async fn store(&self) -> Result<Store, Failure> {
        let options = store_options(self.settings());
        let url = self.settings().redis.url.expose_secret();
        if let Some(history) = self.settings().postgres.address() {
            let there = Store::open_existing(url, options.clone()).await;
            if let Some(store) = there.map_err(|error| Failure::from(error).harmless())? {
                return Ok(store);
            }
            refuse_where_known(history).await?;
        }
        Store::open(url, options)
            .await
            .map_err(|error| Failure::from(error).harmless())
    }

    /// A reader of that store and of the history behind it.
    pub(super) fn history(&self, store: &Store) -> History {
        History::new(store.clone(), self.settings().postgres.address().cloned())
    }

    /// A producer on that store, at the prices of the catalogue.
    pub(super) fn producer(&self, store: Store) -> Producer {
        Producer::new(store, self.loaded.catalogue.clone(), self.settings().retry)
    }
}

/// An empty server must not become a new store where history knows one that had accounts.
async fn refuse_where_known(history: &SecretString) -> Result<(), Failure> {
    let Some(known) = postgres::known(history).await? else {
        return Ok(());
    };
    if known.entries == 0 {
        return Ok(());
    }
    let message = format!(
        "the store is empty, and history knows {} accounts and {} entries: bring it back with \
         `meterline rebuild` (--dry-run shows what it would do), or set postgres.url to an empty database",
        known.accounts, known.entries
    );
    Err(Failure::new(Kind::StoreLost, message))
}

/// What the store needs of the settings.
pub(super) fn store_options(settings: &Settings) -> Options {
    let (redis, store) = (&settings.redis, &settings.store);
    Options {
        partitions: store.partitions,
        connection: ConnectionOptions {
            pool_size: redis.pool_size,
            connect_timeout_ms: redis.connect_timeout_ms,
            response_timeout_ms: redis.response_timeout_ms,
        },
        queue_room: store.queue_room,
        lane_max: store.lane_max,
        max_active: store.max_active,
        low_balance: Ucr::from_credits(settings.accounts.low_balance_credits),
        payload_max_bytes: store.payload_max_bytes,
        grants_max: store.grants_max,
        schedule_ahead_ms: store.schedule_ahead_ms,
        queue_ttl_ms: store.queue_ttl_ms,
        quote_ttl_ms: store.quote_ttl_ms,
        takeovers_max: store.takeovers_max,
        cancel_grace_ms: store.cancel_grace_ms,
        retention_ms: store.retention_days.saturating_mul(DAY_MS),
        dead_letter_ms: store.dead_letter_days.saturating_mul(DAY_MS),
        opening_ms: settings.journal.opening_days.saturating_mul(DAY_MS),
        journal_retention_ms: settings.journal.retention_days.saturating_mul(DAY_MS),
        acts_ms: settings.journal.acts_days.saturating_mul(DAY_MS),
        memory_refuse_percent: store.memory_refuse_percent,
        durability: durability(&settings.durability),
    }
}

fn durability(settings: &config::Durability) -> DurabilityOptions {
    let of = |wish| match wish {
        Wish::None => Durability::None,
        Wish::Replica => Durability::Replica,
        Wish::Fsync => Durability::Fsync,
        Wish::Strongest => Durability::Strongest,
    };
    DurabilityOptions {
        grants: of(settings.grants),
        refunds: of(settings.refunds),
        submits: of(settings.submits),
        settlements: of(settings.settlements),
        timeout_ms: settings.timeout_ms,
    }
}
