//! Real connections over loopback: certificates rotate under way, and everything ends on shutdown.

use std::sync::Arc;
use std::time::Duration;

use axum::routing::get;
use axum::{Extension, Router};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsConnector;

use super::{Limits, Peer, Transport, serve, spread};
use crate::Shutdown;
use crate::tls::{Clients, certified_key, server_config};

fn router() -> Router {
    let peer = |Extension(peer): Extension<Peer>| async move { peer.address.ip().to_string() };
    Router::new().route("/peer", get(peer))
}

fn limits() -> Limits {
    Limits {
        grace: Duration::from_millis(50),
        ..Limits::default()
    }
}

/// A root of its own and a certificate from it.
fn serving() -> (CertificateDer<'static>, Arc<CertifiedKey>) {
    let now = pki::OffsetDateTime::now_utc();
    let day = Duration::from_secs(86_400).try_into().expect("a day");
    let root = pki::self_signed_root("cluster.local", now, day).expect("a root");
    let signer = pki::Signer::new(root.certificate, root.key).expect("a pair");
    let hosts = ["localhost".to_owned()];
    let issued = signer.issue_serving(&hosts, now, day).expect("a leaf");
    let chain = vec![issued.certificate.der().clone()];
    let key = certified_key(chain, &issued.key.to_der()).expect("a pair");
    (signer.certificate().der().clone(), key)
}

async fn get_peer(io: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin)) -> String {
    let request = b"GET /peer HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    io.write_all(request).await.expect("the request is sent");
    let mut answer = String::new();
    // TLS peers may end without close_notify; what was read counts.
    let _ = io.read_to_string(&mut answer).await;
    answer
}

#[tokio::test]
async fn each_handshake_uses_the_certificate_of_the_moment() {
    let (first_root, first) = serving();
    let (second_root, second) = serving();
    let (sender, receiver) = watch::channel(Some(first));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let shutdown = Shutdown::new();
    let transport = Transport::Tls(server_config(receiver, Clients::Anonymous));
    let server = tokio::spawn(serve(
        listener,
        transport,
        router(),
        limits(),
        shutdown.clone(),
    ));

    let call = |root: CertificateDer<'static>| async move {
        let mut roots = RootCertStore::empty();
        roots.add(root).expect("a root");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(address).await.expect("connected");
        let name = ServerName::try_from("localhost").expect("a name");
        let connector = TlsConnector::from(Arc::new(config));
        let mut stream = connector.connect(name, stream).await.ok()?;
        Some(get_peer(&mut stream).await)
    };
    let answer = call(first_root.clone()).await.expect("trusted");
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(call(second_root.clone()).await.is_none(), "another root");

    sender.send_replace(Some(second));
    assert!(call(second_root).await.is_some());
    assert!(call(first_root).await.is_none(), "the old certificate");

    sender.send_replace(None);
    let (no_root, _) = serving();
    assert!(call(no_root).await.is_none(), "no certificate");
    shutdown.cancel();
    server.await.expect("the server ends");
}

/// A certificate authority of clients, and what its clients present.
fn client_authority() -> (pki::Signer, CertificateDer<'static>) {
    let now = pki::OffsetDateTime::now_utc();
    let day = Duration::from_secs(86_400).try_into().expect("a day");
    let root = pki::self_signed_root("cluster.local", now, day).expect("a root");
    let der = root.certificate.der().clone();
    let signer = pki::Signer::new(root.certificate, root.key).expect("a pair");
    (signer, der)
}

const WORKLOAD: &str = "spiffe://cluster.local/ns/shop/sa/reviews";

fn client_of(signer: &pki::Signer, server: &CertificateDer<'static>) -> Arc<ClientConfig> {
    let now = pki::OffsetDateTime::now_utc();
    let hour = Duration::from_secs(3600).try_into().expect("an hour");
    let key = pki::PrivateKey::generate_p256().expect("a key");
    let request = pki::signing_request(&key, WORKLOAD).expect("a request");
    let request = pki::SigningRequest::from_pem(&request).expect("it reads");
    let issued = signer.issue_workload(&request, WORKLOAD, now, hour);
    let chain = vec![issued.expect("a certificate").der().clone()];
    let mut roots = RootCertStore::empty();
    roots.add(server.clone()).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key.to_der().clone_key())
        .expect("a pair");
    Arc::new(config)
}

