//! DestinationRules for hosts that are not there, subsets without pods, and TLS that checks no server.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::hosts::Hosts;
use crate::message::{EMPTY_SUBSET, UNKNOWN_HOST, UNVERIFIED_SERVER, UNVERIFIED_SERVER_OF_PORT};
use crate::world::{Object, Report, World, items};

/// Labels that endpoints get from their node.
const TOPOLOGY: [&str; 4] = [
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.istio.io/subzone",
    "kubernetes.io/hostname",
];

pub fn check(world: &World, report: &mut Report) {
    let hosts = Hosts::of(world);
    let pods: Vec<BTreeMap<String, String>> = world
        .core("Pod")
        .iter()
        .map(|pod| endpoint(world, pod))
        .collect();
    for rule in world.networking("DestinationRule") {
        let spec = rule.spec();
        let host = spec["host"].as_str().unwrap_or_default();
        verification(report, rule, host);
        match hosts.find(rule.namespace, &spec["exportTo"], host) {
            None => report.add(
                UNKNOWN_HOST,
                rule,
                format!("host {host:?} is no service of the mesh"),
            ),
            Some(found) => subsets(report, rule, &found["workloadSelector"]["labels"], &pods),
        }
    }
}

/// A pod's labels with those of its place. Empty parts of a place are not there.
fn endpoint(world: &World, pod: &Object) -> BTreeMap<String, String> {
    let own = pod.value["metadata"]["labels"]
        .as_object()
        .into_iter()
        .flatten();
    let mut labels: BTreeMap<String, String> = own
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect();
    let node = pod.spec()["nodeName"].as_str().unwrap_or_default();
    let Some(node) = world.core("Node").iter().find(|known| known.name == node) else {
        return labels;
    };
    let region = node.label(TOPOLOGY[0]).unwrap_or_default();
    for name in &TOPOLOGY[..3] {
        let value = node.label(name).unwrap_or_default();
        if !value.is_empty() && !region.is_empty() {
            labels.insert((*name).to_owned(), value.to_owned());
        }
    }
    labels.insert(TOPOLOGY[3].to_owned(), node.name.to_owned());
    labels
}

fn subsets(report: &mut Report, rule: &Object, service: &Value, pods: &[BTreeMap<String, String>]) {
    for subset in items(&rule.spec()["subsets"]) {
        let wanted = |selector: &Value, pod: &BTreeMap<String, String>| {
            let mut wanted = selector.as_object().into_iter().flatten();
            wanted.all(|(key, value)| pod.get(key).map(String::as_str) == value.as_str())
        };
        if !pods
            .iter()
            .any(|pod| wanted(service, pod) && wanted(&subset["labels"], pod))
        {
            let name = subset["name"].as_str().unwrap_or_default();
            report.add(
                EMPTY_SUBSET,
                rule,
                format!("subset {name:?} selects no pod, so calls of it are answered 503"),
            );
        }
    }
}

fn verification(report: &mut Report, rule: &Object, host: &str) {
    let spec = rule.spec();
    let selected = !spec["workloadSelector"].is_null();
    let unverified = |tls: &Value| {
        let given = |name: &str| tls[name].as_str().is_some_and(|text| !text.is_empty());
        let checks = given("caCertificates") || (given("credentialName") && selected);
        ["SIMPLE", "MUTUAL"].contains(&tls["mode"].as_str().unwrap_or_default()) && !checks
    };
    let policy = &spec["trafficPolicy"];
    if unverified(&policy["tls"]) {
        report.add(
            UNVERIFIED_SERVER,
            rule,
            format!("TLS to {host} checks no server certificate: caCertificates is not set"),
        );
    }
    for level in items(&policy["portLevelSettings"]).filter(|level| unverified(&level["tls"])) {
        let port = &level["port"]["number"];
        let text = format!(
            "TLS to {host}, port {port}, checks no server certificate: caCertificates is not set"
        );
        report.add(UNVERIFIED_SERVER_OF_PORT, rule, text);
    }
}
