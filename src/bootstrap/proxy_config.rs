//! The proxy config of a mesh (`istio.mesh.v1alpha1.ProxyConfig`): defaults, layers over them, and
//! the fields that the agent and the bootstrap read. All other fields are kept as they came,
//! because the control plane gets the whole as node metadata.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Error as _};
use serde_json::{Map, Value, json};

/// The effective proxy config of one proxy.
#[derive(Clone, Debug, PartialEq)]
pub struct ProxyConfig {
    raw: Map<String, Value>,
    /// Folder for the bootstrap file and the sockets.
    pub config_path: String,
    /// Envoy's binary.
    pub binary_path: String,
    /// A bootstrap of the user's own, used instead of ours.
    pub custom_config_file: String,
    /// `host:port` of the control plane.
    pub discovery_address: String,
    /// Whether the control plane is reached over TLS.
    pub control_plane_auth_policy: AuthPolicy,
    /// How long Envoy itself drains listeners that are replaced.
    pub drain_duration: Seconds,
    /// How long the agent waits between draining and ending Envoy.
    pub termination_drain_duration: Seconds,
    /// Envoy's admin port.
    pub proxy_admin_port: u16,
    /// The agent's port for probes and metrics.
    pub status_port: u16,
    /// Worker threads; all processors when absent or 0.
    pub concurrency: Option<u32>,
    /// The node's cluster, unless a name is derived.
    pub service_cluster: String,
    /// How the node's cluster is derived; wins over `serviceCluster` where it is set.
    pub tracing_service_name: String,
    /// More environment for the proxy; `ISTIO_META_*` become node metadata.
    pub proxy_metadata: BTreeMap<String, String>,
    /// Runtime flags of Envoy.
    pub runtime_values: BTreeMap<String, String>,
    /// More labels that are taken out of statistics' names.
    pub extra_stat_tags: Vec<String>,
    /// More statistics to keep.
    pub proxy_stats_matcher: StatsMatcher,
}

/// Statistics to keep besides those that are always kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatsMatcher {
    /// By the beginning of their names.
    pub inclusion_prefixes: Vec<String>,
    /// By the end of their names.
    pub inclusion_suffixes: Vec<String>,
    /// By a regular expression.
    pub inclusion_regexps: Vec<String>,
}

/// How the control plane is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum AuthPolicy {
    /// In plaintext, without a token.
    #[serde(rename = "NONE")]
    None,
    /// Over TLS.
    #[serde(rename = "MUTUAL_TLS")]
    MutualTls,
}

/// A duration as proto JSON writes it: decimal seconds followed by `s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seconds(pub Duration);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.strip_suffix('s')
            .and_then(|number| number.parse().ok())
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .map(Seconds)
            .ok_or_else(|| D::Error::custom(format!("{text:?} is not a duration like \"5s\"")))
    }
}

/// A layer, or one field of the merged proxy config, cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProxyConfig {
    /// A layer is something else than an object.
    #[error("proxy config: expected an object with fields like discoveryAddress, found {found}")]
    NotAnObject {
        /// What it is.
        found: String,
    },
    /// One field has a wrong value.
    #[error("proxy config: {field} is not usable: {reason}")]
    Field {
        /// As written in the API.
        field: String,
        /// What is wrong and what would be accepted.
        reason: String,
    },
}

/// Fields of the bootstrap in upstream's API that have no effect here.
const WITHOUT_EFFECT: [&str; 4] = [
    "statsdUdpAddress",
    "envoyMetricsService",
    "envoyAccessLogService",
    "privateKeyProvider",
];

impl ProxyConfig {
    /// Puts `layers` over the defaults, the last one on top. A field that a layer has replaces the
    /// whole field below, except that `proxyMetadata` is merged by name (upstream's MergeProxyConfig).
    pub fn merge(layers: &[Value]) -> Result<ProxyConfig, InvalidProxyConfig> {
        let mut raw = defaults();
        for layer in layers {
            let fields = match layer {
                Value::Object(fields) => fields,
                Value::Null => continue,
                other => {
                    let found = other.to_string();
                    return Err(InvalidProxyConfig::NotAnObject { found });
                }
            };
            for (field, value) in fields {
                overlay(&mut raw, camel_case(field), value.clone());
            }
        }
        ProxyConfig::read(raw)
    }

    /// The same config with one more field, as if a last layer had it.
    pub fn with(&self, field: &str, value: Value) -> Result<ProxyConfig, InvalidProxyConfig> {
        let mut raw = self.raw.clone();
        overlay(&mut raw, field.to_owned(), value);
        ProxyConfig::read(raw)
    }

