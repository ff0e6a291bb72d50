//! What the API server gets for what it sends.

use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::router;

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
    let request = Request::post(path)
        .header("content-type", content_type)
        .body(Body::from(body))
        .expect("a request");
    let response = router().oneshot(request).await.expect("infallible");
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

#[tokio::test]
async fn injection_is_refused_with_what_to_do() {
    let pod = json!({"metadata": {"generateName": "web-"}});
    for path in ["/inject", "/inject/cluster/c1/net/n1"] {
        let answer = answer(path, review("CREATE", &pod)).await;
        assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
        assert_eq!(answer["kind"], "AdmissionReview");
        let response = &answer["response"];
        assert_eq!(response["uid"], "705ab4f5");
        assert_eq!(response["allowed"], false);
        let message = response["status"]["message"].as_str().expect("a message");
        for part in ["does not inject", "sidecar.istio.io/inject=false"] {
            assert!(message.contains(part), "{message}");
        }
    }
}

#[tokio::test]
async fn objects_that_parse_are_admitted() {
    let gateway = json!({"apiVersion": "networking.istio.io/v1", "kind": "Gateway", "spec": {}});
    let bare = json!({"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication"});
    for (operation, object) in [
        ("CREATE", &gateway),
        ("UPDATE", &gateway),
        ("CREATE", &bare),
        ("DELETE", &Value::Null),
    ] {
        let answer = answer("/validate", review(operation, object)).await;
        let expected = json!({"uid": "705ab4f5", "allowed": true});
        assert_eq!(answer["response"], expected, "{operation} {object}");
    }
}

#[tokio::test]
async fn objects_that_do_not_parse_are_denied_with_a_reason() {
    for (object, reason) in [
        (json!(null), "apiVersion is missing"),
        (json!({"apiVersion": "v1"}), "kind is missing"),
        (
            json!({"apiVersion": "v1", "kind": "Gateway", "spec": []}),
            "spec is not an object",
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
async fn a_huge_body_is_refused() {
    let huge = " ".repeat(super::MAX_BODY + 1);
    let (status, _) = send("/inject", "application/json", huge).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}
