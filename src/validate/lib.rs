//! Is this object of Istio's API right, judged by itself? First its form (`schema`, the same rules that the API
//! server finds in the CRD), then its meaning, one file per kind. Relations between objects are not judged here.

mod authorization_policy;
mod destination_rule;
mod envoy_filter;
mod extension;
mod field;
mod gateway;
mod header;
mod host;
mod http_route;
mod jwt;
mod locality;
mod metadata;
mod peer_authentication;
mod port;
mod rule;
mod schema;
mod selector;
mod service_entry;
mod sidecar;
mod telemetry;
mod text;
mod tls;
mod unreachable;
mod virtual_service;
mod workload;

use base::{ObjectRef, Problem, Severity};
use serde_json::Value;

use field::{Field, Findings};

/// Every problem of one object, errors before warnings, each in the order of the fields.
///
/// An object without an error is one that Istio accepts. Kinds that are not Istio's are a Problem themselves.
pub fn object(object: &Value) -> Vec<Problem> {
    let subject = reference(object);
    let mut findings = Findings::new(&subject);
    let root = Field::root(object);
    match api::crds::schema(subject.group(), &subject.kind) {
        None => findings.unknown_kind(&root),
        Some(schema) => {
            metadata::check(&mut findings, &root);
            schema::check(&mut findings, &root, schema);
            meaning(&mut findings, &root);
        }
    }
    let mut problems = findings.into_problems();
    problems.sort_by_key(|problem| problem.severity);
    problems
}

/// Whether none of the problems is an error.
pub fn accepts(problems: &[Problem]) -> bool {
    problems
        .iter()
        .all(|problem| problem.severity != Severity::Error)
}

/// What an object calls itself.
pub fn reference(object: &Value) -> ObjectRef {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let owned = |pointer: &str| text(pointer).unwrap_or_default().to_owned();
    ObjectRef {
        api_version: owned("/apiVersion"),
        kind: owned("/kind"),
        namespace: text("/metadata/namespace").map(str::to_owned),
        name: text("/metadata/name")
            .or_else(|| text("/metadata/generateName"))
            .unwrap_or_default()
            .to_owned(),
    }
}

fn meaning(findings: &mut Findings, root: &Field) {
    match root.get("kind").text() {
        "AuthorizationPolicy" => authorization_policy::check(findings, root),
        "DestinationRule" => destination_rule::check(findings, root),
        "EnvoyFilter" => envoy_filter::check(findings, root),
        "Gateway" => gateway::check(findings, root),
        "PeerAuthentication" => peer_authentication::check(findings, root),
        "ProxyConfig" => selector::warn_if_empty(findings, &root.get("spec").get("selector")),
        "RequestAuthentication" => jwt::check(findings, root),
        "ServiceEntry" => service_entry::check(findings, root),
        "Sidecar" => sidecar::check(findings, root),
        "Telemetry" => telemetry::check(findings, root),
        "TrafficExtension" | "WasmPlugin" => extension::check(findings, root),
        "VirtualService" => virtual_service::check(findings, root),
        "WorkloadEntry" => workload::entry(findings, &root.get("spec"), None, true),
        "WorkloadGroup" => workload::group(findings, root),
        // A kind of crds/ without rules beyond its schema.
        _ => {}
    }
}

#[cfg(test)]
mod tests;
