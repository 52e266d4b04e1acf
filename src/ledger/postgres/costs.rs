//! Costs in history: every booked cost once, and the sums of them.

use std::collections::BTreeMap;

use secrecy::SecretString;
use tokio_postgres::Client;

use super::rows::{signed, unsigned};
use super::{Error, connect};
use crate::ledger::costs::{CostLine, CostsBy};
use crate::store::{CostEntry, Store};

/// The place before the first entry.
const NONE: &str = "0-0";

/// Commits the next costs of a partition behind `from`, and moves its head from exactly there. Returns
/// where it stands now, `None` where there was nothing new.
pub(super) async fn commit_next(
    client: &mut Client,
    store: &Store,
    partition: u16,
    from: &str,
    limit: usize,
) -> Result<Option<String>, Error> {
    let Some(entries) = store.costs_behind(partition, from, limit).await? else {
        // A replica whose clock is behind has taken the place of its master.
        read_again(client, partition).await?;
        return Ok(Some(NONE.to_owned()));
    };
    let Some(last) = entries.last().map(|entry| entry.id.clone()) else {
        return Ok(None);
    };
    let number = i32::from(partition);
    let to = client.transaction().await?;
    let moves = "update cost_heads set last_id = $2 where partition = $1 and last_id = $3";
    if to.execute(moves, &[&number, &last, &from]).await? != 1 {
        return Err(Error::Taken(partition));
    }
    let texts = |of: fn(&CostEntry) -> String| entries.iter().map(of).collect::<Vec<String>>();
    let numbers = |of: fn(&CostEntry) -> u64| -> Vec<i64> {
        entries.iter().map(|entry| signed(of(entry))).collect()
    };
    let submissions = entries.iter().map(|entry| entry.submission.cast_signed());
    let submissions: Vec<i32> = submissions.collect();
    // What a store that lost its last writes books again is the same submission.
    let sql = "insert into costs (partition, job, submission, account, tool, provider, route, model, outcome,
          source, cost_usd_micros, at_ms)
        select $1, * from unnest($2::text[], $3::integer[], $4::text[], $5::text[], $6::text[], $7::text[],
          $8::text[], $9::text[], $10::text[], $11::bigint[], $12::bigint[])
        on conflict (job, submission) do nothing";
    to.execute(
        sql,
        &[
            &number,
            &texts(|entry| entry.job.clone()),
            &submissions,
            &texts(|entry| entry.account.clone()),
            &texts(|entry| entry.tool.clone()),
            &texts(|entry| entry.spent.provider.clone()),
            &texts(|entry| entry.spent.route.clone()),
            &texts(|entry| entry.spent.model.clone()),
            &texts(|entry| entry.outcome.clone()),
            &texts(|entry| entry.spent.cost.source.as_str().to_owned()),
            &numbers(|entry| entry.spent.cost.usd_micros),
            &numbers(|entry| entry.at_ms),
        ],
    )
    .await?;
    to.commit().await?;
    Ok(Some(last))
}

/// How far a partition's costs are committed; from here on the store keeps what is not.
pub(super) async fn head_of_costs(
    client: &Client,
    store: &Store,
    partition: u16,
) -> Result<String, Error> {
    store.note_costs(partition, NONE).await?;
    let sql =
        "insert into cost_heads (partition, last_id) values ($1, '0-0') on conflict do nothing";
    let number = i32::from(partition);
    client.execute(sql, &[&number]).await?;
    let sql = "select last_id from cost_heads where partition = $1";
    Ok(client.query_one(sql, &[&number]).await?.get(0))
}

/// Lets the next projection read all costs that the partition has: a store that takes the place of a lost one
/// counts its entries by its own clock, which may be behind. What is known is not booked again.
pub(super) async fn read_again(client: &Client, partition: u16) -> Result<(), Error> {
    let sql = "update cost_heads set last_id = '0-0' where partition = $1";
    client.execute(sql, &[&i32::from(partition)]).await?;
    Ok(())
}

/// What history has of costs that were booked from `from_ms` until before `to_ms`, by name.
pub async fn costs_in_history(
    url: &SecretString,
    by: CostsBy,
    (from_ms, to_ms): (u64, u64),
) -> Result<BTreeMap<String, CostLine>, Error> {
    let client = connect::connect(url).await?;
    let there = "select to_regclass('meterline.cost_lines') is not null";
    if !client.query_one(there, &[]).await?.get::<_, bool>(0) {
        let text = "it holds no costs yet; start a projector";
        return Err(Error::Unfit(text.to_owned()));
    }
    let name = match by {
        CostsBy::Provider => "provider",
        CostsBy::Route => "provider || '/' || route",
        CostsBy::Tool => "tool",
        CostsBy::Day => "day::text",
    };
    let sql = format!(
        "select {name}, count(*), count(*) filter (where outcome <> 'succeeded'),
           sum(cost_usd_micros)::bigint, sum(waste_usd_micros)::bigint, sum(paid_ucr)::bigint
         from cost_lines where at_ms >= $1 and at_ms < $2 group by 1"
    );
    let rows = client
        .query(&sql, &[&signed(from_ms), &signed(to_ms)])
        .await?;
    let line = |row: &tokio_postgres::Row| CostLine {
        submissions: unsigned(row.get(1)),
        wasted: unsigned(row.get(2)),
        cost_usd_micros: unsigned(row.get(3)),
        waste_usd_micros: unsigned(row.get(4)),
        paid_ucr: row.get(5),
    };
    Ok(rows.iter().map(|row| (row.get(0), line(row))).collect())
}
