//! The two static listeners: metrics on 15090 and readiness on 15021. They are Envoy's own, so a
//! readiness probe proves that Envoy accepts connections, not only that the agent does.

use serde_json::{Value, json};

use crate::addresses::{Addresses, socket_address};
use crate::clusters;
use crate::node::Facts;

/// The annotation that asks for compressed metrics; `gzip` is understood.
const STATS_COMPRESSION: &str = "sidecar.istio.io/statsCompression";

/// Both listeners.
pub fn internal(facts: &Facts, addresses: &Addresses) -> Vec<Value> {
    let gzip = facts
        .annotations
        .get(STATS_COMPRESSION)
        .is_some_and(|kind| kind == "gzip");
    vec![
        listener(Forward {
            port: facts.ports.prometheus,
            stat_prefix: "stats",
            path: "/stats/prometheus",
            cluster: clusters::PROMETHEUS_STATS,
            gzip,
            addresses,
        }),
        listener(Forward {
            port: facts.ports.status,
            stat_prefix: "agent",
            path: "/healthz/ready",
            cluster: clusters::AGENT,
            gzip: false,
            addresses,
        }),
    ]
}

/// One path of one port, forwarded to one cluster.
struct Forward<'a> {
    port: u16,
    stat_prefix: &'a str,
    path: &'a str,
    cluster: &'a str,
    gzip: bool,
    addresses: &'a Addresses,
}

fn listener(forward: Forward<'_>) -> Value {
    let mut filters = Vec::new();
    if forward.gzip {
        filters.push(json!({
            "name": "envoy.filters.http.compressor",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.compressor.v3.Compressor",
                "compressor_library": {
                    "name": "text_optimized",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.compression.gzip.compressor.v3.Gzip",
                    },
                },
                "response_direction_config": {"remove_accept_encoding_header": true},
            },
        }));
    }
    filters.push(json!({
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
    }));

    let [first, others @ ..] = forward.addresses.wildcards() else {
        unreachable!("every family has a wildcard")
    };
    let mut listener = json!({
        "address": socket_address(first, forward.port),
        // Probes and scrapes are answered however much traffic there is.
        "ignore_global_conn_limit": true,
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "codec_type": "AUTO",
                "stat_prefix": forward.stat_prefix,
                "route_config": {"virtual_hosts": [{
                    "name": "backend",
                    "domains": ["*"],
                    "routes": [{
                        "match": {"prefix": forward.path},
                        "route": {"cluster": forward.cluster},
                    }],
                }]},
                "http_filters": filters,
            },
        }]}],
    });
    if !others.is_empty() {
        listener["additional_addresses"] = others
            .iter()
            .map(|other| json!({"address": socket_address(other, forward.port)}))
            .collect();
    }
    listener
}
