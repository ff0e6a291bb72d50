//! A small control plane: delta ADS over TLS that has nothing to say about any type.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
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
                }
                .encode_to_vec();
                let mut framed = BytesMut::new();
                framed.put_u8(0);
                framed.put_u32(u32::try_from(response.len()).expect("small"));
                framed.put_slice(&response);
                return std::task::Poll::Ready(Some(Ok(Frame::data(framed.freeze()))));
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
            vec![certificate.serving.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certificate.key.serialize_der())),
        )
        .expect("a certificate");
        config.alpn_protocols = vec![b"h2".to_vec()];
        let tls = TlsAcceptor::from(Arc::new(config));
        let heads: Arc<Mutex<Vec<(String, HeaderMap)>>> = Arc::default();
        let seen = heads.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let (tls, seen) = (tls.clone(), seen.clone());
                connections.spawn(async move {
                    let Ok(stream) = tls.accept(socket).await else {
                        return;
                    };
                    let service = service_fn(move |request: Request<Incoming>| {
                        let (head, requests) = request.into_parts();
                        let path = head.uri.path().to_owned();
                        seen.lock().expect("no panic").push((path, head.headers));
                        let mut response = Response::new(Answers {
                            requests,
                            buffered: BytesMut::new(),
                        });
                        let kind = HeaderValue::from_static("application/grpc");
                        response.headers_mut().insert("content-type", kind);
                        async { Ok::<_, Infallible>(response) }
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

/// A serving certificate and the root that vouches for it.
pub struct Certificate {
    /// For the proxy.
    pub root_pem: String,
    serving: rcgen::Certificate,
    key: KeyPair,
}

/// A new root and a certificate with the control plane's name.
pub fn certificate() -> Certificate {
    let root_key = KeyPair::generate().expect("a key");
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root_pem = root.self_signed(&root_key).expect("a root").pem();
    let key = KeyPair::generate().expect("a key");
    let serving = CertificateParams::new(vec![NAME.to_owned()])
        .expect("a name")
        .signed_by(&key, &Issuer::new(root, root_key))
        .expect("a certificate");
    Certificate {
        root_pem,
        serving,
        key,
    }
}
