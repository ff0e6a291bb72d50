//! What two runs may differ in, and what they may not.

use serde_json::{Value, json};

use super::{Contents, differences, lasting};

fn one(kind: &str, object: Value) -> Contents {
    [(format!("{kind} a/b"), lasting(kind, object))].into()
}

#[test]
fn uids_times_versions_and_what_chance_allots_are_passed_over() {
    let service = |uid: &str, address: &str, port: u16| {
        json!({
            "metadata": {
                "uid": uid, "resourceVersion": uid, "creationTimestamp": uid, "generation": port,
                "ownerReferences": [{"name": "x", "uid": uid}],
                "managedFields": [
                    {"manager": "istio-operator", "time": uid, "fieldsV1": {format!("k:{uid}"): {}}},
                    {"manager": address},
                ],
            },
            "spec": {"clusterIP": address, "clusterIPs": [address], "ports": [{"port": 80, "nodePort": port}]},
            "status": {"loadBalancer": address},
        })
    };
    let differences = differences(
        &one("Service", service("aa-1", "10.0.0.1", 30000)),
        &one("Service", service("bb-2", "10.0.0.2", 30001)),
    );
    assert!(differences.is_empty(), "{differences:?}");
}

#[test]
fn the_inventory_differs_by_what_was_written_and_not_by_whom_it_became() {
    let map = |uid: &str, body: &str| {
        let line = format!("v1 Service a/b {uid} {body} 02\n");
        one(
            "ConfigMap",
            json!({"metadata": {}, "data": {"objects": line}}),
        )
    };
    assert!(differences(&map("1", "01"), &map("2", "01")).is_empty());
    assert_eq!(differences(&map("1", "01"), &map("1", "03")).len(), 1);
}

#[test]
fn a_difference_names_object_and_field() {
    let budget = |minimum: u32| {
        one(
            "PodDisruptionBudget",
            json!({"metadata": {}, "spec": {"minAvailable": minimum}}),
        )
    };
    assert_eq!(
        differences(&budget(1), &budget(2)),
        ["PodDisruptionBudget a/b: spec: minAvailable: 1, and 2"]
    );
    assert_eq!(
        differences(&budget(1), &Contents::new()),
        ["PodDisruptionBudget a/b is missing"]
    );
    assert_eq!(
        differences(&Contents::new(), &budget(1)),
        ["PodDisruptionBudget a/b is too much"]
    );
}

#[test]
fn the_status_of_an_istiooperator_counts_without_its_times() {
    let operator = |status: &str, time: &str| {
        let condition = json!({"type": "Ready", "status": status, "lastTransitionTime": time});
        one(
            "IstioOperator",
            json!({"metadata": {}, "status": {"conditions": [condition]}}),
        )
    };
    assert!(differences(&operator("True", "1"), &operator("True", "2")).is_empty());
    assert_eq!(
        differences(&operator("True", "1"), &operator("False", "1")).len(),
        1
    );
}
