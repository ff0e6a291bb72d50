//! What the kubelet asks instead.

use serde_json::{Value, json};

use super::rewrite;
use crate::mesh_config::MeshConfig;
use crate::settings::Settings;

fn rewritten(container: Value, annotations: Value) -> (Value, Option<Value>) {
    let settings = Settings::parse(
        "",
        r#"{"sidecarInjectorWebhook": {"rewriteAppHTTPProbe": true}}"#,
    )
    .expect("settings");
    let mut pod = json!({"metadata": {"annotations": annotations},
        "spec": {"containers": [container, {"name": "istio-proxy", "readinessProbe": {"httpGet": {"port": 15021}}}]}});
    rewrite(&mut pod, &settings, &MeshConfig::default()).expect("rewritten");
    let probers = pod
        .pointer("/spec/containers/1/env/0/value")
        .and_then(Value::as_str);
    let probers = probers.map(|text| serde_json::from_str(text).expect("JSON"));
    assert_eq!(
        pod["spec"]["containers"][1]["readinessProbe"]["httpGet"]["port"],
        15021
    );
    (pod["spec"]["containers"][0].clone(), probers)
}

#[test]
fn every_kind_of_probe_becomes_http_to_the_agent() {
    let (container, probers) = rewritten(
        json!({"name": "app", "ports": [{"name": "web", "containerPort": 80}],
            "readinessProbe": {"httpGet": {"port": "web", "path": "/r", "scheme": "HTTPS"}, "timeoutSeconds": 5},
            "livenessProbe": {"tcpSocket": {"port": 90}}, "startupProbe": {"grpc": {"port": 91}},
            "lifecycle": {"preStop": {"httpGet": {"port": 80}}, "postStart": {"exec": {"command": ["a"]}}}}),
        json!({}),
    );
    assert_eq!(
        container["readinessProbe"],
        json!({"httpGet": {"port": 15020, "path": "/app-health/app/readyz", "scheme": "HTTP"}, "timeoutSeconds": 5})
    );
    assert_eq!(
        container["livenessProbe"],
        json!({"httpGet": {"path": "/app-health/app/livez", "port": 15020}})
    );
    assert_eq!(
        container["startupProbe"],
        json!({"httpGet": {"path": "/app-health/app/startupz", "port": 15020}})
    );
    assert_eq!(
        container["lifecycle"]["preStop"],
        json!({"httpGet": {"path": "/app-lifecycle/app/prestopz", "port": 15020}})
    );
    assert_eq!(
        container["lifecycle"]["postStart"],
        json!({"exec": {"command": ["a"]}})
    );
    let expected = json!({
        "/app-health/app/livez": {"tcpSocket": {"port": 90}},
        "/app-health/app/readyz": {"httpGet": {"path": "/r", "port": 80, "scheme": "HTTPS"}, "timeoutSeconds": 5},
        "/app-health/app/startupz": {"grpc": {"port": 91}},
        "/app-lifecycle/app/prestopz": {"httpGet": {"port": 80}},
    });
    assert_eq!(probers, Some(expected));
}

#[test]
fn the_pod_may_refuse_and_choose_the_port() {
    let app = json!({"name": "app", "readinessProbe": {"httpGet": {"port": 80}}});
    let (container, probers) = rewritten(
        app.clone(),
        json!({"sidecar.istio.io/rewriteAppHTTPProbers": "false"}),
    );
    assert_eq!((container, probers), (app.clone(), None));
    let (container, _) = rewritten(app, json!({"status.sidecar.istio.io/port": "1234"}));
    assert_eq!(container["readinessProbe"]["httpGet"]["port"], 1234);
}

#[test]
fn commands_stay_with_the_kubelet() {
    let app = json!({"name": "app", "readinessProbe": {"exec": {"command": ["true"]}}});
    assert_eq!(rewritten(app.clone(), json!({})), (app, None));
}
