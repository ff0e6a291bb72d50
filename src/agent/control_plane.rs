//! Connections to the control plane: one per configuration stream or request, so that a new one may
//! reach another replica. The root certificate and the token are read anew for each, so that rotating
//! either needs no restart.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bootstrap::AuthPolicy;
use http::header::AUTHORIZATION;
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::rt::{Read, Write};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::body::Streamed;
use crate::own_certificate::{OwnCertificate, Shown};

/// Name resolution, TCP, TLS and HTTP/2 together (upstream's figure).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A dead control plane is noticed after both (upstream's figures).
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of a response may wait here for Envoy, in bytes: a bound of memory per stream.
const WINDOW: u32 = 256 * 1024;

/// Where the control plane is and how it is talked to.
#[derive(Clone, Debug)]
pub struct ControlPlane {
    /// `host:port`.
    pub address: String,
    /// The name that its certificate must have.
    pub name: String,
    /// Over TLS with a token, or in plaintext without.
    pub security: AuthPolicy,
    /// PEM file with the roots that are trusted.
    pub root_cert: PathBuf,
    /// File with the service account token.
    pub token: PathBuf,
    /// Shown on each connection over TLS, once there is one.
    pub own: Option<OwnCertificate>,
    /// Sent with each stream: the cluster and whatever XDS_HEADER_* adds.
    pub headers: HeaderMap,
}

