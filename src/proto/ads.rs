//! The aggregated discovery service behind a trait object.
//!
//! Requests are decoded here and nowhere else. Responses come encoded, in parts that many streams
//! share, and go to the transport as they are: a large one is never copied for each of its readers.

mod incoming;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use futures::Stream;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame};
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::{Code, Status};

use crate::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};

/// What one side of a stream sends, until its last item.
pub type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// An encoded response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// What is the same for all who get it.
    pub body: Bytes,
    /// The stream's own, small.
    pub own: Bytes,
}

/// The connection that a stream came over: extensions of its HTTP request and the authorization header.
pub struct Caller {
    /// gRPC metadata of the request.
    pub metadata: tonic::metadata::MetadataMap,
    /// What the listener put beside the request: peer address, client certificates.
    pub extensions: tonic::Extensions,
}

/// Both variants of the aggregated discovery service.
#[tonic::async_trait]
pub trait Discovery: Send + Sync + 'static {
    /// State of the world: each response carries every resource of its type.
    ///
    /// # Errors
    /// The status with which the stream is refused.
    async fn stream(
        &self,
        caller: Caller,
        requests: Messages<DiscoveryRequest>,
    ) -> Result<Messages<Encoded>, Status>;

    /// Incremental: each response carries what changed.
    ///
    /// # Errors
    /// The status with which the stream is refused.
    async fn delta(
        &self,
        caller: Caller,
        requests: Messages<DeltaDiscoveryRequest>,
    ) -> Result<Messages<Encoded>, Status>;
}

/// The service as routes; `max_request` is the largest request in bytes that is read.
pub fn routes(discovery: Arc<dyn Discovery>, max_request: usize) -> Routes {
    Routes::new(Service {
        discovery,
        max_request,
    })
}

#[derive(Clone)]
struct Service {
    discovery: Arc<dyn Discovery>,
    max_request: usize,
}

impl NamedService for Service {
    const NAME: &'static str = "envoy.service.discovery.v3.AggregatedDiscoveryService";
}

impl tonic::codegen::Service<Request<Body>> for Service {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Service {
            discovery,
            max_request,
        } = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let caller = Caller {
                metadata: tonic::metadata::MetadataMap::from_headers(parts.headers),
                extensions: parts.extensions,
            };
            let method = parts.uri.path().rsplit('/').next().unwrap_or_default();
            let opened = match method {
                "DeltaAggregatedResources" => {
                    discovery.delta(caller, decoded(body, max_request)).await
                }
                "StreamAggregatedResources" => {
                    discovery.stream(caller, decoded(body, max_request)).await
                }
                _ => Err(Status::new(Code::Unimplemented, "no such method")),
            };
            Ok(match opened {
                Ok(responses) => {
                    let mut response = Response::new(Body::new(Sending {
                        responses: Some(responses),
                        waiting: VecDeque::new(),
                    }));
                    let grpc = tonic::metadata::GRPC_CONTENT_TYPE;
                    let headers = response.headers_mut();
                    headers.insert(http::header::CONTENT_TYPE, grpc);
                    response
                }
                Err(status) => status.into_http(),
            })
        })
    }
}

fn decoded<T: prost::Message + Default + Send + 'static>(
    body: Body,
    max_request: usize,
) -> Messages<T> {
    Box::pin(incoming::Incoming::new(body, max_request))
}

/// Bodies below this are copied behind the rest of their message, so that one frame carries both.
const SMALL: usize = 4096;

/// Responses as the body of the HTTP response. Nothing is asked for while the reader's window is
/// full, so that at most one message waits here.
struct Sending {
    responses: Option<Messages<Encoded>>,
    waiting: VecDeque<Bytes>,
}

impl Sending {
    fn enqueue(&mut self, message: Encoded) {
        let Encoded { body, own } = message;
        let length = body.len() + own.len();
        let together = if body.len() < SMALL {
            length
        } else {
            own.len()
        };
        let mut first = BytesMut::with_capacity(5 + together);
        // Not compressed.
        first.put_u8(0);
        first.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
        first.put(own);
        if body.len() < SMALL {
            first.put(body);
            self.waiting.push_back(first.freeze());
        } else {
            self.waiting.push_back(first.freeze());
            self.waiting.push_back(body);
        }
    }
}

impl HttpBody for Sending {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            if let Some(bytes) = self.waiting.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            let Some(responses) = &mut self.responses else {
                return Poll::Ready(None);
            };
            let status = match responses.as_mut().poll_next(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(message))) => {
                    self.enqueue(message);
                    continue;
                }
                Poll::Ready(Some(Err(status))) => status,
                Poll::Ready(None) => Status::ok(""),
            };
            self.responses = None;
            let mut trailers = http::HeaderMap::new();
            return Poll::Ready(match status.add_header(&mut trailers) {
                Ok(()) => Some(Ok(Frame::trailers(trailers))),
                Err(status) => Some(Err(status)),
            });
        }
    }
}
