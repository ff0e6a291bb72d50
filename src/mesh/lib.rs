//! Who applies to whom: hosts, visibility, routes, traffic policies, mTLS modes, gateways.
//! Settings that concern one resource only travel through as `api` structs; `envoy` translates them.

mod compile;
mod gateways;
mod inbound;
mod mutual_tls;
mod names;
mod protocol;
mod proxy;
mod routes;
mod scope;
mod services;
mod sidecars;
mod traffic_policy;
mod visibility;

use std::sync::Arc;

use api::mesh_config::MeshConfig;
use api::snapshot::{HostId, Snapshot};
use base::Problem;

pub use compile::compile;
pub use gateways::{GatewayServer, GatewayView};
pub use inbound::{Inbound, InboundPort};
pub use mutual_tls::{Mode, PeerModes};
pub use names::{covers, is_wildcard, resolve, subset_of};
pub use protocol::Protocol;
pub use proxy::{Families, Flavour, InvalidProxy, Proxy, Role};
pub use routes::{MESH_GATEWAY, Routing};
pub use scope::{Outbound, OutboundService, Scope, Workload};
pub use services::{Port, Registry, Resolution, Service, Target};
pub use traffic_policy::{Policy, Rule};
pub use visibility::Visibility;

/// All relations, resolved. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Mesh {
    pub(crate) snapshot: Snapshot,
    pub(crate) config: Arc<MeshConfig>,
    /// Domain of the cluster.
    pub(crate) domain: String,
    /// All services, oldest first.
    pub(crate) services: Vec<Arc<Service>>,
    /// VirtualServices with delegates merged, oldest first.
    pub(crate) routings: Vec<Arc<Routing>>,
    /// DestinationRules merged per namespace and host, oldest first.
    pub(crate) rules: Vec<Arc<Rule>>,
    /// mTLS modes.
    pub(crate) modes: Arc<PeerModes>,
}

/// What changed since the last [`Snapshot`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Hosts whose endpoints changed.
    pub endpoints: std::collections::BTreeSet<HostId>,
    /// Whether anything else did.
    pub relations: bool,
}

/// The mesh after `changes`. Equals [`compile`] of the new snapshot; tables that did not change are
/// kept by compiling nothing when `changes` names no relation.
pub fn update(mesh: &Mesh, snapshot: &Snapshot, changes: &Changes) -> (Mesh, Vec<Problem>) {
    if changes.relations {
        compile(snapshot)
    } else {
        (mesh.clone(), Vec::new())
    }
}

#[cfg(test)]
mod tests;
