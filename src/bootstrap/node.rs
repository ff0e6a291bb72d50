//! Who a proxy is: its node id, cluster, locality and metadata, from the environment contract of
//! injected and gateway pods (`ISTIO_META_*`, `ISTIO_METAJSON_*`, the downward API's files).

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::Ports;
use crate::proxy_config::{AuthPolicy, ProxyConfig};

/// The Istio version whose behaviour this proxy has. Control planes decide by it what a proxy
/// understands, so it is not the version of this program.
pub const COMPATIBLE_ISTIO_VERSION: &str = "1.32.0";

/// Set by the Deployment's controller on pods; it says nothing about the workload.
const POD_TEMPLATE_HASH: &str = "pod-template-hash";
/// Label that names a pod's locality, with dots in place of slashes.
const LOCALITY_LABEL: &str = "istio-locality";

/// What a proxy is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProxyType {
    /// Beside an application.
    Sidecar,
    /// On its own: a gateway.
    Router,
}

impl fmt::Display for ProxyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ProxyType::Sidecar => "sidecar",
            ProxyType::Router => "router",
        })
    }
}

/// The text names no type of proxy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a type of proxy, expected sidecar or router")]
pub struct NotAProxyType(String);

impl FromStr for ProxyType {
    type Err = NotAProxyType;

    fn from_str(text: &str) -> Result<Self, NotAProxyType> {
        match text {
            "sidecar" => Ok(ProxyType::Sidecar),
            "router" => Ok(ProxyType::Router),
            _ => Err(NotAProxyType(text.to_owned())),
        }
    }
}

/// What is known of a proxy before Envoy starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// Sidecar or gateway.
    pub proxy_type: ProxyType,
    /// The pod's address first, then those of other interfaces.
    pub ips: Vec<IpAddr>,
    /// DNS domain of the pod's services: `<namespace>.svc.cluster.local`.
    pub domain: String,
    /// Environment variables of the agent.
    pub environment: BTreeMap<String, String>,
    /// The pod's labels, when the downward API gives them.
    pub labels: BTreeMap<String, String>,
    /// The pod's annotations, when the downward API gives them.
    pub annotations: BTreeMap<String, String>,
    /// Ports of the static listeners.
    pub ports: Ports,
    /// EXIT_ON_ZERO_ACTIVE_CONNECTIONS.
    pub exit_on_zero_active_connections: bool,
    /// ISTIO_DUAL_STACK: listen on both families where the pod has both.
    pub dual_stack: bool,
    /// ISTIO_DELTA_XDS: ask for differences rather than for the whole state each time.
    pub delta: bool,
    /// Where Envoy logs that it ejected an endpoint.
    pub outlier_log_path: Option<String>,
}

impl Facts {
    fn variable(&self, name: &str) -> &str {
        self.environment.get(name).map_or("", String::as_str)
    }
}

/// Where a proxy runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Locality {
    /// Of the cloud, say.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub region: String,
    /// Within the region.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub zone: String,
    /// Within the zone.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sub_zone: String,
}

impl Locality {
    /// From `region/zone/subzone`; a label has dots in place of slashes.
    fn of_label(label: &str) -> Locality {
        let separator = if label.contains('/') { '/' } else { '.' };
        let mut parts = label.splitn(3, separator).map(str::to_owned);
        Locality {
            region: parts.next().unwrap_or_default(),
            zone: parts.next().unwrap_or_default(),
            sub_zone: parts.next().unwrap_or_default(),
        }
    }
}

/// The node of `envoy.config.core.v3.Node`, as the control plane sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// `router~<ip>~<pod>.<namespace>~<domain>`.
    pub id: String,
    /// Name of the workload in traces.
    pub cluster: String,
    /// Empty when the pod names none; the control plane then asks its node.
    pub locality: Locality,
    /// In upstream's names.
    pub metadata: Map<String, Value>,
}

