//! Views of objects as the API server sends them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use super::{Live, State, Workload};
use crate::Kind;
use crate::kind::KINDS;

fn kind(name: &str) -> &'static Kind {
    let found = KINDS.iter().find(|kind| kind.kind == name);
    found.expect("a kind of the table")
}

fn metadata(value: Value) -> ObjectMeta {
    serde_json::from_value(value).expect("metadata")
}

fn live(managed_fields: Value) -> Live {
    let metadata = metadata(json!({
        "name": "istiod", "namespace": "istio-system", "uid": "u", "resourceVersion": "7",
        "labels": {
            "install.operator.istio.io/owning-resource": "mesh",
            "install.operator.istio.io/owning-resource-namespace": "istio-system",
            "operator.istio.io/component": "Pilot",
        },
        "managedFields": managed_fields,
    }));
    Live::of(kind("Service"), &metadata, &Value::Null)
}

fn entry(manager: &str, operation: &str, time: &str, fields: Value) -> Value {
    json!({"manager": manager, "operation": operation, "apiVersion": "v1", "time": time,
        "fieldsType": "FieldsV1", "fieldsV1": fields})
}

#[test]
fn labels_tell_the_owner_and_the_component() {
    let live = live(json!([]));
    let owner = live.owner.expect("an owner");
    assert_eq!(
        (owner.namespace.as_str(), owner.name.as_str()),
        ("istio-system", "mesh")
    );
    assert_eq!(live.component.as_deref(), Some("Pilot"));
    assert_eq!(live.reference.to_string(), "service istio-system/istiod");
}

#[test]
fn losing_the_ownership_of_a_field_changes_the_fingerprint() {
    let ours = |fields| entry("istio-operator", "Apply", "2026-01-01T00:00:00Z", fields);
    let both = live(json!([ours(
        json!({"f:spec": {"f:ports": {}, "f:type": {}}})
    )]));
    let edited = live(json!([
        ours(json!({"f:spec": {"f:ports": {}}})),
        entry(
            "kubectl-edit",
            "Update",
            "2026-01-02T00:00:00Z",
            json!({"f:spec": {"f:type": {}}})
        ),
    ]));
    assert_ne!(both.fields, edited.fields);
    assert_eq!(edited.other_manager.as_deref(), Some("kubectl-edit"));
}

#[test]
fn the_order_of_fields_does_not_matter() {
    let ours = |fields: &str| {
        let fields = serde_json::from_str(fields).expect("JSON");
        let entry = entry("istio-operator", "Apply", "2026-01-01T00:00:00Z", fields);
        live(json!([entry])).fields
    };
    let set = r#"{"f:spec": {"f:a": {}, "f:b": {"f:c": {}}}, "f:data": {}}"#;
    let reordered = r#"{"f:data": {}, "f:spec": {"f:b": {"f:c": {}}, "f:a": {}}}"#;
    assert_eq!(ours(set), ours(reordered));
    let moved = r#"{"f:data": {}, "f:spec": {"f:b": {}, "f:a": {"f:c": {}}}}"#;
    assert_ne!(ours(set), ours(moved));
}

#[test]
fn what_others_own_beside_us_leaves_the_fingerprint() {
    let ours = || {
        entry(
            "istio-operator",
            "Apply",
            "2026-01-01T00:00:00Z",
            json!({"f:spec": {}}),
        )
    };
    let status = json!({"manager": "kube-controller-manager", "operation": "Update",
        "subresource": "status", "fieldsV1": {"f:status": {}}});
    let alone = live(json!([ours()]));
    let scaled = live(json!([ours(), status]));
    assert_eq!(alone.fields, scaled.fields);
    assert_eq!(scaled.other_manager, None);
}

#[test]
fn a_deployment_tells_of_its_replicas_and_of_its_complaints() {
    let content = json!({
        "spec": {"replicas": 2},
        "status": {
            "observedGeneration": 3, "replicas": 3, "updatedReplicas": 1, "availableReplicas": 2,
            "conditions": [
                {"type": "Available", "status": "True", "message": "fine"},
                {"type": "Progressing", "status": "False", "message": "deadline exceeded"},
                {"type": "ReplicaFailure", "status": "False", "message": "no failure"},
            ],
        },
    });
    let at = |generation: i64| {
        let metadata = metadata(json!({"name": "istiod", "generation": generation}));
        match Live::of(kind("Deployment"), &metadata, &content).state {
            State::Workload(workload) => workload,
            other => panic!("{other:?}"),
        }
    };
    let expected = Workload {
        observed: true,
        desired: 2,
        updated: 1,
        total: 3,
        available: 2,
        minimum_available: true,
        complaints: vec!["deadline exceeded".into()],
    };
    assert_eq!(at(3), expected);
    assert!(!at(4).observed, "its status is about an older spec");
}

#[test]
fn a_definition_is_established_only_by_its_condition() {
    let state = |status: &str| {
        let content =
            json!({"status": {"conditions": [{"type": "Established", "status": status}]}});
        Live::of(
            kind("CustomResourceDefinition"),
            &ObjectMeta::default(),
            &content,
        )
        .state
    };
    let established = |established| State::Crd {
        established,
        refused: None,
    };
    assert_eq!(state("True"), established(true));
    assert_eq!(state("False"), established(false));
}

#[test]
fn the_failure_policy_of_a_validating_webhook_is_istiods() {
    let of = |name: &str, fields: Value| {
        let ours = entry("istio-operator", "Apply", "2026-01-01T00:00:00Z", fields);
        let metadata = metadata(json!({"name": "a", "managedFields": [ours]}));
        Live::of(kind(name), &metadata, &Value::Null).fields
    };
    let fields = |with: bool| {
        let mut webhook = json!({".": {}, "f:name": {}});
        if with {
            webhook["f:failurePolicy"] = json!({});
        }
        json!({"f:webhooks": {"k:{\"name\":\"rev\"}": webhook}})
    };
    let validating = "ValidatingWebhookConfiguration";
    assert_eq!(of(validating, fields(true)), of(validating, fields(false)));
    let mutating = "MutatingWebhookConfiguration";
    assert_ne!(of(mutating, fields(true)), of(mutating, fields(false)));
}
