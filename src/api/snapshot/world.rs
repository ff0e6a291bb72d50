//! The tables behind a [`Snapshot`], with one door in: an object put or removed. Keeps the
//! endpoints of each host beside it, recomputing only the hosts that a change touches.

mod endpoints;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::slices::Slices;
use super::{
    Endpoint, HostEndpoints, HostId, Item, Key, Kind, Node, Object, Pod, Secret, SecretRoots,
    Snapshot, Table,
};
use crate::features::Features;
use crate::mesh_config::MeshConfig;
use crate::mesh_networks::MeshNetworks;
use crate::networking::service_entry::{Resolution, ServiceEntry};
use crate::security::jwt::{Fetched, KeySource};

/// Everything that sources have told so far. Cheap to clone.
#[derive(Clone, Debug)]
pub struct World {
    domain: String,
    snapshot: Snapshot,
    slices: Slices,
    pods: Table<Pod>,
    nodes: Table<Node>,
    secrets: Table<Secret>,
    /// Authorities in ConfigMaps.
    roots: Table<SecretRoots>,
    endpoints: imbl::OrdMap<HostId, Arc<HostEndpoints>>,
}

/// What a change touched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Whether the snapshot changed.
    pub relations: bool,
    /// Hosts whose endpoints changed.
    pub hosts: BTreeSet<HostId>,
    /// Whether Secrets, or authorities in ConfigMaps, changed.
    pub secrets: bool,
}

impl Touched {
    /// Adds what another change touched.
    pub fn merge(&mut self, other: Touched) {
        self.relations |= other.relations;
        self.hosts.extend(other.hosts);
        self.secrets |= other.secrets;
    }

    /// Whether nothing was.
    pub fn is_empty(&self) -> bool {
        !self.relations && self.hosts.is_empty() && !self.secrets
    }
}

impl World {
    /// An empty world; `domain` is the cluster's, usually `cluster.local`.
    pub fn new(domain: impl Into<String>) -> Self {
        World {
            domain: domain.into(),
            snapshot: Snapshot::default(),
            slices: Slices::default(),
            pods: Table::default(),
            nodes: Table::default(),
            secrets: Table::default(),
            roots: Table::default(),
            endpoints: imbl::OrdMap::new(),
        }
    }

    /// The relations of this moment.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The endpoints of all hosts at this moment; hosts without any have an empty table.
    pub fn endpoints(&self) -> &imbl::OrdMap<HostId, Arc<HostEndpoints>> {
        &self.endpoints
    }

    /// A pod, for what a proxy's own metadata does not say.
    pub fn pod(&self, key: &Key) -> Option<&Arc<Pod>> {
        self.pods.get(key)
    }

    /// The pods of a namespace, by name.
    pub fn pods(&self, namespace: &str) -> impl Iterator<Item = &Arc<Pod>> {
        self.pods.in_namespace(namespace)
    }

    /// Where a node stands.
    pub fn node(&self, name: &str) -> Option<&Arc<Node>> {
        self.nodes.get(&Key::new("", name))
    }

    /// A Secret; no part of the relations, which everybody may see.
    pub fn secret(&self, key: &Key) -> Option<&Arc<Secret>> {
        self.secrets.get(key)
    }

    /// The authorities in a ConfigMap, which are public.
    pub fn roots(&self, key: &Key) -> Option<&Arc<SecretRoots>> {
        self.roots.get(key)
    }

    /// Replaces the settings of the whole mesh.
    pub fn configure(&mut self, mesh: MeshConfig) -> Touched {
        let relations = *self.snapshot.mesh != mesh;
        self.snapshot.mesh = Arc::new(mesh);
        Touched {
            relations,
            ..Touched::default()
        }
    }

    /// Replaces what is known of the keys of one place; `None` when nobody asks there any more.
    pub fn learn(&mut self, source: KeySource, keys: Option<Fetched>) -> Touched {
        let known = self.snapshot.key_sets.get(&source);
        let relations = known != keys.as_ref();
        if relations {
            match keys {
                Some(keys) => drop(self.snapshot.key_sets.insert(source, keys)),
                None => drop(self.snapshot.key_sets.remove(&source)),
            }
        }
        Touched {
            relations,
            ..Touched::default()
        }
    }

