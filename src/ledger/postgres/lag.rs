//! How far history is behind, and whether store and history still tell one story.

use secrecy::SecretString;
use serde::Serialize;

use super::chain::{self, Head};
use super::projector::{LOCK_CLASS, head_of};
use super::{Error, connect, known_to};
use crate::store::Store;

/// One partition, in store and history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lag {
    /// The partition.
    pub partition: u16,
    /// The newest entry of the store's journal.
    pub store_seq: u64,
    /// The newest entry that is committed; `None` = none ever was.
    pub history_seq: Option<u64>,
    /// Entries that are still to be committed.
    pub behind: u64,
    /// How long the oldest of them has waited, ms.
    pub behind_ms: u64,
    /// Some projector has the partition's lock.
    pub has_writer: bool,
    /// What does not fit, in words.
    pub wrong: Option<String>,
}

/// Looks at every partition, at both ends only.
pub async fn lags(store: &Store, url: &SecretString) -> Result<Vec<Lag>, Error> {
    let client = connect::connect(url).await?;
    if known_to(&client).await?.is_none() {
        return Err(Error::Unfit(
            "it holds no history yet; start a projector".to_owned(),
        ));
    }
    let now_ms = store.server_ms().await?;
    let mut lags = Vec::new();
    for partition in 0..store.partitions() {
        let head = head_of(&client, partition).await?;
        let end = store.journal_end(partition).await?;
        let sql = "select exists (select from pg_locks where locktype = 'advisory' and granted
            and classid = $1::int::oid and objid = $2::int::oid
            and database = (select oid from pg_database where datname = current_database()))";
        let number = i32::from(partition);
        let row = client.query_one(sql, &[&LOCK_CLASS, &number]).await?;
        let from = head.clone().unwrap_or_else(Head::default);
        let behind = end.seq.saturating_sub(from.seq);
        let behind_ms = match behind {
            0 => 0,
            _ => waited_ms(store, partition, &from, now_ms).await?,
        };
        lags.push(Lag {
            partition,
            store_seq: end.seq,
            history_seq: head.map(|head| head.seq),
            behind,
            behind_ms,
            has_writer: row.get(0),
            wrong: chain::judge(&from, &end)
                .err()
                .map(|broken| broken.to_string()),
        });
    }
    Ok(lags)
}

/// How long the first entry behind this one has stood in the store, ms.
async fn waited_ms(store: &Store, partition: u16, from: &Head, now_ms: u64) -> Result<u64, Error> {
    let behind = match from.seq {
        0 => "-".to_owned(),
        seq => format!("({}-{seq}", from.epoch),
    };
    let page = store.journal(partition, &behind, 1).await?;
    let first = page.entries.first().and_then(|entry| entry.body());
    Ok(first.map_or(0, |body| now_ms.saturating_sub(body.at_ms)))
}
