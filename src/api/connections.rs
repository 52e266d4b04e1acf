//! Connections: taken up to a limit, closed in time where they are silent or slow, drained at the end.
//!
//! What a silent peer can hold is one of the counted places, for `header_timeout` before its first request
//! and for `idle_timeout` between two.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::held::held;
use crate::config;

/// Wait after the system refused a connection, having too many open files for one.
const AFTER_ACCEPT_ERROR: Duration = Duration::from_millis(50);
/// After so long without an acknowledgement of what was sent, the peer is gone.
const PEER_GONE_AFTER: Duration = Duration::from_secs(30);
/// Requests of one HTTP/2 connection at a time.
const HTTP2_STREAMS_MAX: u32 = 128;
/// Between two signs of life on an HTTP/2 connection.
const HTTP2_PING_EVERY: Duration = Duration::from_secs(20);

/// What is said to a connection for which there is no room.
const NO_ROOM: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n\
Content-Type: application/problem+json\r\nContent-Length: 127\r\n\r\n\
{\"type\":\"/problems/overloaded\",\"title\":\"The server has as much to do as it takes\",\"status\":503,\"detail\":\"too many connections\"}";

/// How long a connection may take for what.
#[derive(Debug, Clone, Copy)]
struct Times {
    header: Duration,
    idle: Duration,
}

/// Takes connections until `stop`, then lets requests under way end for at most `drain_max_ms`.
pub(super) async fn serve(
    listener: TcpListener,
    app: Router,
    settings: &config::Api,
    stop: CancellationToken,
) {
    let times = Times {
        header: Duration::from_millis(settings.header_timeout_ms),
        idle: Duration::from_millis(settings.idle_timeout_ms),
    };
    let (room, tasks) = (
        Arc::new(Semaphore::new(settings.connections_max as usize)),
        TaskTracker::new(),
    );
    let (builder, end_now) = (Arc::new(builder(times)), CancellationToken::new());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "failed to take a connection");
                tokio::time::sleep(AFTER_ACCEPT_ERROR).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
            // The kernel takes so little at once; where it does not, the peer sees it closed.
            let _ = stream.try_write(NO_ROOM);
            continue;
        };
        let connection = Connection {
            app: app.clone(),
            builder: Arc::clone(&builder),
            times,
            stop: stop.clone(),
            _place: place,
        };
        let end_now = end_now.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = connection.run(stream) => {}
                () = end_now.cancelled() => {}
            }
        });
    }
    drop(listener);
    tasks.close();
    let drain = Duration::from_millis(settings.drain_max_ms);
    if tokio::time::timeout(drain, tasks.wait()).await.is_err() {
        tracing::warn!(
            connections = tasks.len(),
            "connections are cut: they took longer to end than api.drain_max_ms"
        );
        end_now.cancel();
        tasks.wait().await;
    }
}

fn builder(times: Times) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(times.header);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HTTP2_PING_EVERY)
        .max_concurrent_streams(HTTP2_STREAMS_MAX);
    builder
}

struct Connection {
    app: Router,
    builder: Arc<Builder<TokioExecutor>>,
    times: Times,
    stop: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    async fn run(self, stream: TcpStream) {
        let options = socket2::SockRef::from(&stream);
        let keepalive = socket2::TcpKeepalive::new().with_time(PEER_GONE_AFTER);
        // A peer that is gone without a word, or never reads, is noticed by the kernel.
        let set = stream
            .set_nodelay(true)
            .and_then(|()| options.set_tcp_keepalive(&keepalive))
            .and_then(|()| options.set_tcp_user_timeout(Some(PEER_GONE_AFTER)));
        if let Err(error) = set {
            tracing::debug!(%error, "failed to set a connection's options");
        }
        let activity = Activity::new();
        let requests = activity.clone();
        let app = self.app;
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let (turn, app) = (requests.begin(), app.clone());
            async move {
                let response = app.oneshot(request.map(Body::new)).await?;
                Ok::<_, Infallible>(response.map(|body| held(body, turn)))
            }
        });
        let mut connection = pin!(self.builder.serve_connection(TokioIo::new(stream), service));
        let mut is_stopping = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(error, "a connection ended early");
                    }
                    return;
                }
                () = self.stop.cancelled(), if !is_stopping => {
                    connection.as_mut().graceful_shutdown();
                    is_stopping = true;
                }
                () = activity.silence(self.times) => return,
            }
        }
    }
}

/// What goes on on one connection.
#[derive(Clone)]
struct Activity(Arc<Mutex<Now>>);

struct Now {
    requests: u32,
    /// Since when nothing is under way, or the connection stands.
    since: Instant,
    had_any: bool,
}

impl Activity {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Now {
            requests: 0,
            since: Instant::now(),
            had_any: false,
        })))
    }

    /// A request begins; it ends with what is returned.
    fn begin(&self) -> Turn {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        now.requests += 1;
        now.had_any = true;
        Turn(self.clone())
    }

    /// Until when it may be silent; `None` while a request is under way.
    fn silent_until(&self, times: Times) -> Option<Instant> {
        let now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let longest = if now.had_any {
            times.idle
        } else {
            times.header
        };
        (now.requests == 0).then(|| now.since + longest)
    }

    /// Waits until the connection has been silent for too long.
    async fn silence(&self, times: Times) {
        loop {
            match self.silent_until(times) {
                Some(until) if until <= Instant::now() => return,
                Some(until) => tokio::time::sleep_until(until).await,
                None => tokio::time::sleep(times.idle.min(times.header)).await,
            }
        }
    }
}

/// A request under way, until its answer's last byte.
struct Turn(Activity);

impl Drop for Turn {
    fn drop(&mut self) {
        let mut now = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        now.requests -= 1;
        now.since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_for_whom_there_is_no_room_is_well_formed() {
        let text = std::str::from_utf8(NO_ROOM).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("Content-Length: {}", body.len())),
            "{}",
            body.len()
        );
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["status"], 503);
    }
}
