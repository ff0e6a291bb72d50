//! A change of endpoints costs the clusters of its host, and a change of relations that no proxy sees nothing.

use std::sync::Arc;

use api::snapshot::{Locality, World, read};
use envoy::{Memo, Views};
use mesh::{Flavour, Proxy};
use serde_json::{Value, json};

use super::Assignments;
use crate::Table;

fn put(world: &mut World, object: &Value) {
    let item = read(object).expect("valid").expect("of the mesh");
    world.put(item);
}

fn service(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "shop"},
        "spec": {"clusterIP": "10.96.0.1", "ports": [{"name": "http", "port": 80}]}})
}

fn slice(name: &str, address: &str) -> Value {
    json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": "shop", "labels": {"kubernetes.io/service-name": name}},
        "ports": [{"name": "http", "port": 8080}],
        "endpoints": [{"addresses": [address], "conditions": {"ready": true}}]})
}

fn views(world: &World, memo: &Memo) -> Views {
    let (mesh, _) = mesh::compile(world.snapshot());
    let node = "sidecar~10.0.0.1~a.shop~shop.svc.cluster.local";
    let metadata = json!({"NAMESPACE": "shop"});
    let proxy = Proxy::of_node(node, &metadata, Locality::default(), Flavour::Stock);
    envoy::derive(&mesh.scope(&proxy.expect("a node")), memo).endpoints
}

/// Clusters whose assignment is another value.
fn other(before: &Table, after: &Table) -> Vec<String> {
    let new = after.iter().filter(|new| {
        let old = before.get(&new.name);
        old.is_none_or(|old| !Arc::ptr_eq(old, new))
    });
    new.map(|resource| resource.name.to_string()).collect()
}

#[test]
fn a_host_costs_its_own_clusters_and_views_are_kept_once() {
    let mut world = World::new("cluster.local");
    for name in ["a", "b"] {
        put(&mut world, &service(name));
        put(&mut world, &slice(name, "10.1.0.1"));
    }
    let (memo, mut assignments) = (Memo::default(), Assignments::default());
    let seen = views(&world, &memo);
    let first = assignments.table(&seen, &world);
    assert_eq!(first.iter().count(), 2);

    put(&mut world, &slice("b", "10.1.0.2"));
    let second = assignments.table(&seen, &world);
    assert_eq!(
        other(&first, &second),
        ["outbound|80||b.shop.svc.cluster.local"]
    );
    assert_eq!(assignments.made.len(), 1);

    // One more service: the others keep their assignments.
    put(&mut world, &service("c"));
    let more = views(&world, &memo);
    let third = assignments.table(&more, &world);
    assert_eq!(
        other(&second, &third),
        ["outbound|80||c.shop.svc.cluster.local"]
    );
    assignments.sweep();
    assignments.table(&more, &world);
    assignments.sweep();
    assert_eq!(
        assignments.made.len(),
        1,
        "what nobody asks for is forgotten"
    );
}
