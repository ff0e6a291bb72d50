//! The static clusters that every proxy has: its own admin port, the agent, and the agent's two
//! sockets (certificates and configuration).

use serde_json::{Value, json};

use crate::addresses::{Addresses, socket_address};
use crate::proxy_config::ProxyConfig;

/// Envoy's own admin port, for `/stats/prometheus`.
pub const PROMETHEUS_STATS: &str = "prometheus_stats";
/// The agent's status port, for `/healthz/ready`.
pub const AGENT: &str = "agent";
/// The agent's certificate service.
pub const SDS: &str = "sds-grpc";
/// The agent's configuration pass-through.
pub const XDS: &str = "xds-grpc";

/// Where upstream's proxies look for the certificate service.
const SDS_SOCKET: &str = "./var/run/secrets/workload-spiffe-uds/socket";

/// Key of the HTTP settings of a cluster.
const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// The four clusters, in upstream's order.
pub fn internal(config: &ProxyConfig, addresses: &Addresses) -> Vec<Value> {
    let local = |port| socket_address(addresses.localhost(), port);
    let mut xds = grpc_over_socket(XDS, &format!("{}/XDS", config.config_path));
    // Envoy gives each stream a connection of its own, so that a new stream may reach
    // another replica of the control plane.
    xds["typed_extension_protocol_options"][HTTP_OPTIONS]["common_http_protocol_options"] =
        json!({"max_requests_per_connection": 1});
    xds["upstream_connection_options"] = json!({"tcp_keepalive": {"keepalive_time": 300}});
    xds["circuit_breakers"] = json!({"thresholds": [unlimited("DEFAULT"), unlimited("HIGH")]});
    vec![
        cluster(PROMETHEUS_STATS, "0.250s", local(config.proxy_admin_port)),
        cluster(AGENT, "0.250s", local(config.status_port)),
        grpc_over_socket(SDS, SDS_SOCKET),
        xds,
    ]
}

/// A cluster with one known endpoint.
pub fn cluster(name: &str, connect_timeout: &str, address: Value) -> Value {
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": connect_timeout,
        "lb_policy": "ROUND_ROBIN",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    })
}

fn grpc_over_socket(name: &str, path: &str) -> Value {
    let mut cluster = cluster(name, "1s", json!({"pipe": {"path": path}}));
    cluster["typed_extension_protocol_options"] = json!({
        HTTP_OPTIONS: {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        },
    });
    cluster
}

fn unlimited(priority: &str) -> Value {
    json!({
        "priority": priority,
        "max_connections": 100_000,
        "max_pending_requests": 100_000,
        "max_requests": 100_000,
    })
}