/// Puts the node together. Variables that cannot be used are named in `warnings`.
pub fn node(facts: &Facts, config: &ProxyConfig, warnings: &mut Vec<String>) -> Node {
    let pod = facts.variable("POD_NAME");
    let namespace = facts.variable("POD_NAMESPACE");
    let ip = facts.ips.first().map(IpAddr::to_string).unwrap_or_default();

    let mut metadata = from_variables(facts, config, warnings);
    let mut labels = static_labels(facts, &mut metadata);
    labels.extend(facts.labels.clone());
    labels.remove(POD_TEMPLATE_HASH);
    let locality = labels
        .get(LOCALITY_LABEL)
        .map_or_else(Locality::default, |label| Locality::of_label(label));

    let cluster = service_cluster(
        config,
        &labels,
        namespace,
        metadata.get("WORKLOAD_NAME").and_then(Value::as_str),
    );

    let mut set = |key: &str, value: Value| {
        let empty = match &value {
            Value::String(text) => text.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        };
        if !empty {
            metadata.insert(key.to_owned(), value);
        }
    };
    let ips: Vec<String> = facts.ips.iter().map(IpAddr::to_string).collect();
    set("NAME", json!(pod));
    set("NAMESPACE", json!(namespace));
    set("SERVICE_ACCOUNT", json!(facts.variable("SERVICE_ACCOUNT")));
    set("INSTANCE_IPS", json!(ips.join(",")));
    set("LABELS", json!(labels));
    set("ANNOTATIONS", json!(facts.annotations));
    set("ENVOY_STATUS_PORT", json!(facts.ports.status));
    set("ENVOY_PROMETHEUS_PORT", json!(facts.ports.prometheus));
    set("PROXY_CONFIG", json!(config.raw()));
    if facts.exit_on_zero_active_connections {
        set("EXIT_ON_ZERO_ACTIVE_CONNECTIONS", json!("true"));
    }
    if config.control_plane_auth_policy == AuthPolicy::MutualTls {
        set("PILOT_SAN", json!([discovery_host(config)]));
    }
    if let Some(path) = &facts.outlier_log_path {
        set("OUTLIER_LOG_PATH", json!(path));
    }
    metadata
        .entry("ISTIO_VERSION")
        .or_insert_with(|| json!(COMPATIBLE_ISTIO_VERSION));
    // Sorted, so that the order of the environment does not show.
    metadata.sort_keys();

    Node {
        id: format!(
            "{}~{ip}~{pod}.{namespace}~{}",
            facts.proxy_type, facts.domain
        ),
        cluster,
        locality,
        metadata,
    }
}

impl ProxyConfig {
    /// The host whose name the control plane's certificate must have. A control plane on
    /// `localhost` has a certificate for its usual name (upstream's GetPilotSan).
    pub fn discovery_name(&self) -> &str {
        discovery_host(self)
    }
}

fn discovery_host(config: &ProxyConfig) -> &str {
    let address = config.discovery_address.as_str();
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    match host {
        "localhost" => "istiod.istio-system.svc",
        _ => host.trim_start_matches('[').trim_end_matches(']'),
    }
}

/// `ISTIO_META_x=v` gives `x: v`; the value of an `ISTIO_METAJSON_*` is an object whose fields are
/// taken. `proxyMetadata` counts as environment with lower precedence.
fn from_variables(
    facts: &Facts,
    config: &ProxyConfig,
    warnings: &mut Vec<String>,
) -> Map<String, Value> {
    let mut metadata = Map::new();
    for (name, value) in config.proxy_metadata.iter().chain(&facts.environment) {
        if let Some(key) = name.strip_prefix("ISTIO_META_") {
            metadata.insert(key.to_owned(), json!(value));
        }
    }
    for (name, value) in &facts.environment {
        if name.starts_with("ISTIO_METAJSON_") {
            match serde_json::from_str::<Map<String, Value>>(value) {
                Ok(fields) => metadata.extend(fields),
                Err(error) => warnings.push(format!(
                    "environment variable {name} has no effect, expected a JSON object: {error}"
                )),
            }
        }
    }
    metadata
}

/// Labels of a workload without a downward API (a virtual machine).
fn static_labels(facts: &Facts, metadata: &mut Map<String, Value>) -> BTreeMap<String, String> {
    let labels: BTreeMap<String, String> =
        serde_json::from_str(facts.variable("ISTIO_METAJSON_LABELS")).unwrap_or_default();
    if !labels.is_empty() {
        metadata.insert("STATIC_LABELS".to_owned(), json!(labels));
    }
    labels
}

/// Upstream's getServiceCluster.
fn service_cluster(
    config: &ProxyConfig,
    labels: &BTreeMap<String, String>,
    namespace: &str,
    workload: Option<&str>,
) -> String {
    let workload = workload.filter(|name| !name.is_empty());
    let canonical = [
        "service.istio.io/canonical-name",
        "app.kubernetes.io/name",
        "app",
    ]
    .into_iter()
    .find_map(|label| labels.get(label).map(String::as_str))
    .or(workload)
    .unwrap_or("istio-proxy");
    let name = match config.tracing_service_name.as_str() {
        "CANONICAL_NAME_ONLY" => canonical,
        "CANONICAL_NAME_AND_NAMESPACE" if !namespace.is_empty() => {
            return format!("{canonical}.{namespace}");
        }
        "CANONICAL_NAME_AND_NAMESPACE" => canonical,
        "APP_LABEL_AND_NAMESPACE" => "istio-proxy",
        _ => config.service_cluster.as_str(),
    };
    if !name.is_empty() && name != "istio-proxy" {
        return name.to_owned();
    }
    let app = labels.get("app").map(String::as_str);
    match app.or(workload) {
        Some(app) => format!("{app}.{namespace}"),
        None if !namespace.is_empty() => format!("istio-proxy.{namespace}"),
        None => "istio-proxy".to_owned(),
    }
}

#[cfg(test)]
mod tests;
