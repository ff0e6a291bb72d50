//! Headers, tokens and refusals; whole streams are in `gateway_test`.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bootstrap::AuthPolicy;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::{ControlPlane, Unreachable, stream_headers};
use crate::body::Streamed;
use crate::own_certificate::OwnCertificate;
use crate::secret::{self, Secrets, Versioned};

fn control_plane(folder: &Path, security: AuthPolicy) -> ControlPlane {
    ControlPlane {
        address: "127.0.0.1:1".to_owned(),
        name: "istiod.istio-system.svc".to_owned(),
        security,
        root_cert: folder.join("root-cert.pem"),
        token: folder.join("istio-token"),
        own: None,
        headers: HeaderMap::new(),
    }
}

/// A folder of this test's own, gone with it.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn folder(name: &str) -> Folder {
    let folder = std::env::temp_dir().join(format!("agent-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    Folder(folder)
}

#[test]
fn streams_carry_the_cluster_and_what_the_environment_adds() {
    let environment: BTreeMap<String, String> = [
        ("XDS_HEADER_X-Team", "shop"),
        ("XDS_HEADER_BAD NAME", "x"),
        ("OTHER", "x"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let headers = stream_headers("Kubernetes", "XDS_HEADER_", environment.iter());
    assert_eq!(headers["clusterid"], "Kubernetes");
    assert_eq!(headers["x-team"], "shop");
    assert_eq!(headers.len(), 2);
}

#[test]
fn the_token_is_read_for_each_stream() {
    let folder = folder("token");
    let control_plane = control_plane(&folder.0, AuthPolicy::MutualTls);
    for token in ["first\n", "second"] {
        std::fs::write(&control_plane.token, token).expect("writable");
        let headers = control_plane.headers().expect("a token");
        assert_eq!(headers["authorization"], format!("Bearer {}", token.trim()));
        assert!(headers["authorization"].is_sensitive());
    }
    std::fs::remove_file(&control_plane.token).expect("it was there");
    let refusal = control_plane.headers().expect_err("there is no token");
    assert!(matches!(refusal, Unreachable::Token { .. }), "{refusal}");
}

#[test]
fn plaintext_streams_carry_no_token() {
    let folder = folder("plaintext");
    let control_plane = control_plane(&folder.0, AuthPolicy::None);
    std::fs::write(&control_plane.token, "secret").expect("writable");
    assert!(
        !control_plane
            .headers()
            .expect("none is needed")
            .contains_key("authorization")
    );
}

#[test]
fn a_root_file_without_a_certificate_is_refused_with_its_name() {
    let folder = folder("roots");
    let control_plane = control_plane(&folder.0, AuthPolicy::MutualTls);
    for content in [None, Some(""), Some("not a certificate")] {
        if let Some(content) = content {
            std::fs::write(&control_plane.root_cert, content).expect("writable");
        }
        let refusal = control_plane.tls(None).expect_err("a refusal").to_string();
        assert!(refusal.contains("root-cert.pem: "), "{refusal}");
    }
}

/// A server over TLS that takes clients without a certificate or with one of `clients`, and answers each request with
/// the number of certificates that were shown.
async fn server(folder: &Path, clients: rcgen::Certificate) -> String {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["istiod.istio-system.svc".to_owned()]).expect("one");
    std::fs::write(folder.join("root-cert.pem"), cert.pem()).expect("writable");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(clients.der().clone()).expect("a root");
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
    let verifier = verifier
        .allow_unauthenticated()
        .build()
        .expect("a verifier");
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![cert.der().clone()], key)
        .expect("a pair");
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else {
                continue;
            };
            let shown = stream.get_ref().1.peer_certificates().map_or(0, <[_]>::len);
            let answer = service_fn(move |_| async move {
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(shown.to_string()))))
            });
            let serving = http2::Builder::new(TokioExecutor::new());
            tokio::spawn(serving.serve_connection(TokioIo::new(stream), answer));
        }
    });
    address
}

/// How many certificates the server saw; what the agent does with a failure.
async fn ask(control_plane: &ControlPlane) -> Option<String> {
    let mut connection = control_plane.connect().await.ok()?;
    let request = Request::new(Streamed::text("x"));
    match connection.sender.send_request(request).await {
        Ok(response) => {
            let body = response.into_body().collect().await.expect("a body");
            Some(String::from_utf8_lossy(&body.to_bytes()).into_owned())
        }
        Err(_) => {
            control_plane.failed_with(connection.shown.take());
            None
        }
    }
}

#[tokio::test]
async fn our_certificate_is_shown_unless_it_was_refused() {
    let own = |name: &str| {
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        let bytes = secret::own(&cert.pem(), &signing_key.serialize_pem());
        (cert, bytes)
    };
    let (known, known_secret) = own("known");
    let (_, foreign_secret) = own("foreign");
    let folder = folder("own");
    let (sender, secrets) = watch::channel(Arc::default());
    let control_plane = ControlPlane {
        address: server(&folder.0, known).await,
        own: Some(OwnCertificate::new(secrets)),
        ..control_plane(&folder.0, AuthPolicy::MutualTls)
    };
    assert_eq!(
        ask(&control_plane).await.as_deref(),
        Some("0"),
        "there is none"
    );

    let change_to = |version: &str, bytes| {
        let own = Some(Versioned {
            version: version.to_owned(),
            bytes,
        });
        sender.send_replace(Arc::new(Secrets { own, roots: None }));
    };
    change_to("1", foreign_secret);
    assert_eq!(ask(&control_plane).await, None, "it is refused");
    assert_eq!(
        ask(&control_plane).await.as_deref(),
        Some("0"),
        "the token has to do"
    );
    change_to("2", known_secret);
    assert_eq!(ask(&control_plane).await.as_deref(), Some("1"));
}
