//! Which statistics Envoy keeps and how their names become labels. Few are kept unless asked for:
//! each of thousands of clusters has some hundred.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Value, json};

use crate::node::Facts;
use crate::proxy_config::ProxyConfig;

const EXTRA_TAGS: &str = "sidecar.istio.io/extraStatTags";
const INCLUDE_PREFIXES: &str = "sidecar.istio.io/statsInclusionPrefixes";
const INCLUDE_SUFFIXES: &str = "sidecar.istio.io/statsInclusionSuffixes";
const INCLUDE_REGEXPS: &str = "sidecar.istio.io/statsInclusionRegexps";
const HISTOGRAM_BUCKETS: &str = "sidecar.istio.io/statsHistogramBuckets";

/// Readiness reads the first three and `cluster.xds-grpc` tells about the control plane.
const PREFIXES: [&str; 5] = [
    "cluster_manager",
    "listener_manager",
    "server",
    "cluster.xds-grpc",
    "wasm",
];
const SUFFIXES: [&str; 4] = [
    "rbac.allowed",
    "rbac.denied",
    "shadow_allowed",
    "shadow_denied",
];
/// Read while draining, when the agent waits for the last connection to end.
const CONNECTIONS_SUFFIX: &str = "downstream_cx_active";
/// Statistics that a `stat_prefix` in a VirtualService asks for.
const REGEXPS: [&str; 1] = [r"vhost\.*\.route\.*"];

/// Name parts that Envoy turns into labels, as upstream names and delimits them.
const TAGS: [(&str, &str); 7] = [
    (
        "cluster_name",
        r"^cluster\.((.+?(\..+?\.svc\.cluster\.local)?)\.)",
    ),
    ("tcp_prefix", r"^tcp\.((.*?)\.)\w+?$"),
    ("response_code", r"_rq(_(\d{3}))$"),
    ("response_code_class", r"_rq(_(\dxx))$"),
    (
        "http_conn_manager_listener_prefix",
        r"^listener(?=\.).*?\.http\.(((?:[_.[:digit:]]*|[_\[\]aAbBcCdDeEfF[:digit:]]*))\.)",
    ),
    (
        "http_conn_manager_prefix",
        r"^http\.(((?:[_.[:digit:]]*|[_\[\]aAbBcCdDeEfF[:digit:]]*))\.)",
    ),
    (
        "listener_address",
        r"^listener\.(((?:[_.[:digit:]]*|[_\[\]aAbBcCdDeEfF[:digit:]]*))\.)",
    ),
];
/// These come after the tags that users add.
const LATER_TAGS: [(&str, &str); 7] = [
    ("cache", r"(cache\.(.+?)\.)"),
    ("component", r"(component\.(.+?)\.)"),
    ("tag", r"(tag\.(.+?);\.)"),
    ("wasm_filter", r"(wasm_filter\.(.+?)\.)"),
    ("authz_enforce_result", r"rbac(\.(allowed|denied))"),
    ("authz_dry_run_action", r"(\.istio_dry_run_(allow|deny)_)"),
    ("authz_dry_run_result", r"(\.shadow_(allowed|denied))"),
];

/// `stats_config` of the bootstrap.
pub fn config(facts: &Facts, config: &ProxyConfig, warnings: &mut Vec<String>) -> Value {
    let mut stats = json!({
        "use_all_default_tags": false,
        "stats_tags": tags(facts, config),
        "stats_matcher": {"inclusion_list": {"patterns": patterns(facts, config)}},
    });
    if let Some(buckets) = facts.annotations.get(HISTOGRAM_BUCKETS) {
        match serde_json::from_str::<BTreeMap<String, Vec<f64>>>(buckets) {
            Ok(buckets) => {
                stats["histogram_bucket_settings"] = buckets
                    .iter()
                    .map(|(prefix, bounds)| json!({"match": {"prefix": prefix}, "buckets": bounds}))
                    .collect();
            }
            Err(error) => warnings.push(format!(
                "annotation {HISTOGRAM_BUCKETS} has no effect, expected a JSON object of prefixes with lists of numbers: {error}"
            )),
        }
    }
    stats
}

fn tags(facts: &Facts, config: &ProxyConfig) -> Vec<Value> {
    let annotated = facts.annotations.get(EXTRA_TAGS).map_or("", String::as_str);
    let mut extra: Vec<&str> = Vec::new();
    for tag in config
        .extra_stat_tags
        .iter()
        .map(String::as_str)
        .chain(annotated.split(','))
    {
        if !tag.is_empty() && !extra.contains(&tag) {
            extra.push(tag);
        }
    }
    let tag = |(name, regex): (&str, &str)| json!({"tag_name": name, "regex": regex});
    TAGS.into_iter()
        .map(tag)
        .chain(
            extra
                .into_iter()
                .map(|name| json!({"tag_name": name, "regex": format!(r"({name}=\.=(.*?);\.;)")})),
        )
        .chain(LATER_TAGS.into_iter().map(tag))
        .collect()
}

fn patterns(facts: &Facts, config: &ProxyConfig) -> Vec<Value> {
    let matcher = &config.proxy_stats_matcher;
    let list = |annotation: &str, configured: &[String], required: &[&str]| {
        // An annotation replaces what the proxy config says; it is not merged with it.
        let asked: Vec<String> = match facts.annotations.get(annotation) {
            Some(text) if !text.is_empty() => text.split(',').map(str::to_owned).collect(),
            _ => configured.to_vec(),
        };
        let required = required.iter().map(|&pattern| pattern.to_owned());
        for_each_ip(asked.into_iter().chain(required), &facts.ips)
    };
    let mut suffixes = SUFFIXES.to_vec();
    if facts.exit_on_zero_active_connections {
        suffixes.push(CONNECTIONS_SUFFIX);
    }
    let mut patterns = vec![json!({"prefix": "reporter="})];
    for prefix in list(INCLUDE_PREFIXES, &matcher.inclusion_prefixes, &PREFIXES) {
        patterns.push(json!({"prefix": prefix}));
    }
    for suffix in list(INCLUDE_SUFFIXES, &matcher.inclusion_suffixes, &suffixes) {
        patterns.push(json!({"suffix": suffix}));
    }
    for regex in list(INCLUDE_REGEXPS, &matcher.inclusion_regexps, &REGEXPS) {
        patterns.push(json!({"safe_regex": {"regex": regex}}));
    }
    patterns.push(json!({"prefix": "component"}));
    patterns.push(json!({"prefix": "istio"}));
    patterns
}

/// `{pod_ip}` in a pattern stands for each address of the pod.
fn for_each_ip(patterns: impl Iterator<Item = String>, ips: &[IpAddr]) -> Vec<String> {
    patterns
        .flat_map(|pattern| {
            if pattern.contains("{pod_ip}") {
                ips.iter()
                    .map(|ip| pattern.replace("{pod_ip}", &ip.to_string()))
                    .collect()
            } else {
                vec![pattern]
            }
        })
        .collect()
}
