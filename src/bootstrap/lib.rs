//! Envoy's bootstrap as a value: from what is known of a proxy ([`Facts`]) and its [`ProxyConfig`]
//! to the JSON that Envoy is started with. Reads no file and no environment variable; resources
//! that the control plane sends are not its business.

mod addresses;
mod clusters;
mod downward;
mod listeners;
mod node;
mod proxy_config;
mod stats;
mod tracing;

use serde_json::{Value, json};

pub use addresses::Addresses;
pub use downward::{NotDownward, parse_downward};
pub use node::{COMPATIBLE_ISTIO_VERSION, Facts, Locality, Node, NotAProxyType, ProxyType, node};
pub use proxy_config::{AuthPolicy, InvalidProxyConfig, ProxyConfig, Seconds, StatsMatcher};

/// Ports of the listeners that every bootstrap has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// `/healthz/ready`, passed to the agent's status port. 15021 by default.
    pub status: u16,
    /// `/stats/prometheus`, passed to Envoy's admin port. 15090 by default.
    pub prometheus: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Ports {
            status: 15021,
            prometheus: 15090,
        }
    }
}

/// The bootstrap of one proxy, and what was left out of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Bootstrap {
    /// `envoy.config.bootstrap.v3.Bootstrap` in proto JSON.
    pub json: Value,
    /// One sentence for each setting that is understood but has no effect.
    pub warnings: Vec<String>,
}

/// Writes the bootstrap. Same input, same bytes.
pub fn bootstrap(facts: &Facts, config: &ProxyConfig) -> Bootstrap {
    let mut warnings = Vec::new();
    let node = node(facts, config, &mut warnings);
    let addresses = Addresses::of(&facts.ips, facts.dual_stack);
    let tracer = tracing::tracer(config, &node.cluster, &addresses, &mut warnings);

    let mut all_clusters = clusters::internal(config, &addresses);
    all_clusters.extend(tracer.as_ref().map(|tracer| tracer.cluster.clone()));

    let mut json = json!({
        "node": {
            "id": node.id,
            "cluster": node.cluster,
            "locality": node.locality,
            "metadata": node.metadata,
        },
        "layered_runtime": {"layers": [
            {"name": "global config", "static_layer": runtime_flags(config)},
            {"name": "admin", "admin_layer": {}},
        ]},
        "bootstrap_extensions": [{
            "name": "envoy.bootstrap.internal_listener",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener",
                "buffer_size_kb": 64,
            },
        }],
        "stats_config": stats::config(facts, config, &mut warnings),
        "admin": {
            "access_log": [{
                "name": "envoy.access_loggers.file",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                    "path": "/dev/null",
                },
            }],
            "profile_path": "/var/lib/istio/data/envoy.prof",
            "address": addresses::socket_address(addresses.localhost(), config.proxy_admin_port),
        },
        "dynamic_resources": {
            "lds_config": from_ads(),
            "cds_config": from_ads(),
            "ads_config": {
                "api_type": if facts.delta { "DELTA_GRPC" } else { "GRPC" },
                "set_node_on_first_message_only": true,
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": clusters::XDS}}],
            },
        },
        "static_resources": {
            "clusters": all_clusters,
            "listeners": listeners::internal(facts, &addresses),
        },
    });
    if let Some(tracer) = tracer {
        json["tracing"] = tracer.provider;
    }
    json["overload_manager"] = overload_manager(config, &mut warnings);
    if let Some(path) = &facts.outlier_log_path {
        json["cluster_manager"] = json!({"outlier_detection": {"event_log_path": path}});
    }
    warnings.extend(config.without_effect());
    Bootstrap { json, warnings }
}

/// Waits for the first answer however long it takes: a proxy without configuration must not serve.
fn from_ads() -> Value {
    json!({"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"})
}

/// The runtime flag that limited connections before Envoy had a resource monitor for it.
const MAX_CONNECTIONS: &str = "overload.global_downstream_max_connections";

/// Envoy complains where nothing limits its connections; upstream's limit is none in effect.
fn overload_manager(config: &ProxyConfig, warnings: &mut Vec<String>) -> Value {
    let mut limit = i64::from(i32::MAX);
    if let Some(value) = config.runtime_values.get(MAX_CONNECTIONS) {
        match value.parse() {
            Ok(number @ 1..) => limit = number,
            _ => warnings.push(format!(
                "proxy config: runtimeValues[{MAX_CONNECTIONS}] is {value:?} and has no effect, expected a number of connections"
            )),
        }
    }
    json!({"resource_monitors": [{
        "name": "envoy.resource_monitors.global_downstream_max_connections",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
            "max_active_downstream_connections": limit,
        },
    }]})
}

/// Upstream's runtime flags, then `runtimeValues` over them; an empty value removes a flag.
fn runtime_flags(config: &ProxyConfig) -> Value {
    let mut flags = json!({
        "re2.max_program_size.error_level": "32768",
        "envoy.deprecated_features:envoy.config.listener.v3.Listener.hidden_envoy_deprecated_use_original_dst": true,
        "envoy.reloadable_features.http_reject_path_with_fragment": false,
    });
    let map = flags.as_object_mut().expect("it is written as an object");
    for (flag, value) in &config.runtime_values {
        match value.as_str() {
            _ if flag == MAX_CONNECTIONS => {}
            "" => {
                map.remove(flag);
            }
            // Envoy takes feature flags only as booleans; the API has strings.
            "true" | "false" => {
                map.insert(flag.clone(), Value::Bool(value == "true"));
            }
            _ => {
                map.insert(flag.clone(), Value::String(value.clone()));
            }
        }
    }
    flags
}

#[cfg(test)]
mod tests;
