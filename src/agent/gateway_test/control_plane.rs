//! A small control plane: delta ADS over TLS that has nothing to say about any type, and a CA.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures::stream;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Either, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use pki::{Issued, OffsetDateTime, Signer, SigningRequest};
use prost::Message;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

const NAME: &str = "istiod.istio-system.svc";

/// The two fields of a delta request that an answer needs (envoy.service.discovery.v3).
#[derive(Clone, PartialEq, Message)]
struct DeltaRequest {
    #[prost(string, tag = "2")]
    type_url: String,
    #[prost(string, tag = "6")]
    response_nonce: String,
}

#[derive(Clone, PartialEq, Message)]
struct DeltaResponse {
    #[prost(string, tag = "1")]
    system_version_info: String,
    #[prost(string, tag = "4")]
    type_url: String,
    #[prost(string, tag = "5")]
    nonce: String,
}

#[derive(Clone, PartialEq, Message)]
struct CertificateRequest {
    #[prost(string, tag = "1")]
    csr: String,
    #[prost(int64, tag = "3")]
    validity_duration: i64,
}

#[derive(Clone, PartialEq, Message)]
struct CertificateResponse {
    #[prost(string, repeated, tag = "1")]
    cert_chain: Vec<String>,
}

fn framed(message: &impl Message) -> Bytes {
    let message = message.encode_to_vec();
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).expect("small"));
    framed.put_slice(&message);
    framed.freeze()
}

/// Answers every type with "there is nothing", as a mesh without configuration does.
struct Answers {
    requests: Incoming,
    buffered: BytesMut,
}

impl Answers {
    fn next_message(&mut self) -> Option<Bytes> {
        let length = self.buffered.get(1..5)?;
        let length = u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
        (self.buffered.len() >= 5 + length).then(|| {
            self.buffered.advance(5);
            self.buffered.split_to(length).freeze()
        })
    }
}

impl Body for Answers {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        loop {
            while let Some(message) = self.next_message() {
                let request = DeltaRequest::decode(message).expect("a delta request");
                if !request.response_nonce.is_empty() {
                    continue;
                }
                let response = DeltaResponse {
                    system_version_info: "1".to_owned(),
                    nonce: format!("nonce of {}", request.type_url),
                    type_url: request.type_url,
                };
                return std::task::Poll::Ready(Some(Ok(Frame::data(framed(&response)))));
            }
            let requests = std::pin::Pin::new(&mut self.requests);
            match std::task::ready!(requests.poll_frame(context)) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffered.extend_from_slice(&data);
                    }
                }
                _ => return std::task::Poll::Ready(None),
            }
        }
    }
}

/// A control plane for as long as it is held.
pub struct ControlPlane {
    /// Path and headers of each stream, in order.
    pub heads: Arc<Mutex<Vec<(String, HeaderMap)>>>,
    _tasks: JoinSet<()>,
}

