//! Blocking reads over streams: one for all of them on a single server, one for each slot of a cluster.
//!
//! A read that waits cannot be called back. So in a cluster those that go on while another brings something
//! stay under way, and their answer is taken in by a later call; whoever reads tells apart what it has seen.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, select_all};
use redis::aio::MultiplexedConnection;
use redis::streams::{StreamKey, StreamReadOptions, StreamReadReply};
use redis::{AsyncCommands, RedisResult};
use tokio::time::Instant;

use super::keys::slot_of;
use super::way::{By, Way};
use super::{Error, Store};

/// Wait before a slot that could not be read is read again.
const AGAIN: Duration = Duration::from_millis(200);

/// Streams, and the entry behind which each is read.
pub(super) type Cursors = BTreeMap<String, String>;

/// What a read has brought.
#[derive(Debug, Default)]
pub(super) struct Brought {
    /// Streams with entries behind the cursor with which the read began.
    pub(super) streams: Vec<StreamKey>,
    /// Streams of a cluster's node that is gone, or has them no more: what their cursors say may be ahead
    /// of what is there now.
    pub(super) broken: Vec<String>,
}

/// A reader of streams of any partitions.
pub(super) struct Reader {
    store: Store,
    count: usize,
    lanes: BTreeMap<u16, Lane>,
}

/// The streams that are read by one connection.
#[derive(Default)]
struct Lane {
    connection: Option<MultiplexedConnection>,
    under_way: Option<UnderWay>,
}

/// A read that waits.
struct UnderWay {
    streams: Vec<String>,
    end: BoxFuture<'static, End>,
}

/// How a read ended. The connection goes on where nothing is wrong with it.
struct End {
    connection: Option<MultiplexedConnection>,
    answer: Result<Option<StreamReadReply>, Error>,
}

impl Reader {
    /// A reader that takes at most `count` entries of each stream at a time.
    pub(super) fn new(store: &Store, count: usize) -> Self {
        Self {
            store: store.clone(),
            count,
            lanes: BTreeMap::new(),
        }
    }

    /// Waits until something new stands in one of the streams, or one could not be read; nothing after
    /// `wait_ms` without either. A single server that cannot be read is an error.
    pub(super) async fn next(
        &mut self,
        cursors: &Cursors,
        wait_ms: usize,
    ) -> Result<Brought, Error> {
        let is_cluster = self.store.inner.connections.is_cluster;
        let until = Instant::now() + Duration::from_millis(wait_ms as u64);
        self.sort(cursors, is_cluster);
        loop {
            self.begin(cursors, wait_ms);
            let ended = if is_cluster {
                tokio::time::timeout_at(until, self.ended()).await
            } else {
                Ok(self.ended().await)
            };
            let mut brought = Brought::default();
            for (streams, answer) in ended.unwrap_or_default() {
                match answer {
                    Ok(reply) => brought.streams.extend(reply.unwrap_or_default().keys),
                    Err(_) if is_cluster => brought.broken.extend(streams),
                    Err(error) => return Err(error),
                }
            }
            let is_empty = brought.streams.is_empty() && brought.broken.is_empty();
            if !is_empty || !is_cluster || Instant::now() >= until {
                return Ok(brought);
            }
        }
    }

    /// One lane for each slot of a cluster. A read of other streams than those of its lane now is given up,
    /// with its connection.
    fn sort(&mut self, cursors: &Cursors, is_cluster: bool) {
        let mut lanes = BTreeMap::<u16, Vec<String>>::new();
        for stream in cursors.keys() {
            let lane = if is_cluster { slot_of(stream) } else { 0 };
            lanes.entry(lane).or_default().push(stream.clone());
        }
        self.lanes.retain(|slot, lane| {
            let streams = lanes.get(slot);
            let reads = lane.under_way.as_ref().map(|read| &read.streams);
            streams.is_some() && (reads.is_none() || reads == streams)
        });
        for slot in lanes.keys() {
            self.lanes.entry(*slot).or_default();
        }
    }

