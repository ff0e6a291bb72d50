//! What is wrong between objects? Each object by itself is judged by `validate`; here are the relations: names that
//! lead nowhere, selectors of nothing, two objects for one thing. One file per topic; codes are upstream's.

mod annotations;
mod authorization;
mod conditions;
mod credentials;
mod deployments;
mod deprecation;
mod destination_rules;
mod envoy_filters;
mod gateways;
mod hosts;
mod injection;
mod kubernetes_gateways;
mod message;
mod networks;
mod proxy_image;
mod selectors;
mod service_entries;
mod services;
mod single;
mod telemetries;
mod virtual_services;
mod webhooks;
mod world;

use serde_json::Value;

pub use message::{Code, Level, Message};
use world::{Report, World};

/// Namespaces of Kubernetes itself, which are not judged.
const SYSTEM: [&str; 4] = [
    "kube-system",
    "kube-public",
    "kube-node-lease",
    "local-path-storage",
];

/// Where the objects come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A cluster: what is not there does not exist.
    Cluster,
    /// Files that a user is about to apply: the default ingress gateway is taken to be installed.
    Files,
}

/// All that analysis looks at.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Objects of Kubernetes and of Istio.
    pub objects: &'a [Value],
    /// Where they come from.
    pub origin: Origin,
    /// MeshConfig as written; null when there is none.
    pub mesh: &'a Value,
    /// MeshNetworks as written; null when there are none.
    pub networks: &'a Value,
    /// Seconds since 1970, by which certificates are judged.
    pub now: i64,
}

/// All findings, worst first, then by object.
pub fn analyze(input: &Input) -> Vec<Message> {
    let assumed = match input.origin {
        Origin::Cluster => Vec::new(),
        Origin::Files => api::yaml::documents(include_str!("default_gateway.yaml"))
            .expect("the file is part of the program and a test reads it"),
    };
    let world = World::new(
        input.objects.iter().chain(&assumed),
        input.mesh,
        input.networks,
    );
    let mut report = Report::default();
    single::check(&world, &mut report);
    annotations::check(&world, &mut report);
    authorization::check(&world, &mut report);
    conditions::check(&world, &mut report);
    credentials::check(&world, input.now, &mut report);
    deployments::check(&world, &mut report);
    deprecation::check(&world, &mut report);
    destination_rules::check(&world, &mut report);
    envoy_filters::check(&world, &mut report);
    gateways::check(&world, &mut report);
    injection::check(&world, &mut report);
    kubernetes_gateways::check(&world, &mut report);
    networks::check(&world, &mut report);
    proxy_image::check(&world, &mut report);
    selectors::check(&world, &mut report);
    service_entries::check(&world, &mut report);
    services::check(&world, &mut report);
    telemetries::check(&world, &mut report);
    virtual_services::check(&world, &mut report);
    webhooks::check(&world, &mut report);
    let mut messages = report.messages;
    messages.retain(|message| {
        let subject = &message.subject;
        let namespace = match subject.kind.as_str() {
            "Namespace" => Some(&subject.name),
            _ => subject.namespace.as_ref(),
        };
        namespace.is_none_or(|namespace| !SYSTEM.contains(&namespace.as_str()))
    });
    messages.sort_by(|one, other| {
        let key = |message: &Message| {
            (
                std::cmp::Reverse(message.code.level),
                message.origin(),
                message.code.code,
                message.text.clone(),
            )
        };
        key(one).cmp(&key(other))
    });
    // One selector that leads nowhere is found by several analyzers.
    messages.dedup();
    messages
}

#[cfg(test)]
mod tests;
