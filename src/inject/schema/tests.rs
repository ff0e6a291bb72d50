//! What passes through Kubernetes' types.

use serde_json::json;

use super::{CONTAINER, Kind, POD, canonical, encode};

#[test]
fn quantities_become_canonical_wherever_they_stand() {
    let resources = |cpu: &str, memory: &str| json!({"limits": {"cpu": cpu, "memory": memory}});
    let pod = |cpu: &str, memory: &str| {
        json!({"spec": {
            "containers": [{"name": "a", "resources": resources(cpu, memory)}],
            "volumes": [{"name": "v", "emptyDir": {"sizeLimit": memory}}],
        }})
    };
    let mut found = pod("2000m", "1024Mi");
    canonical(&mut found, &Kind::Object(&POD));
    assert_eq!(found, pod("2", "1Gi"));
}

#[test]
fn nulls_vanish() {
    let mut found = json!({"spec": {"volumes": [{"name": "v", "emptyDir": null}]}});
    canonical(&mut found, &Kind::Object(&POD));
    assert_eq!(found, json!({"spec": {"volumes": [{"name": "v"}]}}));
}

#[test]
fn containers_are_encoded_in_declared_order_without_what_is_empty() {
    let container = json!({
        "tty": true, "image": "", "name": "istio-proxy", "stdin": false,
        "args": ["<a>"], "readinessProbe": {"timeoutSeconds": 0, "httpGet": {"port": 80, "path": "/"}},
    });
    assert_eq!(
        encode(&container, &Kind::Object(&CONTAINER)),
        r#"{"name":"istio-proxy","args":["\u003ca\u003e"],"resources":{},"readinessProbe":{"httpGet":{"path":"/","port":80}},"tty":true}"#
    );
}
