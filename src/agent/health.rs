//! The agent's status port: readiness, metrics, probes of the application, and the two requests that
//! end or drain the proxy and are answered only to callers in the same pod.

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

use crate::admin::Local;
use crate::app_metrics::AppMetrics;
use crate::app_probe::AppProbes;
use crate::body::Streamed;
use crate::drain::{Drain, SkipExit};
use crate::listener;
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
    /// What the kubelet asks of the application.
    pub probes: AppProbes,
    /// What Prometheus asks of the application.
    pub application: AppMetrics,
}

/// Serves until it is dropped.
pub async fn serve(listener: TcpListener, status: Arc<Status>) -> Infallible {
    listener::serve(
        listener,
        MOST_CONNECTIONS,
        "the status port",
        |(stream, peer)| connection(stream, peer, status.clone()),
    )
    .await
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
        (path, _) if path.starts_with("/app-health/") || path.starts_with("/app-lifecycle/") => {
            let outcome = status.probes.answer(request).await;
            text(outcome.status, outcome.body)
        }
        _ => text(StatusCode::NOT_FOUND, "no such path\n"),
    }
}

/// The agent's metrics, then Envoy's and the application's as they come. Who does not answer is left out: that it does
/// not is one of the agent's metrics, at the next scrape.
async fn metrics<B>(request: &Request<B>, status: &Status) -> Response<Streamed> {
    const KIND: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    let path = match request.uri().query() {
        Some(query) => format!("/stats/prometheus?{query}"),
        None => "/stats/prometheus".to_owned(),
    };
    let mut body = Streamed::text(status.metrics.text());
    match status.admin.send(Method::GET, &path, Bytes::new()).await {
        Ok(envoy) if envoy.response.status() == StatusCode::OK => {
            body = body.then(envoy.response.into_body(), envoy.connection);
        }
        Ok(envoy) => {
            tracing::warn!("envoy answered {} to {path}", envoy.response.status());
        }
        Err(error) => tracing::warn!("no metrics from envoy: {error}"),
    }
    let (answers, failures) = status.application.scrape().await;
    status.metrics.application_failures.add(failures);
    let mut kind = KIND;
    // The application's come last: in OpenMetrics they have an end.
    for answer in answers {
        let (head, rest) = answer.response.into_parts();
        kind = head.headers.get(CONTENT_TYPE).cloned().unwrap_or(KIND);
        body = body.then(rest, answer.connection);
    }
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
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
