//! Waking up: one blocking read, on a connection of its own, over every stream a worker serves.

use std::collections::BTreeMap;

use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use redis::streams::{StreamReadOptions, StreamReadReply};

use super::{Error, Store};

/// Waits for new entries after the cursors it was given. It only wakes: it never takes a job.
pub struct Waker {
    connection: MultiplexedConnection,
    cursors: BTreeMap<String, String>,
    /// Which partition each stream belongs to.
    partitions: BTreeMap<String, u16>,
}

impl Store {
    /// A waker over ready streams; they come with the cursors that claims return.
    pub async fn ready_waker(&self) -> Result<Waker, Error> {
        let connection = self.inner.connections.dedicated().await?;
        Ok(Waker {
            connection,
            cursors: BTreeMap::new(),
            partitions: BTreeMap::new(),
        })
    }
}

impl Waker {
    /// Goes on from where a claim in `partition` has read.
    pub fn seen(&mut self, partition: u16, cursors: Vec<(String, String)>) {
        for (stream, cursor) in cursors {
            self.partitions.insert(stream.clone(), partition);
            self.cursors.insert(stream, cursor);
        }
    }

    /// Waits until something new stands in one of the streams, at most `wait_ms`. Returns the
    /// partitions in which it does.
    pub async fn wait(&mut self, wait_ms: usize) -> Result<Vec<u16>, Error> {
        let streams: Vec<&String> = self.cursors.keys().collect();
        let ids: Vec<&String> = self.cursors.values().collect();
        let options = StreamReadOptions::default()
            .block(wait_ms.max(1))
            .count(100);
        let reply: Option<StreamReadReply> = self
            .connection
            .xread_options(&streams, &ids, &options)
            .await
            .map_err(|error| Error::Unreachable(error.to_string()))?;
        let mut woken = Vec::new();
        for stream in reply.into_iter().flat_map(|reply| reply.keys) {
            woken.extend(self.partitions.get(&stream.key).copied());
            if let Some(last) = stream.ids.last() {
                self.cursors.insert(stream.key, last.id.clone());
            }
        }
        woken.dedup();
        Ok(woken)
    }
}
