//! Stop rather than continue wrong: a partition whose store and history tell different stories is frozen, and
//! only an operator lets it go on.

use tokio_postgres::Client;

use super::Error;
use super::chain::Broken;
use super::rows::signed;
use crate::store::{FreezeAct, FreezeOutcome, Scope, Store};

/// Who signs.
const ACTOR: &str = "history";
/// Entries that the report names.
const NAMED_MAX: i64 = 10;

/// Freezes a partition, with what history knows of the entries in question. Returns whether it was not
/// frozen before.
pub(super) async fn freeze(
    store: &Store,
    client: &Client,
    partition: u16,
    broken: &Broken,
) -> Result<bool, Error> {
    let mut differed = vec![broken.to_string()];
    differed.extend(in_question(client, partition, broken).await?);
    differed.push(format!(
        "`meterline rebuild --partition {partition} --dry-run` shows what history would make of it"
    ));
    let operation = format!("history-{}", uuid::Uuid::now_v7());
    let operation = operation
        .parse()
        .map_err(|error| Error::Unfit(format!("an operation id: {error}")))?;
    let act = FreezeAct {
        scope: Scope::Partition(partition),
        reason: broken.to_string(),
        actor: ACTOR.to_owned(),
        operation,
    };
    let outcome = store.freeze(&act, &differed).await?;
    let newly = matches!(outcome, FreezeOutcome::Frozen { .. });
    if newly {
        tracing::error!(
            partition,
            ?differed,
            "partition {partition} is frozen: {broken}"
        );
    }
    Ok(newly)
}

/// The entries that the store has lost, or has another of, in words.
async fn in_question(
    client: &Client,
    partition: u16,
    broken: &Broken,
) -> Result<Vec<String>, Error> {
    let behind = match broken {
        Broken::Behind { store, .. } => store.seq,
        Broken::Forked { seq } => seq.saturating_sub(1),
        Broken::Gap { .. } | Broken::Unreadable { .. } => return Ok(Vec::new()),
    };
    let sql = "select epoch, seq, kind, account, job, op,
          coalesce((select sum(abs(delta_ucr))::bigint / 2 from postings p
            where p.partition = e.partition and p.seq = e.seq), 0)
        from entries e where partition = $1 and seq > $2 order by seq limit $3";
    let (number, behind) = (i32::from(partition), signed(behind));
    let rows = client.query(sql, &[&number, &behind, &NAMED_MAX]).await?;
    let words = |row: &tokio_postgres::Row| {
        let (epoch, seq): (i64, i64) = (row.get(0), row.get(1));
        let [kind, account, job, op]: [&str; 4] = [2, 3, 4, 5].map(|n| row.get(n));
        let ucr: i64 = row.get(6);
        let about = if job.is_empty() { op } else { job };
        format!("only history has {epoch}-{seq}: {kind} of {account} {about} ({ucr} ucr)")
    };
    Ok(rows.iter().map(words).collect())
}
