//! Waking up: blocking reads, on connections of their own, over every stream a worker serves.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::reader::{Cursors, Reader};
use super::{Error, Store};

/// Entries of each stream that one read takes: any one wakes.
const READ_MAX: usize = 100;

/// Waits for new entries after the cursors it was given. It only wakes: it never takes a job.
pub struct Waker {
    reader: Reader,
    cursors: Cursors,
    /// Which partition each stream belongs to.
    partitions: BTreeMap<String, u16>,
}

impl Store {
    /// A waker over ready streams; they come with the cursors that claims return.
    pub fn ready_waker(&self) -> Waker {
        Waker {
            reader: Reader::new(self, READ_MAX),
            cursors: Cursors::new(),
            partitions: BTreeMap::new(),
        }
    }
}

impl Waker {
    /// Goes on from where a claim in `partition` has read. Never back: what was told once is not told
    /// again, however long nobody had a slot for it.
    pub fn seen(&mut self, partition: u16, cursors: Vec<(String, String)>) {
        for (stream, cursor) in cursors {
            self.partitions.insert(stream.clone(), partition);
            self.goes_on(stream, &cursor);
        }
    }

    /// Moves a stream's cursor ahead; false where it has been there.
    fn goes_on(&mut self, stream: String, cursor: &str) -> bool {
        let known = self.cursors.get(&stream).map(|known| position(known));
        let is_ahead = known.is_none_or(|known| known < position(cursor));
        if is_ahead {
            self.cursors.insert(stream, cursor.to_owned());
        }
        is_ahead
    }

    /// Waits until something new stands in one of the streams, at most `wait_ms`. Returns the partitions in
    /// which it does, and those that could not be read and have to be looked at.
    pub async fn wait(&mut self, wait_ms: usize) -> Result<Vec<u16>, Error> {
        let until = Instant::now() + Duration::from_millis(wait_ms as u64);
        loop {
            let brought = self.reader.next(&self.cursors, wait_ms).await?;
            let mut woken = Vec::new();
            for stream in brought.streams {
                let partition = self.partitions.get(&stream.key).copied();
                let last = stream.ids.last().map(|last| last.id.clone());
                if last.is_some_and(|last| self.goes_on(stream.key, &last)) {
                    woken.extend(partition);
                }
            }
            for stream in brought.broken {
                woken.extend(self.partitions.get(&stream));
                self.cursors.remove(&stream);
            }
            woken.sort_unstable();
            woken.dedup();
            if !woken.is_empty() || Instant::now() >= until {
                return Ok(woken);
            }
        }
    }
}

/// An entry's place in its stream: `<ms>-<number>`.
pub(super) fn position(entry: &str) -> (u64, u64) {
    let (ms, number) = entry.split_once('-').unwrap_or((entry, ""));
    (
        ms.parse().unwrap_or_default(),
        number.parse().unwrap_or_default(),
    )
}
