//! Accepting connections for the agent's servers, no more at a time than there is reason for: further ones wait to be
//! accepted until one has ended.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::path::Path;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::JoinSet;

/// Pause after a failed accept; it fails again at once when file descriptors are exhausted.
const PAUSE: Duration = Duration::from_millis(100);

/// What connections come from.
pub trait Accept {
    /// One connection, with what is known of its other end.
    type Connection;

    /// The next one.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Connection>> + Send;
}

impl Accept for TcpListener {
    type Connection = (TcpStream, std::net::SocketAddr);

    async fn accept(&self) -> io::Result<Self::Connection> {
        TcpListener::accept(self).await
    }
}

impl Accept for UnixListener {
    type Connection = UnixStream;

    async fn accept(&self) -> io::Result<UnixStream> {
        Ok(UnixListener::accept(self).await?.0)
    }
}

/// Listens at `path`; a socket that an earlier agent left there is replaced.
///
/// # Errors
/// What the system says.
pub fn at(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => UnixListener::bind(path),
    }
}

/// Serves connections, at most `most` at a time, until it is dropped; `whom` names their other end in logs.
pub async fn serve<L: Accept, F: Future<Output = ()> + Send + 'static>(
    listener: L,
    most: usize,
    whom: &'static str,
    connection: impl Fn(L::Connection) -> F,
) -> Infallible {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= most {
            connections.join_next().await;
        }
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok(accepted) => {
                connections.spawn(connection(accepted));
            }
            Err(error) => {
                tracing::warn!("cannot accept a connection from {whom}: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// What one HTTP/2 connection may hold here.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Streams at a time.
    pub streams: u32,
    /// Bytes of requests that wait to be read.
    pub window: u32,
}

/// Serves one HTTP/2 connection of `whom` to its end.
pub async fn http2<B, F>(
    stream: UnixStream,
    limits: Limits,
    whom: &'static str,
    answer: impl Fn(Request<Incoming>) -> F,
) where
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
{
    let service = service_fn(|request| {
        let answer = answer(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .max_concurrent_streams(limits.streams)
        .initial_stream_window_size(limits.window)
        .initial_connection_window_size(limits.window)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!("a connection from {whom} ended: {error}");
    }
}