    /// Begins a read in every lane that has none.
    fn begin(&mut self, cursors: &Cursors, wait_ms: usize) {
        let is_cluster = self.store.inner.connections.is_cluster;
        for (slot, lane) in &mut self.lanes {
            if lane.under_way.is_some() {
                continue;
            }
            let here = cursors
                .iter()
                .filter(|(stream, _)| !is_cluster || slot_of(stream) == *slot);
            let (streams, ids): (Vec<String>, Vec<String>) = here
                .map(|(stream, id)| (stream.clone(), id.clone()))
                .unzip();
            let limit_ms = wait_ms as u64 + self.store.options().connection.response_timeout_ms;
            let options = StreamReadOptions::default().block(wait_ms.max(1));
            let read = Read {
                store: self.store.clone(),
                streams: streams.clone(),
                ids,
                options: options.count(self.count),
                limit: Duration::from_millis(limit_ms),
            };
            let end = read.run(lane.connection.take()).boxed();
            lane.under_way = Some(UnderWay { streams, end });
        }
    }

    /// Waits for the first read that ends, and takes in all that have.
    async fn ended(&mut self) -> Vec<(Vec<String>, Result<Option<StreamReadReply>, Error>)> {
        let mut lanes: Vec<&mut Lane> = self.lanes.values_mut().collect();
        let under_way = lanes.iter_mut().filter_map(|lane| lane.under_way.as_mut());
        let mut reads: Vec<&mut UnderWay> = under_way.collect();
        if reads.is_empty() {
            return std::future::pending().await;
        }
        let ends = reads.iter_mut().map(|read| &mut read.end);
        let (first, place, _) = select_all(ends).await;
        let mut ends: Vec<Option<End>> = reads.iter().map(|_| None).collect();
        ends[place] = Some(first);
        for (n, read) in reads.iter_mut().enumerate() {
            if n != place {
                ends[n] = (&mut read.end).now_or_never();
            }
        }
        let mut answers = Vec::new();
        for (lane, end) in lanes.into_iter().zip(ends) {
            if let Some(end) = end
                && let Some(read) = lane.under_way.take()
            {
                lane.connection = end.connection;
                answers.push((read.streams, end.answer));
            }
        }
        answers
    }
}

/// One blocking read of one lane.
struct Read {
    store: Store,
    streams: Vec<String>,
    ids: Vec<String>,
    options: StreamReadOptions,
    limit: Duration,
}

impl Read {
    async fn run(self, connection: Option<MultiplexedConnection>) -> End {
        let connections = &self.store.inner.connections;
        let broken = |answer| End {
            connection: None,
            answer: Err(answer),
        };
        let first = self.streams.first().map_or("", String::as_str);
        let mut way = Way::to(connections, first, By::Own);
        let mut connection = match connection {
            Some(connection) => connection,
            None => match way.reach().await {
                Ok(reached) => reached.connection,
                Err(error) => return broken(error),
            },
        };
        let asked = connection.xread_options(&self.streams, &self.ids, &self.options);
        let answer: RedisResult<Option<StreamReadReply>> =
            match tokio::time::timeout(self.limit, asked).await {
                Ok(answer) => answer,
                Err(_) => {
                    let silent = "the server does not answer".to_owned();
                    return broken(Error::Unreachable(silent));
                }
            };
        match answer {
            Ok(reply) => End {
                connection: Some(connection),
                answer: Ok(reply),
            },
            Err(error) if connections.is_cluster => {
                let is_on_the_move = matches!(error.code(), Some("ASK" | "TRYAGAIN"));
                if error.code() != Some("MOVED") {
                    tokio::time::sleep(AGAIN).await;
                }
                if is_on_the_move {
                    // Where it goes it cannot be read either, until all of it is there.
                    return End {
                        connection: Some(connection),
                        answer: Ok(None),
                    };
                }
                connections.doubt("");
                broken(Error::Unreachable(error.to_string()))
            }
            Err(error) => broken(Error::Unreachable(error.to_string())),
        }
    }
}
