//! `httpGet`: one request over a connection of its own, with the kubelet's rules for certificates (any) and for
//! redirects (followed within the pod; one that leads elsewhere is success).

use std::net::IpAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, LOCATION, TE, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::rt::{Read, Write};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::{Outcome, socket};
use crate::any_certificate::AnyCertificate;

/// How many redirects are followed.
const REDIRECTS: usize = 10;
/// As much of the answer as the kubelet would show, in bytes.
const LARGEST: usize = 10 << 10;
/// Headers that speak of the kubelet's connection.
const HOP: [http::HeaderName; 5] = [CONNECTION, CONTENT_LENGTH, TE, TRANSFER_ENCODING, UPGRADE];

/// The request that the pod's author wants.
#[derive(Debug, PartialEq, Eq)]
pub struct HttpGet {
    /// May have a query, and may lack the slash.
    pub path: String,
    /// Of the application.
    pub port: u16,
    /// `scheme: HTTPS`.
    pub https: bool,
}

/// There is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// To the pod's port.
    #[error(transparent)]
    Unconnected(#[from] socket::Unconnected),
    /// The application does not speak TLS.
    #[error("TLS with port {port}: {error}")]
    Tls {
        /// Of the application.
        port: u16,
        /// Why.
        error: std::io::Error,
    },
    /// The connection broke.
    #[error("no answer from port {port}: {error}")]
    Exchange {
        /// Of the application.
        port: u16,
        /// As hyper says it.
        error: hyper::Error,
    },
    /// A path or a redirect that is no URL.
    #[error("{0:?} is not a URL")]
    Url(String),
    /// The application leads in a circle.
    #[error("stopped after {REDIRECTS} redirects")]
    Redirects,
}

impl HttpGet {
    /// Sends the request with the kubelet's headers and follows where it is led within the pod.
    ///
    /// # Errors
    /// There is no answer at all; any status is one.
    pub async fn send(
        &self,
        application: IpAddr,
        status_port: u16,
        headers: &HeaderMap,
    ) -> Result<Outcome, NoAnswer> {
        let mut headers = headers.clone();
        for name in HOP {
            headers.remove(name);
        }
        if let Some(host) = host(headers.get(HOST), status_port, self.port) {
            headers.insert(HOST, host);
        }
        let mut place = self.place(application)?;
        for _ in 0..=REDIRECTS {
            let response = exchange(&place, application, &headers).await?;
            let Some(location) = redirect(&response) else {
                let status = response.response.status();
                // The kubelet would not take a redirect that names no place.
                let status = match status.is_redirection() {
                    true => StatusCode::OK,
                    false => status,
                };
                let body = beginning(response.response.into_body()).await;
                return Ok(Outcome { status, body });
            };
            let next = join(&place, &location).ok_or(NoAnswer::Url(location))?;
            if next.host() != place.host() {
                return Ok(Outcome {
                    status: StatusCode::OK,
                    body: Bytes::new(),
                });
            }
            if next.port_u16() != place.port_u16() {
                headers.remove(HOST);
            }
            place = next;
        }
        Err(NoAnswer::Redirects)
    }

    fn place(&self, application: IpAddr) -> Result<Uri, NoAnswer> {
        let address = std::net::SocketAddr::new(application, self.port);
        let slash = if self.path.starts_with('/') { "" } else { "/" };
        let scheme = if self.https {
            Scheme::HTTPS
        } else {
            Scheme::HTTP
        };
        Uri::builder()
            .scheme(scheme)
            .authority(address.to_string())
            .path_and_query(format!("{slash}{}", self.path))
            .build()
            .map_err(|_| NoAnswer::Url(self.path.clone()))
    }
}

/// The kubelet's `host`, with the application's port where it names that of the agent.
fn host(given: Option<&HeaderValue>, status_port: u16, port: u16) -> Option<HeaderValue> {
    let authority = Authority::try_from(given?.as_bytes()).ok()?;
    if authority.port_u16() != Some(status_port) {
        return given.cloned();
    }
    HeaderValue::try_from(format!("{}:{port}", authority.host())).ok()
}

/// Where an answer leads; nothing for one that is final.
fn redirect(answer: &Answer) -> Option<String> {
    let status = answer.response.status();
    let followed = [301, 302, 303, 307, 308].contains(&status.as_u16());
    let location = answer.response.headers().get(LOCATION)?;
    followed.then(|| String::from_utf8_lossy(location.as_bytes()).into_owned())
}

