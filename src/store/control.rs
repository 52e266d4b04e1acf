//! What the store says to workers at once: somebody has to stop something, a queue goes on.

use std::collections::BTreeMap;

use redis::from_redis_value;
use redis::streams::StreamId;

use super::reader::{Cursors, Reader};
use super::{Error, Store};

/// Messages of each partition in one read.
const READ_MAX: usize = 100;

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

/// Follows the control streams of all partitions from the moment it was made, on connections of its
/// own. It only wakes: what is to be done stands elsewhere, and is found without it a little later.
pub struct Control {
    reader: Reader,
    /// Each stream's partition.
    partitions: BTreeMap<String, u16>,
    /// Each stream's last entry seen.
    cursors: Cursors,
}

impl Store {
    /// Listens for orders from now on.
    pub async fn control(&self) -> Result<Control, Error> {
        let (mut partitions, mut cursors) = (BTreeMap::new(), Cursors::new());
        for partition in 0..self.partitions() {
            let stream = self.keys(partition)?.part("control");
            let last = self.last_entry(&stream).await?;
            partitions.insert(stream.clone(), partition);
            cursors.insert(stream, last);
        }
        Ok(Control {
            reader: Reader::new(self, READ_MAX),
            partitions,
            cursors,
        })
    }
}

impl Control {
    /// The next orders, each with its partition; empty after `wait_ms` without any.
    pub async fn next(&mut self, wait_ms: usize) -> Result<Vec<(u16, Order)>, Error> {
        let brought = self.reader.next(&self.cursors, wait_ms).await?;
        let mut orders = Vec::new();
        for stream in brought.streams {
            let Some(partition) = self.partitions.get(&stream.key) else {
                continue;
            };
            for entry in &stream.ids {
                orders.extend(order(entry).map(|order| (*partition, order)));
            }
            if let Some(last) = stream.ids.last() {
                self.cursors.insert(stream.key, last.id.clone());
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
