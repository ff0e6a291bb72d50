//! What the mesh configuration of a specification means, and what of it nobody would understand.
//! Fields of the wrong type and values without a meaning are errors; a field that no version in
//! use knows is a warning, since specifications outlive fields.

use std::collections::BTreeSet;

use api::istio_operator::nearest;
use api::mesh_config::MeshConfig;
use base::{ObjectRef, Problem};
use serde_json::{Map, Value};

use super::form::is_label;
use crate::merge::map_at;

/// Fields of a mesh configuration.
const FIELDS: &[&str] = &[
    "accessLogEncoding",
    "accessLogFile",
    "accessLogFormat",
    "ca",
    "caCertificates",
    "certificates",
    "configSources",
    "connectTimeout",
    "defaultConfig",
    "defaultDestinationRuleExportTo",
    "defaultHttpRetryPolicy",
    "defaultInboundHttpRetryPolicy",
    "defaultProviders",
    "defaultServiceExportTo",
    "defaultTrafficPolicy",
    "defaultVirtualServiceExportTo",
    "disableEnvoyListenerLog",
    "discoverySelectors",
    "dnsRefreshRate",
    "enableAutoMtls",
    "enableEnvoyAccessLogService",
    "enablePrometheusMerge",
    "enableTracing",
    "extensionProviders",
    "h2UpgradePolicy",
    "hboneIdleTimeout",
    "inboundClusterStatName",
    "inboundTrafficPolicy",
    "ingressClass",
    "ingressControllerMode",
    "ingressSelector",
    "ingressService",
    "localityLbSetting",
    "meshMTLS",
    "outboundClusterStatName",
    "outboundTrafficPolicy",
    "pathNormalization",
    "protocolDetectionTimeout",
    "proxyHttpPort",
    "proxyInboundListenPort",
    "proxyListenPort",
    "rootNamespace",
    "serviceEntryVisibility",
    "serviceScopeConfigs",
    "serviceSettings",
    "tcpKeepalive",
    "tlsDefaults",
    "trustDomain",
    "trustDomainAliases",
    "verifyCertificateAtClient",
    "zoneAwareLbSetting",
];

/// Fields of `defaultConfig`.
const PROXY_FIELDS: &[&str] = &[
    "availabilityZone",
    "binaryPath",
    "caCertificatesPem",
    "concurrency",
    "configPath",
    "connectionSettings",
    "controlPlaneAuthPolicy",
    "customConfigFile",
    "discoveryAddress",
    "discoveryRefreshDelay",
    "drainDuration",
    "envoyAccessLogService",
    "envoyMetricsService",
    "envoyMetricsServiceAddress",
    "extraStatTags",
    "fileFlushInterval",
    "fileFlushMinSizeKb",
    "gatewayTopology",
    "holdApplicationUntilProxyStarts",
    "image",
    "interceptionMode",
    "meshId",
    "privateKeyProvider",
    "proxyAdminPort",
    "proxyBootstrapTemplatePath",
    "proxyHeaders",
    "proxyMetadata",
    "proxyStatsMatcher",
    "readinessProbe",
    "runtimeValues",
    "sds",
    "serviceCluster",
    "statNameLength",
    "statsCompression",
    "statsdUdpAddress",
    "statusPort",
    "terminationDrainDuration",
    "tracing",
    "tracingServiceName",
    "zipkinAddress",
];

/// Kinds of extension providers.
const PROVIDERS: &[&str] = &[
    "datadog",
    "envoyExtAuthzGrpc",
    "envoyExtAuthzHttp",
    "envoyFileAccessLog",
    "envoyHttpAls",
    "envoyOtelAls",
    "envoyTcpAls",
    "lightstep",
    "opencensus",
    "opentelemetry",
    "prometheus",
    "sds",
    "skywalking",
    "stackdriver",
    "zipkin",
];

/// Providers that exist without being configured.
const BUILT_IN: [&str; 3] = ["prometheus", "stackdriver", "envoy"];

/// Enumerations that are kept as text.
const WORDS: [(&[&str], &[&str]); 4] = [
    (&["accessLogEncoding"], &["TEXT", "JSON"]),
    (&["h2UpgradePolicy"], &["DO_NOT_UPGRADE", "UPGRADE"]),
    (
        &["defaultConfig", "interceptionMode"],
        &["REDIRECT", "TPROXY", "NONE"],
    ),
    (
        &["ingressControllerMode"],
        &["UNSPECIFIED", "OFF", "DEFAULT", "STRICT"],
    ),
];

/// Findings about the mesh configuration that came of all layers.
pub(super) fn judge(subject: &ObjectRef, mesh: &Map<String, Value>) -> Vec<Problem> {
    let mut judge = Judge {
        subject,
        problems: Vec::new(),
    };
    judge.known("", mesh, FIELDS);
    let proxy = map_at(mesh, &["defaultConfig"]);
    judge.known(".defaultConfig", proxy, PROXY_FIELDS);
    if let Err(wrong) = api::read::read::<MeshConfig>(&Value::Object(mesh.clone())) {
        let field = match wrong.field().as_str() {
            "" => String::new(),
            field => format!(".{field}"),
        };
        judge.error(&field, wrong.reason().to_owned());
    }
    for (path, words) in WORDS {
        let value = crate::merge::at(mesh, path).and_then(Value::as_str);
        if let Some(word) = value.filter(|word| !words.contains(word)) {
            let message = format!("is {word:?}, expected one of {}", words.join(", "));
            judge.error(&format!(".{}", path.join(".")), message);
        }
    }
    judge.names(mesh);
    judge.providers(mesh);
    judge.concurrency(proxy);
    judge.problems
}