/// `location` as seen from `place`.
fn join(place: &Uri, location: &str) -> Option<Uri> {
    if location.contains("://") {
        return location.parse().ok();
    }
    let mut parts = place.clone().into_parts();
    if let Some(elsewhere) = location.strip_prefix("//") {
        let scheme = place.scheme_str().unwrap_or("http");
        return format!("{scheme}://{elsewhere}").parse().ok();
    }
    let path = match location.starts_with('/') {
        true => location.to_owned(),
        false => {
            let (folder, _) = place.path().rsplit_once('/')?;
            format!("{folder}/{location}")
        }
    };
    parts.path_and_query = Some(path.parse().ok()?);
    Uri::from_parts(parts).ok()
}

struct Answer {
    response: Response<Incoming>,
    /// Drives the body; dropping it ends the connection.
    _connection: JoinSet<()>,
}

async fn exchange(
    place: &Uri,
    application: IpAddr,
    headers: &HeaderMap,
) -> Result<Answer, NoAnswer> {
    let https = place.scheme() == Some(&Scheme::HTTPS);
    let port = place.port_u16().unwrap_or(if https { 443 } else { 80 });
    let tcp = socket::connect(application, port).await?;
    if !https {
        return first_version(TokioIo::new(tcp), place, headers)
            .await
            .map_err(|error| NoAnswer::Exchange { port, error });
    }
    let tls = TlsConnector::from(Arc::new(any_server()))
        .connect(ServerName::from(application), tcp)
        .await
        .map_err(|error| NoAnswer::Tls { port, error })?;
    let answer = if tls.get_ref().1.alpn_protocol() == Some(b"h2") {
        second_version(TokioIo::new(tls), place, headers).await
    } else {
        first_version(TokioIo::new(tls), place, headers).await
    };
    answer.map_err(|error| NoAnswer::Exchange { port, error })
}

/// An answer that is long, or broken off, still has its status.
async fn beginning(mut body: Incoming) -> Bytes {
    let mut read = BytesMut::new();
    while read.len() < LARGEST {
        let Some(Ok(frame)) = body.frame().await else {
            break;
        };
        read.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
    }
    read.truncate(LARGEST);
    read.freeze()
}

async fn first_version(
    io: impl Read + Write + Unpin + Send + 'static,
    place: &Uri,
    headers: &HeaderMap,
) -> Result<Answer, hyper::Error> {
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.headers_mut() = headers.clone();
    if let Some(authority) = place.authority()
        && let Ok(authority) = HeaderValue::from_str(authority.as_str())
    {
        request.headers_mut().entry(HOST).or_insert(authority);
    }
    *request.uri_mut() = place
        .path_and_query()
        .map(|path| Uri::from(path.clone()))
        .unwrap_or_default();
    let (mut sender, driver) = http1::handshake(io).await?;
    let mut connection = JoinSet::new();
    connection.spawn(async move {
        // Its errors reach whoever reads the response.
        let _ = driver.await;
    });
    Ok(Answer {
        response: sender.send_request(request).await?,
        _connection: connection,
    })
}

async fn second_version(
    io: impl Read + Write + Unpin + Send + 'static,
    place: &Uri,
    headers: &HeaderMap,
) -> Result<Answer, hyper::Error> {
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.headers_mut() = headers.clone();
    let host = request.headers_mut().remove(HOST);
    let mut parts = place.clone().into_parts();
    if let Some(host) = host.and_then(|host| Authority::try_from(host.as_bytes()).ok()) {
        parts.authority = Some(host);
    }
    *request.uri_mut() = Uri::from_parts(parts).unwrap_or_else(|_| place.clone());
    let (mut sender, driver) = http2::handshake(TokioExecutor::new(), io).await?;
    let mut connection = JoinSet::new();
    connection.spawn(async move {
        // Its errors reach whoever reads the response.
        let _ = driver.await;
    });
    Ok(Answer {
        response: sender.send_request(request).await?,
        _connection: connection,
    })
}

/// A probe asks whether the application works, not who it is: the kubelet takes any certificate too.
fn any_server() -> ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("the provider has cipher suites of these versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

#[cfg(test)]
mod tests;