    /// All fields as JSON, those that are not read here among them.
    pub fn raw(&self) -> &Map<String, Value> {
        &self.raw
    }

    /// One sentence for each set field that is understood upstream and has no effect here.
    pub fn without_effect(&self) -> Vec<String> {
        let tracers = self.raw.get("tracing").and_then(Value::as_object);
        let unknown_tracers = tracers.into_iter().flat_map(|tracing| {
            ["lightstep", "stackdriver", "openCensusAgent"]
                .into_iter()
                .filter(|kind| tracing.contains_key(*kind))
                .map(|kind| format!("tracing.{kind}"))
        });
        WITHOUT_EFFECT
            .into_iter()
            .filter(|field| self.raw.contains_key(*field))
            .map(str::to_owned)
            .chain(unknown_tracers)
            .map(|field| format!("proxy config: {field} is set and has no effect"))
            .collect()
    }

    fn read(raw: Map<String, Value>) -> Result<ProxyConfig, InvalidProxyConfig> {
        Ok(ProxyConfig {
            config_path: required(&raw, "configPath")?,
            binary_path: required(&raw, "binaryPath")?,
            custom_config_file: optional(&raw, "customConfigFile")?.unwrap_or_default(),
            discovery_address: required(&raw, "discoveryAddress")?,
            control_plane_auth_policy: required(&raw, "controlPlaneAuthPolicy")?,
            drain_duration: required(&raw, "drainDuration")?,
            termination_drain_duration: required(&raw, "terminationDrainDuration")?,
            proxy_admin_port: required(&raw, "proxyAdminPort")?,
            status_port: required(&raw, "statusPort")?,
            concurrency: optional(&raw, "concurrency")?,
            service_cluster: optional(&raw, "serviceCluster")?.unwrap_or_default(),
            tracing_service_name: optional(&raw, "tracingServiceName")?.unwrap_or_default(),
            proxy_metadata: optional(&raw, "proxyMetadata")?.unwrap_or_default(),
            runtime_values: optional(&raw, "runtimeValues")?.unwrap_or_default(),
            extra_stat_tags: optional(&raw, "extraStatTags")?.unwrap_or_default(),
            proxy_stats_matcher: optional(&raw, "proxyStatsMatcher")?.unwrap_or_default(),
            raw,
        })
    }
}

/// Upstream's defaults.
fn defaults() -> Map<String, Value> {
    let Value::Object(defaults) = json!({
        "configPath": "./etc/istio/proxy",
        "binaryPath": "/usr/local/bin/envoy",
        "serviceCluster": "istio-proxy",
        "drainDuration": "45s",
        "terminationDrainDuration": "5s",
        "discoveryAddress": "istiod.istio-system.svc:15012",
        "proxyAdminPort": 15000,
        "controlPlaneAuthPolicy": "MUTUAL_TLS",
        "statNameLength": 189,
        "statusPort": 15020,
    }) else {
        unreachable!("it is written as an object")
    };
    defaults
}

fn overlay(raw: &mut Map<String, Value>, field: String, value: Value) {
    match (field.as_str(), raw.get_mut(&field), value) {
        (_, _, Value::Null) => {}
        ("proxyMetadata", Some(Value::Object(below)), Value::Object(above)) => below.extend(above),
        // The two are one choice (`oneof clusterName`): the later one wins.
        ("tracingServiceName", _, value) => {
            raw.remove("serviceCluster");
            raw.insert(field, value);
        }
        ("serviceCluster", _, value) => {
            raw.remove("tracingServiceName");
            raw.insert(field, value);
        }
        (_, _, value) => {
            raw.insert(field, value);
        }
    }
}

/// Proto JSON accepts `discovery_address` where it writes `discoveryAddress`.
fn camel_case(field: &str) -> String {
    let mut parts = field.split('_');
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut letters = part.chars();
        name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        name.push_str(letters.as_str());
    }
    name
}

fn required<T: DeserializeOwned>(
    raw: &Map<String, Value>,
    field: &str,
) -> Result<T, InvalidProxyConfig> {
    optional(raw, field)?.ok_or_else(|| InvalidProxyConfig::Field {
        field: field.to_owned(),
        reason: "it is not set".to_owned(),
    })
}

fn optional<T: DeserializeOwned>(
    raw: &Map<String, Value>,
    field: &str,
) -> Result<Option<T>, InvalidProxyConfig> {
    raw.get(field)
        .map(|value| T::deserialize(value))
        .transpose()
        .map_err(|error| InvalidProxyConfig::Field {
            field: field.to_owned(),
            reason: error.to_string(),
        })
}

#[cfg(test)]
mod tests;
