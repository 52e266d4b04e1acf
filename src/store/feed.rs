//! The events of all partitions as they happen, for one reader of a process, and those of one partition
//! again from an id on.

use std::collections::BTreeMap;

use redis::streams::StreamId;

use super::events::{Event, events_of};
use super::reader::{Cursors, Reader};
use super::{Error, Store};

/// As many entries a partition's stream has before its front is trimmed: `EVENTS_MAX` of lib/base.lua.
const TRIMMED_ABOVE: u64 = 10_000;
/// Entries of each partition in one read.
const READ_MAX: usize = 200;

/// An event's place in its partition's stream. Later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct EventId {
    ms: u64,
    n: u64,
    /// Its place in an entry that tells of several.
    place: usize,
}

impl EventId {
    /// In front of everything that happened at this time, ms since 1970, or later.
    pub fn before_ms(ms: u64) -> Self {
        Self {
            ms: ms.saturating_sub(1),
            n: u64::MAX,
            place: 0,
        }
    }
}

impl std::fmt::Display for EventId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.ms, self.n)?;
        match self.place {
            0 => Ok(()),
            place => write!(f, ".{place}"),
        }
    }
}

impl std::str::FromStr for EventId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (ms, n) = text.split_once('-').ok_or(())?;
        let (n, place) = n.split_once('.').unwrap_or((n, "0"));
        let number = |text: &str| text.parse().map_err(|_| ());
        Ok(Self {
            ms: number(ms)?,
            n: number(n)?,
            place: place.parse().map_err(|_| ())?,
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
            .arg(format!("{}-{}", after.ms, after.n)) // its entry may tell of more
            .arg("+")
            .arg("COUNT")
            .arg(limit.saturating_add(1));
        type Rows = redis::streams::StreamRangeReply;
        let (length, first, rows): (u64, Rows, Rows) = self.read("events", &ask).await?;
        let first: Option<EventId> = first.ids.first().and_then(|entry| entry.id.parse().ok());
        let entries = rows.ids.iter();
        let told = entries.flat_map(|entry| events_at(partition, entry));
        let mut events: Vec<FeedEvent> = told.filter(|event| event.id > after).collect();
        let more = events.len() > limit || rows.ids.len() > limit;
        events.truncate(limit);
        Ok(EventPage {
            more,
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
            events.extend(entries.flat_map(|entry| events_at(*partition, entry)));
            if let Some(last) = stream.ids.last() {
                self.cursors.insert(stream.key, last.id.clone());
            }
        }
        Ok(events)
    }
}

/// What an entry tells, each with its place; nothing where its id cannot be read.
fn events_at(partition: u16, entry: &StreamId) -> Vec<FeedEvent> {
    let Ok(first) = entry.id.parse::<EventId>() else {
        return Vec::new();
    };
    let told = events_of(entry).into_iter().enumerate();
    let placed = told.map(|(place, event)| FeedEvent {
        partition,
        id: EventId { place, ..first },
        event,
    });
    placed.collect()
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
        assert!(id("10-1") < id("10-1.1") && id("10-1.1") < id("10-2"));
        assert_eq!(id("10-1.1").to_string(), "10-1.1");
        assert!("10".parse::<EventId>().is_err() && "10-1.x".parse::<EventId>().is_err());
    }
}