struct Judge<'a> {
    subject: &'a ObjectRef,
    problems: Vec<Problem>,
}

impl Judge<'_> {
    fn known(&mut self, below: &str, map: &Map<String, Value>, fields: &[&str]) {
        for name in map.keys().filter(|name| !fields.contains(&name.as_str())) {
            let message = match nearest(name, fields) {
                Some(known) => format!("is not a known field, did you mean {known}"),
                None => "is not a known field, no proxy will see it".to_owned(),
            };
            let field = format!("spec.meshConfig{below}.{name}");
            let warning = Problem::warning(self.subject, field, "UnknownField", message);
            self.problems.push(warning);
        }
    }

    fn names(&mut self, mesh: &Map<String, Value>) {
        let text = |name: &str| mesh.get(name).and_then(Value::as_str);
        let root = text("rootNamespace").filter(|name| !name.is_empty());
        if let Some(name) = root.filter(|name| !is_label(name)) {
            let message = format!("is {name:?}, expected a namespace");
            self.error(".rootNamespace", message);
        }
        let aliases = mesh.get("trustDomainAliases").and_then(Value::as_array);
        let aliases = aliases.into_iter().flatten().enumerate();
        let aliases = aliases.filter_map(|(index, alias)| {
            Some((format!(".trustDomainAliases[{index}]"), alias.as_str()?))
        });
        let own = text("trustDomain").map(|domain| (".trustDomain".to_owned(), domain));
        for (field, domain) in own.into_iter().chain(aliases) {
            if !is_trust_domain(domain) {
                let message = format!(
                    "is {domain:?}, expected a domain: letters, digits, - and _, parted by dots"
                );
                self.error(&field, message);
            }
        }
    }

    fn providers(&mut self, mesh: &Map<String, Value>) {
        let mut names = BTreeSet::from(BUILT_IN);
        let mut seen = BTreeSet::new();
        let providers = mesh.get("extensionProviders").and_then(Value::as_array);
        for (index, provider) in providers.into_iter().flatten().enumerate() {
            let field = format!(".extensionProviders[{index}]");
            let Some(provider) = provider.as_object() else {
                self.error(
                    &field,
                    "is no object, expected a name and a kind".to_owned(),
                );
                continue;
            };
            match provider.get("name").and_then(Value::as_str) {
                Some(name) if !name.is_empty() => {
                    names.insert(name);
                    if !seen.insert(name) {
                        let message = format!("is {name:?}, which another provider is called");
                        self.error(&format!("{field}.name"), message);
                    }
                }
                _ => self.error(&field, "has no name, expected one".to_owned()),
            }
            let kinds: Vec<&str> = provider
                .iter()
                .filter(|(name, value)| *name != "name" && !value.is_null())
                .map(|(name, _)| name.as_str())
                .collect();
            match kinds.as_slice() {
                [kind] if PROVIDERS.contains(kind) => {}
                [kind] => {
                    let message = match nearest(kind, PROVIDERS) {
                        Some(known) => format!("is not a known kind, did you mean {known}"),
                        None => format!("is not a known kind, expected {}", PROVIDERS.join(", ")),
                    };
                    self.error(&format!("{field}.{kind}"), message);
                }
                [] => {
                    let message = format!("has no kind, expected one of {}", PROVIDERS.join(", "));
                    self.error(&field, message);
                }
                several => {
                    let message = format!("is of kinds {}, expected one", several.join(" and "));
                    self.error(&field, message);
                }
            }
        }
        for (kind, wanted) in map_at(mesh, &["defaultProviders"]) {
            for (index, name) in wanted.as_array().into_iter().flatten().enumerate() {
                if let Some(name) = name.as_str().filter(|name| !names.contains(name)) {
                    let message = format!("is {name:?}, which extensionProviders does not have");
                    self.error(&format!(".defaultProviders.{kind}[{index}]"), message);
                }
            }
        }
    }

    fn concurrency(&mut self, proxy: &Map<String, Value>) {
        let threads = proxy.get("concurrency").and_then(Value::as_i64);
        if let Some(threads) = threads.filter(|threads| *threads < 0) {
            let message =
                format!("is {threads}, expected 0 for as many as there are CPUs, or more");
            self.error(".defaultConfig.concurrency", message);
        }
    }

    fn error(&mut self, below: &str, message: String) {
        let field = format!("spec.meshConfig{below}");
        let error = Problem::error(self.subject, field, "InvalidValue", message);
        self.problems.push(error);
    }
}

/// As SPIFFE has them, and as upstream writes the default: parts of letters, digits, `-` and `_`.
fn is_trust_domain(domain: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
    };
    domain.is_empty() || domain.split('.').all(part)
}

#[cfg(test)]
mod tests;
