//! The world as the mesh sees it: structs of our own with only the fields that it uses, in tables
//! that share structure between versions. [`World`] is the one door from objects to it.
//! Endpoints have tables of their own ([`HostEndpoints`]), because they change far more often.

mod endpoints;
mod ingest;
mod pod;
mod service;
mod table;
mod world;

use std::collections::BTreeSet;
use std::sync::Arc;

use base::ObjectRef;

use crate::mesh_config::MeshConfig;
use crate::networking::destination_rule::DestinationRule;
use crate::networking::gateway::Gateway;
use crate::networking::service_entry::ServiceEntry;
use crate::networking::sidecar::Sidecar;
use crate::networking::virtual_service::VirtualService;
use crate::networking::workload_entry::WorkloadEntry;
use crate::security::peer_authentication::PeerAuthentication;

pub use endpoints::{Address, Endpoint, Health, HostEndpoints, Locality};
pub use ingest::{Item, Kind, read};
pub use jiff::Timestamp;
pub use pod::{Node, Pod};
pub use service::{EndpointSlice, Service, ServicePort, SliceEndpoint, TargetPort, Transport};
pub use table::{Key, Table};
pub use world::{Touched, World};

/// A parsed object with what its metadata says.
#[derive(Clone, Debug, PartialEq)]
pub struct Object<T> {
    /// Name, namespace, creation, labels.
    pub meta: Meta,
    /// The parsed spec.
    pub spec: T,
}

/// The metadata that the mesh reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Which object it is.
    pub reference: ObjectRef,
    /// `metadata.creationTimestamp`; the beginning of 1970 when absent. Older objects win ties.
    pub created: jiff::Timestamp,
    /// `metadata.labels`.
    pub labels: Labels,
}

/// Labels of an object, or a selector over them.
pub type Labels = std::collections::BTreeMap<String, String>;

impl Meta {
    /// Namespace, empty when the object is cluster-scoped.
    pub fn namespace(&self) -> &str {
        self.reference.namespace.as_deref().unwrap_or_default()
    }

    /// Name.
    pub fn name(&self) -> &str {
        &self.reference.name
    }

    /// Its key in a [`Table`].
    pub fn key(&self) -> Key {
        Key::new(self.namespace(), self.name())
    }

    /// The order of ties: creation time, then name, then namespace.
    pub fn age(&self) -> (jiff::Timestamp, &str, &str) {
        (self.created, self.name(), self.namespace())
    }
}

/// A host as a namespace declares it: two namespaces may declare the same host.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostId {
    /// Namespace of the Service or ServiceEntry.
    pub namespace: String,
    /// Fully qualified host name, or a wildcard.
    pub host: String,
}

/// All relations between objects, at one moment. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Mesh-wide settings.
    pub mesh: Arc<MeshConfig>,
    /// Labels of namespaces, keyed by name in an empty namespace.
    pub namespaces: Table<Labels>,
    /// Kubernetes Services.
    pub services: Table<Service>,
    /// ServiceEntries.
    pub service_entries: Table<Object<ServiceEntry>>,
    /// WorkloadEntries.
    pub workload_entries: Table<Object<WorkloadEntry>>,
    /// VirtualServices.
    pub virtual_services: Table<Object<VirtualService>>,
    /// DestinationRules.
    pub destination_rules: Table<Object<DestinationRule>>,
    /// Gateways of networking.istio.io.
    pub gateways: Table<Object<Gateway>>,
    /// Sidecars.
    pub sidecars: Table<Object<Sidecar>>,
    /// PeerAuthentications.
    pub peer_authentications: Table<Object<PeerAuthentication>>,
    /// Service accounts (`namespace/name`) behind each host: clients accept only these.
    pub accounts: imbl::OrdMap<HostId, Arc<BTreeSet<(String, String)>>>,
    /// Endpoints of the hosts whose clusters or listeners spell addresses out: headless Services,
    /// and ServiceEntries resolved by DNS.
    pub spelled_out: imbl::OrdMap<HostId, Arc<HostEndpoints>>,
}

/// Whether `selector` holds of `labels`; an empty selector holds of everything.
pub fn selects(selector: &Labels, labels: &Labels) -> bool {
    selector
        .iter()
        .all(|(key, value)| labels.get(key) == Some(value))
}

#[cfg(test)]
mod tests;
