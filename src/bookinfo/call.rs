//! One HTTP/1.1 connection to a `http://` address, and what can go wrong on it, in words that can be counted.

use std::error::Error;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{HOST, HeaderValue};
use hyper::{HeaderMap, Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// A `http://` URL, taken apart, and what to do with it.
#[derive(Clone, Debug)]
pub struct Target {
    /// Host and port to connect to.
    pub address: String,
    /// The header `host`.
    pub authority: HeaderValue,
    pub method: Method,
    pub path: String,
}

impl Target {
    /// # Errors
    /// When it is no URL with the scheme http and a host.
    pub fn parse(url: &str) -> Result<Self, String> {
        let refused = || format!("{url:?} is not a URL like http://host:port/path");
        let uri: Uri = url.parse().map_err(|_| refused())?;
        if uri.scheme_str() != Some("http") {
            return Err(refused());
        }
        let authority = uri.authority().ok_or_else(refused)?;
        if authority.as_str().contains('@') {
            return Err(format!(
                "{url:?} has a user in it, expected a header authorization instead"
            ));
        }
        Ok(Self {
            address: format!(
                "{}:{}",
                authority.host(),
                authority.port_u16().unwrap_or(80)
            ),
            authority: HeaderValue::from_str(authority.as_str()).map_err(|_| refused())?,
            method: Method::GET,
            path: uri
                .path_and_query()
                .map_or("/", |path| path.as_str())
                .to_owned(),
        })
    }

    /// The same server, another path.
    pub fn at(&self, path: &str) -> Self {
        Self {
            path: path.to_owned(),
            ..self.clone()
        }
    }
}

/// What the server said, its body whole.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Why there is no answer; as text it has no addresses in it, so that equal failures read equal.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("name not resolved")]
    Resolve(#[source] io::Error),
    #[error("{}", io_words(.0))]
    Connect(#[source] io::Error),
    #[error("{}", http_words(.0))]
    Http(#[source] hyper::Error),
    #[error("timeout")]
    Timeout,
}

fn io_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
        io::ErrorKind::BrokenPipe => "connection closed".to_owned(),
        io::ErrorKind::TimedOut => "connection attempt timed out".to_owned(),
        io::ErrorKind::HostUnreachable => "host unreachable".to_owned(),
        io::ErrorKind::NetworkUnreachable => "network unreachable".to_owned(),
        _ => error.to_string(),
    }
}

fn http_words(error: &hyper::Error) -> String {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(inner) = inner.downcast_ref::<io::Error>() {
            return io_words(inner);
        }
        cause = inner.source();
    }
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return "connection closed".to_owned();
    }
    error.to_string()
}

/// An open connection. It serves one request after the other.
pub struct Connection {
    sender: SendRequest<Empty<Bytes>>,
}

/// # Errors
/// When the name has no address or none of them accepts.
pub async fn connect(target: &Target) -> Result<Connection, CallError> {
    let addresses: Vec<_> = tokio::net::lookup_host(&target.address)
        .await
        .map_err(CallError::Resolve)?
        .collect();
    let stream = TcpStream::connect(&*addresses)
        .await
        .map_err(CallError::Connect)?;
    let _ = stream.set_nodelay(true);
    let (sender, connection) = handshake(TokioIo::new(stream))
        .await
        .map_err(CallError::Http)?;
    // Ends with the connection; what breaks it, the request in flight is told.
    tokio::spawn(connection);
    Ok(Connection { sender })
}

/// Sends a request on the connection in `slot`, or on a new one when there is none or the server had closed it before
/// anything was sent. The connection is left in `slot` when it can serve again.
///
/// # Errors
/// When it cannot connect, or the connection ends before the answer does.
pub async fn get(
    slot: &mut Option<Connection>,
    target: &Target,
    headers: &HeaderMap,
) -> Result<Answer, CallError> {
    if let Some(mut kept) = slot.take()
        && kept.sender.ready().await.is_ok()
    {
        match kept.sender.try_send_request(request(target, headers)).await {
            Ok(response) => return finish(kept, response, slot).await,
            Err(failed) if failed.message().is_some() => {}
            Err(failed) => return Err(CallError::Http(failed.into_error())),
        }
    }
    let mut connection = connect(target).await?;
    let response = connection
        .sender
        .send_request(request(target, headers))
        .await
        .map_err(CallError::Http)?;
    finish(connection, response, slot).await
}

/// # Errors
/// Those of `call`, or [`CallError::Timeout`].
pub async fn within<T>(
    time: Duration,
    call: impl Future<Output = Result<T, CallError>>,
) -> Result<T, CallError> {
    tokio::time::timeout(time, call)
        .await
        .unwrap_or(Err(CallError::Timeout))
}

async fn finish(
    connection: Connection,
    response: hyper::Response<hyper::body::Incoming>,
    slot: &mut Option<Connection>,
) -> Result<Answer, CallError> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(CallError::Http)?.to_bytes();
    if !connection.sender.is_closed() {
        *slot = Some(connection);
    }
    Ok(Answer {
        status: parts.status,
        headers: parts.headers,
        body,
    })
}

fn request(target: &Target, headers: &HeaderMap) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    *request.method_mut() = target.method.clone();
    // A path that was parsed as part of a URL, or is one of ours, is one.
    *request.uri_mut() = target.path.parse().unwrap_or_default();
    request.headers_mut().insert(HOST, target.authority.clone());
    for name in headers.keys() {
        request.headers_mut().remove(name);
    }
    for (name, value) in headers {
        request.headers_mut().append(name, value.clone());
    }
    request
}

#[cfg(test)]
mod tests;
