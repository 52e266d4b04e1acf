//! The events of a partition as they happen.

use redis::from_redis_value;
use redis::streams::StreamId;

use super::reader::{Cursors, Reader};
use super::{Error, Store};
use crate::domain::ids::JobId;

/// Entries in one read.
const READ_MAX: usize = 100;

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
    reader: Reader,
    /// The stream, and the last entry seen.
    cursor: Cursors,
}

impl Store {
    /// Follows the events of the partition that `job` lives in, from now on.
    pub async fn follow(&self, job: &JobId) -> Result<EventReader, Error> {
        self.follow_partition(job.partition()).await
    }

    /// Follows the events of a partition from now on.
    pub async fn follow_partition(&self, partition: u16) -> Result<EventReader, Error> {
        let stream = self.keys(partition)?.part("events");
        let last = self.last_entry(&stream).await?;
        Ok(EventReader {
            reader: Reader::new(self, READ_MAX),
            cursor: Cursors::from([(stream, last)]),
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
        let brought = self.reader.next(&self.cursor, wait_ms).await?;
        let streams = brought.streams.into_iter();
        let entries = streams.flat_map(|stream| {
            let key = stream.key;
            stream.ids.into_iter().map(move |id| (key.clone(), id))
        });
        let mut events = Vec::new();
        for (stream, entry) in entries {
            events.extend(events_of(&entry));
            self.cursor.insert(stream, entry.id);
        }
        Ok(events)
    }
}

/// What one entry of the stream tells: one event, or those of several jobs that one call was about, a line
/// `what job account detail` for each.
pub(super) fn events_of(entry: &StreamId) -> Vec<Event> {
    let text = |field: &str| {
        let value = entry.map.get(field).cloned().unwrap_or(redis::Value::Nil);
        from_redis_value::<String>(value).unwrap_or_default()
    };
    let at_ms = text("t").parse().unwrap_or(0);
    if !entry.map.contains_key("p") {
        return vec![Event {
            job: text("j"),
            account: text("a"),
            event: text("e"),
            detail: text("d"),
            at_ms,
        }];
    }
    let several = text("p");
    let told = several.lines().filter_map(|line| {
        let mut words = line.splitn(4, ' ').map(str::to_owned);
        Some(Event {
            event: words.next()?,
            job: words.next()?,
            account: words.next()?,
            detail: words.next()?,
            at_ms,
        })
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(fields: &[(&str, &str)]) -> StreamId {
        let value = |text: &str| redis::Value::BulkString(text.as_bytes().to_vec());
        let map = fields
            .iter()
            .map(|(name, text)| ((*name).to_owned(), value(text)));
        StreamId {
            id: "1-0".to_owned(),
            map: map.collect(),
            ..StreamId::default()
        }
    }

    #[test]
    fn an_entry_tells_of_one_event_or_of_several() {
        let one = entry(&[
            ("j", "j1"),
            ("a", "acme"),
            ("e", "running"),
            ("d", "w 1"),
            ("t", "7"),
        ]);
        let several = entry(&[
            ("t", "7"),
            ("p", "running j1 acme w 1\nclosed  acme \nsucceeded j2 b "),
        ]);
        let told = events_of(&several);
        assert_eq!(events_of(&one), told[..1]);
        assert_eq!(
            told[1..]
                .iter()
                .map(|e| [&*e.event, &*e.job, &*e.account, &*e.detail])
                .collect::<Vec<_>>(),
            [["closed", "", "acme", ""], ["succeeded", "j2", "b", ""]]
        );
        assert!(told.iter().all(|event| event.at_ms == 7));
    }
}
