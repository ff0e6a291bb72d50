//! What a node says about a proxy, and what its pod adds.

use std::collections::BTreeMap;

use api::snapshot::{World, read};
use mesh::{Flavour, Role, VirtualHosts};
use proto::envoy::config::core::v3::{
    BuildVersion, Extension, Node as Wire, node::UserAgentVersionType,
};
use proto::envoy::r#type::v3::SemanticVersion;
use proto::google::protobuf::{ListValue, Struct, Value, value::Kind};
use serde_json::json;

use super::{complete, of_node};
use crate::Node;
use crate::body::Variant;

const DELTA: Variant = Variant::Delta;

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
    let proxy = of_node(
        &node(&[("LABELS", labels), ("CLUSTER_ID", text("north"))]),
        DELTA,
    );
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
    let refusal = of_node(&wire, DELTA).expect_err("not served").to_string();
    assert!(refusal.contains("ztunnel"), "{refusal}");
}

#[test]
fn the_flavour_follows_from_the_extensions() {
    let flavour = |wire: &Wire| of_node(wire, DELTA).expect("a sidecar").flavour;
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
    let mut proxy = of_node(&node(&[]), DELTA).expect("a sidecar");
    complete(&mut proxy, &world);
    assert_eq!(proxy.labels["app"], "web");
    assert_eq!(
        (proxy.node.as_str(), proxy.locality.region.as_str()),
        ("node-1", "north")
    );

    let mut elsewhere = of_node(&node(&[("NODE_NAME", text("node-2"))]), DELTA).expect("a sidecar");
    complete(&mut elsewhere, &world);
    assert_eq!(
        (elsewhere.node.as_str(), elsewhere.locality.region.as_str()),
        ("node-2", "")
    );
}

/// A node of an Envoy that says its own version, Istio's, or both.
fn versioned(name: &str, own: Option<(u32, u32)>, istio: &str) -> Wire {
    Wire {
        user_agent_name: name.to_owned(),
        user_agent_version_type: own.map(|(major_number, minor_number)| {
            let version = SemanticVersion {
                major_number,
                minor_number,
                patch: 0,
            };
            UserAgentVersionType::UserAgentBuildVersion(BuildVersion {
                version: Some(version),
                ..Default::default()
            })
        }),
        ..node(&[("ISTIO_VERSION", text(istio))])
    }
}

#[test]
fn virtual_hosts_go_apart_to_versions_that_were_seen_to_take_them() {
    let of = |wire: &Wire, variant| of_node(wire, variant).expect("a sidecar").virtual_hosts;
    for (name, own, istio, expected) in [
        ("envoy", Some((1, 40)), "", VirtualHosts::Apart),
        ("envoy", Some((2, 0)), "", VirtualHosts::Apart),
        ("envoy", Some((1, 39)), "1.32.0", VirtualHosts::Inline),
        ("envoy", None, "1.32.0", VirtualHosts::Apart),
        ("envoy", None, "1.31.2", VirtualHosts::Inline),
        ("envoy", None, "", VirtualHosts::Inline),
        ("gRPC Go", Some((1, 80)), "", VirtualHosts::Inline),
    ] {
        let wire = versioned(name, own, istio);
        assert_eq!(of(&wire, DELTA), expected, "{name} {own:?} {istio}");
        // They exist in the incremental protocol only.
        assert_eq!(of(&wire, Variant::StateOfTheWorld), VirtualHosts::Inline);
    }
}

/// Values as no agent sends them.
fn strange() -> Vec<Value> {
    let of = |kind| Value { kind: Some(kind) };
    let mut deep = text("x");
    for _ in 0..90 {
        let fields = BTreeMap::from([(String::new(), deep)]);
        deep = of(Kind::StructValue(Struct { fields }));
    }
    vec![
        Value { kind: None },
        of(Kind::NullValue(7)),
        of(Kind::NumberValue(f64::NAN)),
        of(Kind::NumberValue(f64::INFINITY)),
        of(Kind::NumberValue(-1e300)),
        of(Kind::BoolValue(true)),
        of(Kind::ListValue(ListValue {
            values: vec![Value { kind: None }; 100],
        })),
        text(""),
        text("\u{0},,~~..//"),
        text("bank"),
        deep,
    ]
}

#[test]
fn who_is_checked_is_who_is_served() {
    let keys = [
        "NAMESPACE",
        "SERVICE_ACCOUNT",
        "LABELS",
        "INSTANCE_IPS",
        "CLUSTER_ID",
        "NETWORK",
        "POD_PORTS",
        "APP_CONTAINERS",
        "INTERCEPTION_MODE",
        "PROXY_CONFIG",
        "ISTIO_VERSION",
        "NODE_NAME",
        "OWNER",
        "WORKLOAD_NAME",
        "ANNOTATIONS",
        "",
    ];
    let ids = [
        "sidecar~10.1.0.8~web-1.shop~shop.svc.cluster.local",
        "router~~.~",
        "sidecar~999.1.1.1~..shop~",
        "sidecar~::1~web~shop",
        "ztunnel~1.1.1.1~a.b~c",
    ];
    let mut served = 0;
    for id in ids {
        for key in keys {
            for value in strange() {
                let wire = Wire {
                    id: id.to_owned(),
                    ..node(&[(key, value)])
                };
                if let (Ok(checked), Ok(proxy)) = (Node::parse(Some(&wire)), of_node(&wire, DELTA))
                {
                    assert_eq!(checked.namespace, proxy.namespace, "{id} {key}");
                    served += 1;
                }
            }
        }
    }
    assert!(served > 300, "{served}");
}

#[test]
fn what_is_too_long_to_be_a_name_is_refused() {
    let long = "x".repeat(100_000);
    let id = Wire {
        id: format!("sidecar~10.1.0.8~{long}.shop~shop.svc"),
        ..node(&[])
    };
    let error = Node::parse(Some(&id)).expect_err("too long").to_string();
    assert!(error.len() < 300, "{} bytes of error", error.len());
    for key in ["NAMESPACE", "SERVICE_ACCOUNT"] {
        assert!(
            Node::parse(Some(&node(&[(key, text(&long))]))).is_err(),
            "{key}"
        );
    }
    let versioned = node(&[("ISTIO_VERSION", text(&long))]);
    let versioned = Node::parse(Some(&versioned)).expect("a node");
    assert_eq!(versioned.version, None);
}
