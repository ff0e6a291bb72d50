//! `compile -o bootstrap`: what a proxy's Envoy would be started with, from the metadata of its node.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bootstrap::{Facts, Ports, ProxyConfig, ProxyType};
use serde_json::{Value, json};

/// Annotation with a proxy config of the pod's own, as YAML.
const PROXY_CONFIG: &str = "proxy.istio.io/config";
/// What the node's metadata has beside that which the agent adds by itself.
const MADE: [&str; 10] = [
    "NAME",
    "NAMESPACE",
    "SERVICE_ACCOUNT",
    "INSTANCE_IPS",
    "LABELS",
    "ANNOTATIONS",
    "ENVOY_STATUS_PORT",
    "ENVOY_PROMETHEUS_PORT",
    "PROXY_CONFIG",
    "PILOT_SAN",
];

/// The bootstrap of a proxy of the list, in a mesh with this configuration.
///
/// # Errors
/// What of the entry cannot be used.
pub(super) fn of(entry: &Value, mesh: &Value, dual_stack: bool) -> Result<Value, String> {
    let id = entry["id"].as_str().unwrap_or_default();
    let wrong = |why: String| format!("proxy {id:?}: {why}");
    let config = config(entry, mesh).map_err(wrong)?;
    let facts = facts(entry, dual_stack).map_err(wrong)?;
    let made = bootstrap::bootstrap(&facts, &config);
    for warning in made.warnings {
        eprintln!("{}", wrong(warning));
    }
    Ok(made.json)
}

/// The cluster that the proxy's node would say, by which spans name its service.
pub(super) fn node_cluster(entry: &Value, mesh: &Value) -> Option<String> {
    let config = config(entry, mesh).ok()?;
    let facts = facts(entry, false).ok()?;
    let made = bootstrap::bootstrap(&facts, &config).json;
    made["node"]["cluster"].as_str().map(str::to_owned)
}

/// Defaults, then the mesh, then the proxy's own, then its pod's annotation.
fn config(entry: &Value, mesh: &Value) -> Result<ProxyConfig, String> {
    let metadata = &entry["metadata"];
    let mut layers = vec![
        mesh["defaultConfig"].clone(),
        metadata["PROXY_CONFIG"].clone(),
    ];
    if let Some(text) = metadata["ANNOTATIONS"][PROXY_CONFIG].as_str() {
        let documents = api::yaml::documents(text);
        let documents = documents.map_err(|error| format!("annotation {PROXY_CONFIG}: {error}"))?;
        layers.extend(documents);
    }
    ProxyConfig::merge(&layers).map_err(|error| error.to_string())
}

fn facts(entry: &Value, dual_stack: bool) -> Result<Facts, String> {
    let text = |key: &str| entry[key].as_str().unwrap_or_default();
    let metadata = &entry["metadata"];
    let id = text("id");
    let namespace = text("namespace");
    let pod = id.strip_suffix(&format!(".{namespace}")).unwrap_or(id);
    let proxy_type: ProxyType = text("type")
        .parse()
        .map_err(|error: bootstrap::NotAProxyType| error.to_string())?;
    let ips = entry["ips"].as_array().into_iter().flatten();
    let ips: Result<Vec<IpAddr>, String> = ips
        .map(|ip| {
            let text = ip.as_str().unwrap_or_default();
            text.parse().map_err(|_| format!("{ip} is no IP address"))
        })
        .collect();
    let mut environment = BTreeMap::from([
        ("POD_NAME".to_owned(), pod.to_owned()),
        ("POD_NAMESPACE".to_owned(), namespace.to_owned()),
        (
            "SERVICE_ACCOUNT".to_owned(),
            text("serviceAccount").to_owned(),
        ),
    ]);
    for (key, value) in metadata.as_object().into_iter().flatten() {
        match value {
            _ if MADE.contains(&key.as_str()) => {}
            Value::String(text) => {
                environment.insert(format!("ISTIO_META_{key}"), text.clone());
            }
            other => {
                let fields = json!({key: other});
                environment.insert(format!("ISTIO_METAJSON_{key}"), fields.to_string());
            }
        }
    }
    let port = |key: &str, default: u16| {
        let value = &metadata[key];
        let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
        match number.map(u16::try_from) {
            None if value.is_null() => Ok(default),
            Some(Ok(port)) => Ok(port),
            _ => Err(format!("metadata {key} is {value}, expected a port number")),
        }
    };
    let usual = Ports::default();
    Ok(Facts {
        proxy_type,
        ips: ips?,
        domain: format!("{namespace}.svc.cluster.local"),
        environment,
        labels: texts(&metadata["LABELS"]),
        annotations: texts(&metadata["ANNOTATIONS"]),
        ports: Ports {
            status: port("ENVOY_STATUS_PORT", usual.status)?,
            prometheus: port("ENVOY_PROMETHEUS_PORT", usual.prometheus)?,
        },
        exit_on_zero_active_connections: metadata["EXIT_ON_ZERO_ACTIVE_CONNECTIONS"] == "true",
        dual_stack,
        delta: true,
        outlier_log_path: metadata["OUTLIER_LOG_PATH"].as_str().map(str::to_owned),
    })
}

