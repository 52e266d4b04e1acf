//! One address in front of servers that come and go: which one answers is the test's word, and so is after how
//! many calls of scripts no other gets through.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use meterline::dev::redis::PrivateRedis;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::tap::wire::Wire;

/// An address on this machine; nothing listens there any more once it is dropped.
pub(crate) struct Front {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    /// The socket of the server behind it, and what cuts the connections there.
    target: Mutex<(PathBuf, CancellationToken)>,
    /// Calls of scripts that still get through.
    left: AtomicI64,
    /// Somebody waits for an answer that will not come.
    stuck: Notify,
    /// What never reached the server may go on.
    released: Notify,
    end: CancellationToken,
}

fn socket(server: &PrivateRedis) -> PathBuf {
    server.dir().join("redis.sock")
}

impl Front {
    pub(crate) async fn of(server: &PrivateRedis) -> Self {
        let shared = Arc::new(Shared {
            target: Mutex::new((socket(server), CancellationToken::new())),
            left: AtomicI64::new(i64::MAX),
            stuck: Notify::new(),
            released: Notify::new(),
            end: CancellationToken::new(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let open = Arc::clone(&shared);
        tokio::spawn(async move {
            loop {
                let client = tokio::select! {
                    () = open.end.cancelled() => return,
                    accepted = listener.accept() => accepted.expect("a client").0,
                };
                tokio::spawn(Arc::clone(&open).serve(client));
            }
        });
        Self { port, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Another server answers from here on; whoever was connected is cut off.
    pub(crate) fn turn_to(&self, server: &PrivateRedis) {
        let mut target = self.shared.target.lock().expect("the target");
        target.1.cancel();
        *target = (socket(server), CancellationToken::new());
    }

    /// So many calls of scripts get through, the last one without its answer; then none does.
    pub(crate) fn let_through(&self, calls: i64) {
        self.shared.left.store(calls, Ordering::SeqCst);
    }

    /// Everything gets through again, and first what waits for it.
    pub(crate) fn release(&self) {
        self.let_through(i64::MAX);
        self.shared.released.notify_waiters();
    }

    /// Waits until somebody waits in vain.
    pub(crate) async fn stuck(&self) {
        self.shared.stuck.notified().await;
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.shared.end.cancel();
        self.shared.target.lock().expect("the target").1.cancel();
    }
}

impl Shared {
    async fn serve(self: Arc<Self>, client: TcpStream) {
        client.set_nodelay(true).expect("no delay");
        let (path, cut) = self.target.lock().expect("the target").clone();
        // A server that is dead refuses, and so does its address.
        let Ok(server) = UnixStream::connect(path).await else {
            return;
        };
        tokio::select! {
            () = cut.cancelled() => {}
            () = self.carry(Wire::new(client), Wire::new(server)) => {}
        }
    }

    async fn carry(&self, mut client: Wire<TcpStream>, mut server: Wire<UnixStream>) {
        while let Some(words) = client.request().await {
            let is_script = words[0].eq_ignore_ascii_case(b"EVALSHA");
            let left = if is_script {
                self.left.fetch_sub(1, Ordering::SeqCst)
            } else {
                i64::MAX
            };
            if left <= 0 {
                let mut released = std::pin::pin!(self.released.notified());
                released.as_mut().enable();
                self.stuck.notify_one();
                released.await;
            }
            let Some(reply) = server.ask(&words).await else {
                return;
            };
            if is_script && left == 1 {
                self.stuck.notify_one();
                std::future::pending::<()>().await;
            }
            if client.say(&reply).await.is_err() {
                return;
            }
        }
    }
}
