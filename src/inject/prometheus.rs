//! Metrics of the application, served by the agent with the proxy's own: the pod's `prometheus.io/*`
//! annotations move into the proxy's environment, and the agent's endpoint takes their place.

use serde_json::{Value, json};

use crate::PROXY;
use crate::error::Error;
use crate::mesh_config::MeshConfig;
use crate::pod::{
    add_environment, annotation, annotations, container, container_mut, metadata_map, parse_bool,
};

const MERGE: &str = "prometheus.istio.io/merge-metrics";
const SECURE_PORT: &str = "prometheus.istio.io/secure-port";
const SCRAPING: &str = "ISTIO_PROMETHEUS_ANNOTATIONS";
const SECURE_PORT_VARIABLE: &str = "ENVOY_SECURE_MERGED_METRICS_PORT";

/// Ports of the proxy and the agent, which no application's metrics can be on.
const RESERVED: [(&str, &str); 9] = [
    ("15000", "Envoy's admin interface"),
    ("15001", "outbound traffic"),
    ("15004", "debugging of the control plane"),
    ("15006", "inbound traffic"),
    ("15008", "tunnelled traffic"),
    ("15020", "the agent's own merged metrics"),
    ("15021", "health of the proxy"),
    ("15053", "DNS"),
    ("15090", "Envoy's own metrics, which are merged anyway"),
];

/// Moves the annotations, unless the mesh or the pod does not want that, or an earlier injection did it.
///
/// # Errors
/// The metrics are said to be on a port that they can't be on.
pub fn merge(pod: &mut Value, mesh: &MeshConfig) -> Result<(), Error> {
    let wanted = annotation(pod, MERGE).and_then(parse_bool);
    let refused =
        given(pod, "prometheus_io_scrape").and_then(|(_, value)| parse_bool(value)) == Some(false);
    let agent = mesh.status_port().to_string();
    let port = given(pod, "prometheus_io_port").map(|(_, port)| port.to_owned());
    if refused || !wanted.unwrap_or(mesh.merges_metrics()) || port.as_deref() == Some(&agent) {
        return Ok(());
    }
    let value = |name: &str| given(pod, name).map_or(String::new(), |(_, value)| value.to_owned());
    let (scrape, mut path) = (value("prometheus_io_scrape"), value("prometheus_io_path"));
    let mut port = port.unwrap_or_default();
    let targets = targets(&value("prometheus_istio_io_scrape_targets"));
    for (port, _) in &targets {
        check(port, &agent)?;
    }
    match targets.first() {
        Some(first) => (port, path) = first.clone(),
        None if !port.is_empty() => check(&port, &agent)?,
        None => {}
    }
    if !(scrape.is_empty() && path.is_empty() && port.is_empty()) {
        let mut scraping = json!({"scrape": scrape, "path": path, "port": port});
        if !targets.is_empty() {
            let listed: Vec<Value> = targets
                .iter()
                .map(|(port, path)| json!({"port": port, "path": path}))
                .collect();
            scraping["targets"] = Value::Array(listed);
        }
        if let Some(proxy) = container_mut(pod, PROXY) {
            add_environment(proxy, SCRAPING, &crate::schema::go_json(&scraping));
        }
    }
    clear(pod);
    let annotations = metadata_map(pod, "annotations");
    for (name, value) in [
        ("port", agent.as_str()),
        ("path", "/stats/prometheus"),
        ("scrape", "true"),
    ] {
        annotations.insert(
            format!("prometheus.io/{name}"),
            Value::String(value.to_owned()),
        );
    }
    Ok(())
}

/// Tells Prometheus of the port on which the proxy serves metrics over mTLS, unless the pod does.
pub fn announce_secure_port(pod: &mut Value) {
    if given(pod, "prometheus_istio_io_secure_port").is_some() {
        return;
    }
    let environment = container(pod, PROXY).and_then(|proxy| proxy.get("env")?.as_array());
    let port = environment
        .and_then(|environment| crate::pod::find(environment, SECURE_PORT_VARIABLE))
        .and_then(|variable| variable.get("value")?.as_str())
        .filter(|port| !port.is_empty() && *port != "0")
        .map(str::to_owned);
    if let Some(port) = port {
        metadata_map(pod, "annotations").insert(SECURE_PORT.to_owned(), Value::String(port));
    }
}

/// Takes away what an earlier injection wrote.
pub fn forget(pod: &mut Value, status_port: i64) {
    let port = given(pod, "prometheus_io_port").map(|(_, port)| port.to_owned());
    if port == Some(status_port.to_string()) {
        clear(pod);
    }
}

fn clear(pod: &mut Value) {
    metadata_map(pod, "annotations").retain(|name, _| {
        !matches!(
            sanitized(name).as_str(),
            "prometheus_io_path"
                | "prometheus_io_port"
                | "prometheus_io_scrape"
                | "prometheus_istio_io_scrape_targets"
        )
    });
}

/// The annotation of that name in any spelling that Prometheus reads as it.
fn given<'a>(pod: &'a Value, wanted: &str) -> Option<(&'a str, &'a str)> {
    annotations(pod).find(|(name, _)| sanitized(name) == wanted)
}

fn sanitized(name: &str) -> String {
    name.chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() || letter == '_' {
                letter
            } else {
                '_'
            }
        })
        .collect()
}

/// `port:path` pairs, the path by default `/metrics`; a list with an empty port counts as none.
fn targets(text: &str) -> Vec<(String, String)> {
    let entries = text
        .split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty());
    let parsed: Option<Vec<(String, String)>> = entries
        .map(|entry| {
            let (port, path) = entry.split_once(':').unwrap_or((entry, ""));
            let path = match path.trim() {
                "" => "/metrics",
                path => path,
            };
            (!port.trim().is_empty()).then(|| (port.trim().to_owned(), path.to_owned()))
        })
        .collect();
    parsed.unwrap_or_default()
}

fn check(port: &str, agent: &str) -> Result<(), Error> {
    let refused = |reason: String| {
        Err(Error::MetricsPort {
            port: port.to_owned(),
            reason,
        })
    };
    let number = match port.parse::<u16>() {
        Ok(number) if number > 0 => number.to_string(),
        _ => return refused("it is none from 1 to 65535".to_owned()),
    };
    if number == agent {
        return refused("it is the agent's".to_owned());
    }
    match RESERVED.iter().find(|(reserved, _)| *reserved == number) {
        Some((_, purpose)) => refused(format!("the proxy has it for {purpose}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
