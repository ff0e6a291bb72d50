//! `grpc`: one call of `grpc.health.v1.Health/Check` in plaintext, as the kubelet's.

use std::net::IpAddr;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, TE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::JoinSet;

use super::socket;
use crate::grpc;
use crate::wire::{Message, Value, fields};

const METHOD: &str = "/grpc.health.v1.Health/Check";
/// `ServingStatus.SERVING`.
const SERVING: u64 = 1;
/// Largest answer that is read, in bytes.
const LARGEST: usize = 64 << 10;

/// The application is not healthy, or does not say so.
#[derive(Debug, thiserror::Error)]
pub enum NotServing {
    /// To the pod's port.
    #[error(transparent)]
    Unconnected(#[from] socket::Unconnected),
    /// The connection broke, or speaks something else.
    #[error("no health check at port {port}: {reason}")]
    NotAnswered {
        /// Of the application.
        port: u16,
        /// Why.
        reason: String,
    },
    /// A gRPC status other than OK.
    #[error("the health check at port {port} ended with gRPC status {code}: {message}")]
    Refused {
        /// Of the application.
        port: u16,
        /// As gRPC numbers them; 12 where there is no health service.
        code: u16,
        /// The application's words.
        message: String,
    },
    /// The answer is another than SERVING.
    #[error("the service at port {port} has health status {status}, not 1 (serving)")]
    Unhealthy {
        /// Of the application.
        port: u16,
        /// As the protocol numbers them.
        status: u64,
    },
}

/// # Errors
/// [`NotServing`]: everything but the answer SERVING.
pub async fn ask(
    application: IpAddr,
    port: u16,
    service: &str,
    kubelet: &HeaderMap,
) -> Result<(), NotServing> {
    let not_answered = |reason: String| NotServing::NotAnswered { port, reason };
    let broken = |error: hyper::Error| not_answered(error.to_string());
    let tcp = socket::connect(application, port).await?;
    let (mut sender, driver) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tcp))
            .await
            .map_err(broken)?;
    let mut connection = JoinSet::new();
    connection.spawn(async move {
        // Its errors reach whoever reads the response.
        let _ = driver.await;
    });
    let response = sender
        .send_request(request(application, port, service, kubelet))
        .await
        .map_err(broken)?;
    let http = response.status();
    let early = grpc::read_status(response.headers());
    let body = Limited::new(response.into_body(), LARGEST)
        .collect()
        .await
        .map_err(|error| not_answered(error.to_string()))?;
    match early.or_else(|| body.trailers().and_then(grpc::read_status)) {
        Some((0, _)) => {}
        Some((code, message)) => {
            return Err(NotServing::Refused {
                port,
                code,
                message,
            });
        }
        None => {
            return Err(not_answered(format!(
                "HTTP status {http} without that of gRPC"
            )));
        }
    }
    match status(&body.to_bytes()) {
        None => Err(not_answered("its answer cannot be read".to_owned())),
        Some(SERVING) => Ok(()),
        Some(status) => Err(NotServing::Unhealthy { port, status }),
    }
}

fn request(
    application: IpAddr,
    port: u16,
    service: &str,
    kubelet: &HeaderMap,
) -> Request<Full<Bytes>> {
    let mut message = Message::default();
    if !service.is_empty() {
        message = message.with(1, service);
    }
    let mut request = Request::new(Full::new(grpc::framed(&message.into_bytes())));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::builder()
        .scheme("http")
        .authority(std::net::SocketAddr::new(application, port).to_string())
        .path_and_query(METHOD)
        .build()
        .expect("an address and a constant make a URL");
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, grpc::CONTENT_TYPE);
    headers.insert(TE, HeaderValue::from_static("trailers"));
    if let Some(agent) = kubelet.get(USER_AGENT) {
        headers.insert(USER_AGENT, agent.clone());
    }
    request
}

/// `status` of the one message in `body`; 0 where it is left out.
fn status(body: &[u8]) -> Option<u64> {
    let mut messages = grpc::Messages::default();
    messages.push(body);
    let message = messages.next().ok()??;
    let mut status = 0;
    for field in fields(&message) {
        if let (1, Value::Number(number)) = field.ok()? {
            status = number;
        }
    }
    Some(status)
}
