//! Passes Envoy's configuration streams (delta and state of the world) through to the control
//! plane, message bytes untouched. The two directions are independent and each waits for its
//! reader (HTTP/2 flow control), so memory does not grow with the configuration and neither
//! direction can hold up the other.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, Request, Response, Uri};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use tokio::net::UnixListener;
use tokio::task::JoinSet;

use crate::body::Streamed;
use crate::control_plane::{ControlPlane, Unreachable};
use crate::grpc::{self, Code, status};
use crate::listener::{self, Limits};
use crate::metrics::Metrics;

/// Envoy opens one connection for each stream and has one stream at a time; a few more may be
/// ending. Further ones wait to be accepted until one has ended.
const MOST_CONNECTIONS: usize = 8;
const LIMITS: Limits = Limits {
    streams: 4,
    window: 256 * 1024,
};

const METHODS: [&str; 2] = [
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources",
];

/// Serves streams until it is dropped.
pub async fn serve(
    listener: UnixListener,
    control_plane: Arc<ControlPlane>,
    metrics: Arc<Metrics>,
) -> Infallible {
    listener::serve(listener, MOST_CONNECTIONS, "Envoy", |stream| {
        let (control_plane, metrics) = (control_plane.clone(), metrics.clone());
        listener::http2(stream, LIMITS, "Envoy", move |request| {
            let (control_plane, metrics) = (control_plane.clone(), metrics.clone());
            async move { relay(request, &control_plane, metrics).await }
        })
    })
    .await
}

/// Answers one stream with the control plane's answer, or with a gRPC status after which Envoy
/// waits and tries again.
async fn relay(
    request: Request<Incoming>,
    control_plane: &ControlPlane,
    metrics: Arc<Metrics>,
) -> Response<Relayed> {
    if !METHODS.contains(&request.uri().path()) {
        let message = format!("{} is not served here", request.uri().path());
        return refusal(Code::Unimplemented, &message);
    }
    match open(request, control_plane, &metrics).await {
        Ok(response) => response,
        Err(refused) => {
            metrics.connection_failures.increment();
            tracing::warn!("no configuration stream: {refused}");
            refusal(refused.code(), &refused.to_string())
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    #[error("{address} ended the stream before it answered: {}", cause(error))]
    NotAnswered {
        address: String,
        error: hyper::Error,
    },
    #[error("{address:?} is not an address: {error}")]
    Address { address: String, error: http::Error },
}

impl Refused {
    fn code(&self) -> Code {
        match self {
            Refused::Unreachable(Unreachable::Token { .. } | Unreachable::NotAToken { .. }) => {
                Code::Unauthenticated
            }
            _ => Code::Unavailable,
        }
    }
}

async fn open(
    request: Request<Incoming>,
    control_plane: &ControlPlane,
    metrics: &Arc<Metrics>,
) -> Result<Response<Relayed>, Refused> {
    let uri = target(control_plane, request.uri()).map_err(|error| Refused::Address {
        address: control_plane.address.clone(),
        error,
    })?;
    let mut headers = of_grpc(request.headers());
    headers.extend(control_plane.headers()?);
    let mut connection = control_plane.connect().await?;

    let mut outgoing = Request::new(Streamed::passing(request.into_body()));
    *outgoing.method_mut() = http::Method::POST;
    *outgoing.uri_mut() = uri;
    *outgoing.headers_mut() = headers;
    let response = connection
        .sender
        .send_request(outgoing)
        .await
        .map_err(|error| {
            // With TLS 1.3 a server refuses a certificate after the handshake.
            control_plane.failed_with(connection.shown.take());
            Refused::NotAnswered {
                address: control_plane.address.clone(),
                error,
            }
        })?;
    metrics.stream_opened.send_modify(|count| *count += 1);
    tracing::info!(
        "connected to the control plane at {}",
        control_plane.address
    );

    let complete = response.headers().contains_key(grpc::STATUS);
    Ok(response.map(|body| Relayed {
        state: State::Passing {
            body,
            complete,
            _connection: connection.driver,
        },
        metrics: Some(metrics.clone()),
    }))
}

/// The innermost reason; hyper's own words only say where it happened.
fn cause(error: &hyper::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn target(control_plane: &ControlPlane, asked: &Uri) -> Result<Uri, http::Error> {
    let path = asked.path_and_query().map_or("/", PathAndQuery::as_str);
    Uri::builder()
        .scheme(control_plane.scheme())
        .authority(Authority::try_from(control_plane.address.as_str())?)
        .path_and_query(path)
        .build()
}

/// The headers that gRPC defines; what else Envoy adds is for its own hop.
fn of_grpc(headers: &HeaderMap) -> HeaderMap {
    headers
        .iter()
        .filter(|(name, _)| {
            matches!(name.as_str(), "content-type" | "te" | "user-agent")
                || name.as_str().starts_with("grpc-")
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// A stream that ends as it begins.
fn refusal(code: Code, message: &str) -> Response<Relayed> {
    let mut response = Response::new(Relayed {
        state: State::Ended,
        metrics: None,
    });
    *response.headers_mut() = status(code, message);
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, grpc::CONTENT_TYPE);
    response
}

/// The control plane's answer on its way to Envoy. Ends with a gRPC status however it ends.
struct Relayed {
    state: State,
    metrics: Option<Arc<Metrics>>,
}

enum State {
    Passing {
        body: Incoming,
        /// Whether a gRPC status has been passed on already.
        complete: bool,
        /// Drives `body`; ends with it.
        _connection: JoinSet<()>,
    },
    Ended,
}

impl Body for Relayed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let State::Passing { body, complete, .. } = &mut self.state else {
            return Poll::Ready(None);
        };
        let message = match std::task::ready!(Pin::new(body).poll_frame(context)) {
            Some(Ok(frame)) => {
                if frame.is_trailers() {
                    *complete = true;
                }
                return Poll::Ready(Some(Ok(frame)));
            }
            None if *complete => {
                tracing::info!("the control plane ended the configuration stream");
                self.state = State::Ended;
                return Poll::Ready(None);
            }
            None => "the control plane ended the stream without a status".to_owned(),
            Some(Err(error)) => {
                format!("the stream to the control plane broke: {}", cause(&error))
            }
        };
        tracing::warn!("{message}");
        self.state = State::Ended;
        if let Some(metrics) = &self.metrics {
            metrics.control_plane_terminations.increment();
        }
        let trailers = status(Code::Unavailable, &message);
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.state {
            State::Passing { body, complete, .. } => *complete && body.is_end_stream(),
            State::Ended => true,
        }
    }
}

impl Drop for Relayed {
    fn drop(&mut self) {
        if let (
            State::Passing {
                complete: false, ..
            },
            Some(metrics),
        ) = (&self.state, &self.metrics)
        {
            metrics.envoy_terminations.increment();
        }
    }
}

#[cfg(test)]
mod tests;
