//! What the mesh configuration of a specification means: values without a meaning are errors,
//! fields that nothing here reads are named. Its form was checked when it was parsed.

use std::collections::BTreeSet;

use api::fields::fields_of;
use api::istio_operator::{mesh_config_fields, mesh_config_form};
use api::mesh_config::MeshConfig;
use base::{ObjectRef, Problem};
use serde_json::{Map, Value};

use super::form::is_label;
use super::judge::{self, is_empty};
use crate::merge::map_at;

/// Providers that exist without being configured.
const BUILT_IN: [&str; 3] = ["prometheus", "stackdriver", "envoy"];

/// Fields of `defaultConfig` that upstream knows and that change nothing here.
pub const IDLE_OF_PROXIES: &[&str] = &[
    "availabilityZone",
    "caCertificatesPem",
    "connectionSettings.clusterPerConnectionBufferLimitBytes",
    "connectionSettings.globalDownstreamConnectionLimit",
    "connectionSettings.listenerConnectionLimit",
    "discoveryRefreshDelay",
    "envoyAccessLogService",
    "envoyMetricsService",
    "envoyMetricsServiceAddress",
    "fileFlushInterval",
    "fileFlushMinSizeKb",
    "privateKeyProvider",
    "proxyMetadata.ISTIO_META_ENABLE_HBONE",
    "proxyBootstrapTemplatePath",
    "sds",
    "statNameLength",
    "statsCompression",
    "statsdUdpAddress",
    "tracing.lightstep",
    "tracing.openCensusAgent",
    "tracing.stackdriver",
    "zipkinAddress",
];

/// Findings about the mesh configuration that came of all layers.
pub(super) fn judge(subject: &ObjectRef, mesh: &Map<String, Value>) -> Vec<Problem> {
    let mut judge = Judge {
        subject,
        problems: Vec::new(),
    };
    judge.unvalidated(mesh);
    judge.idle(mesh);
    if let Err(wrong) = api::read::read::<MeshConfig>(&Value::Object(mesh.clone())) {
        let field = match wrong.field().as_str() {
            "" => String::new(),
            field => format!(".{field}"),
        };
        judge.error(&field, wrong.reason().to_owned());
    }
    judge.names(mesh);
    judge.providers(mesh);
    judge.concurrency(map_at(mesh, &["defaultConfig"]));
    judge.problems
}

struct Judge<'a> {
    subject: &'a ObjectRef,
    problems: Vec<Problem>,
}

impl Judge<'_> {
    /// What is wrong with the form of what was given is an error before anything is merged. What is
    /// left came by `unvalidatedValues`, whose author knows better than this program.
    fn unvalidated(&mut self, mesh: &Map<String, Value>) {
        let mesh = Value::Object(mesh.clone());
        let found = mesh_config_form(self.subject, "spec.meshConfig", &mesh);
        self.problems.extend(found.into_iter().map(|problem| {
            let Problem {
                field,
                reason,
                message,
                ..
            } = problem;
            Problem::warning(self.subject, field, reason, message)
        }));
    }

    /// Fields that upstream knows and that nothing here reads.
    fn idle(&mut self, mesh: &Map<String, Value>) {
        let read = fields_of::<MeshConfig>();
        let idle = mesh_config_fields().filter(|field| !read.contains(field));
        let idle = idle.map(|field| (vec![field], field.to_owned()));
        let of_proxies = IDLE_OF_PROXIES.iter().map(|path| {
            let steps = std::iter::once("defaultConfig").chain(path.split('.'));
            (steps.collect::<Vec<_>>(), format!("defaultConfig.{path}"))
        });
        for (steps, path) in idle.chain(of_proxies) {
            if !crate::merge::at(mesh, &steps).is_none_or(is_empty) {
                let field = format!("spec.meshConfig.{path}");
                self.problems.push(judge::idle(self.subject, &field));
            }
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
                // Whether the kind is known is a matter of form.
                [_] => {}
                [] => {
                    let message = "has no kind, expected one such as envoyOtelAls or opentelemetry";
                    self.error(&field, message.to_owned());
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
