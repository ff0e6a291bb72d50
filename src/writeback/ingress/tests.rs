//! Which addresses an Ingress of ours gets, and that others' are left alone.

use api::snapshot::{Key, Snapshot, World, read};
use serde_json::{Value, json};

use super::{addresses, patch};

fn snapshot(objects: &[Value]) -> Snapshot {
    let mut world = World::new("cluster.local");
    for object in objects {
        let item = read(object).expect("readable").expect("of use");
        world.put(item);
    }
    world.snapshot().clone()
}

fn ingress(name: &str, annotated: &str) -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"namespace": "shop", "name": name,
            "annotations": {"kubernetes.io/ingress.class": annotated}},
        "spec": {"rules": []}})
}

fn gateway(spec: &Value, ways: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": "istio-system", "name": "istio-ingressgateway"},
        "spec": spec, "status": {"loadBalancer": {"ingress": ways}}})
}

#[test]
fn ingresses_of_ours_get_the_gateways_addresses() {
    let cluster = json!({"type": "ClusterIP", "externalIPs": ["192.0.2.9"]});
    let balanced = json!({"type": "LoadBalancer", "externalIPs": ["192.0.2.9"]});
    let external = json!({"type": "ExternalName", "externalName": "edge.example.com"});
    let ways = json!([{"hostname": "lb.example.com"}, {"ip": "192.0.2.1", "hostname": "x"}]);
    for (spec, ways, expected) in [
        (
            &balanced,
            &ways,
            &["192.0.2.1", "192.0.2.9", "lb.example.com"][..],
        ),
        (&cluster, &ways, &["192.0.2.9"]),
        (&external, &json!([]), &["edge.example.com"]),
        (&balanced, &json!([]), &["192.0.2.9"]),
    ] {
        let objects = [
            ingress("ours", "istio"),
            ingress("theirs", "nginx"),
            gateway(spec, ways),
        ];
        let found = addresses(&snapshot(&objects)).expect("known");
        let keys: Vec<&Key> = found.keys().collect();
        assert_eq!(keys, [&Key::new("shop", "ours")], "{spec}");
        assert_eq!(*found[keys[0]], *expected, "{spec}");
    }
}

#[test]
fn without_the_gateways_service_nothing_is_known() {
    assert_eq!(addresses(&snapshot(&[ingress("ours", "istio")])), None);
}

#[test]
fn an_ingress_that_has_them_is_not_written() {
    let wanted = ["192.0.2.1".to_owned(), "lb.example.com".to_owned()];
    let stored = |carried: Value| json!({"metadata": {"resourceVersion": "3"}, "status": {"loadBalancer": {"ingress": carried}}});
    let same = json!([{"hostname": "lb.example.com"}, {"ip": "192.0.2.1"}]);
    assert_eq!(patch(&stored(same), &wanted), None);
    assert_eq!(patch(&json!({}), &[]), None);
    let found = patch(&stored(json!([{"ip": "192.0.2.7"}])), &wanted).expect("a patch");
    let expected = json!([{"ip": "192.0.2.1"}, {"hostname": "lb.example.com"}]);
    assert_eq!(found["status"]["loadBalancer"]["ingress"], expected);
    assert_eq!(found["metadata"]["resourceVersion"], "3");
}
