//! Pods as nobody should write them: whoever reaches the webhook's port may send any. Each is injected or refused;
//! none panics, and none makes more work than its size.

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::decide::decide;
use crate::injection::{Request, inject};
use crate::mesh_config::MeshConfig;
use crate::owner::Owner;
use crate::settings::Settings;

const VALUES: &str = include_str!("testdata/values.yaml");

static SETTINGS: LazyLock<Settings> = LazyLock::new(|| {
    let values = api::yaml::documents(VALUES).expect("YAML").remove(0);
    Settings::parse("", &values.to_string()).expect("settings")
});

/// A pod that reaches every part of injection.
fn pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "generateName": "reviews-7d-", "namespace": "shop",
            "labels": {"app": "reviews", "pod-template-hash": "7d", "topology.istio.io/network": "n1"},
            "annotations": {
                "prometheus.io/port": "9080", "prometheus.io/scrape": "true",
                "inject.istio.io/templates": "sidecar",
                "proxy.istio.io/config": "{concurrency: 2}",
                "sidecar.istio.io/userVolume": "{\"v\": {\"emptyDir\": {}}}",
                "sidecar.istio.io/proxyCPU": "100m",
                "traffic.sidecar.istio.io/excludeOutboundPorts": "1,2"
            },
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "reviews-7d", "controller": true}]
        },
        "spec": {
            "securityContext": {"runAsUser": 1, "fsGroup": 2},
            "initContainers": [{"name": "migrate", "image": "x"}],
            "containers": [
                {"name": "reviews", "image": "y",
                    "ports": [{"name": "http", "containerPort": 9080, "protocol": "TCP"}],
                    "env": [{"name": "A", "value": "1"}],
                    "volumeMounts": [{"name": "v", "mountPath": "/v"}],
                    "resources": {"limits": {"cpu": "2000m", "memory": "1Gi"}},
                    "lifecycle": {"preStop": {"httpGet": {"port": "http"}}},
                    "readinessProbe": {"httpGet": {"path": "/ready", "port": "http", "httpHeaders": [{"name": "a", "value": "b"}]}, "timeoutSeconds": 1},
                    "livenessProbe": {"grpc": {"port": 9080, "service": "s"}},
                    "startupProbe": {"tcpSocket": {"port": 9080}}},
                {"name": "istio-proxy", "image": "auto", "env": [{"name": "B", "value": "2"}]}
            ],
            "volumes": [{"name": "v", "emptyDir": {"medium": "Memory"}}]
        }
    })
}

fn attempt(pod: &Value) -> Result<Value, String> {
    let settings = &*SETTINGS;
    let mesh = MeshConfig::default();
    let _ = decide(pod, "shop", &settings.policy);
    let injected = inject(&Request {
        pod,
        owner: &Owner::of_pod(pod, "shop"),
        settings,
        mesh: &mesh,
        revision: "",
        native_sidecars: true,
        parameters: &crate::parameters::parse("cluster/c1/net/n1"),
        compliance_policy: "",
    });
    injected.map_err(|error| error.to_string())
}

/// Every place in `value`, as JSON pointers.
fn places(value: &Value, at: String, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let key = key.replace('~', "~0").replace('/', "~1");
                places(value, format!("{at}/{key}"), found);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                places(value, format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
    found.push(at);
}

#[test]
fn the_pod_of_these_tests_is_injected() {
    let injected = attempt(&pod()).expect("it is a good one");
    let names = injected["spec"]["initContainers"]
        .as_array()
        .expect("a list");
    assert!(
        names
            .iter()
            .any(|container| container["name"] == "istio-proxy")
    );
}

#[test]
fn any_value_anywhere_is_injected_or_refused() {
    let mut deep = json!(1);
    for _ in 0..100 {
        deep = json!([{"a": deep}]);
    }
    let values = [
        json!(null),
        json!(true),
        json!(-1),
        json!(u64::MAX),
        json!(1e308),
        json!(""),
        json!("\u{0}\u{202e}{{ . }}: [\n- &a *a"),
        json!([]),
        json!({}),
        json!([null]),
        json!([[]]),
        json!({"": null}),
        json!("x".repeat(10_000)),
        deep,
    ];
    let mut found = Vec::new();
    places(&pod(), String::new(), &mut found);
    assert!(found.len() > 60, "{}", found.len());
    let (mut injected, mut refused) = (0, 0);
    for place in &found {
        for value in &values {
            let mut pod = pod();
            *pod.pointer_mut(place).expect("a place") = value.clone();
            match attempt(&pod) {
                Ok(_) => injected += 1,
                Err(_) => refused += 1,
            }
        }
    }
    assert!(injected > 0 && refused > 0, "{injected} {refused}");
}

#[test]
fn no_text_of_an_annotation_makes_more_than_its_size() {
    let names = vec!["sidecar"; 100_000].join(",");
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned()
        + &(0..12)
            .map(|n| {
                let name = |n: u8| char::from(b'a' + n);
                format!(
                    "{}: &{} [{}]\n",
                    name(n + 1),
                    name(n + 1),
                    vec![format!("*{}", name(n)); 9].join(",")
                )
            })
            .collect::<String>();
    for (annotation, value) in [
        ("inject.istio.io/templates", names.as_str()),
        ("proxy.istio.io/config", bomb.as_str()),
        ("sidecar.istio.io/userVolume", bomb.as_str()),
        ("proxy.istio.io/overrides", bomb.as_str()),
        ("sidecar.istio.io/status", bomb.as_str()),
    ] {
        let mut pod = pod();
        pod["metadata"]["annotations"][annotation] = json!(value);
        if let Ok(injected) = attempt(&pod) {
            let (before, after) = (pod.to_string().len(), injected.to_string().len());
            assert!(
                after < 3 * before + 100_000,
                "{annotation}: {before} became {after}"
            );
        }
    }
}

#[test]
fn a_pod_asks_for_a_handful_of_templates_at_most() {
    let mut pod = pod();
    pod["metadata"]["annotations"]["inject.istio.io/templates"] =
        json!(vec!["sidecar"; 17].join(","));
    let error = attempt(&pod).expect_err("too many");
    assert_eq!(
        error,
        "annotation inject.istio.io/templates names 17 templates, expected at most 16"
    );
}
