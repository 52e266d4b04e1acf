//! How safe a write is before it is called accepted: waiting for a replica, for the disk, or for neither.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;

use super::connection::{Line, Node};
use super::reply::Reply;
use super::scripts::{self, Script};
use super::way::{By, Reached};
use super::{Error, ServerReport, Store};

/// What an operation waits for before it is called accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Nothing more: it is as safe as the server's own settings make it.
    None,
    /// A replica has it (`WAIT`).
    Replica,
    /// The server has it on its disk (`WAITAOF`: Redis 7.2, Valkey).
    Fsync,
    /// Whatever the server has to offer now: its disk, a replica, both, or nothing.
    Strongest,
}

/// Which operations wait, for what, and how long.
#[derive(Debug, Clone, Copy)]
pub struct DurabilityOptions {
    /// Credit that was paid for: grants of kind `purchase`, and plans.
    pub grants: Durability,
    /// Refunds, adjustments and clawbacks.
    pub refunds: Durability,
    /// Submissions of jobs.
    pub submits: Durability,
    /// Settlements of jobs.
    pub settlements: Durability,
    /// Longest wait for the disk, and for the replica, ms.
    pub timeout_ms: u64,
}

/// What is waited for, as far as the server can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Wait {
    disk: bool,
    replica: bool,
}

/// What scripts answer when they have moved money, now or at the first call. A refusal has written nothing
/// that is to be waited for, and stays a refusal whatever the replica does.
const DONE: [&str; 9] = [
    "granted",
    "planned",
    "adjusted",
    "refunded",
    "held",
    "settled",
    "timed_out",
    "cancelled",
    "replayed",
];

/// The disk can be waited for from here on.
const WAITAOF_SINCE: (u32, u32) = (7, 2);

impl Wait {
    /// What a wish comes to on a server. A wish that it cannot fulfil is refused before anything is sent;
    /// a server whose fsync is left to the operating system (`fsyncs` is false) never confirms.
    fn on(server: &ServerReport, fsyncs: bool, wish: Durability) -> Result<Self, Error> {
        let disk = server.append_only && fsyncs && server.version_number() >= WAITAOF_SINCE;
        let replica = server.replicas > 0;
        match wish {
            Durability::None => Ok(Self::default()),
            Durability::Strongest => Ok(Self { disk, replica }),
            Durability::Replica if replica => Ok(Self { disk: false, replica }),
            Durability::Replica => Err(Error::Unreachable(
                "its settings ask that a replica has the write, and none is connected; nothing was sent"
                    .to_owned(),
            )),
            Durability::Fsync if disk => Ok(Self { disk, replica: false }),
            Durability::Fsync => Err(Error::Unfit(
                "its settings ask for fsync, which takes Redis 7.2 or Valkey with appendonly yes and \
                 appendfsync everysec or always; nothing was sent"
                    .to_owned(),
            )),
        }
    }

    fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

impl Store {
    /// Runs a script, and calls it done when `wish` is fulfilled. Where the confirmation does not come in
    /// time the outcome is unknown: repeating the call says what became of it, and waits again. The
    /// arguments stand one list after the other.
    pub(super) async fn run_safely(
        &self,
        wish: Durability,
        script: &Script,
        keys: &[String],
        args: &[&[String]],
    ) -> Result<Reply, Error> {
        if wish == Durability::None {
            return self.run_on(Line::Words, script, keys, args).await;
        }
        let node = self.inner.connections.node_of(&keys[0]).await?;
        let wait = self.wait_on(&node, wish).await?;
        if wait.is_nothing() {
            return self.run_on(Line::Words, script, keys, args).await;
        }
        let mut way = self.way_to(keys, By::Own);
        loop {
            // What is waited for is what this very connection has sent: after a failover it is gone, and the
            // next server cannot confirm what it has never seen.
            let mut reached = way.reach().await?;
            let wait = if Arc::ptr_eq(&reached.node, &node) {
                wait
            } else {
                self.wait_on(&reached.node, wish).await?
            };
            let asked = self.send(&mut reached, script, keys, args);
            let answer = match self.in_time(0, asked).await? {
                Err(error) if way.goes_on(&error).await => continue,
                answer => answer.map_err(|error| self.failed(script.name, &error))?,
            };
            let reply = Reply::new(script.name, answer)?;
            if reply.says_one_of(&DONE) {
                let confirmed = self.confirm(&mut reached, keys, wait).await;
                confirmed.map_err(it_is_written)?;
            }
            return Ok(reply);
        }
    }

    async fn wait_on(&self, node: &Arc<Node>, wish: Durability) -> Result<Wait, Error> {
        let server = self.report_of(node).await?;
        let fsyncs = !server.append_only || self.fsyncs(node).await?;
        Wait::on(&server, fsyncs, wish)
    }

