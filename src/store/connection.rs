//! Connections to one server: one pool for commands, and connections of their own for blocking reads.
//!
//! All commands of a process share a few multiplexed connections from the pool (see [`Line`]). A
//! blocking read never happens on a pooled one: it would stall everybody behind it.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deadpool_redis::{Manager, Pool, Runtime};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo};

use super::error::Error;
use super::joint::Joint;

/// How connections are made and how long an answer may take.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionOptions {
    /// Connections in the pool.
    pub pool_size: usize,
    /// Longest time to connect, ms.
    pub connect_timeout_ms: u64,
    /// Longest wait for the answer to one command, ms.
    pub response_timeout_ms: u64,
}

/// The shared connections. On each of them the server answers in the order in which it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// For everything that is not said to be for another.
    Words,
    /// For claims: a freed slot is filled again without waiting behind the settlements of others.
    Claims,
}

/// A connection that all share, and who makes it.
#[derive(Default)]
struct Shared {
    connection: Mutex<Option<MultiplexedConnection>>,
    connecting: Joint<Result<MultiplexedConnection, Error>>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Option<MultiplexedConnection>> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self) -> Option<MultiplexedConnection> {
        self.lock().clone()
    }
}

/// The process's connections to one server.
pub(super) struct Node {
    info: ConnectionInfo,
    options: ConnectionOptions,
    pool: Pool,
    words: Shared,
    claims: Shared,
    /// Unix ms until which the last look at the server's memory stands, and what it said.
    pub(super) memory_seen: AtomicU64,
}

impl Node {
    pub(super) fn new(info: ConnectionInfo, options: ConnectionOptions) -> Result<Self, Error> {
        let unusable = |error: redis::RedisError| {
            Error::Unreachable(format!("the address is not usable: {error}"))
        };
        let keepalive = socket2::TcpKeepalive::new()
            .with_time(Duration::from_secs(15))
            .with_interval(Duration::from_secs(5));
        let tcp = TcpSettings::default()
            .set_nodelay(true)
            .set_keepalive(keepalive)
            .set_user_timeout(Duration::from_secs(30));
        let info = info.set_tcp_settings(tcp);
        let connect = Duration::from_millis(options.connect_timeout_ms);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(connect))
            .set_response_timeout(Some(Duration::from_millis(options.response_timeout_ms)));
        let manager = Manager::new_with_config(info.clone(), config).map_err(unusable)?;
        let pool = Pool::builder(manager)
            .max_size(options.pool_size)
            .wait_timeout(Some(connect))
            .create_timeout(Some(connect))
            .recycle_timeout(Some(connect))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| Error::Unreachable(error.to_string()))?;
        Ok(Self {
            info,
            options,
            pool,
            words: Shared::default(),
            claims: Shared::default(),
            memory_seen: AtomicU64::new(0),
        })
    }

    /// Its address, for people.
    pub(super) fn name(&self) -> String {
        self.info.addr().to_string()
    }

    /// Where it is.
    pub(super) fn host(&self) -> String {
        match self.info.addr() {
            ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host.clone(),
            _ => String::new(),
        }
    }

    fn line(&self, line: Line) -> &Shared {
        match line {
            Line::Words => &self.words,
            Line::Claims => &self.claims,
        }
    }

    /// A connection for ordinary commands. Clones share one socket and pipeline by themselves, which
    /// costs a fraction of taking a pooled one (and its PING) for each call.
    pub(super) async fn get(self: &Arc<Self>, line: Line) -> Result<MultiplexedConnection, Error> {
        let shared = self.line(line);
        if let Some(connection) = shared.get() {
            return Ok(connection);
        }
        let node = Arc::clone(self);
        let connected = shared.connecting.done(|| node.connect(line)).await;
        connected.unwrap_or_else(|| Err(Error::Unreachable("connecting broke off".to_owned())))
    }

    async fn connect(self: Arc<Self>, line: Line) -> Result<MultiplexedConnection, Error> {
        let shared = self.line(line);
        if let Some(connection) = shared.get() {
            return Ok(connection);
        }
        let pooled = self.pool.get().await;
        let pooled = pooled.map_err(|error| Error::Unreachable(error.to_string()))?;
        // Taken out of the pool, which would give the same one to the other line as well.
        let connection = deadpool_redis::Connection::take(pooled);
        *shared.lock() = Some(connection.clone());
        Ok(connection)
    }

    /// Forgets a shared connection after an error on it, so that the next call makes a new one.
    pub(super) fn forget(&self, line: Line) {
        *self.line(line).lock() = None;
    }

    /// A connection that nobody else uses, for what waits: no response timeout, its user says how long.
    pub(super) fn dedicated(&self) -> BoxFuture<'_, Result<MultiplexedConnection, Error>> {
        async {
            let client = Client::open(self.info.clone())
                .map_err(|error| Error::Unreachable(error.to_string()))?;
            let connect = Duration::from_millis(self.options.connect_timeout_ms);
            let config = AsyncConnectionConfig::new()
                .set_connection_timeout(Some(connect))
                .set_response_timeout(None);
            // The greeting has no limit of its own.
            let greeted = client.get_multiplexed_async_connection_with_config(&config);
            match tokio::time::timeout(connect, greeted).await {
                Ok(connection) => connection.map_err(|e| Error::Unreachable(e.to_string())),
                Err(_) => Err(Error::Unreachable(format!(
                    "{} does not answer",
                    self.name()
                ))),
            }
        }
        .boxed()
    }
}
