//! The proxy config in effect and the settings that only the environment has. Reads values, not
//! files: those are read in `node` and `proxy`.

use std::collections::BTreeMap;
use std::time::Duration;

use bootstrap::{InvalidProxyConfig, ProxyConfig};
use serde_json::{Value, json};

/// Annotation with a proxy config of the pod's own, as YAML.
const PROXY_CONFIG: &str = "proxy.istio.io/config";
/// Annotation that replaces `discoveryAddress`.
const DISCOVERY_ADDRESS: &str = "sidecar.istio.io/discoveryAddress";
/// Annotation that replaces `statusPort`.
const STATUS_PORT: &str = "status.sidecar.istio.io/port";

/// A source of settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidConfig {
    /// Not YAML.
    #[error("{source_name} is not YAML: {error}")]
    Yaml {
        /// Where it comes from.
        source_name: &'static str,
        /// With line and column.
        error: Box<serde_saphyr::Error>,
    },
    /// YAML, but not a proxy config.
    #[error(transparent)]
    ProxyConfig(#[from] InvalidProxyConfig),
    /// An environment variable or annotation has a wrong value.
    #[error("{name} is {value:?}, expected {expected}")]
    Value {
        /// Of the variable or annotation.
        name: String,
        /// As found.
        value: String,
        /// What would be accepted.
        expected: &'static str,
    },
}

/// Where a proxy config comes from.
#[derive(Clone, Debug)]
pub struct Sources<'a> {
    /// Contents of the mesh config file, if there is one.
    pub mesh: Option<&'a str>,
    /// Environment of the agent.
    pub environment: &'a BTreeMap<String, String>,
    /// Annotations of the pod.
    pub annotations: &'a BTreeMap<String, String>,
    /// `--concurrency`; 0 when it is not given.
    pub concurrency: u32,
}

/// The proxy config in effect: defaults, `defaultConfig` of the mesh config file, PROXY_CONFIG,
/// the pod's annotations, each over what precedes it (upstream's getMeshConfig).
pub fn proxy_config(sources: &Sources<'_>) -> Result<ProxyConfig, InvalidConfig> {
    let mesh = yaml("the mesh config file", sources.mesh)?;
    let mut layers = vec![mesh.get("defaultConfig").cloned().unwrap_or_default()];
    let variable = sources.environment.get("PROXY_CONFIG").map(String::as_str);
    layers.push(yaml("environment variable PROXY_CONFIG", variable)?);
    let annotation = sources.annotations.get(PROXY_CONFIG).map(String::as_str);
    layers.push(yaml("annotation proxy.istio.io/config", annotation)?);
    if let Some(address) = sources.annotations.get(DISCOVERY_ADDRESS) {
        layers.push(json!({"discoveryAddress": address}));
    }
    if let Some(port) = sources.annotations.get(STATUS_PORT) {
        let port: u16 = parsed(STATUS_PORT, port, "a port number")?;
        layers.push(json!({"statusPort": port}));
    }
    if sources.concurrency != 0 {
        layers.push(json!({"concurrency": sources.concurrency}));
    }
    let config = ProxyConfig::merge(&layers)?;

    // As many workers as the container may use processors, not as many as the node has.
    let limit = sources.environment.get("ISTIO_CPU_LIMIT");
    match (config.concurrency, limit) {
        (None, Some(limit)) if !limit.is_empty() => {
            let limit: u32 = parsed("ISTIO_CPU_LIMIT", limit, "a number of processors")?;
            match limit {
                0 => Ok(config),
                limit => Ok(config.with("concurrency", json!(limit))?),
            }
        }
        _ => Ok(config),
    }
}

fn yaml(source_name: &'static str, text: Option<&str>) -> Result<Value, InvalidConfig> {
    match text.map(str::trim) {
        None | Some("") => Ok(Value::Null),
        Some(text) => serde_saphyr::from_str(text).map_err(|error| InvalidConfig::Yaml {
            source_name,
            error: Box::new(error),
        }),
    }
}

/// A boolean variable as Go reads it; absent and empty mean `default`.
pub fn boolean(
    environment: &BTreeMap<String, String>,
    name: &str,
    default: bool,
) -> Result<bool, InvalidConfig> {
    match environment.get(name).map_or("", String::as_str) {
        "" => Ok(default),
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        other => Err(InvalidConfig::Value {
            name: name.to_owned(),
            value: other.to_owned(),
            expected: "true or false",
        }),
    }
}

/// A port variable; absent and empty mean `default`.
pub fn port(
    environment: &BTreeMap<String, String>,
    name: &str,
    default: u16,
) -> Result<u16, InvalidConfig> {
    match environment.get(name).map_or("", String::as_str) {
        "" => Ok(default),
        text => parsed(name, text, "a port number"),
    }
}

/// A duration variable as Go writes durations (`5s`, `1m30s`, `500ms`); absent and empty mean
/// `default`.
pub fn duration(
    environment: &BTreeMap<String, String>,
    name: &str,
    default: Duration,
) -> Result<Duration, InvalidConfig> {
    match environment.get(name).map_or("", String::as_str) {
        "" => Ok(default),
        text => go_duration(text).ok_or_else(|| InvalidConfig::Value {
            name: name.to_owned(),
            value: text.to_owned(),
            expected: "a duration like 5s, 1m30s or 500ms",
        }),
    }
}

fn go_duration(mut text: &str) -> Option<Duration> {
    let mut sum = Duration::ZERO;
    while !text.is_empty() {
        let (number, rest) = text.split_at(text.find(|c: char| c != '.' && !c.is_ascii_digit())?);
        let (unit, rest) = rest.split_at(
            rest.find(|c: char| c == '.' || c.is_ascii_digit())
                .unwrap_or(rest.len()),
        );
        let seconds = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let part: f64 = number.parse().ok()?;
        sum = sum.checked_add(Duration::try_from_secs_f64(part * seconds).ok()?)?;
        text = rest;
    }
    Some(sum)
}

fn parsed<T: std::str::FromStr>(
    name: &str,
    text: &str,
    expected: &'static str,
) -> Result<T, InvalidConfig> {
    text.parse().map_err(|_| InvalidConfig::Value {
        name: name.to_owned(),
        value: text.to_owned(),
        expected,
    })
}

#[cfg(test)]
mod tests;
