//! A simulated provider: a generation API over HTTP that makes real media and fails when asked to.
//!
//! It keeps everything in memory and forgets it when it stops. Its `/_sim/` pages say what a real
//! provider's bill would say: how many generations were started for which submission.

use std::convert::Infallible;
use std::io;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

mod answers;
mod book;
mod files;
mod generations;
mod http;
mod knobs;
pub mod making;

/// Serves until `shutdown`, then closes every connection, answered or not.
///
/// # Errors
/// Those of the listener. A broken connection ends alone.
pub async fn serve(listener: TcpListener, shutdown: CancellationToken) -> io::Result<()> {
    let router = http::router();
    // Dropping the set, by shutdown or by error, ends its connections.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            accepted = listener.accept() => match accepted {
                Ok((stream, _peer)) => {
                    connections.spawn(serve_connection(stream, router.clone()));
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => return Err(error),
            },
            Some(_ended) = connections.join_next() => {}
        }
    }
}

/// A peer that went away before it was accepted says nothing about the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

async fn serve_connection(stream: TcpStream, router: Router) {
    let service = TowerToHyperService::new(router);
    let answering = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        answer(service.clone(), request)
    });
    // An error here is a caller that left, or an answer that was held back on purpose.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), answering)
        .await;
}

/// Answers, or fails so that the connection is closed without an answer.
async fn answer(
    service: TowerToHyperService<Router>,
    request: hyper::Request<Incoming>,
) -> Result<Response, io::Error> {
    let request: Request = request.map(axum::body::Body::new);
    let answered: Result<Response, Infallible> = service.call(request).await;
    match answered {
        Ok(response) if response.extensions().get::<answers::HangUp>().is_some() => {
            Err(io::ErrorKind::ConnectionAborted.into())
        }
        Ok(response) => Ok(response),
    }
}
