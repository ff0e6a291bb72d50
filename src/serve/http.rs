//! Listeners: accepting, TLS handshakes, and HTTP/1.1 or HTTP/2 connections with limits and a graceful end.
//! The router sees who connected as the request extension [`Peer`].

pub mod path;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;
use tracing::{debug, warn};

use crate::Shutdown;

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Pause after a failed accept; it fails again at once when file descriptors are exhausted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// Certificates that it proved to own, leaf first; empty without TLS or without a client certificate.
    pub certificates: Arc<[CertificateDer<'static>]>,
}

/// What lies between TCP and HTTP.
#[derive(Clone)]
pub enum Transport {
    /// Nothing.
    Plaintext,
    /// TLS with this configuration.
    Tls(Arc<ServerConfig>),
}

/// What a connection may do. The defaults are upstream's.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For the head of a request over HTTP/1.1.
    pub header_timeout: Duration,
    /// Between HTTP/2 pings.
    pub keepalive_interval: Duration,
    /// For the answer to a ping.
    pub keepalive_timeout: Duration,
    /// After this, plus or minus a tenth, a connection is asked to end. `None`: never.
    pub max_connection_age: Option<Duration>,
    /// For streams to end once the connection was asked to, before it is cut.
    pub grace: Duration,
    /// Concurrent HTTP/2 streams of a connection.
    pub max_streams: u32,
    /// What a client may send over HTTP/2 before it was read, in bytes: as much may have to be held for it.
    pub receive_window: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            header_timeout: Duration::from_secs(30),
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(10),
            max_connection_age: None,
            grace: Duration::from_secs(10),
            max_streams: 100_000,
            receive_window: 256 << 10,
        }
    }
}

/// Binds `address`; without a host, as in `:15012`, all addresses of both families.
///
/// # Errors
/// When the port is taken or the address is not one of this host.
pub async fn bind(address: &str) -> io::Result<TcpListener> {
    let Some(port) = address.strip_prefix(':') else {
        return TcpListener::bind(address).await;
    };
    match TcpListener::bind(format!("[::]:{port}")).await {
        // A host without IPv6.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported
            ) || error.raw_os_error() == Some(AF_NOT_SUPPORTED) =>
        {
            TcpListener::bind(format!("0.0.0.0:{port}")).await
        }
        bound => bound,
    }
}

/// EAFNOSUPPORT on Linux.
const AF_NOT_SUPPORTED: i32 = 97;

/// Serves `router` on every connection until `shutdown`, then lets streams end within [`Limits::grace`].
pub async fn serve(
    listener: TcpListener,
    transport: Transport,
    router: Router,
    limits: Limits,
    shutdown: Shutdown,
) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, address)) => {
                let (transport, router) = (transport.clone(), router.clone());
                let shutdown = shutdown.clone();
                connections.spawn(async move {
                    if let Err(error) =
                        connection(stream, address, transport, router, limits, shutdown).await
                    {
                        debug!(%address, error, "connection ended");
                    }
                });
            }
            Err(error) => {
                warn!(%error, "accepting a connection failed");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    // Each connection bounds its own end.
    while connections.join_next().await.is_some() {}
}

async fn connection(
    stream: TcpStream,
    address: SocketAddr,
    transport: Transport,
    router: Router,
    limits: Limits,
    shutdown: Shutdown,
) -> Result<(), String> {
    // Discovery responses are small and waited for.
    stream
        .set_nodelay(true)
        .map_err(|error| error.to_string())?;
    match transport {
        Transport::Plaintext => {
            let peer = Peer {
                address,
                certificates: Arc::from([]),
            };
            drive(stream, peer, router, limits, shutdown).await
        }
        Transport::Tls(config) => {
            let handshake = TlsAcceptor::from(config).accept(stream);
            let stream = timeout(HANDSHAKE, handshake)
                .await
                .map_err(|_| "the TLS handshake took too long".to_owned())?
                .map_err(|error| format!("TLS handshake: {error}"))?;
            let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
            let peer = Peer {
                address,
                certificates: certificates
                    .iter()
                    .map(|certificate| certificate.clone().into_owned())
                    .collect(),
            };
            drive(stream, peer, router, limits, shutdown).await
        }
    }
}

async fn drive(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    router: Router,
    limits: Limits,
    shutdown: Shutdown,
) -> Result<(), String> {
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        let router = router.clone();
        async move {
            let answer: Result<_, Infallible> = router.oneshot(request).await;
            answer
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.keepalive_interval)
        .keep_alive_timeout(limits.keepalive_timeout)
        .initial_stream_window_size(limits.receive_window)
        .initial_connection_window_size(limits.receive_window)
        .max_concurrent_streams(limits.max_streams);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service));

    let age = async {
        match limits.max_connection_age {
            Some(age) => sleep(spread(age)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = connection.as_mut() => return ended.map_err(|error| error.to_string()),
        () = shutdown.cancelled() => {}
        () = age => {}
    }
    connection.as_mut().graceful_shutdown();
    match timeout(limits.grace, connection).await {
        Ok(ended) => ended.map_err(|error| error.to_string()),
        Err(_) => Ok(()),
    }
}

/// Spreads `age` by a tenth either way, so that connections made together do not end together.
fn spread(age: Duration) -> Duration {
    age.mul_f64(0.9 + 0.2 * fastrand::f64())
}

#[cfg(test)]
mod tests;
