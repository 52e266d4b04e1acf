//! The events of a partition as they happen.

use redis::aio::MultiplexedConnection;
use redis::streams::{StreamReadOptions, StreamReadReply};
use redis::{AsyncCommands, from_redis_value};

use super::{Error, Store};
use crate::domain::ids::JobId;

/// One thing that happened to a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The job, or empty where it is about an account only.
    pub job: String,
    /// The account.
    pub account: String,
    /// What happened.
    pub event: String,
    /// More about it.
    pub detail: String,
    /// When, ms since 1970.
    pub at_ms: u64,
}

/// Follows one partition's events from the moment it was made.
pub struct EventReader {
    connection: MultiplexedConnection,
    stream: String,
    cursor: String,
}

impl Store {
    /// Follows the events of the partition that `job` lives in, from now on.
    pub async fn follow(&self, job: &JobId) -> Result<EventReader, Error> {
        self.follow_partition(job.partition()).await
    }

    /// Follows the events of a partition from now on.
    pub async fn follow_partition(&self, partition: u16) -> Result<EventReader, Error> {
        let stream = self.keys(partition)?.part("events");
        let cursor = self.last_entry(&stream).await?;
        Ok(EventReader {
            connection: self.inner.connections.dedicated().await?,
            stream,
            cursor,
        })
    }
}

impl Store {
    /// The id of a stream's newest entry, `0-0` where it has none: whoever reads on from there sees
    /// everything that comes from now on.
    pub(super) async fn last_entry(&self, stream: &str) -> Result<String, Error> {
        let mut ask = redis::pipe();
        ask.cmd("XREVRANGE")
            .arg(stream)
            .arg("+")
            .arg("-")
            .arg("COUNT")
            .arg(1);
        let (last,): (Vec<(String, Vec<String>)>,) = self.read("XREVRANGE", &ask).await?;
        let newest = last.into_iter().next().map(|(id, _)| id);
        Ok(newest.unwrap_or_else(|| "0-0".to_owned()))
    }
}

impl EventReader {
    /// The next events, in order; empty after `wait_ms` without any.
    pub async fn next(&mut self, wait_ms: usize) -> Result<Vec<Event>, Error> {
        let options = StreamReadOptions::default()
            .block(wait_ms.max(1))
            .count(100);
        let reply: Option<StreamReadReply> = self
            .connection
            .xread_options(&[&self.stream], &[&self.cursor], &options)
            .await
            .map_err(|error| Error::Unreachable(error.to_string()))?;
        let entries = reply
            .into_iter()
            .flat_map(|reply| reply.keys)
            .flat_map(|key| key.ids);
        let mut events = Vec::new();
        for entry in entries {
            let text = |field: &str| {
                let value = entry.map.get(field).cloned().unwrap_or(redis::Value::Nil);
                from_redis_value::<String>(value).unwrap_or_default()
            };
            events.push(Event {
                job: text("j"),
                account: text("a"),
                event: text("e"),
                detail: text("d"),
                at_ms: text("t").parse().unwrap_or(0),
            });
            self.cursor = entry.id.clone();
        }
        Ok(events)
    }
}
