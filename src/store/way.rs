//! One call's way to the server that has its keys.
//!
//! A cluster may say that nothing happened and who is to be asked instead, or that it cannot be now: slots
//! move between nodes, a replica takes over. Then the call is sent again, as long as connecting may take.
//! What was sent and not answered is never sent again here: its outcome is for the caller to find out.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, RedisError, ServerErrorKind};
use tokio::time::Instant;

use super::cluster::Connections;
use super::connection::{Line, Node};
use super::error::Error;
use super::keys::slot_of;

/// The first pause before a call is sent again, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));

/// Which connection a call takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// One of the shared ones.
    Shared(Line),
    /// One of its own, which waits for answers as long as its user says.
    Own,
}

/// One call's way.
pub(super) struct Way<'a> {
    connections: &'a Arc<Connections>,
    key: &'a str,
    by: By,
    /// Who is asked now.
    node: Option<Arc<Node>>,
    /// Who is asked next, because another said so for this once.
    instead: Option<Arc<Node>>,
    pause: Duration,
    until: Instant,
}

/// A connection to the server that may have the keys.
pub(super) struct Reached {
    pub(super) connection: MultiplexedConnection,
    pub(super) node: Arc<Node>,
    /// The slot is on its way there: `ASKING` has to stand before the call.
    pub(super) is_asking: bool,
}

impl<'a> Way<'a> {
    /// To whoever has `key`.
    pub(super) fn to(connections: &'a Arc<Connections>, key: &'a str, by: By) -> Self {
        let limit = Duration::from_millis(connections.options.connect_timeout_ms);
        Self {
            connections,
            key,
            by,
            node: None,
            instead: None,
            pause: PAUSES.0,
            until: Instant::now() + limit,
        }
    }

    /// Connects to whoever is to be asked now.
    pub(super) async fn reach(&mut self) -> Result<Reached, Error> {
        loop {
            let (node, is_asking) = match self.instead.take() {
                Some(node) => (Ok(node), true),
                None => (self.connections.node_of(self.key).await, false),
            };
            let reached = match node {
                Ok(node) => self.connect(node).await,
                Err(error) => Err(error),
            };
            match reached {
                Ok((connection, node)) => {
                    return Ok(Reached {
                        connection,
                        node,
                        is_asking,
                    });
                }
                Err(error) => {
                    self.doubt();
                    if !error.is_transient() || !self.pauses().await {
                        return Err(error);
                    }
                }
            }
        }
    }

    async fn connect(
        &mut self,
        node: Arc<Node>,
    ) -> Result<(MultiplexedConnection, Arc<Node>), Error> {
        self.node = Some(Arc::clone(&node));
        let connection = match self.by {
            By::Shared(line) => node.get(line).await?,
            By::Own => node.dedicated().await?,
        };
        Ok((connection, node))
    }

    fn doubt(&self) {
        let name = self.node.as_ref().map(|node| node.name());
        self.connections.doubt(&name.unwrap_or_default());
    }

    /// Waits a little; false where the time is up.
    async fn pauses(&mut self) -> bool {
        if !self.connections.is_cluster || Instant::now() + self.pause >= self.until {
            return false;
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSES.1);
        true
    }

    /// After an error: whether the call did nothing and is to be sent again. Where the connection broke it
    /// is forgotten.
    pub(super) async fn goes_on(&mut self, error: &RedisError) -> bool {
        let Some(node) = self.node.clone() else {
            return false;
        };
        if error.code().is_none() {
            if let By::Shared(line) = self.by {
                node.forget(line);
            }
            self.doubt();
            return error.is_connection_refusal() && self.pauses().await;
        }
        if !self.connections.is_cluster {
            return false;
        }
        match Redirect::of(error) {
            Some(Redirect::Moved(to)) => match self.connections.node_named(to, &node) {
                Ok(to) => {
                    self.connections.moved(slot_of(self.key), &to);
                    self.has_time()
                }
                Err(_) => false,
            },
            Some(Redirect::Ask(to)) => {
                self.instead = self.connections.node_named(to, &node).ok();
                self.has_time()
            }
            Some(Redirect::Wait) => self.pauses().await,
            Some(Redirect::Elsewhere) => {
                self.doubt();
                self.pauses().await
            }
            None => false,
        }
    }

    fn has_time(&self) -> bool {
        Instant::now() < self.until
    }
}

/// What a node says that has done nothing.
#[derive(Debug, PartialEq, Eq)]
enum Redirect<'a> {
    /// This node has the slot now.
    Moved(&'a str),
    /// This node has it for this once.
    Ask(&'a str),
    /// The slot is on its way, and some of the keys have left: later.
    Wait,
    /// The node may not serve: another will.
    Elsewhere,
}

impl<'a> Redirect<'a> {
    fn of(error: &'a RedisError) -> Option<Self> {
        let ErrorKind::Server(kind) = error.kind() else {
            return None;
        };
        let to = error.redirect_node().map(|(to, _)| to);
        match kind {
            ServerErrorKind::Moved => to.map(Self::Moved),
            ServerErrorKind::Ask => to.map(Self::Ask),
            ServerErrorKind::TryAgain => Some(Self::Wait),
            ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ReadOnly
            | ServerErrorKind::BusyLoading => Some(Self::Elsewhere),
            // The same inside of a script, which had done nothing yet: see `check_slot` in lib/base.lua.
            _ if is_not_local(error) => Some(Self::Wait),
            _ => None,
        }
    }
}

/// Whether a script met a key that its node does not have, or not any more.
pub(super) fn is_not_local(error: &RedisError) -> bool {
    error.to_string().contains("non local key")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(reply: &str) -> RedisError {
        let value = redis::parse_redis_value(format!("-{reply}\r\n").as_bytes());
        value.and_then(redis::Value::extract_error).unwrap_err()
    }

    #[test]
    fn a_node_that_did_nothing_says_where_to_go() {
        let moved = error("MOVED 7 10.0.0.1:7001");
        assert_eq!(Redirect::of(&moved), Some(Redirect::Moved("10.0.0.1:7001")));
        let ask = error("ASK 7 10.0.0.1:7001");
        assert_eq!(Redirect::of(&ask), Some(Redirect::Ask("10.0.0.1:7001")));
        for text in [
            "TRYAGAIN Multiple keys request during rehashing of slot",
            "ERR Script attempted to access a non local key in a cluster node script: 94f0",
        ] {
            assert_eq!(Redirect::of(&error(text)), Some(Redirect::Wait), "{text}");
        }
        for text in [
            "CLUSTERDOWN The cluster is down",
            "READONLY You can't write against a read only replica.",
        ] {
            assert_eq!(
                Redirect::of(&error(text)),
                Some(Redirect::Elsewhere),
                "{text}"
            );
        }
        assert_eq!(Redirect::of(&error("ERR something else")), None);
        assert_eq!(Redirect::of(&error("OOM command not allowed")), None);
    }
}
