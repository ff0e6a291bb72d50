//! Asks the CA for a certificate: one request of `istio.v1.auth.IstioCertificateService`, over a connection of its own,
//! so that roots and token are those of the moment.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, TE};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt, Limited};
use tokio::time::timeout;

use crate::body::Streamed;
use crate::control_plane::{ControlPlane, Unreachable};
use crate::grpc;
use crate::wire::{Message, Value, fields, text};

const METHOD: &str = "/istio.v1.auth.IstioCertificateService/CreateCertificate";
/// Connection and answer together.
const LIMIT: Duration = Duration::from_secs(15);
/// Largest answer that is read, in bytes.
const LARGEST: usize = 1 << 20;

/// There is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// No connection, or nothing to be known by.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// `host:port` that is none.
    #[error("{address:?} is not an address: {error}")]
    Address {
        /// As configured.
        address: String,
        /// Why.
        error: http::Error,
    },
    /// It broke off.
    #[error("the CA at {address} did not answer: {reason}")]
    NotAnswered {
        /// Host and port.
        address: String,
        /// Why.
        reason: String,
    },
    /// The CA refuses.
    #[error("the CA at {address} refused with gRPC status {code}: {message}")]
    Refused {
        /// Host and port.
        address: String,
        /// As gRPC numbers them.
        code: u16,
        /// The CA's words.
        message: String,
    },
}

/// Where the CA is, and for how long certificates are asked for.
#[derive(Debug)]
pub struct CaClient {
    /// The CA's server.
    pub server: ControlPlane,
    /// SECRET_TTL.
    pub lifetime: Duration,
}

impl CaClient {
    /// The chain for a signing request: the leaf first, the bundle of roots last, all PEM.
    ///
    /// # Errors
    /// [`CaError`]; all of them may pass.
    pub async fn certify(&self, signing_request: &str) -> Result<Vec<String>, CaError> {
        let address = || self.server.address.clone();
        let message = Message::default()
            .with(1, signing_request)
            .with_number(3, self.lifetime.as_secs());
        let answer = timeout(LIMIT, self.call(grpc::framed(&message.into_bytes()))).await;
        let not_answered = |reason: String| CaError::NotAnswered {
            address: address(),
            reason,
        };
        let body = answer
            .unwrap_or_else(|_| Err(not_answered(format!("it took longer than {LIMIT:?}"))))?;
        chain(&body).ok_or_else(|| not_answered("its answer cannot be read".to_owned()))
    }

    async fn call(&self, body: Bytes) -> Result<Bytes, CaError> {
        let address = || self.server.address.clone();
        let not_answered = |reason: String| CaError::NotAnswered {
            address: address(),
            reason,
        };
        let uri = self.uri().map_err(|error| CaError::Address {
            address: address(),
            error,
        })?;
        let mut headers = self.server.headers()?;
        headers.insert(CONTENT_TYPE, grpc::CONTENT_TYPE);
        headers.insert(TE, HeaderValue::from_static("trailers"));
        let mut request = Request::new(Streamed::text(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;

        let mut connection = self.server.connect().await?;
        let response = connection.sender.send_request(request).await;
        let response = response.map_err(|error| not_answered(error.to_string()))?;
        let http = response.status();
        let early = grpc::read_status(response.headers());
        let collected = Limited::new(response.into_body(), LARGEST)
            .collect()
            .await
            .map_err(|error| not_answered(error.to_string()))?;
        let late = collected.trailers().and_then(grpc::read_status);
        match early.or(late) {
            Some((0, _)) => Ok(collected.to_bytes()),
            Some((code, message)) => Err(CaError::Refused {
                address: address(),
                code,
                message,
            }),
            None => Err(not_answered(format!(
                "HTTP status {http} without that of gRPC"
            ))),
        }
    }

    fn uri(&self) -> Result<Uri, http::Error> {
        Uri::builder()
            .scheme(self.server.scheme())
            .authority(Authority::try_from(self.server.address.as_str())?)
            .path_and_query(PathAndQuery::from_static(METHOD))
            .build()
    }
}

/// `cert_chain` of the one message in `body`.
fn chain(body: &[u8]) -> Option<Vec<String>> {
    let mut messages = grpc::Messages::default();
    messages.push(body);
    let message = messages.next().ok()??;
    let mut chain = Vec::new();
    for field in fields(&message) {
        if let (1, Value::Bytes(element)) = field.ok()? {
            chain.push(text(element).ok()?.to_owned());
        }
    }
    Some(chain)
}