    /// Sets the switches of the environment, which stay for the life of a process.
    #[must_use]
    pub fn with_features(mut self, features: Features) -> Self {
        self.snapshot.features = Arc::new(features);
        self
    }

    /// Replaces the networks of the mesh.
    pub fn connect(&mut self, networks: MeshNetworks) -> Touched {
        let relations = *self.snapshot.networks != networks;
        if relations {
            self.snapshot.networks = Arc::new(networks);
        }
        Touched {
            relations,
            ..Touched::default()
        }
    }

    /// Puts an object, new or changed.
    pub fn put(&mut self, item: Item) -> Touched {
        let before = self.clone();
        let (kind, key, changed) = match item {
            Item::Namespace(key, value) => {
                let changed = self.snapshot.namespaces.insert(key.clone(), value);
                (Kind::Namespace, key, changed)
            }
            Item::Node(key, value) => {
                let changed = self.nodes.insert(key.clone(), value);
                (Kind::Node, key, changed)
            }
            Item::Service(key, value) => {
                let changed = self.snapshot.services.insert(key.clone(), value);
                (Kind::Service, key, changed)
            }
            Item::EndpointSlice(key, value) => {
                let changed = self.slices.insert(key.clone(), value);
                (Kind::EndpointSlice, key, changed)
            }
            Item::Pod(key, value) => {
                let changed = self.pods.insert(key.clone(), value);
                (Kind::Pod, key, changed)
            }
            Item::Secret(key, value) => {
                let changed = self.secrets.insert(key.clone(), value);
                (Kind::Secret, key, changed)
            }
            Item::ConfigMap(key, value) => {
                let changed = self.roots.insert(key.clone(), value);
                (Kind::ConfigMap, key, changed)
            }
            Item::VirtualService(key, value) => {
                let changed = self.snapshot.virtual_services.insert(key.clone(), value);
                (Kind::VirtualService, key, changed)
            }
            Item::DestinationRule(key, value) => {
                let changed = self.snapshot.destination_rules.insert(key.clone(), value);
                (Kind::DestinationRule, key, changed)
            }
            Item::Gateway(key, value) => {
                let changed = self.snapshot.gateways.insert(key.clone(), value);
                (Kind::Gateway, key, changed)
            }
            Item::ServiceEntry(key, value) => {
                let changed = self.snapshot.service_entries.insert(key.clone(), value);
                (Kind::ServiceEntry, key, changed)
            }
            Item::WorkloadEntry(key, value) => {
                let changed = self.snapshot.workload_entries.insert(key.clone(), value);
                (Kind::WorkloadEntry, key, changed)
            }
            Item::Sidecar(key, value) => {
                let changed = self.snapshot.sidecars.insert(key.clone(), value);
                (Kind::Sidecar, key, changed)
            }
            Item::Ingress(key, value) => {
                let changed = self.snapshot.ingresses.insert(key.clone(), value);
                (Kind::Ingress, key, changed)
            }
            Item::IngressClass(key, value) => {
                let changed = self.snapshot.ingress_classes.insert(key.clone(), value);
                (Kind::IngressClass, key, changed)
            }
            Item::PeerAuthentication(key, value) => {
                let table = &mut self.snapshot.peer_authentications;
                let changed = table.insert(key.clone(), value);
                (Kind::PeerAuthentication, key, changed)
            }
            Item::AuthorizationPolicy(key, value) => {
                let table = &mut self.snapshot.authorization_policies;
                let changed = table.insert(key.clone(), value);
                (Kind::AuthorizationPolicy, key, changed)
            }
            Item::RequestAuthentication(key, value) => {
                let table = &mut self.snapshot.request_authentications;
                let changed = table.insert(key.clone(), value);
                (Kind::RequestAuthentication, key, changed)
            }
            Item::Telemetry(key, value) => {
                let changed = self.snapshot.telemetries.insert(key.clone(), value);
                (Kind::Telemetry, key, changed)
            }
        };
        self.after(&before, kind, &key, changed)
    }

