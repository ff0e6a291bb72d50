//! The mesh configuration as far as injection reads it: defaults, what an installation writes over
//! them, and the proxy config that a pod's annotation writes over those.

mod whole;

use serde_json::{Map, Value, json};

use crate::pod::annotation;

/// Annotation with a proxy config for one pod, as YAML.
pub const PROXY_CONFIG: &str = "proxy.istio.io/config";

/// Fields of a proxy config in the order in which protobuf declares, and so prints, them.
const FIELDS: [&str; 36] = [
    "configPath",
    "binaryPath",
    "serviceCluster",
    "tracingServiceName",
    "drainDuration",
    "parentShutdownDuration",
    "discoveryAddress",
    "discoveryRefreshDelay",
    "zipkinAddress",
    "statsdUdpAddress",
    "envoyMetricsServiceAddress",
    "proxyAdminPort",
    "availabilityZone",
    "controlPlaneAuthPolicy",
    "customConfigFile",
    "statNameLength",
    "concurrency",
    "proxyBootstrapTemplatePath",
    "interceptionMode",
    "tracing",
    "sds",
    "envoyAccessLogService",
    "envoyMetricsService",
    "proxyMetadata",
    "runtimeValues",
    "statusPort",
    "extraStatTags",
    "gatewayTopology",
    "terminationDrainDuration",
    "meshId",
    "readinessProbe",
    "proxyStatsMatcher",
    "holdApplicationUntilProxyStarts",
    "caCertificatesPem",
    "image",
    "privateKeyProvider",
];

/// Fields that are printed even when false or zero, since they may also be absent.
const WRAPPED: [&str; 2] = ["concurrency", "holdApplicationUntilProxyStarts"];

/// A mesh configuration that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {reason}")]
pub struct MeshError {
    what: String,
    reason: String,
}

/// The mesh configuration, complete with defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct MeshConfig(Map<String, Value>);

impl Default for MeshConfig {
    fn default() -> Self {
        let mesh = json!({
            "enableTracing": true,
            "ingressService": "istio-ingressgateway",
            "ingressControllerMode": "STRICT",
            "ingressClass": "istio",
            "trustDomain": "cluster.local",
            "enableAutoMtls": true,
            "outboundTrafficPolicy": {"mode": "ALLOW_ANY"},
            "inboundTrafficPolicy": {"mode": "PASSTHROUGH"},
            "rootNamespace": "istio-system",
            "proxyListenPort": 15001,
            "proxyInboundListenPort": 15006,
            "connectTimeout": "10s",
            "enablePrometheusMerge": true,
            "defaultConfig": default_proxy_config(),
        });
        match mesh {
            Value::Object(mesh) => MeshConfig(mesh),
            _ => MeshConfig(Map::new()),
        }
    }
}

fn default_proxy_config() -> Value {
    json!({
        "configPath": "./etc/istio/proxy",
        "binaryPath": "/usr/local/bin/envoy",
        "serviceCluster": "istio-proxy",
        "drainDuration": "45s",
        "terminationDrainDuration": "5s",
        "proxyAdminPort": 15000,
        "controlPlaneAuthPolicy": "MUTUAL_TLS",
        "discoveryAddress": "istiod.istio-system.svc:15012",
        "statNameLength": 189,
        "statusPort": 15020,
    })
}

impl MeshConfig {
    /// The configuration of an installation (YAML, key `mesh` of ConfigMap `istio`), over the defaults.
    ///
    /// # Errors
    /// Text that is no YAML object.
    pub fn parse(text: &str) -> Result<Self, MeshError> {
        let over = object("the mesh configuration", text)?;
        let mut mesh = MeshConfig::default();
        for (name, value) in over {
            match (name.as_str(), value) {
                (_, Value::Null) => {}
                ("defaultConfig", Value::Object(over)) => {
                    mesh.overlay(&over);
                }
                (_, value) => {
                    mesh.0.insert(name, value);
                }
            }
        }
        Ok(mesh)
    }

