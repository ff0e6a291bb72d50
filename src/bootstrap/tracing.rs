//! The tracer of `tracing` in the proxy config (zipkin, datadog): its cluster and its provider.
//! Tracers that Telemetry resources choose come from the control plane and are not here.

use serde_json::{Value, json};

use crate::addresses::Addresses;
use crate::clusters::cluster;
use crate::proxy_config::ProxyConfig;

/// What a configured tracer adds to the bootstrap.
pub struct Tracer {
    /// Where spans go.
    pub cluster: Value,
    /// `tracing` of the bootstrap.
    pub provider: Value,
}

/// The configured tracer, if it is one that stock Envoy has.
pub fn tracer(
    config: &ProxyConfig,
    node_cluster: &str,
    addresses: &Addresses,
    warnings: &mut Vec<String>,
) -> Option<Tracer> {
    let tracing = config.raw().get("tracing")?;
    let (kind, settings) = ["zipkin", "datadog"]
        .into_iter()
        .find_map(|kind| Some((kind, tracing.get(kind)?)))?;
    let address = settings
        .get("address")
        .and_then(Value::as_str)
        .unwrap_or("");
    let Some((host, port)) = split_address(address) else {
        warnings.push(format!(
            "proxy config: tracing.{kind}.address is {address:?} and has no effect, expected host:port"
        ));
        return None;
    };
    let endpoint = json!({"socket_address": {"address": host, "port_value": port}});
    let (name, provider) = match kind {
        "zipkin" => (
            "zipkin",
            json!({
                "name": "envoy.tracers.zipkin",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.config.trace.v3.ZipkinConfig",
                    "collector_cluster": "zipkin",
                    "collector_endpoint": "/api/v2/spans",
                    "collector_endpoint_version": "HTTP_JSON",
                    "trace_id_128bit": true,
                    "shared_span_context": false,
                },
            }),
        ),
        _ => (
            "datadog_agent",
            json!({
                "name": "envoy.tracers.datadog",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.config.trace.v3.DatadogConfig",
                    "collector_cluster": "datadog_agent",
                    "service_name": node_cluster,
                },
            }),
        ),
    };
    let mut cluster = cluster(name, "1s", endpoint);
    // An extension in place of STRICT_DNS, whose settings are deprecated.
    cluster
        .as_object_mut()
        .expect("it is written as an object")
        .remove("type");
    cluster["cluster_type"] = json!({
        "name": "envoy.cluster.dns",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.clusters.dns.v3.DnsCluster",
            "dns_lookup_family": addresses.dns_lookup_family(),
            "dns_refresh_rate": "30s",
            "respect_dns_ttl": true,
        },
    });
    Some(Tracer {
        cluster,
        provider: json!({"http": provider}),
    })
}

fn split_address(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    (!host.is_empty()).then_some((host, port.parse().ok()?))
}
