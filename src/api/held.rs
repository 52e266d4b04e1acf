//! A body that keeps something until it is sent or dropped: a request's turn, a place among downloads.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};

/// The same body, with what is freed behind its last byte.
pub(super) fn held(body: Body, kept: impl Send + Unpin + 'static) -> Body {
    Body::new(Held { body, _kept: kept })
}

struct Held<K> {
    body: Body,
    _kept: K,
}

impl<K: Unpin> http_body::Body for Held<K> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
