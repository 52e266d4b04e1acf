//! The events of all partitions as they happen, for one reader of a process, and those of one partition
//! again from an id on.

use std::collections::BTreeMap;

use redis::from_redis_value;
use redis::streams::StreamId;

use super::events::Event;
use super::reader::{Cursors, Reader};
use super::{Error, Store};

/// As many entries a partition's stream has before its front is trimmed: `EVENTS_MAX` of lib/base.lua.
const TRIMMED_ABOVE: u64 = 10_000;
/// Events of each partition in one read.
const READ_MAX: usize = 200;

/// An event's place in its partition's stream. Later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct EventId {
    ms: u64,
    n: u64,
}

impl EventId {
    /// In front of everything that happened at this time, ms since 1970, or later.
    pub fn before_ms(ms: u64) -> Self {
        Self {
            ms: ms.saturating_sub(1),
            n: u64::MAX,
        }
    }
}

impl std::fmt::Display for EventId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.ms, self.n)
    }
}

impl std::str::FromStr for EventId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (ms, n) = text.split_once('-').ok_or(())?;
        let number = |text: &str| text.parse().map_err(|_| ());
        Ok(Self {
            ms: number(ms)?,
            n: number(n)?,
        })
    }
}

/// An event and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedEvent {
    /// The partition.
    pub partition: u16,
    /// Its place in the partition's stream.
    pub id: EventId,
    /// What happened.
    pub event: Event,
}

/// Events of one partition, from a place on.
#[derive(Debug)]
pub struct EventPage {
    /// In order.
    pub events: Vec<FeedEvent>,
    /// Some between the place that was asked for and the first one may be lost.
    pub gap: bool,
    /// There are more behind the last one.
    pub more: bool,
}

/// The one reader of all partitions' events.
pub struct Feed {
    reader: Reader,
    /// Each stream's partition.
    partitions: BTreeMap<String, u16>,
    /// Each stream's last entry seen.
    cursors: Cursors,
}

impl Store {
    /// Follows the events of all partitions from now on, on connections of its own.
    pub async fn feed(&self) -> Result<Feed, Error> {
        let (mut partitions, mut cursors) = (BTreeMap::new(), Cursors::new());
        for partition in 0..self.partitions() {
            let stream = self.keys(partition)?.part("events");
            cursors.insert(stream.clone(), self.last_entry(&stream).await?);
            partitions.insert(stream, partition);
        }
        Ok(Feed {
            reader: Reader::new(self, READ_MAX),
            partitions,
            cursors,
        })
    }

    /// At most `limit` events of a partition behind a place.
    pub async fn events_after(
        &self,
        partition: u16,
        after: EventId,
        limit: usize,
    ) -> Result<EventPage, Error> {
        let stream = self.keys(partition)?.part("events");
        let mut ask = redis::pipe();
        ask.cmd("XLEN").arg(&stream);
        ask.cmd("XRANGE")
            .arg(&stream)
            .arg("-")
            .arg("+")
            .arg("COUNT")
            .arg(1);
        ask.cmd("XRANGE")
            .arg(&stream)
            .arg(format!("({after}"))
            .arg("+")
            .arg("COUNT")
            .arg(limit);
        type Rows = redis::streams::StreamRangeReply;
        let (length, first, rows): (u64, Rows, Rows) = self.read("events", &ask).await?;
        let first: Option<EventId> = first.ids.first().and_then(|entry| entry.id.parse().ok());
        let events: Vec<FeedEvent> = rows
            .ids
            .iter()
            .filter_map(|entry| event(partition, entry))
            .collect();
        Ok(EventPage {
            more: rows.ids.len() == limit,
            gap: length >= TRIMMED_ABOVE && first.is_some_and(|first| first > after),
            events,
        })
    }
}

impl Feed {
    /// The next events, in order within each partition; empty after `wait_ms` without any.
    pub async fn next(&mut self, wait_ms: usize) -> Result<Vec<FeedEvent>, Error> {
        let brought = self.reader.next(&self.cursors, wait_ms).await?;
        let mut events = Vec::new();
        for stream in brought.streams {
            let Some(partition) = self.partitions.get(&stream.key) else {
                continue;
            };
            let entries = stream.ids.iter();
            events.extend(entries.filter_map(|entry| event(*partition, entry)));
            if let Some(last) = stream.ids.last() {
                self.cursors.insert(stream.key, last.id.clone());
            }
        }
        Ok(events)
    }
}

fn event(partition: u16, entry: &StreamId) -> Option<FeedEvent> {
    let text = |field: &str| {
        let value = entry.map.get(field).cloned().unwrap_or(redis::Value::Nil);
        from_redis_value::<String>(value).unwrap_or_default()
    };
    Some(FeedEvent {
        partition,
        id: entry.id.parse().ok()?,
        event: Event {
            job: text("j"),
            account: text("a"),
            event: text("e"),
            detail: text("d"),
            at_ms: text("t").parse().unwrap_or(0),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_in_the_order_of_time_and_number() {
        let id = |text: &str| text.parse::<EventId>().unwrap();
        assert!(id("9-5") < id("10-0") && id("10-0") < id("10-1"));
        assert!(EventId::before_ms(10) < id("10-0") && EventId::before_ms(10) > id("9-7"));
        assert_eq!(id("10-1").to_string(), "10-1");
        assert!("10".parse::<EventId>().is_err());
    }
}
