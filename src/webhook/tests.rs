//! What the API server gets for what it sends.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt;

use super::{Injector, Metrics, Validation, router, settings};

fn review(operation: &str, object: &Value) -> String {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5", "operation": operation, "namespace": "shop",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "object": object,
        }
    })
    .to_string()
}

async fn send(path: &str, content_type: &str, body: String) -> (StatusCode, String) {
    send_to(injector(Some(CONFIG)).0, path, content_type, body).await
}

async fn send_to(
    injector: Injector,
    path: &str,
    content_type: &str,
    body: String,
) -> (StatusCode, String) {
    let request = Request::post(path)
        .header("content-type", content_type)
        .body(Body::from(body))
        .expect("a request");
    let response = router(injector, Validation::default())
        .oneshot(request)
        .await
        .expect("infallible");
    let status = response.status();
    let body = response.into_body().collect().await.expect("a body");
    (
        status,
        String::from_utf8_lossy(&body.to_bytes()).into_owned(),
    )
}

async fn answer(path: &str, body: String) -> Value {
    let (status, body) = send(path, "application/json", body).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    serde_json::from_str(&body).expect("JSON")
}

/// Injection with small templates of its own; none can be used without `config`.
fn injector(config: Option<&str>) -> (Injector, Registry) {
    let (_, follow) = watch::channel(Some(Arc::new(settings::Injection {
        settings: config.map(|config| ::inject::Settings::parse(config, "{}").expect("settings")),
        mesh: ::inject::MeshConfig::default(),
        nodes: BTreeMap::new(),
    })));
    let mut registry = Registry::default();
    let injector = Injector {
        follow,
        revision: "default".to_owned(),
        compliance_policy: String::new(),
        metrics: Metrics::register(&mut registry),
    };
    (injector, registry)
}

const CONFIG: &str = "templates: {sidecar: 'spec: {containers: [{name: istio-proxy}]}'}";

#[tokio::test]
async fn an_injected_pod_comes_back_as_a_patch() {
    let pod =
        json!({"metadata": {"generateName": "web-"}, "spec": {"containers": [{"name": "web"}]}});
    for (path, cluster) in [("/inject", None), ("/inject/cluster/c1/net/n1", Some("c1"))] {
        let answer = answer(path, review("CREATE", &pod)).await;
        assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
        assert_eq!(answer["kind"], "AdmissionReview");
        let response = &answer["response"];
        assert_eq!(
            (&response["uid"], &response["allowed"]),
            (&json!("705ab4f5"), &json!(true))
        );
        assert_eq!(response["patchType"], "JSONPatch");
        let patch = STANDARD
            .decode(response["patch"].as_str().expect("a patch"))
            .expect("base64");
        let patch: json_patch::Patch = serde_json::from_slice(&patch).expect("a JSON patch");
        let mut patched = pod.clone();
        patched["metadata"]["namespace"] = json!("shop");
        json_patch::patch(&mut patched, &patch).expect("it applies");
        let containers = patched["spec"]["containers"]
            .as_array()
            .expect("containers");
        assert_eq!(
            (&containers[0]["name"], &containers[1]["name"]),
            (&json!("web"), &json!("istio-proxy"))
        );
        let environment = containers[1]
            .pointer("/env/0/value")
            .and_then(Value::as_str);
        assert_eq!(environment, cluster);
    }
}

#[tokio::test]
async fn who_refuses_is_admitted_unchanged() {
    let pod = json!({"metadata": {"labels": {"sidecar.istio.io/inject": "false"}}, "spec": {}});
    let answer = answer("/inject", review("CREATE", &pod)).await;
    assert_eq!(
        answer["response"],
        json!({"uid": "705ab4f5", "allowed": true})
    );
}

#[tokio::test]
async fn who_cannot_be_injected_is_refused_with_the_reason() {
    let annotated = json!({"metadata": {"name": "web", "annotations": {"sidecar.istio.io/interceptionMode": "off"}}});
    let denial = |answer: Value| {
        assert_eq!(answer["response"]["allowed"], false);
        answer["response"]["status"]["message"]
            .as_str()
            .expect("a message")
            .to_owned()
    };
    let found = denial(answer("/inject", review("CREATE", &annotated)).await);
    assert_eq!(
        found,
        "no sidecar for pod shop/: annotation sidecar.istio.io/interceptionMode: \"off\" is invalid, expected REDIRECT, TPROXY or NONE"
    );
    let (injector, registry) = injector(None);
    let (_, body) = send_to(
        injector,
        "/inject",
        "application/json",
        review("CREATE", &json!({})),
    )
    .await;
    let found = denial(serde_json::from_str(&body).expect("JSON"));
    assert!(
        found.contains("configmap istio-sidecar-injector is missing"),
        "{found}"
    );
    let text = serve::metrics::render(&registry);
    assert!(
        text.contains("sidecar_injection_failure_total 1\n"),
        "{text}"
    );
}