#[tokio::test]
async fn clients_are_judged_by_the_roots_of_the_moment() {
    let (server_root, key) = serving();
    let (_keep, serving) = watch::channel(Some(key));
    let (first, first_root) = client_authority();
    let (second, second_root) = client_authority();
    let (anchors, roots) = watch::channel(None);
    let clients = |root: &CertificateDer<'static>| Some(Arc::from([root.clone()]));
    let config = server_config(serving, Clients::MayProve(roots));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let shutdown = Shutdown::new();
    let certified = |Extension(peer): Extension<Peer>| async move {
        let leaf = peer.certificates.first();
        leaf.map_or_else(String::new, |leaf| {
            let leaf = pki::Certificate::from_der(leaf).expect("a certificate");
            leaf.uris.join(" ")
        })
    };
    let server = tokio::spawn(serve(
        listener,
        Transport::Tls(config),
        Router::new().route("/peer", get(certified)),
        limits(),
        shutdown.clone(),
    ));
    let call = |config: Arc<ClientConfig>| async move {
        let stream = TcpStream::connect(address).await.expect("connected");
        let name = ServerName::try_from("localhost").expect("a name");
        // With TLS 1.3 a client learns of its refusal when it reads.
        let mut stream = TlsConnector::from(config)
            .connect(name, stream)
            .await
            .ok()?;
        Some(get_peer(&mut stream).await).filter(|answer| !answer.is_empty())
    };
    let (of_first, of_second) = (
        client_of(&first, &server_root),
        client_of(&second, &server_root),
    );
    assert!(
        call(of_first.clone()).await.is_none(),
        "there are no roots yet"
    );

    anchors.send_replace(clients(&first_root));
    // Twice, since the second handshake must not resume the first one.
    for _ in 0..2 {
        let answer = call(of_first.clone()).await.expect("known");
        assert!(answer.ends_with(WORKLOAD), "{answer}");
    }
    assert!(call(of_second.clone()).await.is_none(), "of another root");

    anchors.send_replace(clients(&second_root));
    assert!(call(of_second).await.is_some());
    assert!(call(of_first).await.is_none(), "its root is gone");

    shutdown.cancel();
    server.await.expect("the server ends");
}

#[tokio::test]
async fn idle_and_half_open_connections_do_not_hold_up_shutdown() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let shutdown = Shutdown::new();
    let server = tokio::spawn(serve(
        listener,
        Transport::Plaintext,
        router(),
        limits(),
        shutdown.clone(),
    ));
    let mut half = TcpStream::connect(address).await.expect("connected");
    half.write_all(b"GET /pe").await.expect("sent");
    let mut whole = TcpStream::connect(address).await.expect("connected");
    let answer = get_peer(&mut whole).await;
    assert!(answer.ends_with("127.0.0.1"), "{answer}");

    shutdown.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(5), server).await;
    ended.expect("within the grace").expect("without panic");
    assert!(TcpStream::connect(address).await.is_err(), "closed");
}

#[tokio::test]
async fn a_connection_is_ended_at_its_age() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let shutdown = Shutdown::new();
    let aged = Limits {
        max_connection_age: Some(Duration::from_millis(50)),
        ..limits()
    };
    let server = serve(
        listener,
        Transport::Plaintext,
        router(),
        aged,
        shutdown.clone(),
    );
    let server = tokio::spawn(server);
    let mut idle = TcpStream::connect(address).await.expect("connected");
    let mut nothing = Vec::new();
    let read = idle.read_to_end(&mut nothing);
    let closed = tokio::time::timeout(Duration::from_secs(5), read).await;
    assert!(closed.is_ok(), "still open");
    shutdown.cancel();
    server.await.expect("the server ends");
}

#[test]
fn ages_are_spread_by_a_tenth() {
    let age = Duration::from_secs(100);
    for _ in 0..100 {
        let spread = spread(age).as_secs_f64();
        assert!((90.0..=110.0).contains(&spread), "{spread}");
    }
}