    /// The same for one pod, whose annotation may have a proxy config of its own.
    ///
    /// # Errors
    /// The annotation is no YAML object.
    pub fn for_pod(&self, pod: &Value) -> Result<Self, MeshError> {
        let mut mesh = self.clone();
        if let Some(text) = annotation(pod, PROXY_CONFIG) {
            let over = object(&format!("annotation {PROXY_CONFIG}"), text)?;
            mesh.overlay(&over);
        }
        Ok(mesh)
    }

    /// Fields replace fields, except for the environment, which adds up.
    fn overlay(&mut self, over: &Map<String, Value>) {
        let Some(Value::Object(below)) = self.0.get_mut("defaultConfig") else {
            return;
        };
        for (name, value) in over {
            match (below.get_mut(name), value) {
                (Some(Value::Object(below)), Value::Object(over)) if name == "proxyMetadata" => {
                    below.extend(over.clone());
                }
                (_, Value::Null) => {}
                _ => {
                    below.insert(name.clone(), value.clone());
                }
            }
        }
    }

    /// The whole as JSON.
    pub fn json(&self) -> Value {
        Value::Object(self.0.clone())
    }

    /// The proxy config as JSON.
    pub fn proxy(&self) -> &Map<String, Value> {
        static NONE: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
        self.0
            .get("defaultConfig")
            .and_then(Value::as_object)
            .unwrap_or(&NONE)
    }

    /// The agent's port.
    pub fn status_port(&self) -> i64 {
        let port = self.proxy().get("statusPort").and_then(Value::as_i64);
        port.unwrap_or_default()
    }

    /// `REDIRECT`, `TPROXY` or `NONE`.
    pub fn interception_mode(&self) -> &str {
        let mode = self.proxy().get("interceptionMode").and_then(Value::as_str);
        mode.unwrap_or("REDIRECT")
    }

    /// Whether the application waits for its proxy.
    pub fn holds_application(&self) -> bool {
        self.proxy().get("holdApplicationUntilProxyStarts") == Some(&Value::Bool(true))
    }

    /// Variant of the proxy's image.
    pub fn image_type(&self) -> Option<&str> {
        self.proxy().get("image")?.get("imageType")?.as_str()
    }

    /// Whether the application's metrics are served with the proxy's.
    pub fn merges_metrics(&self) -> bool {
        self.0.get("enablePrometheusMerge") != Some(&Value::Bool(false))
    }

    /// `localhost` or `passthrough`: where inbound traffic goes to.
    pub fn inbound_policy(&self) -> &'static str {
        let mode = self
            .0
            .get("inboundTrafficPolicy")
            .and_then(|policy| policy.get("mode"));
        match mode.and_then(Value::as_str) {
            Some("LOCALHOST") => "localhost",
            _ => "passthrough",
        }
    }

    /// The proxy config as a pod carries it: only what differs from the defaults, as protobuf prints it.
    pub fn proxy_json(&self) -> String {
        let defaults = default_proxy_config();
        let mut found = Map::new();
        for name in FIELDS {
            let Some(value) = self.proxy().get(name) else {
                continue;
            };
            let standard = defaults.get(name) == Some(value);
            let unset = !WRAPPED.contains(&name) && is_unset(name, value);
            if !standard && !unset {
                let mut value = value.clone();
                // Maps are printed in the order of their keys.
                if let ("proxyMetadata" | "runtimeValues", Value::Object(map)) = (name, &mut value)
                {
                    map.sort_keys();
                }
                found.insert(name.to_owned(), value);
            }
        }
        Value::Object(found).to_string()
    }
}

fn is_unset(name: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) if name == "interceptionMode" => text == "REDIRECT",
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty() && matches!(name, "proxyMetadata" | "runtimeValues"),
    }
}

/// The one YAML object of a text; an empty text is an empty object.
pub(crate) fn object(what: &str, text: &str) -> Result<Map<String, Value>, MeshError> {
    let wrong = |reason: String| MeshError {
        what: what.to_owned(),
        reason,
    };
    let mut documents = api::yaml::documents(text).map_err(|error| wrong(error.to_string()))?;
    match (documents.pop(), documents.is_empty()) {
        (None, _) => Ok(Map::new()),
        (Some(Value::Object(found)), true) => Ok(found),
        _ => Err(wrong("expected one YAML object".to_owned())),
    }
}

#[cfg(test)]
mod tests;
