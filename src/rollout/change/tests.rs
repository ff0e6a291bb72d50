//! Fields named as people name them, and who changed them.

use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::{differences, edits};

const OURS: &str = "istio-operator";

fn entry(manager: &str, operation: &str, time: u32, fields: Value) -> Value {
    json!({"manager": manager, "operation": operation, "apiVersion": "apps/v1",
        "time": format!("2026-01-01T00:00:{time:02}Z"), "fieldsType": "FieldsV1", "fieldsV1": fields})
}

fn deployment(image: &str, managed: Value) -> DynamicObject {
    let object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "istiod", "namespace": "istio-system", "managedFields": managed},
        "spec": {"replicas": 3, "template": {"spec": {"containers": [
            {"name": "discovery", "image": image}
        ]}}}
    });
    serde_json::from_value(object).expect("an object")
}

fn container(fields: Value) -> Value {
    json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {
        "k:{\"name\":\"discovery\"}": fields
    }}}}})
}

fn whole() -> Value {
    container(json!({".": {}, "f:name": {}, "f:image": {}}))
}

#[test]
fn an_edit_names_field_values_and_manager() {
    let before = deployment(
        "evil:1",
        json!([
            entry(OURS, "Apply", 1, container(json!({".": {}, "f:name": {}}))),
            entry(
                "kubectl-edit",
                "Update",
                2,
                container(json!({"f:image": {}}))
            ),
            entry(
                "kube-controller-manager",
                "Update",
                3,
                json!({"f:metadata": {}})
            ),
        ]),
    );
    let after = deployment("pilot:1", json!([entry(OURS, "Apply", 4, whole())]));
    let found = edits(&before, &after);
    let [edit] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(
        edit.to_string(),
        "spec.template.spec.containers[name=discovery].image from \"evil:1\" to \"pilot:1\""
    );
    assert_eq!(edit.by.as_deref(), Some("kubectl-edit"));
}

#[test]
fn an_entry_that_was_removed_is_told_once() {
    let mut before = deployment("", json!([entry("kubectl-patch", "Update", 2, json!({}))]));
    before.data["spec"]["template"]["spec"]["containers"] = json!([]);
    let after = deployment("pilot:1", json!([entry(OURS, "Apply", 4, whole())]));
    let found = edits(&before, &after);
    let fields: Vec<_> = found.iter().map(|edit| edit.field.as_str()).collect();
    assert_eq!(fields, ["spec.template.spec.containers[name=discovery]"]);
    assert_eq!(found[0].by.as_deref(), Some("kubectl-patch"));
}

#[test]
fn a_scale_of_replicas_that_are_not_ours_is_no_edit() {
    let scaled = entry(
        "kube-controller-manager",
        "Update",
        3,
        json!({"f:spec": {"f:replicas": {}}}),
    );
    let before = deployment("pilot:1", json!([scaled, entry(OURS, "Apply", 1, whole())]));
    let after = deployment("pilot:1", json!([entry(OURS, "Apply", 4, whole()), scaled]));
    assert_eq!(edits(&before, &after), []);
}

#[track_caller]
fn check(from: Value, to: Value, expected: &[&str]) {
    let found: Vec<_> = differences(&from, &to)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn named_entries_of_lists_are_compared_by_name() {
    let port = |name: &str, port: u16| json!({"name": name, "port": port});
    check(
        json!({"ports": [port("http", 80), port("https", 443)]}),
        json!({"ports": [port("https", 8443), port("http", 80)]}),
        &["ports[name=https].port from 443 to 8443"],
    );
}

#[test]
fn keys_with_dots_stand_in_brackets() {
    check(
        json!({"labels": {"istio.io/rev": "a"}}),
        json!({"labels": {"istio.io/rev": "b"}}),
        &["labels[istio.io/rev] from \"a\" to \"b\""],
    );
}

#[test]
fn lists_of_other_lengths_are_told_whole() {
    check(
        json!({"args": ["a"]}),
        json!({"args": ["a", "b"]}),
        &[r#"args from ["a"] to ["a","b"]"#],
    );
}