    /// Whether the server brings its append-only file to the disk by itself. One that does not say
    /// (`CONFIG` is often blocked) is taken to.
    async fn fsyncs(&self, node: &Arc<Node>) -> Result<bool, Error> {
        let mut ask = redis::cmd("CONFIG");
        ask.arg("GET").arg("appendfsync");
        match self.read_from::<Vec<String>>(node, &ask, "CONFIG").await {
            Ok(pair) => Ok(pair.last().is_none_or(|policy| policy != "no")),
            Err(Error::Script { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// A call that is repeated writes nothing, and there would be nothing to wait for: so a mark is
    /// written first, behind everything that was written before.
    async fn confirm(
        &self,
        reached: &mut Reached,
        keys: &[String],
        wait: Wait,
    ) -> Result<(), Error> {
        let marked = self.send(reached, &scripts::MARK, &keys[..1], &[]);
        let marked = self.in_time(0, marked).await?;
        marked.map_err(|error| self.failed("mark", &error))?;
        let connection = &mut reached.connection;
        let limit_ms = self.options().durability.timeout_ms;
        let unconfirmed = |by: &str| {
            Error::Unknown(format!(
                "it is written, but {by} has not confirmed it within {limit_ms} ms"
            ))
        };
        if wait.disk {
            let mut ask = redis::cmd("WAITAOF");
            ask.arg(1).arg(0).arg(limit_ms);
            let (disk, _): (u32, u32) = self.waited(connection, &ask).await?;
            if disk == 0 {
                return Err(unconfirmed("the server's disk"));
            }
        }
        if wait.replica {
            let mut ask = redis::cmd("WAIT");
            ask.arg(1).arg(limit_ms);
            let replicas: u32 = self.waited(connection, &ask).await?;
            if replicas == 0 {
                return Err(unconfirmed("a replica"));
            }
        }
        Ok(())
    }

    async fn waited<T: redis::FromRedisValue>(
        &self,
        connection: &mut MultiplexedConnection,
        ask: &redis::Cmd,
    ) -> Result<T, Error> {
        let limit_ms = self.options().durability.timeout_ms;
        let waited = self.in_time(limit_ms, ask.query_async(connection)).await?;
        waited.map_err(|error| self.failed("wait", &error))
    }

    /// What is asked on a connection without a limit of its own: an answer that comes later than the
    /// server may take, and `more_ms`, is none.
    async fn in_time<T>(
        &self,
        more_ms: u64,
        asked: impl Future<Output = redis::RedisResult<T>>,
    ) -> Result<redis::RedisResult<T>, Error> {
        let limit_ms = self.options().connection.response_timeout_ms + more_ms;
        let answered = tokio::time::timeout(Duration::from_millis(limit_ms), asked).await;
        answered.map_err(|_| Error::Unknown("the server does not answer".to_owned()))
    }
}

/// What went wrong behind a write leaves it unconfirmed, never undone.
fn it_is_written(error: Error) -> Error {
    match error {
        Error::Unreachable(text) | Error::Unfit(text) => {
            Error::Unknown(format!("it is written, but not confirmed: {text}"))
        }
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(version: &str, append_only: bool, replicas: u32) -> ServerReport {
        ServerReport::from_info(&format!(
            "redis_version:{version}\r\naof_enabled:{}\r\nrole:master\r\nconnected_slaves:{replicas}\r\n",
            u8::from(append_only)
        ))
    }

    #[test]
    fn the_strongest_is_what_the_server_has() {
        for (version, append_only, replicas, fsyncs, disk, replica) in [
            ("7.0.15", true, 0, true, false, false),
            ("7.0.15", true, 2, true, false, true),
            ("7.2.4", true, 0, true, true, false),
            ("7.2.4", true, 1, true, true, true),
            ("7.2.4", true, 1, false, false, true),
            ("8.0.1", false, 0, true, false, false),
        ] {
            let server = server(version, append_only, replicas);
            let wait = Wait::on(&server, fsyncs, Durability::Strongest).unwrap();
            assert_eq!(wait, Wait { disk, replica }, "{server:?}");
            let none = Wait::on(&server, fsyncs, Durability::None).unwrap();
            assert!(none.is_nothing());
        }
    }

    #[test]
    fn a_wish_that_the_server_cannot_fulfil_is_refused() {
        let old = server("7.0.15", true, 0);
        assert!(matches!(
            Wait::on(&old, true, Durability::Fsync),
            Err(Error::Unfit(_))
        ));
        let lazy = server("7.4.0", true, 0);
        assert!(Wait::on(&lazy, false, Durability::Fsync).is_err());
        // A replica may come back: the same call may succeed later.
        let alone = Wait::on(&old, true, Durability::Replica);
        assert!(alone.is_err_and(|error| error.is_transient()));
    }
}
