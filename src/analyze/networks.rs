//! Networks of registries that nobody knows.

use base::ObjectRef;

use crate::message::{Message, UNKNOWN_REGISTRY};
use crate::world::{Report, World, items};

/// Registries that are always there.
const OWN: [&str; 3] = ["Kubernetes", "External", "Mock"];

pub fn check(world: &World, report: &mut Report) {
    let remote = world
        .core("Secret")
        .iter()
        .filter(|secret| secret.label("istio/multiCluster") == Some("true"));
    let clusters = remote.flat_map(|secret| {
        ["data", "stringData"]
            .map(|part| secret.value[part].as_object())
            .into_iter()
            .flatten()
            .flat_map(|data| data.keys())
    });
    let clusters: Vec<&String> = clusters.collect();
    let networks = world.networks["networks"].as_object().into_iter().flatten();
    for (network, settings) in networks {
        for registry in
            items(&settings["endpoints"]).filter_map(|endpoint| endpoint["fromRegistry"].as_str())
        {
            if !OWN.contains(&registry) && !clusters.iter().any(|cluster| *cluster == registry) {
                report.messages.push(Message {
                    code: UNKNOWN_REGISTRY,
                    subject: ObjectRef {
                        api_version: String::new(),
                        kind: "MeshNetworks".to_owned(),
                        namespace: Some(world.root().to_owned()),
                        name: "meshnetworks".to_owned(),
                    },
                    text: format!("network {network} takes endpoints from registry {registry:?}, which is not there"),
                });
            }
        }
    }
}
