//! The door: what objects become, and which hosts a change touches.

use serde_json::{Value, json};

use super::{Health, HostId, Item, Key, Kind, World, read};

fn item(object: &Value) -> Item {
    let found = read(object).expect("well formed");
    found.expect("a kind that the mesh reads")
}

fn service() -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "store", "namespace": "demo"},
        "spec": {"clusterIP": "10.0.0.1", "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}})
}

fn slice(ready: bool, terminating: bool) -> Value {
    json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "store-x", "namespace": "demo", "labels": {"kubernetes.io/service-name": "store"}},
        "ports": [{"name": "http", "port": 8080}],
        "endpoints": [{"addresses": ["10.1.0.1"],
            "conditions": {"ready": ready, "terminating": terminating},
            "targetRef": {"kind": "Pod", "name": "store-1", "namespace": "demo"}}]})
}

fn pod() -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "store-1", "namespace": "demo"},
        "spec": {"serviceAccountName": "store"}, "status": {"podIP": "10.1.0.1"}})
}

fn host() -> HostId {
    HostId {
        namespace: "demo".to_owned(),
        host: "store.demo.svc.cluster.local".to_owned(),
    }
}

fn world(objects: &[Value]) -> World {
    let mut world = World::new("cluster.local");
    for object in objects {
        world.put(item(object));
    }
    world
}

#[test]
fn an_endpoint_joins_with_its_pod() {
    let before = world(&[service(), slice(true, false)]);
    assert!(before.endpoints()[&host()].endpoints.is_empty());
    let mut after = before;
    let touched = after.put(item(&pod()));
    assert!(touched.hosts.contains(&host()));
    assert!(touched.relations, "the host has an identity now");
    let endpoint = &after.endpoints()[&host()].endpoints[0];
    assert_eq!(endpoint.service_account, "store");
    assert_eq!(endpoint.health, Health::Healthy);
}

#[test]
fn an_address_without_a_name_joins_with_the_pod_that_has_it() {
    let mut nameless = slice(true, false);
    nameless["endpoints"][0]["targetRef"] = Value::Null;
    let mut later = world(&[service(), nameless.clone()]);
    assert_eq!(later.endpoints()[&host()].endpoints[0].service_account, "");
    let touched = later.put(item(&pod()));
    assert!(touched.hosts.contains(&host()));
    let before = world(&[service(), pod(), nameless]);
    assert_eq!(later.endpoints(), before.endpoints());
    let account = &later.endpoints()[&host()].endpoints[0].service_account;
    assert_eq!(account, "store");
    later.remove(Kind::Pod, &Key::new("demo", "store-1"));
    assert_eq!(later.endpoints()[&host()].endpoints[0].service_account, "");
}

#[test]
fn a_terminating_endpoint_that_is_not_ready_is_gone_in_any_order() {
    for objects in [
        [service(), pod(), slice(false, true)],
        [slice(false, true), pod(), service()],
    ] {
        assert!(world(&objects).endpoints()[&host()].endpoints.is_empty());
    }
}

#[test]
fn an_endpoint_that_changes_its_readiness_touches_no_relation() {
    let mut world = world(&[service(), pod(), slice(true, false)]);
    let touched = world.put(item(&slice(false, false)));
    assert!(!touched.relations);
    assert_eq!(touched.hosts.len(), 1);
    assert!(world.put(item(&slice(false, false))).is_empty());
}

#[test]
fn what_is_removed_leaves_nothing_behind() {
    let mut world = world(&[service(), pod(), slice(true, false)]);
    let key = Key::new("demo", "store");
    assert!(world.remove(Kind::Service, &key).relations);
    world.remove(Kind::EndpointSlice, &Key::new("demo", "store-x"));
    assert!(world.endpoints().is_empty());
    assert!(world.snapshot().accounts.is_empty());
    assert!(world.remove(Kind::Service, &key).is_empty());
}

#[test]
fn a_field_of_the_wrong_type_is_a_problem_that_names_the_object() {
    let object = json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": "store", "namespace": "demo"}, "spec": {"hosts": "store"}});
    let problem = read(&object).expect_err("hosts is no list");
    let text = problem.to_string();
    assert!(
        text.starts_with("virtualservice demo/store: spec "),
        "{text}"
    );
}

#[test]
fn pods_of_a_deployment_carry_its_name() {
    let object = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "store-5d-x", "namespace": "demo", "generateName": "store-5d-",
            "labels": {"pod-template-hash": "5d"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "store-5d", "controller": true}]}});
    let Item::Pod(_, pod) = item(&object) else {
        panic!("a pod");
    };
    assert_eq!(pod.workload, "store");
}
