//! `proxy-config log`: the levels of Envoy's loggers, shown or set.

use clap::Args;
use http::Method;

use super::{Admin, USAGE};
use crate::cluster::pod::{self, PodName};
use crate::cluster::{Cluster, forward, told};

/// Arguments of `proxy-config log`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Pod, or TYPE/NAME[.NAMESPACE] of what has pods: all of them
    pod: Option<String>,
    /// Pods by label instead
    #[arg(long, short = 'l', conflicts_with = "pod")]
    selector: Option<String>,
    /// Levels to set: LEVEL for all loggers, or LOGGER:LEVEL, separated by commas
    #[arg(long, conflicts_with = "reset")]
    level: Option<String>,
    /// Set all loggers to the level that proxies are started with
    #[arg(long, short)]
    reset: bool,
}

const LEVELS: [&str; 7] = [
    "trace", "debug", "info", "warning", "error", "critical", "off",
];
/// What Istio's proxies are started with unless told otherwise.
const DEFAULT: &str = "warning";
/// Stands for all loggers in Envoy's query.
const ALL: &str = "level";

pub(super) async fn run(
    cluster: &Cluster,
    admin: &Admin,
    arguments: &Arguments,
) -> Result<String, String> {
    let pods = match (&arguments.pod, &arguments.selector) {
        (Some(pod), _) => pod::all(cluster, pod).await?,
        (None, Some(selector)) => {
            let found = pod::selected(cluster, &cluster.namespace, selector).await?;
            if found.is_empty() {
                let namespace = &cluster.namespace;
                return Err(format!("no pods with {selector} in namespace {namespace}"));
            }
            found
        }
        (None, None) => return Err(format!("log: {USAGE}, or --selector")),
    };
    let mut queries = match (&arguments.level, arguments.reset) {
        (Some(levels), _) => assignments(levels)?,
        (None, true) => vec![(ALL.to_owned(), default_level(cluster).await?)],
        (None, false) => Vec::new(),
    };
    // All loggers first, so that single ones keep what they are set to.
    queries.sort_by_key(|(logger, _)| logger != ALL);
    let mut text = String::new();
    for pod in &pods {
        let mut answer = ask(cluster, admin, pod, "").await?;
        for (logger, level) in &queries {
            answer = ask(cluster, admin, pod, &format!("?{logger}={level}")).await?;
        }
        text += &format!("{pod}:\n{answer}");
    }
    Ok(text)
}

async fn ask(
    cluster: &Cluster,
    admin: &Admin,
    pod: &PodName,
    query: &str,
) -> Result<String, String> {
    let path = format!("logging{query}");
    let answer = forward::request(cluster, pod, admin.port, Method::POST, &path).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Loggers and their levels.
fn assignments(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut found = Vec::new();
    for item in text.split(',').map(str::trim) {
        // A namespace before `::` is of other programs than Envoy.
        let item = item.rsplit("::").next().unwrap_or(item);
        let (logger, level) = item.split_once([':', '=']).unwrap_or((ALL, item));
        let level = match level {
            "warn" => "warning",
            other => other,
        };
        if !LEVELS.contains(&level) {
            let known = LEVELS.join(", ");
            return Err(format!(
                "--level {item}: {level:?} is no level, expected one of {known}"
            ));
        }
        found.push((logger.to_owned(), level.to_owned()));
    }
    Ok(found)
}

/// `global.proxy.logLevel` of the values that sidecars are injected with.
async fn default_level(cluster: &Cluster) -> Result<String, String> {
    use k8s_openapi::api::core::v1::ConfigMap;
    let namespace = &cluster.istio_namespace;
    let api: kube::Api<ConfigMap> = kube::Api::namespaced(cluster.client.clone(), namespace);
    let found = api
        .get_opt("istio-sidecar-injector")
        .await
        .map_err(|error| {
            let why = told(&error);
            format!("configmap {namespace}/istio-sidecar-injector: {why}")
        })?;
    let values = found.and_then(|map| map.data?.remove("values"));
    let values: serde_json::Value = values
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default();
    let level = values
        .pointer("/global/proxy/logLevel")
        .and_then(|level| level.as_str());
    let level = level.filter(|level| LEVELS.contains(level));
    Ok(level.unwrap_or(DEFAULT).to_owned())
}

#[cfg(test)]
mod tests {
    use super::assignments;

    #[test]
    fn levels_are_for_all_or_for_one_logger() {
        let found = assignments("info,http:debug,envoy::rbac=warn").expect("levels");
        let pairs: Vec<(&str, &str)> = found
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .collect();
        assert_eq!(
            pairs,
            [("level", "info"), ("http", "debug"), ("rbac", "warning")]
        );
        let error = assignments("http:loud").expect_err("no level");
        assert!(
            error.starts_with("--level http:loud: \"loud\" is no level"),
            "{error}"
        );
    }
}
