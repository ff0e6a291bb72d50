//! A cluster put together from what its kind has is the one that is built for the service alone.

use api::snapshot::{Locality, World, read};
use mesh::{Flavour, Proxy};
use proto::codec::decode_cluster;
use serde_json::{Value, json};

use super::Usual;
use crate::Memo;
use crate::cluster::outbound;
use crate::narrow::for_clusters;

fn service(name: &str, annotate: impl Fn(&mut Value)) -> Value {
    let mut object = json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "selector": {"app": name}, "ports": [
            {"name": "http", "port": 80}, {"name": "grpc", "port": 81}, {"name": "tcp", "port": 82},
            {"name": "redis", "port": 83}, {"name": "other", "port": 84}]}});
    annotate(&mut object);
    object
}

fn entry(name: &str, location: &str) -> Value {
    json!({"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"hosts": [format!("{name}.example")], "location": location, "resolution": "STATIC",
            "subjectAltNames": ["spiffe://other/ns/a/sa/b"],
            "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
            "endpoints": [{"address": "1.2.3.4"}]}})
}

#[test]
fn what_is_put_together_is_what_is_built() {
    let mut world = World::new("cluster.local");
    let with = |field: &'static str, value: &'static str| {
        move |object: &mut Value| object["spec"][field] = json!(value)
    };
    let labelled = |label: &'static str| {
        move |object: &mut Value| object["metadata"]["labels"] = json!({label: "cookie"})
    };
    let objects = [
        service("plain", |_| {}),
        service("near", with("trafficDistribution", "PreferClose")),
        service("local", with("internalTrafficPolicy", "Local")),
        service("sticky", labelled("istio.io/persistent-session")),
        service("named", labelled("istio.io/persistent-session-header")),
        entry("inside", "MESH_INTERNAL"),
        entry("outside", "MESH_EXTERNAL"),
        json!({"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication",
            "metadata": {"name": "whole", "namespace": "shop"}, "spec": {"mtls": {"mode": "STRICT"}}}),
    ];
    for object in &objects {
        world.put(read(object).expect("valid").expect("of the mesh"));
    }
    let mesh = mesh::compile(world.snapshot()).0;
    let mut seen = 0;
    for flavour in [Flavour::IstioProxy, Flavour::Stock] {
        let metadata = json!({"NAMESPACE": "shop", "CLUSTER_ID": "c1", "NODE_NAME": "n1"});
        let node = "sidecar~10.0.0.1~a.shop~shop.svc.cluster.local";
        let proxy = Proxy::of_node(node, &metadata, Locality::default(), flavour).expect("a node");
        let scope = mesh.scope(&proxy);
        let part = for_clusters(&scope, &Memo::default(), true);
        let usual = Usual::new(&part.0);
        for called in &scope.outbound.services {
            for port in called.service.called() {
                let quick = usual.of_port(called, port).expect("a usual cluster");
                let [whole] = &outbound::of_port(&part.0, called, port)[..] else {
                    panic!("one cluster of {}", quick.name);
                };
                let decoded = |made: &crate::cluster::Made| decode_cluster(made.encoded.bytes());
                assert_eq!(decoded(&quick), decoded(whole), "{}", whole.name);
                assert_eq!(quick.endpoints, whole.endpoints, "{}", whole.name);
                assert_eq!((&quick.name, &quick.origin), (&whole.name, &whole.origin));
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 2 * (5 * 5 + 2));
}
