//! From the node of a first request to the facts that decide what a proxy is to have.

use api::snapshot::{Key, Locality, World};
use mesh::{Flavour, InvalidProxy, Proxy};
use proto::envoy::config::core::v3::Node as Wire;
use proto::google::protobuf::{Struct, value::Kind};
use serde_json::Value;

/// Types of filters that only Istio's builds of Envoy have.
const OF_ISTIO: [&str; 2] = [
    "istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig",
    "stats.PluginConfig",
];

/// Reads a node.
///
/// # Errors
/// [`InvalidProxy`] when its id has another form, or when it is of a type that is not served.
pub(crate) fn of_node(node: &Wire) -> Result<Proxy, InvalidProxy> {
    let metadata = node.metadata.as_ref().map(json_of).unwrap_or_default();
    let locality = node.locality.clone().unwrap_or_default();
    let locality = Locality {
        region: locality.region,
        zone: locality.zone,
        sub_zone: locality.sub_zone,
    };
    Proxy::of_node(&node.id, &metadata, locality, flavour(node))
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
