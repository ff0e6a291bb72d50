//! Identity and metadata of a node; whole nodes are in the bootstrap's goldens.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Facts, Locality, Node, ProxyType, node};
use crate::{Ports, ProxyConfig};

fn facts(environment: &[(&str, &str)], labels: &[(&str, &str)]) -> Facts {
    let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    };
    Facts {
        proxy_type: ProxyType::Router,
        ips: vec!["10.0.0.1".parse().expect("an address")],
        domain: "ns.svc.cluster.local".to_owned(),
        environment: map(environment),
        labels: map(labels),
        annotations: BTreeMap::new(),
        ports: Ports::default(),
        exit_on_zero_active_connections: false,
        dual_stack: false,
        delta: true,
        outlier_log_path: None,
    }
}

fn made(facts: &Facts, layer: serde_json::Value) -> Node {
    let config = ProxyConfig::merge(&[layer]).expect("a valid proxy config");
    let mut warnings = Vec::new();
    let node = node(facts, &config, &mut warnings);
    assert_eq!(warnings, Vec::<String>::new());
    node
}

#[test]
fn the_id_holds_type_address_pod_and_domain() {
    let facts = facts(&[("POD_NAME", "gw-1"), ("POD_NAMESPACE", "ns")], &[]);
    assert_eq!(
        made(&facts, json!({})).id,
        "router~10.0.0.1~gw-1.ns~ns.svc.cluster.local"
    );
}

#[test]
fn the_environment_wins_over_proxy_metadata() {
    let facts = facts(&[("ISTIO_META_NETWORK", "a")], &[]);
    let layer =
        json!({"proxyMetadata": {"ISTIO_META_NETWORK": "b", "ISTIO_META_X": "c", "Y": "d"}});
    let node = made(&facts, layer);
    assert_eq!(node.metadata["NETWORK"], json!("a"));
    assert_eq!(node.metadata["X"], json!("c"));
    assert!(!node.metadata.contains_key("Y"));
}

#[test]
fn a_variable_that_is_no_object_is_named_and_left_out() {
    let facts = facts(&[("ISTIO_METAJSON_X", "[1]")], &[]);
    let config = ProxyConfig::merge(&[]).expect("defaults");
    let mut warnings = Vec::new();
    node(&facts, &config, &mut warnings);
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].starts_with("environment variable ISTIO_METAJSON_X has no effect"));
}

#[test]
fn the_cluster_follows_upstreams_order_of_names() {
    let workload = [("POD_NAMESPACE", "ns"), ("ISTIO_META_WORKLOAD_NAME", "w")];
    let app = [("app", "a"), ("service.istio.io/canonical-name", "c")];
    let cases = [
        (facts(&workload, &app), json!({}), "a.ns"),
        (facts(&workload, &[]), json!({}), "w.ns"),
        (facts(&workload[..1], &[]), json!({}), "istio-proxy.ns"),
        (facts(&[], &[]), json!({}), "istio-proxy"),
        (
            facts(&workload, &app),
            json!({"serviceCluster": "mine"}),
            "mine",
        ),
        (
            facts(&workload, &app),
            json!({"tracingServiceName": "CANONICAL_NAME_ONLY"}),
            "c",
        ),
        (
            facts(&workload, &app),
            json!({"tracingServiceName": "CANONICAL_NAME_AND_NAMESPACE"}),
            "c.ns",
        ),
        (
            facts(&workload, &app),
            json!({"tracingServiceName": "APP_LABEL_AND_NAMESPACE"}),
            "a.ns",
        ),
    ];
    for (facts, layer, expected) in cases {
        assert_eq!(made(&facts, layer.clone()).cluster, expected, "{layer}");
    }
}

#[test]
fn the_locality_label_may_have_dots_or_slashes() {
    for label in ["r.z.s", "r/z/s"] {
        let node = made(&facts(&[], &[("istio-locality", label)]), json!({}));
        let expected = Locality {
            region: "r".to_owned(),
            zone: "z".to_owned(),
            sub_zone: "s".to_owned(),
        };
        assert_eq!(node.locality, expected);
    }
}
