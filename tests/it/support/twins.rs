//! Two private servers, one following the other, and the moment at which the follower is promoted.

use meterline::dev::redis::PrivateRedis;
use meterline::store::Store;
use redis::aio::MultiplexedConnection;

use super::ports::free_port;
use super::{options, plain_redis};

/// A master on a port of its own, and a replica.
pub(crate) struct Twins {
    pub(crate) master: PrivateRedis,
    pub(crate) replica: PrivateRedis,
}

async fn connection(server: &PrivateRedis) -> MultiplexedConnection {
    let client = redis::Client::open(server.url()).expect("a client");
    // WAIT answers when it is so, however busy the machine is.
    let patient = redis::AsyncConnectionConfig::new().set_response_timeout(None);
    client
        .get_multiplexed_async_connection_with_config(&patient)
        .await
        .expect("a connection")
}

async fn run<T: redis::FromRedisValue>(server: &PrivateRedis, words: &[&str]) -> T {
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    command
        .query_async(&mut connection(server).await)
        .await
        .expect(words[0])
}

impl Twins {
    /// Starts both; the replica has everything that the master has.
    pub(crate) async fn start() -> Self {
        // Port 0 means none.
        let port = free_port();
        let mut served = plain_redis();
        served.extra = [
            "--port",
            &port.to_string(),
            "--repl-diskless-sync-delay",
            "0",
        ]
        .map(str::to_owned)
        .into();
        let twins = Self {
            master: PrivateRedis::start(served).expect("a master"),
            replica: PrivateRedis::start(plain_redis()).expect("a replica"),
        };
        let _: String = run(
            &twins.replica,
            &["REPLICAOF", "127.0.0.1", &port.to_string()],
        )
        .await;
        loop {
            let role: Vec<redis::Value> = run(&twins.replica, &["ROLE"]).await;
            if role.get(3) == Some(&redis::Value::BulkString(b"connected".to_vec())) {
                return twins;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn store(&self) -> Store {
        Store::open(&self.master.url(), options())
            .await
            .expect("a store")
    }

    /// Waits until the replica has what the master has.
    pub(crate) async fn level(&self) {
        // The master counts who has acknowledged everything written by this connection: write first.
        let mut link = connection(&self.master).await;
        let pipe = redis::pipe()
            .cmd("SET")
            .arg("level")
            .arg("1")
            .ignore()
            .cmd("WAIT")
            .arg(1)
            .arg(10_000)
            .to_owned();
        let (there,): (i64,) = pipe.query_async(&mut link).await.expect("WAIT");
        assert_eq!(there, 1);
    }

    /// The replica hears nothing from here on: it keeps what it has and waits for a master that is not
    /// there. (One that is only stopped finds in its socket what it missed.)
    pub(crate) async fn stall(&self) {
        let _: String = run(&self.replica, &["REPLICAOF", "127.0.0.1", "1"]).await;
    }

    /// The master dies, the replica becomes the master with what it had heard. Returns the store there.
    pub(crate) async fn fail_over(&mut self) -> Store {
        self.master.kill().expect("kill");
        let _: String = run(&self.replica, &["REPLICAOF", "NO", "ONE"]).await;
        Store::open(&self.replica.url(), options())
            .await
            .expect("a store")
    }
}
