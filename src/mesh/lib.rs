//! Who applies to whom: hosts, visibility, routes, traffic policies, mTLS modes, gateways.
//! Settings that concern one resource only travel through as `api` structs; `envoy` translates them.

mod attachment;
mod authorization;
mod authorizers;
mod compile;
mod gateways;
mod inbound;
mod ingress;
mod mutual_tls;
mod names;
mod networks;
mod protocol;
mod providers;
mod proxy;
mod routes;
mod scope;
mod scopes;
mod secrets;
mod services;
mod settings;
mod sidecars;
mod telemetry;
mod traffic_policy;
mod update;
mod visibility;

use std::sync::Arc;

use api::mesh_config::MeshConfig;
use api::networking::gateway::Gateway;
use api::snapshot::{Object, Snapshot};
use base::Problem;

pub use authorization::{Issuer, Keys, Security};
pub use authorizers::{Asked, Authorizer};
pub use compile::compile;
pub use gateways::{GatewayPlace, GatewayServer, GatewayView, ServerHost};
pub use inbound::{Backend, Inbound, InboundPort, Ingress};
pub use ingress::{is_served as serves_ingress, selector as ingress_selector};
pub use mutual_tls::{Mode, PeerModes};
pub use names::{covers, is_wildcard, resolve, subset_of};
pub use networks::{NetworkGateway, Networks};
pub use protocol::Protocol;
pub use providers::Destination;
pub use proxy::{Families, Flavour, InvalidProxy, Proxy, Role, VirtualHosts};
pub use routes::{MESH_GATEWAY, Routing, Semantics};
pub use scope::{Egress, Outbound, OutboundService, Scope, TracedAs, Workload};
pub use scopes::Scopes;
pub use secrets::{SecretPlace, secret_name, secret_of, secrets_of};
pub use services::{Port, Reach, Registry, Resolution, Service, Target};
pub use settings::{CertificateFiles, Interception, Settings};
pub use telemetry::{
    Collector, Log, Logs, Metrics, Override, Reports, Spans, Tag as MetricTag, Telemetry, Tracer,
};
pub use traffic_policy::{Policy, Rule, over_mesh};
pub use update::update;
pub use visibility::Visibility;

/// All relations, resolved. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct Mesh {
    pub(crate) snapshot: Snapshot,
    pub(crate) config: Arc<MeshConfig>,
    /// Domain of the cluster.
    pub(crate) domain: String,
    /// All services, oldest first.
    pub(crate) services: Vec<Arc<Service>>,
    /// VirtualServices with delegates merged, oldest first.
    pub(crate) routings: Vec<Arc<Routing>>,
    /// Gateways, with those that Ingresses stand for.
    pub(crate) gateways: Vec<Arc<Object<Gateway>>>,
    /// DestinationRules merged per namespace and host.
    pub(crate) rules: Arc<traffic_policy::Rules>,
    /// mTLS modes.
    pub(crate) modes: Arc<PeerModes>,
    /// Policies about calls.
    pub(crate) policies: Arc<authorization::Policies>,
    /// Extension providers that authorize.
    pub(crate) authorizers: Arc<authorizers::Authorizers>,
    /// Who is told of calls.
    pub(crate) telemetry: Arc<telemetry::Telemetries>,
    /// What is wrong with the routes.
    pub(crate) problems: Arc<[Problem]>,
    /// What is wrong with the policies.
    pub(crate) unsafe_policies: Arc<[Problem]>,
}

impl Mesh {
    /// Whether both come from the same version of every table.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.snapshot.is(&other.snapshot)
    }

    /// The objects that it was made from, without those that it does not see.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The networks as a proxy of a cluster sees them.
    pub fn networks(&self, cluster: &str) -> Networks {
        networks::of(self, cluster)
    }

    /// Everything that is wrong with its objects.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let routes = self.problems.iter();
        let policies = self.unsafe_policies.iter();
        let all = routes.chain(policies).chain(&self.telemetry.problems);
        all.cloned().collect()
    }

    /// All services, oldest first.
    pub fn services(&self) -> &[Arc<Service>] {
        &self.services
    }
}

#[cfg(test)]
mod tests;
