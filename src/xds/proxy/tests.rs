//! What a node says about a proxy, and what its pod adds.

use std::collections::BTreeMap;

use api::snapshot::{World, read};
use mesh::{Flavour, Role};
use proto::envoy::config::core::v3::{Extension, Node as Wire};
use proto::google::protobuf::{Struct, Value, value::Kind};
use serde_json::json;

use super::{complete, of_node};

fn text(text: &str) -> Value {
    Value {
        kind: Some(Kind::StringValue(text.to_owned())),
    }
}

fn node(metadata: &[(&str, Value)]) -> Wire {
    let fields = metadata
        .iter()
        .map(|(key, value)| ((*key).to_owned(), value.clone()));
    Wire {
        id: "sidecar~10.1.0.8~web-1.shop~shop.svc.cluster.local".to_owned(),
        metadata: Some(Struct {
            fields: fields.collect(),
        }),
        ..Default::default()
    }
}

fn with_extension(type_url: &str) -> Wire {
    Wire {
        extensions: vec![Extension {
            type_urls: vec![type_url.to_owned()],
            ..Default::default()
        }],
        ..node(&[])
    }
}

#[test]
fn metadata_is_read_as_it_was_written() {
    let labels = Struct {
        fields: BTreeMap::from([("app".to_owned(), text("web"))]),
    };
    let labels = Value {
        kind: Some(Kind::StructValue(labels)),
    };
    let proxy = of_node(&node(&[("LABELS", labels), ("CLUSTER_ID", text("north"))]));
    let proxy = proxy.expect("a sidecar");
    assert_eq!(
        (proxy.role, proxy.namespace.as_str()),
        (Role::Sidecar, "shop")
    );
    assert_eq!(proxy.labels["app"], "web");
    assert_eq!(proxy.cluster, "north");
}

#[test]
fn types_that_are_not_served_are_refused() {
    let mut wire = node(&[]);
    wire.id = wire.id.replace("sidecar", "ztunnel");
    let refusal = of_node(&wire).expect_err("not served").to_string();
    assert!(refusal.contains("ztunnel"), "{refusal}");
}

#[test]
fn the_flavour_follows_from_the_extensions() {
    let flavour = |wire: &Wire| of_node(wire).expect("a sidecar").flavour;
    assert_eq!(flavour(&node(&[])), Flavour::Stock);
    let router = "envoy.extensions.filters.http.router.v3.Router";
    assert_eq!(flavour(&with_extension(router)), Flavour::Stock);
    let alpn = "istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig";
    assert_eq!(flavour(&with_extension(alpn)), Flavour::IstioProxy);
}

#[test]
fn a_pod_adds_what_its_proxy_does_not_say() {
    let mut world = World::new("cluster.local");
    for object in [
        json!({"apiVersion": "v1", "kind": "Pod", "spec": {"nodeName": "node-1"},
            "metadata": {"name": "web-1", "namespace": "shop", "labels": {"app": "web"}}}),
        json!({"apiVersion": "v1", "kind": "Node",
            "metadata": {"name": "node-1", "labels": {"topology.kubernetes.io/region": "north"}}}),
    ] {
        world.put(read(&object).expect("well-formed").expect("of the mesh"));
    }
    let mut proxy = of_node(&node(&[])).expect("a sidecar");
    complete(&mut proxy, &world);
    assert_eq!(proxy.labels["app"], "web");
    assert_eq!(
        (proxy.node.as_str(), proxy.locality.region.as_str()),
        ("node-1", "north")
    );

    let mut elsewhere = of_node(&node(&[("NODE_NAME", text("node-2"))])).expect("a sidecar");
    complete(&mut elsewhere, &world);
    assert_eq!(
        (elsewhere.node.as_str(), elsewhere.locality.region.as_str()),
        ("node-2", "")
    );
}