    /// Removes an object.
    pub fn remove(&mut self, kind: Kind, key: &Key) -> Touched {
        let before = self.clone();
        let snapshot = &mut self.snapshot;
        let changed = match kind {
            Kind::Namespace => snapshot.namespaces.remove(key),
            Kind::Node => self.nodes.remove(key),
            Kind::Service => snapshot.services.remove(key),
            Kind::EndpointSlice => self.slices.remove(key),
            Kind::Pod => self.pods.remove(key),
            Kind::Secret => self.secrets.remove(key),
            Kind::ConfigMap => self.roots.remove(key),
            Kind::VirtualService => snapshot.virtual_services.remove(key),
            Kind::DestinationRule => snapshot.destination_rules.remove(key),
            Kind::Gateway => snapshot.gateways.remove(key),
            Kind::ServiceEntry => snapshot.service_entries.remove(key),
            Kind::WorkloadEntry => snapshot.workload_entries.remove(key),
            Kind::Sidecar => snapshot.sidecars.remove(key),
            Kind::Ingress => snapshot.ingresses.remove(key),
            Kind::IngressClass => snapshot.ingress_classes.remove(key),
            Kind::PeerAuthentication => snapshot.peer_authentications.remove(key),
            Kind::AuthorizationPolicy => snapshot.authorization_policies.remove(key),
            Kind::RequestAuthentication => snapshot.request_authentications.remove(key),
            Kind::Telemetry => snapshot.telemetries.remove(key),
        };
        self.after(&before, kind, key, changed)
    }

    fn after(&mut self, before: &World, kind: Kind, key: &Key, changed: bool) -> Touched {
        let mut touched = Touched::default();
        if !changed {
            return touched;
        }
        touched.secrets = matches!(kind, Kind::Secret | Kind::ConfigMap);
        touched.relations = !matches!(
            kind,
            Kind::Node | Kind::EndpointSlice | Kind::Pod | Kind::Secret | Kind::ConfigMap
        );
        let mut hosts = before.concerned(kind, key);
        hosts.extend(self.concerned(kind, key));
        for host in hosts {
            self.refresh(host, &mut touched);
        }
        touched
    }

    /// Hosts whose endpoints may depend on an object.
    fn concerned(&self, kind: Kind, key: &Key) -> BTreeSet<HostId> {
        let namespace = key.namespace.as_str();
        let mut hosts = BTreeSet::new();
        match kind {
            Kind::Service => {
                hosts.insert(self.host_of(namespace, &key.name));
            }
            Kind::EndpointSlice => {
                if let Some(slice) = self.slices.get(key) {
                    hosts.insert(self.host_of(namespace, &slice.service));
                }
            }
            Kind::Pod => {
                let named = self.slices.with_pod(key);
                let addresses = self.pods.get(key).into_iter();
                let addresses = addresses.flat_map(|pod| &pod.addresses);
                let by_address =
                    addresses.flat_map(|address| self.slices.at_address(namespace, address));
                for slice in named.chain(by_address) {
                    hosts.insert(self.host_of(&slice.namespace, &slice.service));
                }
                self.selecting_entries(namespace, &mut hosts);
            }
            Kind::WorkloadEntry => {
                for service in self.snapshot.services.in_namespace(namespace) {
                    if service.selector.is_some() {
                        hosts.insert(self.host_of(namespace, service.meta.name()));
                    }
                }
                self.selecting_entries(namespace, &mut hosts);
            }
            Kind::ServiceEntry => {
                if let Some(entry) = self.snapshot.service_entries.get(key) {
                    hosts.extend(entry_hosts(entry));
                }
            }
            Kind::Node => hosts.extend(self.endpoints.keys().cloned()),
            _ => {}
        }
        hosts
    }

