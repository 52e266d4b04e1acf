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

/// What a waker saw.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Woken {
    /// Partitions with new ready jobs.
    pub ready: Vec<u16>,
    /// Partitions that have something to say to workers: a cancel, an end.
    pub control: Vec<u16>,
}

impl Store {
    /// A waker over the control streams of all partitions; ready streams come with their cursors.
    pub async fn waker(&self) -> Result<Waker, Error> {
        let mut waker = Waker {
            connection: self.inner.connections.dedicated().await?,
            cursors: BTreeMap::new(),
            partitions: BTreeMap::new(),
        };
        for partition in 0..self.partitions() {
            let stream = self.keys(partition)?.part("control");
            let mut ask = redis::pipe();
            ask.cmd("XREVRANGE")
                .arg(&stream)
                .arg("+")
                .arg("-")
                .arg("COUNT")
                .arg(1);
            let (last,): (Vec<(String, Vec<String>)>,) = self.read("XREVRANGE", &ask).await?;
            let cursor = last
                .into_iter()
                .next()
                .map_or_else(|| "0-0".to_owned(), |(id, _)| id);
            waker.cursors.insert(stream.clone(), cursor);
            waker.partitions.insert(stream, partition);
        }
        Ok(waker)
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

    /// Waits until something new stands in one of the streams, at most `wait_ms`.
    pub async fn wait(&mut self, wait_ms: usize) -> Result<Woken, Error> {
        let streams: Vec<&String> = self.cursors.keys().collect();
        let ids: Vec<&String> = self.cursors.values().collect();
        let options = StreamReadOptions::default().block(wait_ms.max(1)).count(1);
        let reply: Option<StreamReadReply> = self
            .connection
            .xread_options(&streams, &ids, &options)
            .await
            .map_err(|error| Error::Unreachable(error.to_string()))?;
        let mut woken = Woken::default();
        for stream in reply.into_iter().flat_map(|reply| reply.keys) {
            let Some(partition) = self.partitions.get(&stream.key).copied() else {
                continue;
            };
            if stream.key.ends_with(":part:control") {
                woken.control.push(partition);
            } else {
                woken.ready.push(partition);
            }
            if let Some(last) = stream.ids.last() {
                self.cursors.insert(stream.key, last.id.clone());
            }
        }
        Ok(woken)
    }
}
