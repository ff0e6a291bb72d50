//! A body: some bytes of our own, then another body passed on as it comes.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::task::JoinSet;

/// Own bytes first, then those of another body. Nothing is collected.
#[derive(Debug, Default)]
pub struct Streamed {
    first: Option<Bytes>,
    rest: Option<Incoming>,
    /// Drives `rest`; ends with it.
    _connection: JoinSet<()>,
}

impl Streamed {
    /// Only bytes of our own.
    pub fn text(text: impl Into<Bytes>) -> Streamed {
        Streamed {
            first: Some(text.into()),
            ..Streamed::default()
        }
    }

    /// The body of a request, passed on; what it came over outlives it.
    pub fn passing(rest: Incoming) -> Streamed {
        Streamed {
            rest: Some(rest),
            ..Streamed::default()
        }
    }

    /// Puts `first` before the body of a response that `connection` brings.
    pub fn before(first: Bytes, rest: Incoming, connection: JoinSet<()>) -> Streamed {
        Streamed {
            first: Some(first),
            rest: Some(rest),
            _connection: connection,
        }
    }
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        match &mut self.rest {
            Some(rest) => Pin::new(rest).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.first, &self.rest) {
            (Some(first), None) => SizeHint::with_exact(first.len() as u64),
            (None, None) => SizeHint::with_exact(0),
            (None, Some(rest)) => rest.size_hint(),
            (Some(_), Some(_)) => SizeHint::default(),
        }
    }
}