    fn selecting_entries(&self, namespace: &str, hosts: &mut BTreeSet<HostId>) {
        for entry in self.snapshot.service_entries.in_namespace(namespace) {
            if entry.spec.workload_selector.is_some() {
                hosts.extend(entry_hosts(entry));
            }
        }
    }

    fn host_of(&self, namespace: &str, service: &str) -> HostId {
        HostId {
            namespace: namespace.to_owned(),
            host: format!("{service}.{namespace}.svc.{}", self.domain),
        }
    }

    fn refresh(&mut self, id: HostId, touched: &mut Touched) {
        let suffix = format!(".{}.svc.{}", id.namespace, self.domain);
        let service = id.host.strip_suffix(&suffix).and_then(|name| {
            let key = Key::new(&id.namespace, name);
            self.snapshot.services.get(&key).cloned()
        });
        let entries: Vec<Arc<Object<ServiceEntry>>> = self
            .snapshot
            .service_entries
            .in_namespace(&id.namespace)
            .filter(|entry| entry.spec.hosts.contains(&id.host))
            .cloned()
            .collect();
        let mut endpoints = Vec::new();
        let mut spelled_out = false;
        if let Some(service) = &service {
            spelled_out |= service.headless;
            self.of_service(service, &mut endpoints);
        }
        for entry in &entries {
            let resolution = entry.spec.resolution;
            spelled_out |= matches!(resolution, Resolution::Dns | Resolution::DnsRoundRobin);
            self.of_entry(entry, &id.host, &mut endpoints);
        }
        endpoints.sort_by(|a, b| a.address.cmp(&b.address));
        let accounts: BTreeSet<(String, String)> = endpoints
            .iter()
            .filter(|endpoint| !endpoint.service_account.is_empty())
            .map(|endpoint| (endpoint.namespace.clone(), endpoint.service_account.clone()))
            .collect();
        let mutual_ports = mutual_ports(&endpoints);
        let new = Arc::new(HostEndpoints { endpoints });
        let exists = service.is_some() || !entries.is_empty();
        let changed = match self.endpoints.get(&id) {
            Some(old) => !exists || *old != new,
            None => exists,
        };
        let was_spelled_out = self.snapshot.spelled_out.contains_key(&id);
        if !changed && was_spelled_out == (exists && spelled_out) {
            return;
        }
        let snapshot = &mut self.snapshot;
        if exists {
            self.endpoints.insert(id.clone(), new.clone());
        } else {
            self.endpoints.remove(&id);
        }
        if accounts.is_empty() {
            touched.relations |= snapshot.accounts.remove(&id).is_some();
        } else if snapshot
            .accounts
            .get(&id)
            .is_none_or(|old| **old != accounts)
        {
            touched.relations = true;
            snapshot.accounts.insert(id.clone(), Arc::new(accounts));
        }
        let known = snapshot.mutual_ports.get(&id);
        if mutual_ports.is_empty() {
            touched.relations |= snapshot.mutual_ports.remove(&id).is_some();
        } else if known.is_none_or(|old| **old != mutual_ports) {
            touched.relations = true;
            let ports = Arc::new(mutual_ports);
            snapshot.mutual_ports.insert(id.clone(), ports);
        }
        if exists && spelled_out {
            touched.relations = true;
            snapshot.spelled_out.insert(id.clone(), new);
        } else {
            touched.relations |= snapshot.spelled_out.remove(&id).is_some();
        }
        touched.hosts.insert(id);
    }
}

fn entry_hosts(entry: &Object<ServiceEntry>) -> impl Iterator<Item = HostId> {
    entry.spec.hosts.iter().map(|host| HostId {
        namespace: entry.meta.namespace().to_owned(),
        host: host.clone(),
    })
}

/// Names of ports that every endpoint which serves them accepts mTLS on.
fn mutual_ports(endpoints: &[Endpoint]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut plain = BTreeSet::new();
    for endpoint in endpoints {
        let into = if endpoint.mutual_tls {
            &mut found
        } else {
            &mut plain
        };
        into.extend(endpoint.ports.keys().cloned());
    }
    found.retain(|port| !plain.contains(port));
    found
}