impl ControlPlane {
    /// Listens on a port of loopback.
    pub async fn start(port: u16, certificate: &Certificate) -> ControlPlane {
        let listener = TcpListener::bind(("127.0.0.1", port))
            .await
            .expect("a port");
        let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(
            rustls::crypto::aws_lc_rs::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.serving.certificate.der().clone()],
            certificate.serving.key.to_der(),
        )
        .expect("a certificate");
        config.alpn_protocols = vec![b"h2".to_vec()];
        let tls = TlsAcceptor::from(Arc::new(config));
        let heads: Arc<Mutex<Vec<(String, HeaderMap)>>> = Arc::default();
        let seen = heads.clone();
        let ca = certificate.ca.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let (tls, seen, ca) = (tls.clone(), seen.clone(), ca.clone());
                connections.spawn(async move {
                    let Ok(stream) = tls.accept(socket).await else {
                        return;
                    };
                    let service = service_fn(move |request: Request<Incoming>| {
                        answer(request, seen.clone(), ca.clone())
                    });
                    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        ControlPlane {
            heads,
            _tasks: tasks,
        }
    }

    /// How many streams there have been.
    pub fn streams(&self) -> usize {
        self.heads.lock().expect("no panic").len()
    }
}

type Answer = Either<Answers, StreamBody<stream::Iter<std::vec::IntoIter<Part>>>>;
type Part = Result<Frame<Bytes>, Infallible>;

async fn answer(
    request: Request<Incoming>,
    seen: Arc<Mutex<Vec<(String, HeaderMap)>>>,
    ca: Arc<Ca>,
) -> Result<Response<Answer>, Infallible> {
    let (head, requests) = request.into_parts();
    let path = head.uri.path().to_owned();
    let body = if path.ends_with("/CreateCertificate") {
        let body = requests
            .collect()
            .await
            .expect("a whole request")
            .to_bytes();
        Either::Right(StreamBody::new(stream::iter(
            ca.answer(&body[5..], &head.headers),
        )))
    } else {
        seen.lock().expect("no panic").push((path, head.headers));
        Either::Left(Answers {
            requests,
            buffered: BytesMut::new(),
        })
    };
    let mut response = Response::new(body);
    let kind = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert("content-type", kind);
    Ok(response)
}

/// A root that issues certificates for one identity, or refuses to.
pub struct Ca {
    /// Signs.
    pub signer: Signer,
    /// While it is set, nobody gets a certificate.
    pub refuses: AtomicBool,
    /// How many were issued.
    pub issued: AtomicUsize,
}

/// Whom this CA certifies.
pub const IDENTITY: &str = "spiffe://cluster.local/ns/istio-system/sa/istio-ingressgateway";

impl Ca {
    fn answer(&self, message: &[u8], headers: &HeaderMap) -> Vec<Part> {
        let mut status = HeaderMap::new();
        if self.refuses.load(Ordering::Relaxed) || headers["authorization"] == "Bearer " {
            status.insert("grpc-status", HeaderValue::from_static("14"));
            return vec![Ok(Frame::trailers(status))];
        }
        let request = CertificateRequest::decode(message).expect("a request");
        let response = CertificateResponse {
            cert_chain: vec![
                self.certify(&request.csr, request.validity_duration)
                    .to_pem(),
                self.signer.certificate().to_pem(),
            ],
        };
        self.issued.fetch_add(1, Ordering::Relaxed);
        status.insert("grpc-status", HeaderValue::from_static("0"));
        vec![
            Ok(Frame::data(framed(&response))),
            Ok(Frame::trailers(status)),
        ]
    }

    /// A certificate for the key in a signing request.
    pub fn certify(&self, csr: &str, seconds: i64) -> pki::Certificate {
        let request = SigningRequest::from_pem(csr).expect("a verified request");
        let lifetime = time::Duration::seconds(seconds);
        self.signer
            .issue_workload(&request, IDENTITY, OffsetDateTime::now_utc(), lifetime)
            .expect("a certificate")
    }
}

/// A serving certificate and the CA that vouches for it.
pub struct Certificate {
    /// For the proxy.
    pub root_pem: String,
    /// Issues to proxies.
    pub ca: Arc<Ca>,
    serving: Issued,
}

/// A new root and a certificate with the control plane's name.
pub fn certificate() -> Certificate {
    let now = OffsetDateTime::now_utc();
    let day = time::Duration::days(1);
    let root = pki::self_signed_root("cluster.local", now, day).expect("a root");
    let signer = Signer::new(root.certificate, root.key).expect("a pair");
    Certificate {
        root_pem: signer.certificate().to_pem(),
        serving: signer
            .issue_serving(&[NAME.to_owned()], now, day)
            .expect("a certificate"),
        ca: Arc::new(Ca {
            signer,
            refuses: AtomicBool::new(false),
            issued: AtomicUsize::new(0),
        }),
    }
}