/// The control plane cannot be reached, or this proxy has nothing to be known by.
#[derive(Debug, thiserror::Error)]
pub enum Unreachable {
    /// The token file.
    #[error("cannot read the token {path}: {error}")]
    Token {
        /// As configured.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The token has bytes that no header may have.
    #[error("the token {path} is not a token")]
    NotAToken {
        /// As configured.
        path: PathBuf,
    },
    /// The root certificate file.
    #[error("cannot use the root certificate {path}: {reason}")]
    RootCert {
        /// As configured.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The workload's certificate and key are not of use.
    #[error("our own certificate cannot be shown: {0}")]
    OwnCertificate(#[source] rustls::Error),
    /// The name to verify is not a host name.
    #[error("{name:?} is not a host name that a certificate could have")]
    Name {
        /// As configured.
        name: String,
        /// Why.
        source: InvalidDnsNameError,
    },
    /// Name resolution or TCP.
    #[error("cannot connect to {address}: {error}")]
    Connect {
        /// Host and port.
        address: String,
        /// Why.
        error: io::Error,
    },
    /// The TLS handshake, verification included.
    #[error("no trusted connection to {address} (as {name}, roots of {root_cert}): {error}")]
    Tls {
        /// Host and port.
        address: String,
        /// Verified.
        name: String,
        /// PEM file.
        root_cert: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// HTTP/2 could not begin.
    #[error("{address} does not speak HTTP/2: {error}")]
    Http {
        /// Host and port.
        address: String,
        /// Why.
        error: hyper::Error,
    },
    /// It took too long.
    #[error("no connection to {address} within {CONNECT_TIMEOUT:?}")]
    Timeout {
        /// Host and port.
        address: String,
    },
}

/// A connection that carries one stream.
pub struct Connection {
    /// Takes the one request.
    pub sender: SendRequest<Streamed>,
    /// Drives it; dropping it ends the connection.
    pub driver: JoinSet<()>,
    /// Version of the certificate that was shown.
    pub shown: Option<String>,
}

impl ControlPlane {
    /// Opens a connection.
    pub async fn connect(&self) -> Result<Connection, Unreachable> {
        tokio::time::timeout(CONNECT_TIMEOUT, self.handshake())
            .await
            .unwrap_or_else(|_| {
                Err(Unreachable::Timeout {
                    address: self.address.clone(),
                })
            })
    }

    /// What the URI of a request begins with.
    pub fn scheme(&self) -> Scheme {
        match self.security {
            AuthPolicy::MutualTls => Scheme::HTTPS,
            AuthPolicy::None => Scheme::HTTP,
        }
    }

    /// Headers of a new stream, with the token that the file has now. In plaintext there is no
    /// token: whoever listens would have it.
    pub fn headers(&self) -> Result<HeaderMap, Unreachable> {
        let mut headers = self.headers.clone();
        if self.security == AuthPolicy::MutualTls {
            let path = &self.token;
            let token = std::fs::read_to_string(path).map_err(|error| Unreachable::Token {
                path: path.clone(),
                error,
            })?;
            let mut value = HeaderValue::try_from(format!("Bearer {}", token.trim()))
                .map_err(|_| Unreachable::NotAToken { path: path.clone() })?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(headers)
    }

    async fn handshake(&self) -> Result<Connection, Unreachable> {
        let address = || self.address.clone();
        let connect = async {
            let stream = TcpStream::connect(&self.address).await?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        let tcp = connect.await.map_err(|error| Unreachable::Connect {
            address: address(),
            error,
        })?;
        match self.security {
            AuthPolicy::None => self.http(TokioIo::new(tcp)).await,
            AuthPolicy::MutualTls => {
                let shown = self.own.as_ref().and_then(OwnCertificate::shown);
                let version = shown.as_ref().map(|shown| shown.version.clone());
                let config = self.tls(shown)?;
                let name = ServerName::try_from(self.name.clone()).map_err(|source| {
                    Unreachable::Name {
                        name: self.name.clone(),
                        source,
                    }
                })?;
                let connected = async {
                    let tls = TlsConnector::from(Arc::new(config))
                        .connect(name, tcp)
                        .await
                        .map_err(|error| Unreachable::Tls {
                            address: address(),
                            name: self.name.clone(),
                            root_cert: self.root_cert.clone(),
                            error,
                        })?;
                    self.http(TokioIo::new(tls)).await
                };
                let connected = connected.await;
                if connected.is_err() {
                    self.failed_with(version.clone());
                }
                connected.map(|connection| Connection {
                    shown: version,
                    ..connection
                })
            }
        }
    }

    /// A connection on which a certificate was `shown` has failed before it was of use.
    pub fn failed_with(&self, shown: Option<String>) {
        if let (Some(own), Some(version)) = (&self.own, shown) {
            own.failed(version);
        }
    }

    fn tls(&self, shown: Option<Shown>) -> Result<ClientConfig, Unreachable> {
        let unusable = |reason: String| Unreachable::RootCert {
            path: self.root_cert.clone(),
            reason,
        };
        let mut roots = rustls::RootCertStore::empty();
        let certificates = CertificateDer::pem_file_iter(&self.root_cert)
            .map_err(|error| unusable(error.to_string()))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
            roots
                .add(certificate)
                .map_err(|error| unusable(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(unusable("it has no certificate".to_owned()));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has cipher suites of these versions")
            .with_root_certificates(roots);
        let mut config = match shown {
            None => builder.with_no_client_auth(),
            Some(shown) => builder
                .with_client_auth_cert(shown.chain, shown.key)
                .map_err(Unreachable::OwnCertificate)?,
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        // Each connection has a configuration of its own, so nothing could be resumed.
        config.resumption = Resumption::disabled();
        Ok(config)
    }

    async fn http(
        &self,
        io: impl Read + Write + Unpin + Send + 'static,
    ) -> Result<Connection, Unreachable> {
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .handshake(io)
            .await
            .map_err(|error| Unreachable::Http {
                address: self.address.clone(),
                error,
            })?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // Its errors reach the stream that it carries.
            let _ = connection.await;
        });
        Ok(Connection {
            sender,
            driver,
            shown: None,
        })
    }
}

/// Headers of every stream: `clusterid`, and one for each variable that begins with `prefix`
/// (`XDS_HEADER_` for configuration, `CA_HEADER_` for certificates).
pub fn stream_headers<'a>(
    cluster_id: &str,
    prefix: &str,
    environment: impl Iterator<Item = (&'a String, &'a String)>,
) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let more =
        environment.filter_map(|(name, value)| Some((name.strip_prefix(prefix)?, value.as_str())));
    for (name, value) in std::iter::once(("clusterid", cluster_id)).chain(more) {
        let header = HeaderName::try_from(name.to_lowercase());
        match (header, HeaderValue::try_from(value)) {
            (Ok(header), Ok(value)) => {
                headers.insert(header, value);
            }
            _ => tracing::warn!("{name:?} with value {value:?} cannot be sent as a header"),
        }
    }
    headers
}

#[cfg(test)]
mod tests;
