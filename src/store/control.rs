//! What the store says to workers at once: somebody has to stop something, a queue goes on.

use std::collections::BTreeMap;

use redis::aio::MultiplexedConnection;
use redis::streams::{StreamId, StreamReadOptions, StreamReadReply};
use redis::{AsyncCommands, from_redis_value};

use super::{Error, Store};

/// One message of a partition's control stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// This worker has something to stop, or is to leave: its next heartbeat says what.
    Beat {
        /// Its id in this partition.
        worker: String,
    },
    /// A queue hands out jobs again: whoever serves it should claim.
    Claim {
        /// The queue.
        queue: String,
    },
}

/// Follows the control streams of all partitions from the moment it was made, on a connection of its
/// own. It only wakes: what is to be done stands elsewhere, and is found without it a little later.
pub struct Control {
    connection: MultiplexedConnection,
    /// Stream to its partition and the last entry seen.
    cursors: BTreeMap<String, (u16, String)>,
}

impl Store {
    /// Listens for orders from now on.
    pub async fn control(&self) -> Result<Control, Error> {
        let mut cursors = BTreeMap::new();
        for partition in 0..self.partitions() {
            let stream = self.keys(partition)?.part("control");
            let last = self.last_entry(&stream).await?;
            cursors.insert(stream, (partition, last));
        }
        Ok(Control {
            connection: self.inner.connections.dedicated().await?,
            cursors,
        })
    }
}

impl Control {
    /// The next orders, each with its partition; empty after `wait_ms` without any.
    pub async fn next(&mut self, wait_ms: usize) -> Result<Vec<(u16, Order)>, Error> {
        let streams: Vec<&String> = self.cursors.keys().collect();
        let ids: Vec<&String> = self.cursors.values().map(|(_, id)| id).collect();
        let options = StreamReadOptions::default()
            .block(wait_ms.max(1))
            .count(100);
        let reply: Option<StreamReadReply> = self
            .connection
            .xread_options(&streams, &ids, &options)
            .await
            .map_err(|error| Error::Unreachable(error.to_string()))?;
        let mut orders = Vec::new();
        for stream in reply.into_iter().flat_map(|reply| reply.keys) {
            let Some((partition, last)) = self.cursors.get_mut(&stream.key) else {
                continue;
            };
            for entry in &stream.ids {
                orders.extend(order(entry).map(|order| (*partition, order)));
                last.clone_from(&entry.id);
            }
        }
        Ok(orders)
    }
}

/// Reads a message; `None` for one that only a newer version understands.
fn order(entry: &StreamId) -> Option<Order> {
    let text = |field: &str| {
        let value = entry.map.get(field).cloned()?;
        from_redis_value::<String>(value).ok()
    };
    let beat = text("w").map(|worker| Order::Beat { worker });
    beat.or_else(|| text("q").map(|queue| Order::Claim { queue }))
}
