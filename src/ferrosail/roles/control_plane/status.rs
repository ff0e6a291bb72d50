//! What became of users' objects, written on them by the one replica that holds the Lease for it.

use std::collections::BTreeMap;

use base::ObjectRef;
use serve::leader::{self, Candidate};
use writeback::{Access, Facts, LEASE, Metrics, ingress, programmed};
use xds::{Connections, Refused};

use super::Parts;
use super::engine::Engine;

pub fn start(parts: &mut Parts<'_>, engine: &Engine, connections: &Connections) {
    let shutdown = parts.shutdown;
    let candidate = Candidate {
        namespace: parts.options.namespace.clone(),
        lease: LEASE.to_owned(),
        identity: parts.identity.clone(),
    };
    let (leadership, standing) = leader::stand(parts.client.clone(), candidate, shutdown.clone());
    let access = Access {
        client: parts.client.clone(),
        leadership,
        metrics: Metrics::register(parts.registry),
    };
    let services = &mut *parts.services;
    services.join("status leader", standing);
    let blame = |refused: &Refused| -> BTreeMap<ObjectRef, String> {
        xds::blame(refused.values().flat_map(|of_stream| of_stream.iter()))
    };
    let facts = Facts {
        findings: engine.findings.clone(),
        problems: engine.problems.clone(),
        refused: services.publish("blame publisher", connections.refused(), blame, shutdown),
    };
    let conditions = programmed::keep(access.clone(), facts, shutdown.clone());
    services.spawn("conditions", conditions);
    let (meshes, worlds) = (engine.meshes.clone(), engine.worlds.clone());
    let addresses = ingress::keep(access, meshes, worlds, shutdown.clone());
    services.spawn("ingress addresses", addresses);
}
