//! Where a connection arrives: at a workload without a proxy, at a sidecar, or at a gateway, which leads it on.

use mesh::Role;
use proto::envoy::config::core::v3::TrafficDirection;

use super::answer::{Answer, Outcome, refused};
use super::call::{Connection, Shown};
use super::chain::{Hop, Trail};
use super::view::View;
use super::{Simulation, listener};

/// More gateways than this on one way are a circle.
const MOST_HOPS: usize = 8;

/// A connection that arrives where it is bound for. `delivered` is what becomes of it when the
/// workload there gets it.
pub(super) fn arrive(
    simulation: &Simulation<'_>,
    connection: Connection,
    delivered: Outcome,
    mut trail: Trail,
) -> Answer {
    let to = connection.to;
    let Some(workload) = simulation.workload_at(to.ip()) else {
        return Answer::of(delivered);
    };
    let Some(proxy) = &workload.proxy else {
        let meets = connection.layers.last();
        let of_mesh = meets.is_some_and(|hello| matches!(hello.shown, Shown::Identity(_)));
        if of_mesh {
            let why = format!(
                "mTLS arrives at {}, which has no proxy to end it",
                workload.name
            );
            return refused(trail.failure, why);
        }
        return Answer::of(delivered);
    };
    let gateway = proxy.role == Role::Router;
    if gateway {
        if trail.through.len() >= MOST_HOPS {
            let way = trail.through.join(", ");
            return refused(trail.failure, format!("the way goes in circles: {way}"));
        }
        trail.through.push(workload.name.clone());
    }
    let hop = Hop {
        simulation,
        workload,
        view: View::of(simulation.mesh, proxy, simulation.endpoints),
        trail,
        delivered: (!gateway).then(|| delivered.clone()),
    };
    let entered = vec![hop.enter()];
    let captured = || {
        let mut all = hop.view.listeners();
        all.find(|listener| !gateway && listener.name == "virtualInbound")
    };
    let bound = || {
        let wanted = if gateway {
            TrafficDirection::Outbound
        } else {
            TrafficDirection::Inbound
        };
        let all = hop.view.listeners();
        let all = all.filter(|listener| listener.traffic_direction == wanted as i32);
        listener::at(all, to)
    };
    match captured().or_else(bound) {
        Some(listener) => hop.listen(listener, connection),
        None if gateway => {
            let why = format!(
                "no Gateway that selects {} has a server on port {} with a route behind it",
                workload.name,
                to.port()
            );
            refused(hop.trail.failure, why)
        }
        None => Answer::of(delivered),
    }
    .after(entered)
}
