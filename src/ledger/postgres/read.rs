//! What history knows of one partition, as a store would have it.

use std::collections::BTreeMap;

use tokio_postgres::{Client, Row};

use super::Error;
use super::archive::{JOB, kept};
use super::batch::Terms;
use super::rows::unsigned;
use crate::domain::ids::{AccountId, JobId};
use crate::store::{JobRecord, KnownAccount, LostHold};

const DAY_MS: i64 = 86_400_000;

/// What an account has spent of its caps is counted in the periods that run at this moment.
struct Periods {
    day_from: i64,
    month_from: i64,
    month_until: i64,
}

impl Periods {
    fn at(now_ms: u64) -> Result<Self, Error> {
        let strange = |error: jiff::Error| Error::Unfit(format!("the store's clock: {error}"));
        let now_ms = i64::try_from(now_ms).unwrap_or(i64::MAX);
        let now = jiff::Timestamp::from_millisecond(now_ms).map_err(strange)?;
        let now = now.to_zoned(jiff::tz::TimeZone::UTC);
        let first = now.first_of_month().and_then(|day| day.start_of_day());
        let first = first.map_err(strange)?;
        let next = first
            .checked_add(jiff::Span::new().months(1))
            .map_err(strange)?;
        Ok(Self {
            day_from: now_ms - now_ms.rem_euclid(DAY_MS),
            month_from: first.timestamp().as_millisecond(),
            month_until: next.timestamp().as_millisecond(),
        })
    }
}

/// Every account of a partition whose figures are known.
pub(super) async fn accounts(
    client: &Client,
    partition: u16,
    now_ms: u64,
) -> Result<BTreeMap<String, KnownAccount>, Error> {
    let number = i32::from(partition);
    let sql = "select account, account_seq, available_ucr, held_ucr, debt_ucr, granted_ucr, captured_ucr, expired_ucr,
          refunded_ucr, adjusted_ucr, next_grant, state, terms::text
        from accounts where partition = $1 and based";
    let mut accounts = BTreeMap::new();
    for row in client.query(sql, &[&number]).await? {
        let known = account(&row)?;
        accounts.insert(known.account.to_string(), known);
    }
    let sql = "select g.account, grant_id, grant_row from grants g join accounts using (account) where partition = $1";
    for row in client.query(sql, &[&number]).await? {
        if let Some(known) = accounts.get_mut(row.get::<_, &str>(0)) {
            known.grants.insert(row.get(1), row.get(2));
        }
    }
    for (account, spent) in spent(client, partition, now_ms).await? {
        if let Some(known) = accounts.get_mut(&account) {
            known.fields.insert("spent".to_owned(), spent);
        }
    }
    Ok(accounts)
}

fn account(row: &Row) -> Result<KnownAccount, Error> {
    let name: String = row.get(0);
    let account = AccountId::try_from(name.clone())
        .map_err(|error| Error::Unfit(format!("the account {name:?} of history: {error}")))?;
    let terms: Terms = serde_json::from_str(row.get(12)).unwrap_or_default();
    let mut fields = terms;
    let names = [
        "seq",
        "available",
        "held",
        "debt",
        "granted",
        "captured",
        "expired",
        "refunded",
        "adjusted",
        "next_grant",
    ];
    for (n, field) in names.into_iter().enumerate() {
        fields.insert(field.to_owned(), row.get::<_, i64>(n + 1).to_string());
    }
    fields.insert("state".to_owned(), row.get(11));
    Ok(KnownAccount {
        account,
        fields,
        grants: BTreeMap::new(),
    })
}

/// What was spent in the periods that run now, as the store writes it: holds that are open, and captures
/// less what was refunded of them, by when they were held. What the house pays counts nowhere.
async fn spent(
    client: &Client,
    partition: u16,
    now_ms: u64,
) -> Result<Vec<(String, String)>, Error> {
    let periods = Periods::at(now_ms)?;
    let sql = "select account, bool_or(held_at_ms >= $3), sum(spent)::bigint,
          coalesce(sum(spent) filter (where held_at_ms >= $3), 0)::bigint
        from (select account, held_at_ms,
            case when state = 'open' then hold_ucr else coalesce(captured_ucr, 0) - refunded_ucr end as spent
          from jobs where partition = $1 and held_at_ms >= $2 and house is not true) x
        group by account";
    let (number, month, day) = (i32::from(partition), periods.month_from, periods.day_from);
    let rows = client.query(sql, &[&number, &month, &day]).await?;
    let text = |row: &Row| {
        let (in_month, in_day): (i64, i64) = (row.get(2), row.get(3));
        let until = if row.get(1) { day + DAY_MS } else { 0 };
        let month_until = periods.month_until;
        (
            row.get(0),
            format!("{until}|{in_day}|{month_until}|{in_month}"),
        )
    };
    Ok(rows.iter().map(text).collect())
}

