//! What the kubelet is told, with an application in the same process.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;

use super::AppProbes;
use crate::grpc;

const POD: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const READY: &str = "/app-health/shop/readyz";

/// An application; gives its port.
async fn application(answer: fn(&Request<Incoming>, u16) -> Response<Full<Bytes>>) -> u16 {
    let listener = TcpListener::bind((POD, 0)).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            let service = service_fn(move |request: Request<Incoming>| async move {
                let response = answer(&request, port);
                Ok::<_, Infallible>(response)
            });
            tokio::spawn(async move {
                auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await
            });
        }
    });
    port
}

fn answered(status: u16, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    response
}

fn led(status: u16, to: String) -> Response<Full<Bytes>> {
    let mut response = answered(status, "");
    let to = to.parse().expect("a header");
    response.headers_mut().insert("location", to);
    response
}

fn probes(text: &str) -> AppProbes {
    let environment = BTreeMap::from([("ISTIO_KUBE_APP_PROBERS".to_owned(), text.to_owned())]);
    AppProbes::new(&environment, Some(POD), 15020).expect("probes")
}

async fn told(action: String) -> (u16, String) {
    let probes = probes(&format!(
        r#"{{"{READY}": {{{action}, "timeoutSeconds": 5}}}}"#
    ));
    let request = Request::builder()
        .uri(READY)
        .header("host", "127.0.0.1:15020")
        .header("x-probe", "kubelet")
        .header("connection", "close")
        .body(())
        .expect("a request");
    let outcome = probes.answer(&request).await;
    let body = String::from_utf8(outcome.body.to_vec()).expect("a text");
    (outcome.status.as_u16(), body)
}

#[tokio::test]
async fn the_application_hears_what_the_kubelet_would_have_said() {
    let port = application(|request, _| {
        let text = |name: &str| {
            let value = request.headers().get(name);
            String::from_utf8_lossy(value.map_or(b"", |value| value.as_bytes())).into_owned()
        };
        answered(
            200,
            format!("{} {} {}", request.uri(), text("host"), text("x-probe")),
        )
    })
    .await;
    let (status, body) = told(format!(
        r#""httpGet": {{"path": "ok?a=b", "port": {port}}}"#
    ))
    .await;
    assert_eq!(status, 200);
    assert_eq!(body, format!("/ok?a=b 127.0.0.1:{port} kubelet"));
}

