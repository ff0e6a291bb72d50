//! AuthorizationPolicies for nobody, and from namespaces that are not there; keys that may be fetched from anywhere.

use serde_json::Value;

use crate::message::{NO_WORKLOADS, NOT_FOUND, UNRESTRICTED_JWKS};
use crate::world::{
    Object, Report, World, in_mesh, is_ambient, items, labels, printed, selects, texts,
};

const BLOCKED: &str = "BLOCKED_CIDRS_IN_JWKS_URIS";

pub fn check(world: &World, report: &mut Report) {
    let pods: Vec<&Object> = world
        .core("Pod")
        .iter()
        .filter(|pod| {
            is_ambient(pod) || in_mesh(world, pod.namespace, &pod.value["metadata"], pod.spec())
        })
        .collect();
    for policy in world.all("security.istio.io", "AuthorizationPolicy") {
        workloads(world, report, policy, &pods);
        namespaces(world, report, policy);
    }
    key_fetches(world, report);
}

fn workloads(world: &World, report: &mut Report, policy: &Object, pods: &[&Object]) {
    let selector = &policy.spec()["selector"];
    let everywhere = policy.namespace == world.root();
    if everywhere && selector.is_null() {
        return;
    }
    let mut within = pods
        .iter()
        .filter(|pod| everywhere || pod.namespace == policy.namespace);
    if !within.any(|pod| selects(&selector["matchLabels"], labels(pod))) {
        let selector = printed(&selector["matchLabels"]);
        report.add(
            NO_WORKLOADS,
            policy,
            format!("applies to no workload of the mesh (labels {selector:?})"),
        );
    }
}

fn namespaces(world: &World, report: &mut Report, policy: &Object) {
    let sources = items(&policy.spec()["rules"]).flat_map(|rule| items(&rule["from"]));
    for source in sources.map(|from| &from["source"]) {
        for name in texts(&source["namespaces"]).chain(texts(&source["notNamespaces"])) {
            if !world
                .core("Namespace")
                .iter()
                .any(|namespace| matches(namespace.name, name))
            {
                report.add(
                    NOT_FOUND,
                    policy,
                    format!("namespace {name:?} does not exist"),
                );
            }
        }
    }
}

/// A name, or a part of one beside `*`.
fn matches(name: &str, pattern: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(end), _) => name.ends_with(end),
        (None, Some(start)) => name.starts_with(start),
        (None, None) => name.eq_ignore_ascii_case(pattern),
    }
}

fn key_fetches(world: &World, report: &mut Report) {
    let all = world.all("security.istio.io", "RequestAuthentication");
    if all.is_empty() {
        return;
    }
    let restricted = |container: &Value| {
        items(&container["env"]).any(|variable| {
            variable["name"] == BLOCKED
                && variable["value"]
                    .as_str()
                    .is_some_and(|value| !value.is_empty())
        })
    };
    for istiod in world
        .all("apps", "Deployment")
        .iter()
        .filter(|object| object.label("app") == Some("istiod"))
    {
        if !items(&istiod.spec()["template"]["spec"]["containers"]).any(restricted) {
            let count = all.len();
            let text = format!(
                "{count} RequestAuthentications may make it fetch keys from any address; set {BLOCKED}"
            );
            report.add(UNRESTRICTED_JWKS, istiod, text);
        }
    }
}
