//! History in Postgres: the journal of the store and what follows from it, for reports and for the day on
//! which Redis is gone.
//!
//! - `projector`: reads every partition's journal and commits it, exactly once;
//! - `batch`, `rows`: one batch of entries as one transaction;
//! - `chain`: whether entries stand on what is committed, and what it means where they do not;
//! - `fence`: freezes a partition whose store and history tell different stories;
//! - `read`, `plan`, `rebuild`: brings the store back from here;
//! - `costs`: what providers' work cost, read and committed beside the journal;
//! - `migrations`: the tables.
//!
//! Postgres is never asked before a job runs or a credit moves: where it is away, history lags.

mod archive;
mod batch;
mod chain;
mod connect;
mod costs;
mod fence;
mod lag;
mod migrations;
mod plan;
mod projector;
mod read;
mod rebuild;
mod records;
mod rows;

use secrecy::SecretString;

pub use archive::{Archive, Entry, Kept, Listed};
pub use costs::costs_in_history;
pub use lag::{Lag, lags};
pub use migrations::{Migration, migrate, pending};
pub use plan::{AccountChange, Dropped, Figures, Plan};
pub use projector::{Projector, ProjectorOptions};
pub use rebuild::Rebuild;

use crate::store;

/// What can go wrong with history.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection, or it was lost: whatever was under way was committed whole or not at all.
    #[error("reach Postgres: {0}")]
    Unreachable(String),
    /// Postgres refused a statement.
    #[error("write history: {0}")]
    Refused(String),
    /// The database cannot be this store's history as it is.
    #[error("use this database: {0}")]
    Unfit(String),
    /// Somebody else writes this partition's history, or has written it meanwhile.
    #[error("write the history of partition {0}: another process does")]
    Taken(u16),
    /// A rule against it: nothing was changed.
    #[error("rebuild: {0}")]
    Rule(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        let text = connect::words(&error);
        if error.as_db_error().is_some() && !is_shutdown(&error) {
            Self::Refused(text)
        } else {
            Self::Unreachable(text)
        }
    }
}

/// The server ends, or ends this session: the class of "operator intervention".
fn is_shutdown(error: &tokio_postgres::Error) -> bool {
    error
        .code()
        .is_some_and(|code| code.code().starts_with("57P"))
}

/// Which store a database is the history of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The layout of its keys.
    pub schema: u32,
    /// Its number of partitions.
    pub partitions: u16,
    /// The hash tags of its partitions, separated by spaces.
    pub tags: String,
    /// Entries that are committed.
    pub entries: i64,
    /// Accounts that are known.
    pub accounts: i64,
}

/// What a database is the history of; `None` where nothing has been written yet.
pub async fn known(url: &SecretString) -> Result<Option<Known>, Error> {
    let client = connect::connect(url).await?;
    known_to(&client).await
}

async fn known_to(client: &tokio_postgres::Client) -> Result<Option<Known>, Error> {
    let there = client
        .query_one("select to_regclass('meterline.store') is not null", &[])
        .await?;
    if !there.get::<_, bool>(0) {
        return Ok(None);
    }
    let sql = "select schema, partitions, tags, (select coalesce(sum(seq), 0)::bigint from heads),
        (select count(*) from accounts) from store";
    let row = client.query_opt(sql, &[]).await?;
    Ok(row.map(|row| Known {
        schema: u32::try_from(row.get::<_, i32>(0)).unwrap_or(0),
        partitions: u16::try_from(row.get::<_, i32>(1)).unwrap_or(0),
        tags: row.get(2),
        entries: row.get(3),
        accounts: row.get(4),
    }))
}
