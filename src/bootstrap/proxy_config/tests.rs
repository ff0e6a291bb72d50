//! Layers, precedence and refusals of the proxy config.

use std::time::Duration;

use serde_json::{Value, json};

use super::{AuthPolicy, ProxyConfig};

fn merged(layers: &[Value]) -> ProxyConfig {
    ProxyConfig::merge(layers).expect("a valid proxy config")
}

fn refusal(layer: Value) -> String {
    ProxyConfig::merge(&[layer])
        .expect_err("a refusal")
        .to_string()
}

#[test]
fn without_layers_it_is_upstreams_default() {
    let config = merged(&[]);
    assert_eq!(config.discovery_address, "istiod.istio-system.svc:15012");
    assert_eq!(
        (config.proxy_admin_port, config.status_port),
        (15000, 15020)
    );
    assert_eq!(config.termination_drain_duration.0, Duration::from_secs(5));
    assert_eq!(config.drain_duration.0, Duration::from_secs(45));
    assert_eq!(config.control_plane_auth_policy, AuthPolicy::MutualTls);
    assert_eq!(config.concurrency, None);
}

#[test]
fn the_last_layer_wins_and_proxy_metadata_is_merged_by_name() {
    let config = merged(&[
        json!({"statusPort": 1, "concurrency": 3, "proxyMetadata": {"A": "1", "B": "1"}}),
        Value::Null,
        json!({"status_port": 2, "proxyMetadata": {"B": "2"}}),
    ]);
    assert_eq!((config.status_port, config.concurrency), (2, Some(3)));
    assert_eq!(config.proxy_metadata["A"], "1");
    assert_eq!(config.proxy_metadata["B"], "2");
}

#[test]
fn service_cluster_and_tracing_service_name_replace_each_other() {
    let layers = [
        json!({"tracingServiceName": "CANONICAL_NAME_ONLY"}),
        json!({"serviceCluster": "mine"}),
    ];
    let config = merged(&layers);
    assert_eq!(config.tracing_service_name, "");
    assert_eq!(config.service_cluster, "mine");
    let config = merged(&layers[..1]);
    assert_eq!(config.tracing_service_name, "CANONICAL_NAME_ONLY");
    assert_eq!(config.service_cluster, "");
}

#[test]
fn fields_that_are_not_read_here_are_kept_for_the_control_plane() {
    let config = merged(&[json!({"holdApplicationUntilProxyStarts": true})]);
    assert_eq!(config.raw()["holdApplicationUntilProxyStarts"], json!(true));
}

#[test]
fn refusals_name_the_field_and_what_is_wrong() {
    for (layer, expected) in [
        (
            json!({"statusPort": "x"}),
            "proxy config: statusPort is not usable: ",
        ),
        (
            json!({"statusPort": 70000}),
            "proxy config: statusPort is not usable: ",
        ),
        (
            json!({"drainDuration": "5 minutes"}),
            "proxy config: drainDuration is not usable: \"5 minutes\" is not a duration like \"5s\"",
        ),
        (
            json!(["a"]),
            "proxy config: expected an object with fields like discoveryAddress",
        ),
    ] {
        let message = refusal(layer);
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn settings_without_effect_are_said() {
    let config = merged(&[json!({"statsdUdpAddress": "a:1", "tracing": {"lightstep": {}}})]);
    assert_eq!(
        config.without_effect(),
        [
            "proxy config: statsdUdpAddress is set and has no effect",
            "proxy config: tracing.lightstep is set and has no effect"
        ]
    );
}

#[test]
fn the_control_plane_on_localhost_has_its_usual_name() {
    for (address, name) in [
        ("istiod.mesh.svc:15012", "istiod.mesh.svc"),
        ("localhost:15012", "istiod.istio-system.svc"),
        ("[::1]:15012", "::1"),
        ("istiod", "istiod"),
    ] {
        let config = merged(&[json!({"discoveryAddress": address})]);
        assert_eq!(config.discovery_name(), name);
    }
}
