//! A proxy in front of a server that loses answers: what was asked is done, and nobody hears of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Proxies that lose answers together.
pub(crate) struct Lossy {
    /// Every so-many-th answer is lost, and its connection with it; 0 = none.
    every: Arc<AtomicU64>,
    lost: Arc<AtomicU64>,
    _stop: DropGuard,
}

impl Lossy {
    /// Listens on the first port of each pair, in front of the server on the second.
    pub(crate) async fn start(pairs: &[(u16, u16)]) -> Self {
        let stop = CancellationToken::new();
        let lossy = Self {
            every: Arc::default(),
            lost: Arc::default(),
            _stop: stop.clone().drop_guard(),
        };
        let seen = Arc::new(AtomicU64::new(0));
        for (port, server) in pairs.iter().copied() {
            let listener = TcpListener::bind(("127.0.0.1", port))
                .await
                .expect("the port");
            let pass = Pass {
                every: Arc::clone(&lossy.every),
                lost: Arc::clone(&lossy.lost),
                seen: Arc::clone(&seen),
            };
            tokio::spawn(
                stop.clone()
                    .run_until_cancelled_owned(listen(listener, server, pass)),
            );
        }
        lossy
    }

    /// From now on every `n`th answer is lost; 0 = none.
    pub(crate) fn lose_every(&self, n: u64) {
        self.every.store(n, Ordering::Relaxed);
    }

    /// How many answers were lost.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

#[derive(Clone)]
struct Pass {
    every: Arc<AtomicU64>,
    lost: Arc<AtomicU64>,
    seen: Arc<AtomicU64>,
}

async fn listen(listener: TcpListener, server: u16, pass: Pass) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let pass = pass.clone();
        client.set_nodelay(true).expect("no delay");
        connections.spawn(async move {
            if let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await {
                server.set_nodelay(true).expect("no delay");
                pass.between(client, server).await;
            }
        });
    }
}

impl Pass {
    /// Until one side has gone, or an answer is lost: then both go.
    async fn between(self, client: TcpStream, server: TcpStream) {
        let (mut asked, mut told) = client.into_split();
        let (mut answers, mut asks) = server.into_split();
        let up = async { tokio::io::copy(&mut asked, &mut asks).await.map(|_| ()) };
        let down = async {
            let mut bytes = vec![0; 1 << 16];
            loop {
                let n = answers.read(&mut bytes).await?;
                let every = self.every.load(Ordering::Relaxed);
                let seen = self.seen.fetch_add(1, Ordering::Relaxed) + 1;
                if n == 0 {
                    return Ok(());
                }
                if every > 0 && seen.is_multiple_of(every) {
                    self.lost.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                told.write_all(&bytes[..n]).await?;
            }
        };
        tokio::select! {
            _ = up => {}
            _ = async { let _: std::io::Result<()> = down.await; } => {}
        }
    }
}
