//! The world as the mesh sees it: structs of our own with only the fields that it uses, in tables
//! that share structure between versions. [`World`] is the one door from objects to it.
//! Endpoints have tables of their own ([`HostEndpoints`]), because they change far more often.

mod endpoints;
mod ingest;
mod ingress;
mod pod;
mod secret;
mod service;
mod slices;
mod table;
mod world;

use std::collections::BTreeSet;
use std::sync::Arc;

use base::ObjectRef;

use crate::features::Features;
use crate::mesh_config::MeshConfig;
use crate::mesh_networks::MeshNetworks;
use crate::networking::destination_rule::DestinationRule;
use crate::networking::gateway::Gateway;
use crate::networking::service_entry::ServiceEntry;
use crate::networking::sidecar::Sidecar;
use crate::networking::virtual_service::VirtualService;
use crate::networking::workload_entry::WorkloadEntry;
use crate::security::authorization_policy::AuthorizationPolicy;
use crate::security::jwt::{Fetched, KeySource, RequestAuthentication};
use crate::security::peer_authentication::PeerAuthentication;
use crate::telemetry::Telemetry;

pub use endpoints::{Address, Endpoint, Health, HostEndpoints, Locality};
pub use ingest::{Item, Kind, read};
pub use ingress::{
    BackendPort, Ingress, IngressBackend, IngressClass, IngressPath, IngressRule, IngressTls,
    PathKind,
};
pub use jiff::Timestamp;
pub use pod::{Node, Pod};
pub use secret::{Secret, SecretCertificate, SecretRoots};
pub use service::{
    EndpointSlice, Namespace, Service, ServicePort, SliceEndpoint, TargetPort, TrafficDistribution,
    Transport,
};
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
    pub reference: Arc<ObjectRef>,
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
    /// Switches of the environment.
    pub features: Arc<Features>,
    /// Networks that cannot reach each other.
    pub networks: Arc<MeshNetworks>,
    /// Namespaces, keyed by name in an empty namespace.
    pub namespaces: Table<Namespace>,
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
    /// Ingresses.
    pub ingresses: Table<Ingress>,
    /// IngressClasses.
    pub ingress_classes: Table<IngressClass>,
    /// PeerAuthentications.
    pub peer_authentications: Table<Object<PeerAuthentication>>,
    /// AuthorizationPolicies.
    pub authorization_policies: Table<Object<AuthorizationPolicy>>,
    /// RequestAuthentications.
    pub request_authentications: Table<Object<RequestAuthentication>>,
    /// Keys of issuers of tokens, where they were asked for.
    pub key_sets: imbl::OrdMap<KeySource, Fetched>,
    /// Telemetries.
    pub telemetries: Table<Object<Telemetry>>,
    /// Service accounts (`namespace/name`) behind each host: clients accept only these.
    pub accounts: imbl::OrdMap<HostId, Arc<BTreeSet<(String, String)>>>,
    /// Names of the ports of each host that all endpoints, one at least, accept the mesh's mTLS on:
    /// for calls in which the caller's address decides which endpoint answers.
    pub mutual_ports: imbl::OrdMap<HostId, Arc<BTreeSet<String>>>,
    /// Endpoints of the hosts whose clusters or listeners spell addresses out: headless Services,
    /// and ServiceEntries resolved by DNS.
    pub spelled_out: imbl::OrdMap<HostId, Arc<HostEndpoints>>,
}

impl Snapshot {
    /// Whether both are the same version of every table, without looking at the objects.
    pub fn is(&self, other: &Self) -> bool {
        let Snapshot {
            mesh,
            features,
            networks,
            namespaces,
            services,
            service_entries,
            workload_entries,
            virtual_services,
            destination_rules,
            gateways,
            sidecars,
            ingresses,
            ingress_classes,
            peer_authentications,
            authorization_policies,
            request_authentications,
            key_sets,
            telemetries,
            accounts,
            mutual_ports,
            spelled_out,
        } = self;
        Arc::ptr_eq(mesh, &other.mesh)
            && Arc::ptr_eq(features, &other.features)
            && Arc::ptr_eq(networks, &other.networks)
            && namespaces.is(&other.namespaces)
            && services.is(&other.services)
            && service_entries.is(&other.service_entries)
            && workload_entries.is(&other.workload_entries)
            && virtual_services.is(&other.virtual_services)
            && destination_rules.is(&other.destination_rules)
            && gateways.is(&other.gateways)
            && sidecars.is(&other.sidecars)
            && ingresses.is(&other.ingresses)
            && ingress_classes.is(&other.ingress_classes)
            && peer_authentications.is(&other.peer_authentications)
            && authorization_policies.is(&other.authorization_policies)
            && request_authentications.is(&other.request_authentications)
            && key_sets.ptr_eq(&other.key_sets)
            && telemetries.is(&other.telemetries)
            && accounts.ptr_eq(&other.accounts)
            && mutual_ports.ptr_eq(&other.mutual_ports)
            && spelled_out.ptr_eq(&other.spelled_out)
    }
}

impl Snapshot {
    /// The snapshot without the objects of namespaces that are not `seen`.
    #[must_use]
    pub fn within(&self, seen: impl Fn(&str) -> bool) -> Self {
        let mut left = self.clone();
        left.services.retain(&seen);
        left.service_entries.retain(&seen);
        left.workload_entries.retain(&seen);
        left.virtual_services.retain(&seen);
        left.destination_rules.retain(&seen);
        left.gateways.retain(&seen);
        left.sidecars.retain(&seen);
        left.ingresses.retain(&seen);
        left.peer_authentications.retain(&seen);
        left.authorization_policies.retain(&seen);
        left.request_authentications.retain(&seen);
        left.telemetries.retain(&seen);
        left
    }
}

/// Whether `selector` holds of `labels`; an empty selector holds of everything.
pub fn selects(selector: &Labels, labels: &Labels) -> bool {
    selector
        .iter()
        .all(|(key, value)| labels.get(key) == Some(value))
}

#[cfg(test)]
mod tests;
