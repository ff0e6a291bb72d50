//! Requests to a port of this pod: Envoy's admin port mostly. One connection a request, since
//! they are few and an idle connection costs memory.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Largest answer that is read as a whole, in bytes.
const LARGEST_TEXT: usize = 1 << 20;

/// A request to a local port failed.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Nothing listens, or the name does not resolve.
    #[error("cannot connect to {address}: {error}")]
    Connect {
        /// Host and port.
        address: String,
        /// The last address' error.
        error: std::io::Error,
    },
    /// The connection broke.
    #[error("no answer from {address}: {error}")]
    Exchange {
        /// Host and port.
        address: String,
        /// As hyper says it.
        error: hyper::Error,
    },
    /// It took too long.
    #[error("no answer from {address} within {limit:?}")]
    Timeout {
        /// Host and port.
        address: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// Something else than 200.
    #[error("{address} answered {status}: {text}")]
    Status {
        /// Host and port.
        address: String,
        /// Of the answer.
        status: http::StatusCode,
        /// Its body.
        text: String,
    },
    /// Too large, or not a text.
    #[error("the answer of {address} is not a text of at most {LARGEST_TEXT} bytes")]
    NotText {
        /// Host and port.
        address: String,
    },
    /// The path is not one.
    #[error("{path:?} is not a path: {error}")]
    Path {
        /// As given.
        path: String,
        /// Why.
        error: http::Error,
    },
}

/// An answer whose body is still to come.
pub struct Answer {
    /// Status, headers and body.
    pub response: Response<Incoming>,
    /// Drives the body; dropping it ends the connection.
    pub connection: JoinSet<()>,
}

/// A port on this host.
#[derive(Clone, Debug)]
pub struct Local {
    /// An address or a name; `localhost` needs no resolver.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl Local {
    /// A port of the loopback interface, of whichever family.
    pub fn port(port: u16) -> Local {
        Local {
            host: "localhost".to_owned(),
            port,
        }
    }

    fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Sends a request; `path` may have a query.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Answer, AdminError> {
        let address = self.address();
        let request = path
            .parse::<Uri>()
            .map_err(http::Error::from)
            .and_then(|uri| {
                Request::builder()
                    .method(method)
                    .uri(uri)
                    .header(http::header::HOST, &address)
                    // Of metrics the plain form, which can be joined; all else does not look at it.
                    .header(http::header::ACCEPT, "text/plain;version=0.0.4,*/*;q=0.1")
                    .body(Full::new(body))
            })
            .map_err(|error| AdminError::Path {
                path: path.to_owned(),
                error,
            })?;
        let stream = self.connect().await.map_err(|error| AdminError::Connect {
            address: address.clone(),
            error,
        })?;
        let broken = |error| AdminError::Exchange {
            address: address.clone(),
            error,
        };
        let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        let mut connection = JoinSet::new();
        connection.spawn(async move {
            // Its errors reach whoever reads the response.
            let _ = driver.await;
        });
        let response = sender.send_request(request).await.map_err(broken)?;
        Ok(Answer {
            response,
            connection,
        })
    }

    /// Sends a request and reads the answer, all within `limit`. Only status 200 is an answer.
    pub async fn text(
        &self,
        method: Method,
        path: &str,
        limit: Duration,
    ) -> Result<String, AdminError> {
        let exchange = async {
            let answer = self.send(method, path, Bytes::new()).await?;
            let status = answer.response.status();
            let body = Limited::new(answer.response.into_body(), LARGEST_TEXT);
            let text = body
                .collect()
                .await
                .ok()
                .and_then(|body| String::from_utf8(body.to_bytes().into()).ok())
                .ok_or_else(|| AdminError::NotText {
                    address: self.address(),
                })?;
            match status {
                http::StatusCode::OK => Ok(text),
                status => Err(AdminError::Status {
                    address: self.address(),
                    status,
                    text,
                }),
            }
        };
        tokio::time::timeout(limit, exchange)
            .await
            .unwrap_or_else(|_| {
                Err(AdminError::Timeout {
                    address: self.address(),
                    limit,
                })
            })
    }

    async fn connect(&self) -> std::io::Result<TcpStream> {
        let loopback = |ip: IpAddr| SocketAddr::new(ip, self.port);
        match self.host.as_str() {
            "localhost" => {
                let both = [
                    loopback(Ipv4Addr::LOCALHOST.into()),
                    loopback(Ipv6Addr::LOCALHOST.into()),
                ];
                TcpStream::connect(&both[..]).await
            }
            host => TcpStream::connect((host, self.port)).await,
        }
    }
}
