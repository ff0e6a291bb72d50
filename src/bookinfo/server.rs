//! One HTTP server for every role: HTTP/1.1 and HTTP/2 on the same port, without TLS. A role is what answers.

use std::convert::Infallible;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::Value;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

use crate::duration;
use crate::identity::{Identity, SERVED_BY_POD, SERVED_BY_VERSION};
use crate::shutdown;

const BODY_LIMIT: usize = 16 << 20;

/// What every serving role takes.
#[derive(Args, Clone)]
pub struct Options {
    /// Port to serve on
    #[arg(long, env = "PORT", default_value_t = 9080)]
    pub port: u16,
    /// Version that answers name
    #[arg(long, env = "VERSION", default_value = "v1")]
    pub version: String,
    /// How long to go on serving after SIGTERM, for those who do not know yet that this pod ends
    #[arg(long, env = "DRAIN", default_value = "2s", value_parser = duration::parse)]
    pub drain: Duration,
}

/// A request with its whole body.
pub struct Call {
    pub method: Method,
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub peer: SocketAddr,
}

/// What a role answers; the server adds who it is.
pub struct Answer {
    pub status: StatusCode,
    pub content_type: &'static str,
    pub body: Bytes,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// What is said after the body, where the protocol says something there.
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    /// A body of any type.
    pub fn new(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            content_type,
            body: body.into(),
            headers: Vec::new(),
            trailers: None,
        }
    }

    /// JSON on a line of its own.
    pub fn json(status: StatusCode, value: &Value) -> Self {
        Self::new(status, "application/json", format!("{value}\n"))
    }

    /// For paths that no role has.
    pub fn not_found(call: &Call) -> Self {
        let text = format!("there is nothing at {}\n", call.path);
        Self::new(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", text)
    }
}

type Body = BoxBody<Bytes, Infallible>;

/// A role: it answers every call.
pub trait Service: Send + Sync + 'static {
    /// May take its time: calls do not wait for each other.
    fn answer(&self, call: Call) -> impl Future<Output = Answer> + Send;
}

/// Serves until SIGTERM and the time to drain after it, then finishes what was begun.
///
/// # Errors
/// When the port cannot be had.
pub async fn run(options: &Options, service: impl Service) -> Result<(), String> {
    let stop = shutdown::signal()?;
    let listener = listen(options.port)?;
    println!("serving on port {}", options.port);
    let (ending, ended) = watch::channel(false);
    let identity = Identity::of(&options.version);
    let accepting = tokio::spawn(accept(listener, Arc::new(service), identity, ended));
    stop.await;
    tokio::time::sleep(options.drain).await;
    // Everyone who holds a receiver is at work still: the sender is told when the last one is gone.
    ending.send_replace(true);
    let _ = accepting.await;
    let _ = tokio::time::timeout(options.drain, ending.closed()).await;
    Ok(())
}

/// A socket for IPv6 and IPv4, or for IPv4 alone where the kernel has no IPv6.
///
/// # Errors
/// When the port cannot be had.
pub fn listen(port: u16) -> Result<TcpListener, String> {
    let v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    let v4 = SocketAddr::from(([0, 0, 0, 0], port));
    bind(TcpSocket::new_v6(), v6)
        .or_else(|_| bind(TcpSocket::new_v4(), v4))
        .map_err(|error| format!("port {port} cannot be had: {error}"))
}

fn bind(socket: std::io::Result<TcpSocket>, address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = socket?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(1024)
}

async fn accept<S: Service>(
    listener: TcpListener,
    service: Arc<S>,
    identity: Identity,
    mut ended: watch::Receiver<bool>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = ended.wait_for(|ended| *ended) => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                tokio::spawn(connection(
                    stream,
                    peer,
                    service.clone(),
                    identity.clone(),
                    ended.clone(),
                ));
            }
            // Out of descriptors: those in use must be given back first.
            Err(error) => {
                eprintln!("accept: {error}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

async fn connection<S: Service>(
    stream: TcpStream,
    peer: SocketAddr,
    service: Arc<S>,
    identity: Identity,
    mut ended: watch::Receiver<bool>,
) {
    // Without it a small answer may wait for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let respond = service_fn(move |request| {
        let (service, identity) = (service.clone(), identity.clone());
        async move { Ok::<_, Infallible>(respond(&*service, &identity, request, peer).await) }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), respond));
    // A connection that breaks is the client's to tell about.
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = ended.wait_for(|ended| *ended) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

async fn respond<S: Service>(
    service: &S,
    identity: &Identity,
    request: Request<Incoming>,
    peer: SocketAddr,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let answer = match Limited::new(body, BODY_LIMIT).collect().await {
        Err(error) => {
            let text = format!("the body cannot be read: {error}\n");
            Answer::new(StatusCode::BAD_REQUEST, "text/plain; charset=utf-8", text)
        }
        Ok(_) if parts.uri.path() == "/health" => Answer::json(
            StatusCode::OK,
            &identity.sign(serde_json::json!({"status": "healthy"}), &parts.headers),
        ),
        Ok(body) => {
            let call = Call {
                method: parts.method,
                path: parts.uri.path().to_owned(),
                query: parts.uri.query().unwrap_or_default().to_owned(),
                headers: parts.headers,
                body: body.to_bytes(),
                peer,
            };
            service.answer(call).await
        }
    };
    finish(answer, identity)
}

/// An answer that names another version speaks for the service it was passed on from.
fn finish(answer: Answer, identity: &Identity) -> Response<Body> {
    let body = Full::new(answer.body);
    let body = match answer.trailers {
        None => body.boxed(),
        Some(trailers) => {
            let trailers = std::future::ready(Some(Ok(trailers)));
            body.with_trailers(trailers).boxed()
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    for (name, text) in [
        (SERVED_BY_VERSION, &identity.version),
        (SERVED_BY_POD, &identity.pod),
    ] {
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(name, value);
        }
    }
    for (name, value) in answer.headers {
        headers.insert(name, value);
    }
    response
}
