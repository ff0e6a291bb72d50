//! Which addresses an Ingress of ours gets, and that others' are left alone.

use api::mesh_config::MeshConfig;
use api::snapshot::{Key, World, read};
use serde_json::{Value, json};

use super::{addresses, patch};

fn world(objects: &[Value]) -> World {
    let mut world = World::new("cluster.local");
    for object in objects {
        let item = read(object).expect("readable").expect("of use");
        world.put(item);
    }
    world
}

fn found(world: &World) -> Vec<(Key, Vec<String>)> {
    let found = addresses(world.snapshot(), world).into_iter();
    found.map(|(key, all)| (key, all.to_vec())).collect()
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
        let expected: Vec<String> = expected.iter().map(|&text| text.to_owned()).collect();
        let ours = (Key::new("shop", "ours"), expected);
        assert_eq!(found(&world(&objects)), [ours], "{spec}");
    }
}

#[test]
fn without_the_gateways_service_an_ingress_has_no_address() {
    let world = world(&[ingress("ours", "istio"), ingress("theirs", "nginx")]);
    assert_eq!(found(&world), [(Key::new("shop", "ours"), Vec::new())]);
    let stored = json!({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}});
    let cleared = patch(&stored, &[]).expect("a patch");
    assert_eq!(cleared["status"]["loadBalancer"]["ingress"], json!([]));
}

/// With an empty `ingressService`.
#[test]
fn without_a_service_of_its_own_the_gateway_is_where_its_nodes_are() {
    let node = |name: &str, kind: &str, address: &str| {
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
            "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}, {"type": kind, "address": address}]}})
    };
    let pod = |name: &str, label: &str, node: &str, address: &str| {
        json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"namespace": "istio-system", "name": name, "labels": {"istio": label}},
            "spec": {"nodeName": node}, "status": {"podIP": address}})
    };
    let mut world = world(&[
        ingress("ours", "istio"),
        node("one", "ExternalIP", "192.0.2.1"),
        node("two", "ExternalIP", "192.0.2.2"),
        node("three", "Hostname", "three"),
        node("four", "ExternalIP", "192.0.2.4"),
        pod("gateway-1", "ingressgateway", "one", "10.1.0.1"),
        pod("gateway-2", "ingressgateway", "one", "10.1.0.2"),
        pod("gateway-3", "ingressgateway", "three", "10.1.0.3"),
        pod("gateway-4", "ingressgateway", "four", "10.1.0.4"),
        pod("edge-1", "edge", "two", "10.1.0.5"),
    ]);
    // One that does not run yet.
    let waits = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "istio-system", "name": "gateway-4", "labels": {"istio": "ingressgateway"}},
        "spec": {"nodeName": "four"}});
    world.put(read(&waits).expect("readable").expect("of use"));
    for (selector, expected) in [("", "192.0.2.1"), ("edge", "192.0.2.2")] {
        let config = json!({"ingressService": "", "ingressSelector": selector});
        world.configure(MeshConfig::parse(&config).expect("a mesh config"));
        let ours = (Key::new("shop", "ours"), vec![expected.to_owned()]);
        assert_eq!(found(&world), [ours], "{selector:?}");
    }
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
