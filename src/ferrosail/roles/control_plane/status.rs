//! What became of users' objects, written on them by the one replica that holds the Lease for it.

use std::collections::BTreeMap;

use base::ObjectRef;
use serve::leader::{self, Candidate};
use writeback::reports::{self, Replica, Reports};
use writeback::{Access, Facts, LEASE, Metrics, ingress, programmed};
use xds::Connections;
use xds::blame::{self, blame};

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
    let own = connections.refused();
    let own = services.publish("refusals publisher", own, blame::report, shutdown);
    let replica = Replica {
        namespace: parts.options.namespace.clone(),
        pod: parts.identity.clone(),
    };
    let (reports, sharing) = reports::share(access.clone(), replica, own, shutdown.clone());
    services.spawn("refusals of all replicas", sharing);
    let of_all = |reports: &Reports| -> BTreeMap<ObjectRef, String> {
        let refusals: Vec<_> = reports
            .values()
            .flat_map(|one| blame::refusals(one))
            .collect();
        blame(&refusals)
    };
    let facts = Facts {
        findings: engine.findings.clone(),
        problems: engine.problems.clone(),
        refused: services.publish("blame publisher", reports, of_all, shutdown),
    };
    let conditions = programmed::keep(access.clone(), facts, shutdown.clone());
    services.spawn("conditions", conditions);
    let (meshes, worlds) = (engine.meshes.clone(), engine.worlds.clone());
    let addresses = ingress::keep(access, meshes, worlds, shutdown.clone());
    services.spawn("ingress addresses", addresses);
}
