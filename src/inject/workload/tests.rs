//! Objects of files.

use serde_json::{Value, json};

use super::{Context, inject_object};
use crate::mesh_config::MeshConfig;
use crate::settings::Settings;

fn injected(object: &Value) -> (Value, Vec<String>) {
    let settings = Settings::parse(
        "templates: {sidecar: 'spec: {containers: [{name: istio-proxy}]}'}",
        "{}",
    );
    let mut skipped = Vec::new();
    let context = Context {
        settings: &settings.expect("settings"),
        mesh: &MeshConfig::default(),
        native_sidecars: false,
        revision: "",
        compliance_policy: "",
    };
    let found = inject_object(object, &context, &mut |message| skipped.push(message));
    (found.expect("injected"), skipped)
}

fn containers(object: &Value, path: &str) -> usize {
    object
        .pointer(path)
        .and_then(Value::as_array)
        .map_or(0, Vec::len)
}

#[test]
fn every_workload_is_injected_where_its_pod_is() {
    let template = json!({"metadata": {}, "spec": {"containers": [{"name": "app"}]}});
    let of = |version: &str, kind: &str, spec: Value| json!({"apiVersion": version, "kind": kind, "metadata": {"name": "x"}, "spec": spec});
    for (object, path) in [
        (
            of("apps/v1", "Deployment", json!({"template": template})),
            "/spec/template/spec/containers",
        ),
        (
            of("batch/v1", "Job", json!({"template": template})),
            "/spec/template/spec/containers",
        ),
        (
            of(
                "batch/v1",
                "CronJob",
                json!({"jobTemplate": {"spec": {"template": template}}}),
            ),
            "/spec/jobTemplate/spec/template/spec/containers",
        ),
        (
            of("v1", "Pod", template["spec"].clone()),
            "/spec/containers",
        ),
        (
            json!({"kind": "List", "items": [of("v1", "Pod", template["spec"].clone())]}),
            "/items/0/spec/containers",
        ),
    ] {
        assert_eq!(containers(&injected(&object).0, path), 2, "{object}");
    }
}

#[test]
fn other_kinds_come_back_as_they_are() {
    let service = json!({"apiVersion": "v1", "kind": "Service", "spec": {"ports": []}});
    assert_eq!(injected(&service), (service, Vec::new()));
}

#[test]
fn who_is_skipped_is_told() {
    let host = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x", "namespace": "shop"},
        "spec": {"template": {"spec": {"hostNetwork": true}}}});
    let (found, skipped) = injected(&host);
    assert_eq!(found, host);
    assert_eq!(
        skipped,
        ["Skipping injection because Deployment \"shop/x\" has host networking enabled"]
    );
}
