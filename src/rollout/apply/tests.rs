//! What an apply asks of the API server, which is mocked.

use http::{Request, Response};
use install::Object;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use super::apply;
use crate::{Error, Live};

fn config_map() -> Object {
    Object::from_value(json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "istio", "namespace": "mesh"}, "data": {"mesh": ""}}))
}

fn not_found(kind: &str) -> (u16, Value) {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404,
        "message": "not found", "reason": "NotFound", "details": {"name": "mesh", "kind": kind}});
    (404, status)
}

fn accepted() -> (u16, Value) {
    let mut body = config_map().body;
    body["metadata"]["uid"] = "u".into();
    body["metadata"]["resourceVersion"] = "5".into();
    (200, body)
}

/// Applies `object` against these answers; returns the requests.
async fn against(object: Object, answers: Vec<(u16, Value)>) -> (Result<Live, Error>, Vec<String>) {
    let (service, handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
    let client = Client::new(service, "default");
    let server = tokio::spawn(async move {
        let mut handle = std::pin::pin!(handle);
        let mut asked = Vec::new();
        for (code, body) in answers {
            let (request, send) = handle.next_request().await.expect("a request");
            asked.push(format!("{} {}", request.method(), request.uri()));
            let answer = Response::builder()
                .status(code)
                .body(Body::from(body.to_string().into_bytes()))
                .expect("a response");
            send.send_response(answer);
        }
        asked
    });
    let result = apply(&client, &object).await;
    // Dropped, so that a server that waits for a request that never comes ends.
    drop(client);
    (result, server.await.expect("the server ran"))
}

const PATCH: &str =
    "PATCH /api/v1/namespaces/mesh/configmaps/istio?&force=true&fieldManager=istio-operator";

#[tokio::test]
async fn one_forced_apply_with_one_field_manager() {
    let (result, asked) = against(config_map(), vec![accepted()]).await;
    let live = result.expect("applied");
    assert_eq!(
        (live.uid.as_str(), live.resource_version.as_str()),
        ("u", "5")
    );
    assert_eq!(asked, [PATCH]);
}

#[tokio::test]
async fn an_absent_namespace_is_created() {
    let created = (
        201,
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "mesh"}}),
    );
    let answers = vec![not_found("namespaces"), created, accepted()];
    let (result, asked) = against(config_map(), answers).await;
    assert!(result.is_ok(), "{result:?}");
    let create = "POST /api/v1/namespaces?&fieldManager=istio-operator";
    assert_eq!(asked, [PATCH, create, PATCH]);
}

#[tokio::test]
async fn another_absence_is_an_error_that_names_the_object() {
    let (result, _) = against(config_map(), vec![not_found("configmaps")]).await;
    let error = result.expect_err("refused");
    assert_eq!(error.label(), "apply");
    assert_eq!(
        error.to_string(),
        "configmap mesh/istio could not be applied: not found"
    );
}

#[tokio::test]
async fn a_kind_outside_the_table_is_refused_without_a_request() {
    let widget = Object::from_value(json!({"apiVersion": "example.com/v1", "kind": "Widget",
        "metadata": {"name": "w"}}));
    let (result, asked) = against(widget, Vec::new()).await;
    assert!(matches!(result, Err(Error::UnknownKind { .. })));
    assert!(asked.is_empty());
}

#[tokio::test]
async fn an_item_whose_key_was_edited_is_mended_and_the_mending_is_disowned() {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 422,
        "message": "duplicate value", "reason": "Invalid"});
    let mut applied = accepted();
    applied.1["metadata"]["managedFields"] = json!([
        {"manager": "istio-operator", "operation": "Apply"},
        {"manager": "istio-operator-mender", "operation": "Update"},
    ]);
    let answers = vec![(422, status), accepted(), applied, accepted()];
    let (result, asked) = against(config_map(), answers).await;
    assert!(result.is_ok(), "{result:?}");
    let mend = "PATCH /api/v1/namespaces/mesh/configmaps/istio?&fieldManager=istio-operator-mender";
    let disown = "PATCH /api/v1/namespaces/mesh/configmaps/istio?";
    assert_eq!(asked, [PATCH, mend, PATCH, disown]);
}

#[tokio::test]
async fn what_cannot_be_mended_keeps_its_first_error() {
    let invalid = |message: &str| {
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
            "code": 422, "message": message, "reason": "Invalid"});
        (422, status)
    };
    let answers = vec![invalid("field is immutable"), invalid("another sentence")];
    let (result, asked) = against(config_map(), answers).await;
    let error = result.expect_err("refused").to_string();
    assert!(error.ends_with("field is immutable"), "{error}");
    assert_eq!(asked.len(), 2);
}

/// The `failurePolicy` that an apply sends for a webhook that is rendered with `rendered`, where the
/// cluster has `standing`.
async fn policy_sent(rendered: &str, standing: Option<&str>) -> Value {
    let configuration = |policy: &str| {
        json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "istio-validator"},
            "webhooks": [{"name": "other", "failurePolicy": "Fail"}, {"name": "rev", "failurePolicy": policy}]})
    };
    let (service, handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
    let client = Client::new(service, "default");
    let standing = match standing {
        Some(policy) => (200, configuration(policy)),
        None => not_found("validatingwebhookconfigurations"),
    };
    let server = tokio::spawn(async move {
        let mut handle = std::pin::pin!(handle);
        loop {
            let (request, send) = handle.next_request().await.expect("a request");
            let reads = request.method() == http::Method::GET;
            let body = request.into_body().collect_bytes().await.expect("a body");
            let sent = serde_json::from_slice::<Value>(&body).ok();
            let (code, answer) = match &sent {
                Some(sent) if !reads => (200, sent.clone()),
                _ => standing.clone(),
            };
            let answer = Body::from(answer.to_string().into_bytes());
            send.send_response(
                Response::builder()
                    .status(code)
                    .body(answer)
                    .expect("a response"),
            );
            if let Some(sent) = sent.filter(|_| !reads) {
                return sent["webhooks"][1]["failurePolicy"].clone();
            }
        }
    });
    let object = Object::from_value(configuration(rendered));
    apply(&client, &object).await.expect("applied");
    server.await.expect("the server ran")
}

#[tokio::test]
async fn a_webhook_that_istiod_has_closed_is_not_opened_again() {
    assert_eq!(policy_sent("Ignore", None).await, "Ignore");
    assert_eq!(policy_sent("Ignore", Some("Fail")).await, "Fail");
    assert_eq!(policy_sent("Ignore", Some("Ignore")).await, "Ignore");
    assert_eq!(policy_sent("Fail", Some("Ignore")).await, "Fail");
}
