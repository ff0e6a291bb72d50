//! Injection webhooks that overlap or lead nowhere, and control planes that are reached by URL.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::message::{EXTERNAL_CONTROL_PLANE, EXTERNAL_CONTROL_PLANE_ADDRESS, INVALID_WEBHOOK};
use crate::world::{INJECTION, Object, REVISION, Report, World, items, selected, texts};

const GROUP: &str = "admissionregistration.k8s.io";

pub fn check(world: &World, report: &mut Report) {
    let injectors = world.all(GROUP, "MutatingWebhookConfiguration").iter();
    let injectors: Vec<&Object> = injectors
        .filter(|object| !revisions(object).is_empty() || is_ours(object))
        .collect();
    overlaps(report, &injectors);
    for object in injectors {
        for hook in items(&object.value["webhooks"]) {
            let service = &hook["clientConfig"]["service"];
            let text = |name: &str| service[name].as_str().unwrap_or_default();
            if !service.is_null()
                && world
                    .find("", "Service", text("namespace"), text("name"))
                    .is_none()
            {
                let text = format!(
                    "calls service {}/{}, which does not exist",
                    text("namespace"),
                    text("name")
                );
                report.add(INVALID_WEBHOOK, object, text);
            }
        }
    }
    for (kind, prefixes) in [
        (
            "ValidatingWebhookConfiguration",
            ["istiod-default-validator", "istio-validator"],
        ),
        (
            "MutatingWebhookConfiguration",
            ["istio-sidecar-injector", "istio-sidecar-injector"],
        ),
    ] {
        for object in world.all(GROUP, kind) {
            if prefixes
                .iter()
                .any(|prefix| object.name.starts_with(prefix))
            {
                addresses(report, object);
            }
        }
    }
}

fn is_ours(object: &Object) -> bool {
    items(&object.value["webhooks"]).any(|hook| {
        hook["name"]
            .as_str()
            .is_some_and(|name| name.ends_with("istio.io"))
    })
}

/// Revisions that a configuration is for.
fn revisions<'a>(object: &Object<'a>) -> BTreeSet<&'a str> {
    let mut revisions: BTreeSet<&str> = object.label(REVISION).into_iter().collect();
    for hook in items(&object.value["webhooks"]) {
        for selector in [&hook["namespaceSelector"], &hook["objectSelector"]] {
            revisions.extend(selector["matchLabels"][REVISION].as_str());
            let expressions = items(&selector["matchExpressions"])
                .filter(|expression| expression["key"] == REVISION);
            revisions.extend(expressions.flat_map(|expression| texts(&expression["values"])));
        }
    }
    revisions
}

/// Webhooks of which two would inject one pod.
fn overlaps(report: &mut Report, injectors: &[&Object]) {
    let revisions: BTreeSet<&str> = injectors
        .iter()
        .flat_map(|object| revisions(object))
        .collect();
    let hooks: Vec<(&Object, &Value)> = injectors
        .iter()
        .flat_map(|object| items(&object.value["webhooks"]).map(move |hook| (*object, hook)))
        .collect();
    let mut said = BTreeSet::new();
    for namespace in combinations(INJECTION, ["enabled", "disabled"], &revisions) {
        for pod in combinations("sidecar.istio.io/inject", ["true", "false"], &revisions) {
            let takes = |hook: &Value| {
                selected(&hook["namespaceSelector"], &namespace)
                    && selected(&hook["objectSelector"], &pod)
            };
            let taking: Vec<&(&Object, &Value)> =
                hooks.iter().filter(|(_, hook)| takes(hook)).collect();
            for (object, hook) in taking.iter().filter(|_| !one_injector(&taking)) {
                let name = |object: &Object, hook: &Value| {
                    format!(
                        "{}/{}",
                        object.name,
                        hook["name"].as_str().unwrap_or_default()
                    )
                };
                let own = name(object, hook);
                let mut others: Vec<String> = taking
                    .iter()
                    .map(|(object, hook)| name(object, hook))
                    .filter(|other| *other != own)
                    .collect();
                others.sort();
                if said.insert((own.clone(), others.clone())) {
                    let text = format!(
                        "webhook {own} takes the same pods as {}: they would be injected twice",
                        others.join(", ")
                    );
                    report.add(INVALID_WEBHOOK, object, text);
                }
            }
        }
    }
}

/// Whether one service is called by all. What it is asked a second time it has injected already, so the webhook of a
/// tag may stand beside that of its revision.
fn one_injector(taking: &[&(&Object, &Value)]) -> bool {
    let mut called = taking
        .iter()
        .map(|(_, hook)| &hook["clientConfig"]["service"]);
    let Some(first) = called.next() else {
        return true;
    };
    taking.len() == 1 || !first.is_null() && called.all(|other| other == first)
}

/// Labels that decide about injection: none, each value of one label, and all that with each revision.
fn combinations(
    label: &str,
    values: [&str; 2],
    revisions: &BTreeSet<&str>,
) -> Vec<BTreeMap<String, String>> {
    let mut all = Vec::new();
    for revision in std::iter::once(None).chain(revisions.iter().map(Some)) {
        for value in [None, Some(values[0]), Some(values[1])] {
            let value = value.map(|value| (label.to_owned(), value.to_owned()));
            let revision = revision.map(|revision| (REVISION.to_owned(), (*revision).to_owned()));
            all.push(value.into_iter().chain(revision).collect());
        }
    }
    all
}

/// A control plane elsewhere is reached by URL.
fn addresses(report: &mut Report, object: &Object) {
    for hook in items(&object.value["webhooks"]) {
        let client = &hook["clientConfig"];
        let name = hook["name"].as_str().unwrap_or_default();
        match client["url"].as_str() {
            None if client["service"].is_null() => {
                report.add(
                    EXTERNAL_CONTROL_PLANE,
                    object,
                    format!("webhook {name} has neither a service nor a URL"),
                );
            }
            None => {}
            Some(url) => match host_of(url) {
                None => report.add(
                    EXTERNAL_CONTROL_PLANE,
                    object,
                    format!("webhook {name} has the URL {url:?}, which cannot be read"),
                ),
                Some(host) if host.parse::<std::net::IpAddr>().is_ok() => {
                    let text = format!(
                        "webhook {name} calls the address {host}, which is better a name in production"
                    );
                    report.add(EXTERNAL_CONTROL_PLANE_ADDRESS, object, text);
                }
                Some(_) => {}
            },
        }
    }
}

fn host_of(url: &str) -> Option<&str> {
    if url.contains(|c: char| c.is_ascii_control() || c == ' ') {
        return None;
    }
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    if let Some(bracketed) = authority.strip_prefix('[') {
        return bracketed.split(']').next();
    }
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "0"));
    (!host.is_empty() && port.parse::<u16>().is_ok()).then_some(host)
}
