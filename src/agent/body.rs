//! A body: some bytes of our own, then other bodies passed on as they come.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::task::JoinSet;

/// Own bytes first, then those of other bodies. Nothing is collected.
#[derive(Debug, Default)]
pub struct Streamed {
    first: Option<Bytes>,
    /// Each with what drives it, which ends with it.
    rest: VecDeque<(Incoming, JoinSet<()>)>,
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
            rest: VecDeque::from([(rest, JoinSet::new())]),
            ..Streamed::default()
        }
    }

    /// Adds the body of a response that `connection` brings.
    pub fn then(mut self, rest: Incoming, connection: JoinSet<()>) -> Streamed {
        self.rest.push_back((rest, connection));
        self
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
        while let Some((body, _)) = self.rest.front_mut() {
            match std::task::ready!(Pin::new(body).poll_frame(context)) {
                Some(frame) => return Poll::Ready(Some(frame)),
                None => {
                    self.rest.pop_front();
                }
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.iter().all(|(rest, _)| rest.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let own = self.first.as_ref().map_or(0, Bytes::len) as u64;
        match (own, self.rest.len()) {
            (own, 0) => SizeHint::with_exact(own),
            (0, 1) => self.rest[0].0.size_hint(),
            _ => SizeHint::default(),
        }
    }
}
