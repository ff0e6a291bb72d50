//! What objects become at the door.

use api::snapshot::{Item, Key, Kind};
use serde_json::{Value, json};

use super::{Change, Id, MeshMap};

fn mesh_map() -> MeshMap {
    MeshMap::of_revision("istio-system", "")
}

/// What becomes of an object, its judgement and its text left out.
fn told(object: &Value) -> Option<Change> {
    let mut changes = Id::of(object, &mesh_map())?.told(object);
    changes.retain(|change| !matches!(change, Change::Judge(_) | Change::Written(..)));
    changes.pop()
}

/// What is wrong with an object, as lines.
fn judged(object: &Value) -> Option<Vec<String>> {
    let changes = Id::of(object, &mesh_map())?.told(object);
    changes.iter().find_map(|change| match change {
        Change::Judge(finding) => Some(finding.problems.iter().map(ToString::to_string).collect()),
        _ => None,
    })
}

#[test]
fn the_mesh_configuration_of_a_revision_has_its_name() {
    let name = |revision| MeshMap::of_revision("istio-system", revision).name;
    assert_eq!(
        [name(""), name("default"), name("canary")],
        ["istio", "istio", "istio-canary"]
    );
}

#[test]
fn only_that_one_config_map_configures_the_mesh() {
    let config_map = |namespace: &str, name: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": namespace, "name": name},
            "data": {"mesh": "accessLogFile: /dev/stdout"}})
    };
    let Some(Change::Configure(mesh)) = told(&config_map("istio-system", "istio")) else {
        panic!("expected settings");
    };
    assert_eq!(mesh.access_log_file, "/dev/stdout");
    for (namespace, name) in [("shop", "istio"), ("istio-system", "other")] {
        let nothing = Change::Remove(Kind::ConfigMap, Key::new(namespace, name));
        assert_eq!(told(&config_map(namespace, name)), Some(nothing));
    }
}

#[test]
fn a_mesh_configuration_that_cannot_be_read_names_its_field() {
    for mesh in ["- a list", "a: b: c", "enableAutoMtls: perhaps"] {
        let change = told(&json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"namespace": "istio-system", "name": "istio"}, "data": {"mesh": mesh}}));
        let Some(Change::RefuseMesh(problem)) = change else {
            panic!("expected a refusal of {mesh}, got {change:?}");
        };
        assert!(
            problem
                .to_string()
                .starts_with("configmap istio-system/istio: data.mesh "),
            "{problem}"
        );
    }
}

#[test]
fn an_object_of_the_wrong_form_is_refused_by_name() {
    let object = json!({"apiVersion": "networking.istio.io/v1beta1", "kind": "VirtualService",
        "metadata": {"namespace": "shop", "name": "reviews"}, "spec": {"hosts": 7}});
    let Some(Change::Refuse(kind, key, problem)) = told(&object) else {
        panic!("expected a refusal");
    };
    assert_eq!(
        (kind, key),
        (Kind::VirtualService, Key::new("shop", "reviews"))
    );
    assert!(
        problem
            .to_string()
            .starts_with("virtualservice shop/reviews: spec"),
        "{problem}"
    );
}

#[test]
fn every_version_of_a_kind_is_the_same_object() {
    let key = |version: &str| {
        let object = json!({"apiVersion": format!("networking.istio.io/{version}"), "kind": "Gateway",
            "metadata": {"namespace": "shop", "name": "gateway"}, "spec": {}});
        match told(&object) {
            Some(Change::Put(item)) => match *item {
                Item::Gateway(key, _) => key,
                other => panic!("expected a gateway, got {other:?}"),
            },
            other => panic!("expected an object, got {other:?}"),
        }
    };
    assert_eq!(key("v1"), key("v1alpha3"));
}

#[test]
fn kinds_that_the_mesh_does_not_read_are_nothing() {
    for (version, kind) in [
        ("v1", "ServiceAccount"),
        ("apps/v1", "Deployment"),
        ("gateway.example.com/v1", "Gateway"),
    ] {
        let object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": "a", "namespace": "b"}});
        assert_eq!(told(&object), None, "{version} {kind}");
    }
}

#[test]
fn what_the_webhook_would_have_refused_is_told_at_the_door() {
    let object = |weight: i64| {
        json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"namespace": "shop", "name": "reviews"},
        "spec": {"hosts": ["reviews"], "http": [{"route": [
            {"destination": {"host": "reviews"}, "weight": weight}]}]}})
    };
    assert_eq!(judged(&object(100)), None);
    let found = judged(&object(-1)).expect("a judgement");
    assert!(
        found[0].starts_with("virtualservice shop/reviews: spec.http[0].route[0].weight"),
        "{found:?}"
    );
    // It is used nevertheless, as far as it can be.
    assert!(matches!(told(&object(-1)), Some(Change::Put(_))));
}

#[test]
fn what_an_objects_status_says_is_told_even_when_nothing_is_wrong() {
    let object = json!({"apiVersion": "networking.istio.io/v1", "kind": "Sidecar",
        "metadata": {"namespace": "shop", "name": "default", "generation": 2},
        "spec": {"egress": [{"hosts": ["./*"]}]},
        "status": {"conditions": [{"type": "Programmed", "status": "False", "observedGeneration": 1}]}});
    assert_eq!(judged(&object), Some(Vec::new()));
}