fn texts(of: &Value) -> BTreeMap<String, String> {
    let pairs = of.as_object().into_iter().flatten();
    pairs
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::of;

    fn entry() -> Value {
        json!({
            "id": "web-0.shop", "type": "sidecar", "ips": ["10.10.0.18"], "namespace": "shop",
            "serviceAccount": "web",
            "metadata": {
                "NAME": "web-0", "NAMESPACE": "shop", "CLUSTER_ID": "Kubernetes",
                "LABELS": {"app": "web"}, "ENVOY_STATUS_PORT": 15021, "NETWORK": "net-a",
                "PROXY_CONFIG": {"concurrency": 2},
                "ANNOTATIONS": {"proxy.istio.io/config": "proxyAdminPort: 15999\n"},
            },
        })
    }

    #[test]
    fn the_node_is_that_of_the_list() {
        let mesh = json!({"defaultConfig": {"discoveryAddress": "istiod.other.svc:15012"}});
        let made = of(&entry(), &mesh, false).expect("a bootstrap");
        let node = &made["node"];
        assert_eq!(
            node["id"],
            "sidecar~10.10.0.18~web-0.shop~shop.svc.cluster.local"
        );
        assert_eq!(node["cluster"], "web.shop");
        let metadata = &node["metadata"];
        for (key, value) in [
            ("CLUSTER_ID", json!("Kubernetes")),
            ("NETWORK", json!("net-a")),
            ("SERVICE_ACCOUNT", json!("web")),
            ("LABELS", json!({"app": "web"})),
            ("PILOT_SAN", json!(["istiod.other.svc"])),
        ] {
            assert_eq!(metadata[key], value, "{key}");
        }
        assert_eq!(metadata["PROXY_CONFIG"]["concurrency"], 2);
        assert_eq!(
            made["admin"]["address"]["socket_address"]["port_value"],
            15999
        );
    }

    #[test]
    fn what_has_no_effect_on_a_proxy_is_named_by_the_installation_too() {
        let layer = json!({
            "statsdUdpAddress": "a:1", "envoyMetricsService": {}, "envoyAccessLogService": {},
            "privateKeyProvider": {}, "tracing": {"lightstep": {}, "stackdriver": {}, "openCensusAgent": {}},
        });
        let proxy = bootstrap::ProxyConfig::merge(&[layer]).expect("a proxy config");
        let told = proxy.without_effect();
        assert_eq!(told.len(), 7, "{told:?}");
        for sentence in &told {
            let named = |field: &&str| sentence.contains(&format!(" {field} "));
            assert!(install::IDLE_OF_PROXIES.iter().any(named), "{sentence}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let with = |key: &str, value: Value| {
            let mut entry = entry();
            entry[key] = value;
            of(&entry, &Value::Null, false).expect_err(key)
        };
        let error = with("type", json!("ztunnel"));
        assert!(
            error.starts_with("proxy \"web-0.shop\": \"ztunnel\" is not a type"),
            "{error}"
        );
        let error = with("ips", json!(["here"]));
        assert_eq!(error, "proxy \"web-0.shop\": \"here\" is no IP address");
        let error = with("metadata", json!({"ENVOY_STATUS_PORT": "x"}));
        assert!(
            error.contains("metadata ENVOY_STATUS_PORT is \"x\", expected a port"),
            "{error}"
        );
    }
}