/// Operation ids and their answers, by account, with what was clawed back of which payment.
pub(super) async fn operations(
    client: &Client,
    partition: u16,
) -> Result<BTreeMap<String, BTreeMap<String, String>>, Error> {
    let number = i32::from(partition);
    let mut all = BTreeMap::<String, BTreeMap<String, String>>::new();
    let sql =
        "select account, op, answer from operations where partition = $1 and answer is not null
        union all
        select account, 'clawed ' || payment, sum(amount_ucr)::bigint::text from operations
          where partition = $1 and kind = 'adjust' and payment <> '' group by account, payment";
    for row in client.query(sql, &[&number]).await? {
        let of_account = all.entry(row.get(0)).or_default();
        of_account.insert(row.get(1), row.get(2));
    }
    Ok(all)
}

/// A job as history has it.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) hold: LostHold,
    pub(super) state: String,
    pub(super) class: String,
    pub(super) captured_ucr: i64,
    pub(super) refunded_ucr: i64,
}

/// The open jobs of a partition, and the ones that are named.
pub(super) async fn jobs(
    client: &Client,
    partition: u16,
    named: &[String],
) -> Result<BTreeMap<String, Job>, Error> {
    let sql =
        "select job, account, coalesce(slices, ''), coalesce(hold_ucr, 0), coalesce(tool, ''),
          coalesce(held_at_ms, 0), coalesce(house, false), coalesce(state, ''), coalesce(class, ''),
          coalesce(captured_ucr, 0), refunded_ucr
        from jobs where partition = $1 and (state = 'open' or job = any($2))";
    let number = i32::from(partition);
    let mut jobs = BTreeMap::new();
    for row in client.query(sql, &[&number, &named]).await? {
        let name: String = row.get(1);
        let account = AccountId::try_from(name.clone())
            .map_err(|error| Error::Unfit(format!("the account {name:?} of history: {error}")))?;
        let hold = LostHold {
            job: row.get(0),
            account,
            slices: row.get(2),
            hold_ucr: row.get(3),
            tool: row.get(4),
            held_at_ms: row.get(5),
            house: row.get(6),
        };
        let job = Job {
            state: row.get(7),
            class: row.get(8),
            captured_ucr: row.get(9),
            refunded_ucr: row.get(10),
            hold,
        };
        jobs.insert(job.hold.job.clone(), job);
    }
    Ok(jobs)
}

/// The next jobs of a partition that have ended, behind a time and a job, the earliest first, and where they
/// end. Those without a record are left out: nobody knows the key under which they were sent.
pub(super) async fn ended(
    client: &Client,
    partition: u16,
    after: &(i64, String),
    limit: i64,
) -> Result<(Vec<(JobId, JobRecord)>, Option<(i64, String)>), Error> {
    let sql = format!(
        "select {JOB} from jobs where partition = $1 and state <> 'open' and record is not null
          and (ended_at_ms, job collate \"C\") > ($2, $3)
        order by ended_at_ms, job collate \"C\" limit $4"
    );
    let (ended_ms, job) = after;
    let number = i32::from(partition);
    let rows = client
        .query(&sql, &[&number, ended_ms, job, &limit])
        .await?;
    let last = rows
        .last()
        .map(|row| (row.get("ended_at_ms"), row.get("job")));
    let found = rows.iter().filter_map(|row| kept(row, true));
    Ok((found.map(|kept| (kept.job, kept.record)).collect(), last))
}

/// The sums of all postings of a partition, by book.
pub(super) async fn books(
    client: &Client,
    partition: u16,
) -> Result<BTreeMap<String, i128>, Error> {
    let sql = "select book, sum(delta_ucr)::text from postings where partition = $1 group by book";
    let rows = client.query(sql, &[&i32::from(partition)]).await?;
    let sum = |row: &Row| (row.get(0), row.get::<_, &str>(1).parse().unwrap_or(0));
    Ok(rows.iter().map(sum).collect())
}

/// Hashes of the committed entries from `from` to `to`, by sequence.
pub(super) async fn hashes(
    client: &Client,
    partition: u16,
    from: i64,
    to: i64,
) -> Result<BTreeMap<u64, String>, Error> {
    let sql = "select seq, hash from entries where partition = $1 and seq between $2 and $3";
    let rows = client
        .query(sql, &[&i32::from(partition), &from, &to])
        .await?;
    let pair = |row: &Row| (unsigned(row.get(0)), row.get(1));
    Ok(rows.iter().map(pair).collect())
}
