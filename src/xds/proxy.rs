//! From the node of a first request to the facts that decide what a proxy is to have.

use api::snapshot::{Key, Locality, World};
use mesh::{Flavour, InvalidProxy, Proxy, VirtualHosts};
use proto::envoy::config::core::v3::{Node as Wire, node::UserAgentVersionType};
use proto::google::protobuf::{Struct, value::Kind};
use serde_json::Value;

use crate::body::Variant;

/// Types of filters that only Istio's builds of Envoy have.
const OF_ISTIO: [&str; 2] = [
    "istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig",
    "stats.PluginConfig",
];

/// Reads a node.
///
/// # Errors
/// [`InvalidProxy`] when its id has another form, or when it is of a type that is not served.
pub(crate) fn of_node(node: &Wire, variant: Variant) -> Result<Proxy, InvalidProxy> {
    let metadata = node.metadata.as_ref().map(json_of).unwrap_or_default();
    let locality = node.locality.clone().unwrap_or_default();
    let locality = Locality {
        region: locality.region,
        zone: locality.zone,
        sub_zone: locality.sub_zone,
    };
    let proxy = Proxy::of_node(&node.id, &metadata, locality, flavour(node))?;
    let apart = variant == Variant::Delta && takes_hosts_apart(node, &metadata);
    Ok(Proxy {
        node_cluster: node.cluster.clone(),
        virtual_hosts: if apart {
            VirtualHosts::Apart
        } else {
            VirtualHosts::Inline
        },
        ..proxy
    })
}

/// The first Envoy that was seen to take virtual hosts apart from their route configuration without asking for
/// each, and the first Istio that is built on it.
const HOSTS_APART: (u32, u32) = (1, 40);
const HOSTS_APART_ISTIO: (u32, u32) = (1, 32);

/// Whether a proxy is an Envoy that takes virtual hosts as resources of their own: by its own version, or, where
/// it does not say that, by Istio's.
fn takes_hosts_apart(node: &Wire, metadata: &Value) -> bool {
    if node.user_agent_name != "envoy" {
        return false;
    }
    let version = match &node.user_agent_version_type {
        Some(UserAgentVersionType::UserAgentBuildVersion(build)) => {
            let version = build.version.as_ref();
            version.map(|version| (version.major_number, version.minor_number))
        }
        Some(UserAgentVersionType::UserAgentVersion(text)) => major_and_minor(text),
        None => {
            let istio = metadata["ISTIO_VERSION"].as_str().and_then(major_and_minor);
            return istio.is_some_and(|istio| istio >= HOSTS_APART_ISTIO);
        }
    };
    version.is_some_and(|version| version >= HOSTS_APART)
}

fn major_and_minor(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??))
}

/// A node's metadata and locality as JSON, for those who look into this process.
pub(crate) fn described(node: Option<&Wire>) -> (Value, Value) {
    let metadata = node.and_then(|node| node.metadata.as_ref());
    let locality = node.and_then(|node| node.locality.as_ref());
    let parts = locality.into_iter().flat_map(|locality| {
        [
            ("region", &locality.region),
            ("zone", &locality.zone),
            ("sub_zone", &locality.sub_zone),
        ]
    });
    let parts: serde_json::Map<String, Value> = parts
        .filter(|(_, part)| !part.is_empty())
        .map(|(key, part)| (key.to_owned(), part.as_str().into()))
        .collect();
    let locality = match parts.is_empty() {
        true => Value::Null,
        false => Value::Object(parts),
    };
    (metadata.map(json_of).unwrap_or_default(), locality)
}

/// Which filters a proxy has follows from the list of its extensions; a proxy that sends none is served
/// what every Envoy can read.
fn flavour(node: &Wire) -> Flavour {
    let mut types = node
        .extensions
        .iter()
        .flat_map(|extension| &extension.type_urls);
    if types.any(|of| OF_ISTIO.contains(&of.as_str())) {
        Flavour::IstioProxy
    } else {
        Flavour::Stock
    }
}

/// Adds what the proxy does not say itself and its pod does.
pub(crate) fn complete(proxy: &mut Proxy, world: &World) {
    let name = proxy
        .id
        .split_once('.')
        .map_or(proxy.id.as_str(), |(name, _)| name);
    if let Some(pod) = world.pod(&Key::new(&proxy.namespace, name)) {
        if proxy.labels.is_empty() {
            proxy.labels = pod.labels.clone();
        }
        if proxy.ports.is_empty() {
            proxy.ports = pod.ports.clone();
        }
        if proxy.node.is_empty() {
            proxy.node = pod.node.clone();
        }
        if proxy.workload.is_empty() {
            proxy.workload = pod.workload.clone();
        }
    }
    if proxy.locality.is_unknown()
        && let Some(node) = world.node(&proxy.node)
    {
        proxy.locality = node.locality.clone();
    }
}

fn json_of(fields: &Struct) -> Value {
    let fields = fields.fields.iter();
    Value::Object(
        fields
            .map(|(key, value)| {
                (
                    key.clone(),
                    value.kind.as_ref().map_or(Value::Null, json_of_kind),
                )
            })
            .collect(),
    )
}

fn json_of_kind(kind: &Kind) -> Value {
    match kind {
        Kind::NullValue(_) => Value::Null,
        // Not every double is a JSON number.
        Kind::NumberValue(number) if number.fract() == 0.0 && number.abs() < 9e15 => {
            Value::from(*number as i64)
        }
        Kind::NumberValue(number) => Value::from(*number),
        Kind::StringValue(text) => Value::from(text.as_str()),
        Kind::BoolValue(yes) => Value::from(*yes),
        Kind::StructValue(fields) => json_of(fields),
        Kind::ListValue(list) => {
            let values = list.values.iter();
            values
                .map(|value| value.kind.as_ref().map_or(Value::Null, json_of_kind))
                .collect()
        }
    }
}

#[cfg(test)]
mod tests;
