//! Who gets which answer at the status port, without an Envoy.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bootstrap::ProxyType;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;

use super::{Status, answer};
use crate::admin::Local;
use crate::app_metrics::AppMetrics;
use crate::app_probe::AppProbes;
use crate::drain::{Drain, Keep};
use crate::metrics::Metrics;
use crate::readiness::Readiness;

/// An agent whose Envoy does not answer: port 1 of loopback.
fn status() -> Status {
    let admin = Local::port(1);
    Status {
        readiness: Arc::new(Readiness::new(admin.clone(), Duration::from_secs(1))),
        drain: Drain::new(
            admin.clone(),
            ProxyType::Router,
            Keep::For(Duration::ZERO),
            [15021, 15090],
        ),
        metrics: Arc::new(Metrics::default()),
        admin,
        probes: AppProbes::new(&BTreeMap::new(), None, 15020).expect("no probes"),
        application: AppMetrics::default(),
    }
}

async fn answered(method: Method, path: &str, peer: &str) -> (StatusCode, String) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .body(())
        .expect("a request");
    let peer: IpAddr = peer.parse().expect("an address");
    let response = answer(&request, peer, &status()).await;
    let code = response.status();
    let body = response.into_body().collect().await.expect("a body");
    let text = String::from_utf8(body.to_bytes().into()).expect("a text");
    (code, text)
}

#[tokio::test]
async fn only_the_pod_itself_may_end_or_drain_it() {
    for path in ["/quitquitquit", "/drain"] {
        let (code, _) = answered(Method::POST, path, "10.0.0.1").await;
        assert_eq!(code, StatusCode::FORBIDDEN, "{path}");
        for local in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            let (code, _) = answered(Method::GET, path, local).await;
            assert_eq!(code, StatusCode::METHOD_NOT_ALLOWED, "{path} from {local}");
        }
    }
    let (code, _) = answered(Method::POST, "/quitquitquit", "::ffff:127.0.0.1").await;
    assert_eq!(code, StatusCode::OK);
}

#[tokio::test]
async fn an_envoy_that_does_not_answer_is_not_ready_and_cannot_be_drained() {
    let (code, reason) = answered(Method::GET, "/healthz/ready", "10.0.0.1").await;
    assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        reason.starts_with("not ready: envoy does not answer"),
        "{reason}"
    );
    let (code, _) = answered(Method::POST, "/drain", "127.0.0.1").await;
    assert_eq!(code, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn the_agents_own_metrics_need_no_envoy() {
    for path in ["/metrics", "/stats/prometheus?usedonly"] {
        let (code, text) = answered(Method::GET, path, "10.0.0.1").await;
        assert_eq!(code, StatusCode::OK);
        assert!(text.contains("istio_build{component=\"agent\""), "{text}");
    }
}

#[tokio::test]
async fn other_paths_are_not_found() {
    let (code, _) = answered(Method::GET, "/healthz/ready/../../drain", "127.0.0.1").await;
    assert_eq!(code, StatusCode::NOT_FOUND);
}
