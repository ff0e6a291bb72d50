//! The agent's status port: readiness, metrics, and the two requests that end or drain the proxy
//! and are answered only to callers in the same pod.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::admin::Local;
use crate::body::Streamed;
use crate::drain::{Drain, SkipExit};
use crate::metrics::Metrics;
use crate::readiness::Readiness;

/// Connections beyond these wait to be accepted until one has ended.
const MOST_CONNECTIONS: usize = 32;
/// How long a caller may take for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// What the status port speaks about.
#[derive(Debug)]
pub struct Status {
    /// Answers probes.
    pub readiness: Arc<Readiness>,
    /// Drains and ends the proxy.
    pub drain: Arc<Drain>,
    /// The agent's counters.
    pub metrics: Arc<Metrics>,
    /// Envoy's admin port.
    pub admin: Local,
}

/// Serves until it is dropped.
pub async fn serve(listener: TcpListener, status: Arc<Status>) -> Infallible {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= MOST_CONNECTIONS {
            connections.join_next().await;
        }
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, peer)) => {
                connections.spawn(connection(stream, peer, status.clone()));
            }
            Err(error) => {
                tracing::warn!("cannot accept a connection to the status port: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, status: Arc<Status>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let status = status.clone();
        async move { Ok::<_, Infallible>(answer(&request, peer.ip(), &status).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!("a connection to the status port ended: {error}");
    }
}

async fn answer<B>(request: &Request<B>, peer: IpAddr, status: &Status) -> Response<Streamed> {
    match (request.uri().path(), request.method()) {
        ("/healthz/ready", &Method::GET | &Method::HEAD) => match status.readiness.check().await {
            Ok(()) => text(StatusCode::OK, "ready\n"),
            Err(reason) => {
                tracing::debug!("not ready: {reason}");
                text(
                    StatusCode::SERVICE_UNAVAILABLE,
                    format!("not ready: {reason}\n"),
                )
            }
        },
        ("/stats/prometheus" | "/metrics", &Method::GET) => metrics(request, status).await,
        ("/quitquitquit" | "/drain", _) if !peer.to_canonical().is_loopback() => text(
            StatusCode::FORBIDDEN,
            "only requests from within the pod are answered\n",
        ),
        ("/quitquitquit", &Method::POST) => {
            status.drain.quit();
            text(StatusCode::OK, "OK\n")
        }
        ("/drain", &Method::POST) => match status.drain.listeners(SkipExit::Yes).await {
            Ok(()) => text(StatusCode::OK, "OK\n"),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        },
        ("/quitquitquit" | "/drain", _) => {
            let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "only POST is answered\n");
            let allowed = HeaderValue::from_static("POST");
            refusal.headers_mut().insert(ALLOW, allowed);
            refusal
        }
        _ => text(StatusCode::NOT_FOUND, "no such path\n"),
    }
}

/// The agent's metrics, then Envoy's as they come. Without an Envoy that answers, only the
/// agent's: that it does not answer is one of them for whoever scrapes.
async fn metrics<B>(request: &Request<B>, status: &Status) -> Response<Streamed> {
    let path = match request.uri().query() {
        Some(query) => format!("/stats/prometheus?{query}"),
        None => "/stats/prometheus".to_owned(),
    };
    let own = Bytes::from(status.metrics.text());
    let body = match status.admin.send(Method::GET, &path, Bytes::new()).await {
        Ok(envoy) if envoy.response.status() == StatusCode::OK => {
            Streamed::before(own, envoy.response.into_body(), envoy.connection)
        }
        Ok(envoy) => {
            tracing::warn!("envoy answered {} to {path}", envoy.response.status());
            Streamed::text(own)
        }
        Err(error) => {
            tracing::warn!("no metrics from envoy: {error}");
            Streamed::text(own)
        }
    };
    typed(
        StatusCode::OK,
        body,
        "text/plain; version=0.0.4; charset=utf-8",
    )
}

fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Streamed> {
    typed(status, Streamed::text(text), "text/plain; charset=utf-8")
}

fn typed(status: StatusCode, body: Streamed, kind: &'static str) -> Response<Streamed> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests;
