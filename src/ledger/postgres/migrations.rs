//! The tables of history, as numbered files that are built in. What was applied is noted in the database
//! with a hash, so that a file that was changed afterwards is found.

use secrecy::SecretString;
use sha1::{Digest, Sha1};
use tokio_postgres::Client;

use super::{Error, connect};

/// Number, name, text.
const FILES: [(i32, &str, &str); 3] = [
    (1, "history", include_str!("migrations/001_history.sql")),
    (2, "costs", include_str!("migrations/002_costs.sql")),
    (
        3,
        "job_records",
        include_str!("migrations/003_job_records.sql"),
    ),
];
/// Of two processes that migrate at once the second waits: key of the lock.
const LOCK: i64 = 0x6d65_7465_726c;

/// One numbered step of the tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// Its number, from 1.
    pub number: i32,
    /// What it is about.
    pub name: &'static str,
}

/// Applies what is missing, each step in a transaction of its own. Returns what was applied.
pub async fn migrate(url: &SecretString) -> Result<Vec<Migration>, Error> {
    let mut client = connect::connect(url).await?;
    migrate_on(&mut client).await
}

/// What is missing; an error where the database has steps that this version does not know.
pub async fn pending(url: &SecretString) -> Result<Vec<Migration>, Error> {
    let client = connect::connect(url).await?;
    missing(&applied(&client).await?)
}

pub(super) async fn migrate_on(client: &mut Client) -> Result<Vec<Migration>, Error> {
    // Held by the session, so that it also goes with a lost connection.
    client
        .execute("select pg_advisory_lock($1)", &[&LOCK])
        .await?;
    client
        .batch_execute(
            // What is there already is no news.
            "set client_min_messages = warning;
             create schema if not exists meterline;
             create table if not exists meterline.migrations (number integer primary key, name text not null,
               hash text not null, applied_at timestamptz not null default now())",
        )
        .await?;
    let mut done = Vec::new();
    loop {
        let step = client.transaction().await?;
        let Some(next) = missing(&applied(step.client()).await?)?.into_iter().next() else {
            drop(step);
            let unlock = "select pg_advisory_unlock($1)";
            client.execute(unlock, &[&LOCK]).await?;
            return Ok(done);
        };
        let text = text_of(next.number);
        step.batch_execute(text).await?;
        let sql = "insert into migrations (number, name, hash) values ($1, $2, $3)";
        step.execute(sql, &[&next.number, &next.name, &hash(text)])
            .await?;
        step.commit().await?;
        done.push(next);
    }
}

fn text_of(number: i32) -> &'static str {
    let file = FILES.iter().find(|(n, _, _)| *n == number);
    file.map_or("", |(_, _, text)| text)
}

fn hash(text: &str) -> String {
    hex::encode(Sha1::digest(text))
}

/// Number and hash of what was applied.
async fn applied(client: &Client) -> Result<Vec<(i32, String)>, Error> {
    let there = client
        .query_one(
            "select to_regclass('meterline.migrations') is not null",
            &[],
        )
        .await?;
    if !there.get::<_, bool>(0) {
        return Ok(Vec::new());
    }
    let sql = "select number, hash from migrations order by number";
    let rows = client.query(sql, &[]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

fn missing(applied: &[(i32, String)]) -> Result<Vec<Migration>, Error> {
    for (number, was) in applied {
        let text = text_of(*number);
        if text.is_empty() {
            return Err(Error::Unfit(format!(
                "it has step {number} of a newer version; update this program"
            )));
        }
        if hash(text) != *was {
            return Err(Error::Unfit(format!(
                "step {number} was applied with another text than this version's"
            )));
        }
    }
    let known = |number: i32| applied.iter().any(|(n, _)| *n == number);
    Ok(FILES
        .iter()
        .filter(|(number, _, _)| !known(*number))
        .map(|(number, name, _)| Migration {
            number: *number,
            name,
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_of_a_newer_version_or_with_another_text_is_refused() {
        let ours = |number| (number, hash(text_of(number)));
        assert_eq!(missing(&[]).unwrap().len(), FILES.len());
        assert_eq!(missing(&[ours(1)]).unwrap().len(), FILES.len() - 1);
        assert!(missing(&[ours(1), (99, "x".into())]).is_err());
        assert!(missing(&[(1, "x".into())]).is_err());
    }
}
