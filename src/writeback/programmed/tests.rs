//! The writer against an API server of our own making.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::{ObjectRef, Problem};
use http::{Method, Request, Response, StatusCode};
use imbl::OrdMap;
use kube::Client;
use kube::client::Body;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use serve::Shutdown;
use tokio::sync::watch;
use tokio::time::timeout;
use tower_test::mock::{self, Handle};

use super::keep;
use crate::{Access, Facts, Metrics};

type Server = Handle<Request<Body>, Response<Body>>;

/// Longer than every pause of the writer; time is the test's own.
const SOON: Duration = Duration::from_secs(3600);

struct Writer {
    server: Server,
    leads: watch::Sender<bool>,
    problems: watch::Sender<Arc<[Problem]>>,
    refused: watch::Sender<BTreeMap<ObjectRef, String>>,
    _findings: watch::Sender<OrdMap<ObjectRef, Arc<api::finding::Finding>>>,
}

fn object(name: &str) -> ObjectRef {
    ObjectRef {
        api_version: "networking.istio.io/v1".to_owned(),
        kind: "VirtualService".to_owned(),
        namespace: Some("shop".to_owned()),
        name: name.to_owned(),
    }
}

fn problem(name: &str, words: &str) -> Problem {
    Problem::error(&object(name), "spec.hosts", "InvalidValue", words)
}

fn stored(name: &str, conditions: &Value) -> Value {
    json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"namespace": "shop", "name": name, "generation": 3, "resourceVersion": "9"},
        "status": {"conditions": conditions}})
}

fn start() -> Writer {
    let (service, server) = mock::pair::<Request<Body>, Response<Body>>();
    let (leads, leadership) = watch::channel(true);
    let (problems, problems_view) = watch::channel(Arc::default());
    let (refused, refused_view) = watch::channel(BTreeMap::new());
    let (findings, findings_view) = watch::channel(OrdMap::new());
    let access = Access {
        client: Client::new(service, "default"),
        leadership,
        metrics: Metrics::register(&mut Registry::default()),
    };
    let facts = Facts {
        findings: findings_view,
        problems: problems_view,
        refused: refused_view,
    };
    tokio::spawn(keep(access, facts, Shutdown::new()));
    Writer {
        server,
        leads,
        problems,
        refused,
        _findings: findings,
    }
}

impl Writer {
    /// Answers the next request and returns its method, path and body.
    async fn asked(&mut self, status: StatusCode, body: &Value) -> (Method, String, Value) {
        let next = timeout(SOON, self.server.next_request()).await;
        let (request, answer) = next.expect("in time").expect("a request");
        let (head, sent) = request.into_parts();
        let sent = sent.collect_bytes().await.expect("a body");
        let mut response = Response::new(Body::from(body.to_string().into_bytes()));
        *response.status_mut() = status;
        answer.send_response(response);
        let sent = serde_json::from_slice(&sent).unwrap_or_default();
        (head.method, head.uri.path().to_owned(), sent)
    }

    /// Nothing is asked for a long time.
    async fn rests(&mut self) {
        let quiet = timeout(Duration::from_secs(9), self.server.next_request()).await;
        assert!(quiet.is_err(), "an unexpected request");
    }
}

const PATH: &str = "/apis/networking.istio.io/v1/namespaces/shop/virtualservices/a";

#[tokio::test(start_paused = true)]
async fn a_problem_becomes_a_condition_by_one_read_and_one_write() {
    let mut writer = start();
    writer
        .problems
        .send_replace([problem("a", "is empty")].into());
    let (method, path, _) = writer.asked(StatusCode::OK, &stored("a", &json!([]))).await;
    assert_eq!((method, &*path), (Method::GET, PATH));
    let (method, path, body) = writer.asked(StatusCode::OK, &stored("a", &json!([]))).await;
    assert_eq!((method, path), (Method::PATCH, format!("{PATH}/status")));
    assert_eq!(body["metadata"]["resourceVersion"], "9");
    let condition = &body["status"]["conditions"][0];
    for (field, expected) in [
        ("type", "Programmed"),
        ("status", "False"),
        ("reason", "Invalid"),
        ("message", "spec.hosts is empty"),
    ] {
        assert_eq!(condition[field], expected);
    }
    assert_eq!(condition["observedGeneration"], 3);
    writer.rests().await;
}

#[tokio::test(start_paused = true)]
async fn only_the_leader_writes() {
    let mut writer = start();
    writer.leads.send_replace(false);
    writer
        .problems
        .send_replace([problem("a", "is empty")].into());
    writer.rests().await;
    writer.leads.send_replace(true);
    let (method, ..) = writer.asked(StatusCode::OK, &stored("a", &json!([]))).await;
    assert_eq!(method, Method::GET);
}

#[tokio::test(start_paused = true)]
async fn a_condition_that_is_there_already_is_not_written() {
    let mut writer = start();
    let words = "proxies refuse it".to_owned();
    writer
        .refused
        .send_replace(BTreeMap::from([(object("a"), words.clone())]));
    let carried = json!([{"type": "Programmed", "status": "False", "reason": "RefusedByProxies",
        "message": words, "observedGeneration": 3}]);
    let (method, ..) = writer.asked(StatusCode::OK, &stored("a", &carried)).await;
    assert_eq!(method, Method::GET);
    writer.rests().await;
}

#[tokio::test(start_paused = true)]
async fn a_conflict_is_tried_again_from_what_is_stored_then() {
    let mut writer = start();
    writer
        .problems
        .send_replace([problem("a", "is empty")].into());
    writer.asked(StatusCode::OK, &stored("a", &json!([]))).await;
    let conflict = json!({"kind": "Status", "status": "Failure", "reason": "Conflict",
        "message": "changed", "code": 409});
    writer.asked(StatusCode::CONFLICT, &conflict).await;
    let other = json!([{"type": "Healthy", "status": "True"}]);
    writer.asked(StatusCode::OK, &stored("a", &other)).await;
    let (.., body) = writer.asked(StatusCode::OK, &stored("a", &other)).await;
    let conditions = body["status"]["conditions"].as_array().expect("a list");
    assert_eq!(conditions.len(), 2, "{body}");
}

#[tokio::test(start_paused = true)]
async fn one_that_is_forbidden_or_gone_does_not_hinder_the_next() {
    for code in [StatusCode::FORBIDDEN, StatusCode::NOT_FOUND] {
        let mut writer = start();
        let both = [problem("a", "is empty"), problem("b", "is empty")];
        writer.problems.send_replace(both.into());
        let refusal = json!({"kind": "Status", "status": "Failure", "message": "no",
            "reason": "Any", "code": code.as_u16()});
        let (_, path, _) = writer.asked(code, &refusal).await;
        assert!(path.ends_with("/a"), "{path}");
        let (_, path, _) = writer.asked(StatusCode::OK, &stored("b", &json!([]))).await;
        assert!(path.ends_with("/b"), "{path}");
    }
}
