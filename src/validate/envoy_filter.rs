//! EnvoyFilter: whether each patch says where it goes and what it does. The patch itself is Envoy's configuration,
//! which is not judged here.

use regex::Regex;

use crate::field::{Field, Findings};
use crate::selector;

/// Longest expression for a proxy's version, in bytes; longer ones are ignored.
const LONGEST: usize = 1024;
const CONNECTION_MANAGER: [&str; 2] = [
    "envoy.filters.network.http_connection_manager",
    "envoy.http_connection_manager",
];

pub fn check(findings: &mut Findings, root: &Field) {
    let spec = root.get("spec");
    selector::warn_if_empty(findings, &spec.get("workloadSelector"));
    for patch in spec.get("configPatches").items() {
        let place = patch.get("match");
        if place.get("context").text() != "WAYPOINT" {
            applies(findings, &patch);
        }
    }
}

fn applies(findings: &mut Findings, patch: &Field) {
    let target = patch.get("applyTo");
    if ["", "INVALID"].contains(&target.text()) {
        findings.missing(&target, "is required");
        return;
    }
    let change = patch.get("patch");
    let operation = change.get("operation");
    if ["", "INVALID"].contains(&operation.text()) {
        findings.missing(&operation, "is required");
        return;
    }
    if operation.text() != "REMOVE" && !change.has("value") {
        findings.missing(
            &change.get("value"),
            format!("is required with operation {}", operation.text()),
        );
        return;
    }
    version(
        findings,
        &patch.get("match").get("proxy").get("proxyVersion"),
    );
    object(findings, &patch.get("match"), target.text());
}

fn version(findings: &mut Findings, version: &Field) {
    let text = version.text();
    if text.len() > LONGEST {
        findings.warning(
            version,
            format!(
                "has {} bytes and is ignored, expected at most {LONGEST}",
                text.len()
            ),
        );
    } else if Regex::new(text).is_err() {
        findings.error(
            version,
            format!("{text:?} is no regular expression in RE2's syntax"),
        );
    }
}

/// Whether a match speaks of the kind of object that the patch is for.
fn object(findings: &mut Findings, place: &Field, target: &str) {
    let expected = match target {
        "LISTENER" | "FILTER_CHAIN" | "NETWORK_FILTER" | "HTTP_FILTER" => "listener",
        "ROUTE_CONFIGURATION" | "VIRTUAL_HOST" | "HTTP_ROUTE" => "routeConfiguration",
        "CLUSTER" => "cluster",
        _ => return,
    };
    for other in place.which(&["listener", "routeConfiguration", "cluster"]) {
        if other != expected {
            findings.error(
                &place.get(other),
                format!("does not go with applyTo {target}, expected {expected}"),
            );
        }
    }
    let filter = place.get("listener").get("filterChain").get("filter");
    if expected == "listener" && filter.is_set() {
        filters(findings, &filter, target);
    }
}

fn filters(findings: &mut Findings, filter: &Field, target: &str) {
    if ["LISTENER", "FILTER_CHAIN"].contains(&target) {
        findings.warning(filter, format!("has no effect with applyTo {target}"));
    }
    let name = filter.get("name");
    let inner = filter.get("subFilter");
    if name.text().is_empty() {
        findings.missing(&name, "is required");
    } else if inner.is_set() {
        if target != "HTTP_FILTER" {
            findings.error(
                &inner,
                format!("does not go with applyTo {target}, expected HTTP_FILTER"),
            );
        } else if !CONNECTION_MANAGER.contains(&name.text()) {
            findings.error(
                &inner,
                format!("needs the filter {}", CONNECTION_MANAGER[0]),
            );
        } else if inner.get("name").text().is_empty() {
            findings.missing(&inner.get("name"), "is required");
        }
    }
}
