//! Requests of a stream, out of the frames that they came in. Between two requests nothing is held: a control
//! plane has thousands of streams that are silent most of the time, and a subscription to every cluster is large.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use futures::Stream;
use http_body::Body as HttpBody;
use tonic::body::Body;
use tonic::{Code, Status};

/// Before every message: whether it is compressed, and its length.
const HEAD: usize = 5;
/// What is reserved for a message that has not come yet, at most.
const AHEAD: usize = 64 << 10;

/// The messages of a request body.
pub(super) struct Incoming<T> {
    /// Gone once it ended or broke.
    body: Option<Body>,
    /// The largest message that is read.
    max: usize,
    /// What came and was not looked at yet.
    frame: Bytes,
    /// The beginning of a message, with its head; empty between messages.
    begun: Vec<u8>,
    of: std::marker::PhantomData<fn() -> T>,
}

impl<T> Incoming<T> {
    pub(super) fn new(body: Body, max: usize) -> Self {
        Incoming {
            body: Some(body),
            max,
            frame: Bytes::new(),
            begun: Vec::new(),
            of: std::marker::PhantomData,
        }
    }

    /// The length of the message behind this head.
    fn length(&self, head: &[u8]) -> Result<usize, Status> {
        let [compressed, a, b, c, d] = *head.first_chunk::<HEAD>().expect("a whole head");
        if compressed != 0 {
            return Err(Status::unimplemented("compressed requests are not read"));
        }
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length > self.max {
            return Err(Status::out_of_range(format!(
                "a request of {length} bytes, at most {} are read",
                self.max
            )));
        }
        Ok(length)
    }
}

impl<T: prost::Message + Default> Incoming<T> {
    /// A message that is there as a whole.
    fn whole(&mut self) -> Result<Option<T>, Status> {
        if self.begun.is_empty() {
            if self.frame.len() >= HEAD {
                let end = HEAD + self.length(&self.frame)?;
                if self.frame.len() >= end {
                    let made = decoded(&self.frame[HEAD..end]);
                    self.passed(end);
                    return made.map(Some);
                }
            }
            if self.frame.is_empty() {
                return Ok(None);
            }
        }
        if self.begun.len() < HEAD {
            self.take(HEAD);
            if self.begun.len() < HEAD {
                return Ok(None);
            }
        }
        let end = HEAD + self.length(&self.begun)?;
        if self.begun.len() == HEAD {
            self.begun.reserve_exact((end - HEAD).min(AHEAD));
        }
        self.take(end);
        if self.begun.len() < end {
            return Ok(None);
        }
        let message = std::mem::take(&mut self.begun);
        decoded(&message[HEAD..]).map(Some)
    }

    /// Puts what came to what has begun, up to a length.
    fn take(&mut self, up_to: usize) {
        let more = (up_to - self.begun.len()).min(self.frame.len());
        self.begun.extend_from_slice(&self.frame[..more]);
        self.passed(more);
    }

    /// Forgets the first bytes of the frame, and with the last of them the memory that it is in.
    fn passed(&mut self, bytes: usize) {
        if bytes == self.frame.len() {
            self.frame = Bytes::new();
        } else {
            self.frame.advance(bytes);
        }
    }
}

fn decoded<T: prost::Message + Default>(bytes: &[u8]) -> Result<T, Status> {
    T::decode(bytes).map_err(|error| Status::invalid_argument(format!("not a request: {error}")))
}

impl<T: prost::Message + Default> Stream for Incoming<T> {
    type Item = Result<T, Status>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<T, Status>>> {
        loop {
            let ended = match self.whole() {
                Ok(Some(message)) => return Poll::Ready(Some(Ok(message))),
                Ok(None) => None,
                Err(status) => Some(status),
            };
            if let Some(status) = ended {
                self.body = None;
                (self.frame, self.begun) = (Bytes::new(), Vec::new());
                return Poll::Ready(Some(Err(status)));
            }
            let Some(body) = &mut self.body else {
                return Poll::Ready(None);
            };
            let frame = match Pin::new(body).poll_frame(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(frame) => frame,
            };
            match frame {
                Some(Ok(frame)) => {
                    // Trailers of a request say nothing.
                    if let Ok(data) = frame.into_data() {
                        self.frame = data;
                    }
                }
                Some(Err(status)) => {
                    self.body = None;
                    return Poll::Ready(match status.code() {
                        Code::Cancelled => None,
                        _ => Some(Err(status)),
                    });
                }
                None => {
                    self.body = None;
                    let within = !self.begun.is_empty();
                    self.begun = Vec::new();
                    return Poll::Ready(
                        within.then(|| Err(Status::internal("the stream ended within a request"))),
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