fn route(host: &str, rule: Value) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "front"},
        "spec": {"hosts": [host], "http": [rule]},
    })
}

fn to_reviews() -> Value {
    json!({"route": [{"destination": {"host": "reviews"}}]})
}

#[tokio::test]
async fn objects_without_an_error_are_admitted() {
    let right = route("reviews", to_reviews());
    for (operation, object) in [
        ("CREATE", &right),
        ("UPDATE", &right),
        ("DELETE", &Value::Null),
    ] {
        let answer = answer("/validate", review(operation, object)).await;
        let expected = json!({"uid": "705ab4f5", "allowed": true});
        assert_eq!(answer["response"], expected, "{operation} {object}");
    }
}

#[tokio::test]
async fn what_is_only_questionable_is_admitted_with_a_warning() {
    let mut rule = to_reviews();
    rule["mirrorPercent"] = json!(10);
    let answer = answer("/validate", review("CREATE", &route("reviews", rule))).await;
    assert_eq!(answer["response"]["allowed"], true);
    let expected =
        "virtualservice shop/front: spec.http[0].mirrorPercent is deprecated, use mirrorPercentage";
    assert_eq!(answer["response"]["warnings"], json!([expected]));
}

#[tokio::test]
async fn errors_deny_and_name_object_and_field() {
    for (object, reason) in [
        (json!(null), "expected a kind of Istio's API"),
        (json!("text"), "expected a kind of Istio's API"),
        (
            json!({"apiVersion": "v1", "kind": "Gateway"}),
            "expected a kind of Istio's API",
        ),
        (
            route("*", to_reviews()),
            "virtualservice shop/front: spec.hosts[0] is *, which only gateways can serve",
        ),
        (
            json!({"apiVersion": "networking.istio.io/v1", "kind": "Gateway", "metadata": {"name": "a"}, "spec": []}),
            "gateway shop/a: spec is a list, expected an object",
        ),
    ] {
        let answer = answer("/validate", review("CREATE", &object)).await;
        assert_eq!(answer["response"]["allowed"], false, "{object}");
        let message = answer["response"]["status"]["message"].as_str();
        assert!(
            message.is_some_and(|text| text.contains(reason)),
            "{message:?}"
        );
    }
}

#[tokio::test]
async fn the_older_version_is_answered_in_kind() {
    let older = review("DELETE", &Value::Null).replace("k8s.io/v1", "k8s.io/v1beta1");
    let answer = answer("/validate", older).await;
    assert_eq!(answer["apiVersion"], "admission.k8s.io/v1beta1");
}

#[tokio::test]
async fn what_is_no_review_is_a_bad_request() {
    let foreign = review("CREATE", &json!({})).replace("admission.k8s.io/v1", "v1");
    let no_request = r#"{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}"#;
    for body in ["", "{}", "[]", "not json", no_request, &foreign] {
        for path in ["/inject", "/validate"] {
            let (status, _) = send(path, "application/json", body.to_owned()).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{path} {body}");
        }
    }
    let (status, _) = send("/validate", "text/plain", review("CREATE", &json!({}))).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn reviews_as_no_api_server_sends_them_are_answered_too() {
    let pod = json!({"metadata": {"name": "web", "annotations": {"a": "b"}}, "spec": {"containers": [{"name": "web"}]}});
    let whole: Value = serde_json::from_str(&review("CREATE", &pod)).expect("JSON");
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let (status, _) = send("/inject", "application/json", deep).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    for place in [
        "",
        "/apiVersion",
        "/kind",
        "/request",
        "/request/uid",
        "/request/operation",
        "/request/namespace",
        "/request/kind",
        "/request/object",
        "/request/object/metadata",
        "/request/object/metadata/annotations",
        "/request/object/spec",
        "/request/object/spec/containers",
        "/request/object/spec/containers/0",
    ] {
        for value in [
            json!(null),
            json!(true),
            json!(-1),
            json!(1e308),
            json!(""),
            json!("\u{0}"),
            json!([]),
            json!({}),
            json!([null]),
            json!({"": {"": []}}),
            json!("x".repeat(100_000)),
        ] {
            let mut strange = whole.clone();
            *strange.pointer_mut(place).expect("a place") = value.clone();
            for path in ["/inject", "/inject/cluster/:ENV:=/%00/..", "/validate"] {
                let (status, body) = send(path, "application/json", strange.to_string()).await;
                let answered = [StatusCode::OK, StatusCode::BAD_REQUEST].contains(&status);
                assert!(
                    answered,
                    "{path} {place} {:.40}: {status} {body:.100}",
                    value.to_string()
                );
            }
        }
    }
}

#[tokio::test]
async fn a_huge_body_is_refused() {
    let huge = " ".repeat(super::MAX_BODY + 1);
    let (status, _) = send("/inject", "application/json", huge).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}