#[tokio::test]
async fn the_status_of_the_application_is_that_of_the_probe() {
    let port = application(|_, _| answered(503, "the shelves are empty")).await;
    let outcome = told(format!(r#""httpGet": {{"path": "/", "port": {port}}}"#)).await;
    assert_eq!(outcome, (503, "the shelves are empty".to_owned()));
}

#[tokio::test]
async fn a_long_answer_is_cut() {
    let port = application(|_, _| answered(200, vec![b'x'; 100_000])).await;
    let (status, body) = told(format!(r#""httpGet": {{"path": "/", "port": {port}}}"#)).await;
    assert_eq!((status, body.len()), (200, 10 << 10));
}

#[tokio::test]
async fn redirects_are_followed_within_the_pod() {
    let port = application(|request, port| match request.uri().path() {
        "/here" => led(302, "/there/".to_owned()),
        "/there/" => led(307, "next".to_owned()),
        "/there/next" => led(301, format!("http://127.0.0.1:{port}/end")),
        "/end" => answered(404, "nothing"),
        "/away" => led(302, "https://elsewhere.example/".to_owned()),
        _ => led(302, "/circle".to_owned()),
    })
    .await;
    for (path, status) in [("/here", 404), ("/away", 200), ("/circle", 500)] {
        let get = format!(r#""httpGet": {{"path": "{path}", "port": {port}}}"#);
        assert_eq!(told(get).await.0, status, "{path}");
    }
}

#[tokio::test]
async fn a_tcp_probe_finds_the_application_and_not_the_proxy() {
    let listener = TcpListener::bind((POD, 0)).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let socket = format!(r#""tcpSocket": {{"port": {port}}}"#);
    assert_eq!(told(socket.clone()).await.0, 200);
    let (_, peer) = listener.accept().await.expect("a connection");
    assert_eq!(peer.ip(), IpAddr::from([127, 0, 0, 6]));
    drop(listener);
    assert_eq!(told(socket).await.0, 500);
}

#[tokio::test]
async fn a_grpc_probe_asks_for_the_health_of_the_service() {
    let port = application(|request, _| {
        assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
        let answer = match request.headers().get("user-agent") {
            None => &[8, 1][..],
            Some(_) => &[8, 2][..],
        };
        let mut response = answered(200, grpc::framed(answer));
        response.headers_mut().insert("grpc-status", 0.into());
        response
    })
    .await;
    let action = format!(r#""grpc": {{"port": {port}, "service": "shop"}}"#);
    assert_eq!(told(action).await.0, 200);

    let probes = probes(&format!(r#"{{"{READY}": {{"grpc": {{"port": {port}}}}}}}"#));
    let request = Request::builder()
        .uri(READY)
        .header("user-agent", "kube-probe/1.35")
        .body(())
        .expect("a request");
    let outcome = probes.answer(&request).await;
    assert_eq!(outcome.status, 500);
    assert!(
        outcome
            .body
            .ends_with(b"health status 2, not 1 (serving)\n")
    );
}

#[tokio::test]
async fn an_application_without_health_service_is_told_apart() {
    let port = application(|_, _| {
        let mut response = answered(200, "");
        response.headers_mut().insert("grpc-status", 12.into());
        response
    })
    .await;
    let (status, body) = told(format!(r#""grpc": {{"port": {port}}}"#)).await;
    assert_eq!(status, 500);
    assert!(body.contains("gRPC status 12"), "{body}");
}

#[tokio::test]
async fn only_paths_that_injection_wrote_are_probes() {
    let request = Request::builder()
        .uri("/app-health/other/readyz")
        .body(())
        .expect("a request");
    let outcome = probes("{}").answer(&request).await;
    assert_eq!(outcome.status, StatusCode::BAD_REQUEST);
}

#[test]
fn a_probe_that_cannot_be_done_ends_the_agent_at_once() {
    for text in [
        "[]",
        "{",
        r#"{"/app-health/shop/other": {"tcpSocket": {"port": 1}}}"#,
        r#"{"/app-health//readyz": {"tcpSocket": {"port": 1}}}"#,
        r#"{"/app-health/shop/readyz": {}}"#,
        r#"{"/app-health/shop/readyz": {"tcpSocket": {"port": "http"}}}"#,
        r#"{"/app-health/shop/readyz": {"tcpSocket": {"port": 70000}}}"#,
        r#"{"/app-health/shop/readyz": {"tcpSocket": {"port": 1}, "grpc": {"port": 1}}}"#,
    ] {
        let environment = BTreeMap::from([("ISTIO_KUBE_APP_PROBERS".to_owned(), text.to_owned())]);
        assert!(AppProbes::new(&environment, None, 15020).is_err(), "{text}");
    }
}

#[tokio::test]
async fn over_tls_any_certificate_will_do() {
    let issued = rcgen::generate_simple_self_signed(["shop".to_owned()]).expect("a certificate");
    let key = rustls::pki_types::PrivateKeyDer::try_from(issued.signing_key.serialize_der())
        .expect("a key");
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    for protocols in [&[&b"h2"[..]][..], &[b"http/1.1"], &[]] {
        let mut config = rustls::ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![issued.cert.der().clone()], key.clone_key())
            .expect("a certificate with its key");
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
        let listener = TcpListener::bind((POD, 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.expect("a connection");
            let stream = acceptor.accept(stream).await.expect("TLS");
            let service = service_fn(|request: Request<Incoming>| async move {
                let version = format!("{:?}", request.version());
                let _ = request.into_body().collect().await;
                Ok::<_, Infallible>(answered(200, version))
            });
            auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await
        });
        let get = format!(r#""httpGet": {{"path": "/", "port": {port}, "scheme": "HTTPS"}}"#);
        let version = match protocols {
            [b"h2"] => "HTTP/2.0",
            _ => "HTTP/1.1",
        };
        assert_eq!(told(get).await, (200, version.to_owned()));
    }
}
