//! The tables behind a [`Snapshot`], with one door in: an object put or removed. Keeps the
//! endpoints of each host beside it, recomputing only the hosts that a change touches.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{
    Address, Endpoint, EndpointSlice, Health, HostEndpoints, HostId, Item, Key, Kind, Labels,
    Locality, Node, Object, Pod, Service, Snapshot, Table, selects,
};
use crate::mesh_config::MeshConfig;
use crate::networking::service_entry::{Resolution, ServiceEntry};
use crate::networking::workload_entry::WorkloadEntry;

/// Label that says that a workload accepts the mesh's mTLS.
const TLS_MODE: &str = "security.istio.io/tlsMode";

/// Everything that sources have told so far. Cheap to clone.
#[derive(Clone, Debug)]
pub struct World {
    domain: String,
    snapshot: Snapshot,
    slices: Table<EndpointSlice>,
    pods: Table<Pod>,
    nodes: Table<Node>,
    endpoints: imbl::OrdMap<HostId, Arc<HostEndpoints>>,
}

/// What a change touched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Whether the snapshot changed.
    pub relations: bool,
    /// Hosts whose endpoints changed.
    pub hosts: BTreeSet<HostId>,
}

impl Touched {
    /// Adds what another change touched.
    pub fn merge(&mut self, other: Touched) {
        self.relations |= other.relations;
        self.hosts.extend(other.hosts);
    }

    /// Whether nothing was.
    pub fn is_empty(&self) -> bool {
        !self.relations && self.hosts.is_empty()
    }
}

impl World {
    /// An empty world; `domain` is the cluster's, usually `cluster.local`.
    pub fn new(domain: impl Into<String>) -> Self {
        World {
            domain: domain.into(),
            snapshot: Snapshot::default(),
            slices: Table::default(),
            pods: Table::default(),
            nodes: Table::default(),
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

    /// Where a node stands.
    pub fn node(&self, name: &str) -> Option<&Arc<Node>> {
        self.nodes.get(&Key::new("", name))
    }

    /// Replaces the settings of the whole mesh.
    pub fn configure(&mut self, mesh: MeshConfig) -> Touched {
        let relations = *self.snapshot.mesh != mesh;
        self.snapshot.mesh = Arc::new(mesh);
        Touched {
            relations,
            hosts: BTreeSet::new(),
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
            Item::PeerAuthentication(key, value) => {
                let table = &mut self.snapshot.peer_authentications;
                let changed = table.insert(key.clone(), value);
                (Kind::PeerAuthentication, key, changed)
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
            Kind::VirtualService => snapshot.virtual_services.remove(key),
            Kind::DestinationRule => snapshot.destination_rules.remove(key),
            Kind::Gateway => snapshot.gateways.remove(key),
            Kind::ServiceEntry => snapshot.service_entries.remove(key),
            Kind::WorkloadEntry => snapshot.workload_entries.remove(key),
            Kind::Sidecar => snapshot.sidecars.remove(key),
            Kind::PeerAuthentication => snapshot.peer_authentications.remove(key),
        };
        self.after(&before, kind, key, changed)
    }

    fn after(&mut self, before: &World, kind: Kind, key: &Key, changed: bool) -> Touched {
        let mut touched = Touched::default();
        if !changed {
            return touched;
        }
        touched.relations = !matches!(kind, Kind::Node | Kind::EndpointSlice | Kind::Pod);
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
                let this = (key.namespace.clone(), key.name.clone());
                for slice in self.slices.in_namespace(namespace) {
                    if slice
                        .endpoints
                        .iter()
                        .any(|e| e.pod.as_ref() == Some(&this))
                    {
                        hosts.insert(self.host_of(namespace, &slice.service));
                    }
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
        let new = Arc::new(HostEndpoints { endpoints });
        let exists = service.is_some() || !entries.is_empty();
        let changed = match self.endpoints.get(&id) {
            Some(old) => !exists || *old != new,
            None => exists,
        };
        if !changed {
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
        if exists && spelled_out {
            touched.relations = true;
            snapshot.spelled_out.insert(id.clone(), new);
        } else {
            touched.relations |= snapshot.spelled_out.remove(&id).is_some();
        }
        touched.hosts.insert(id);
    }

    fn of_service(&self, service: &Service, into: &mut Vec<Endpoint>) {
        let namespace = service.meta.namespace();
        let mut seen = BTreeSet::new();
        for slice in self.slices.in_namespace(namespace) {
            if slice.service != service.meta.name() {
                continue;
            }
            let ports: Arc<BTreeMap<String, u16>> = Arc::new(slice.ports.iter().cloned().collect());
            for endpoint in &slice.endpoints {
                // A terminating endpoint that is not ready is gone, whichever event came first.
                let health = match (endpoint.ready, endpoint.terminating) {
                    (true, _) => Health::Healthy,
                    (false, true) => continue,
                    (false, false) => Health::Unhealthy,
                };
                let pod = endpoint.pod.as_ref();
                let pod = pod.map(|(namespace, name)| self.pods.get(&Key::new(namespace, name)));
                // An endpoint whose pod is not known yet has no identity; it joins with its pod.
                let Some(pod) = pod.map_or(Some(None), |found| found.map(Some)) else {
                    continue;
                };
                for address in &endpoint.addresses {
                    if seen.insert((address.clone(), ports.clone())) {
                        let node = endpoint.node.as_deref();
                        let mut made = match pod {
                            Some(pod) => self.of_pod(pod, address.clone(), ports.clone()),
                            None => self.anonymous(namespace, address.clone(), ports.clone(), node),
                        };
                        made.health = health;
                        made.hostname = endpoint.hostname.clone();
                        into.push(made);
                    }
                }
            }
        }
        let Some(selector) = &service.selector else {
            return;
        };
        for entry in self.snapshot.workload_entries.in_namespace(namespace) {
            if selects(selector, &entry.spec.labels) {
                let named = |name: &str| entry.spec.ports.get(name).copied();
                let ports = service.ports.iter().map(|port| {
                    let target = match &port.target {
                        super::TargetPort::Number(number) => Some(u32::from(*number)),
                        super::TargetPort::Name(name) => named(name),
                    };
                    (port.name.clone(), named(&port.name).or(target))
                });
                let ports = ports
                    .filter_map(|(name, port)| Some((name, u16::try_from(port?).ok()?)))
                    .collect();
                into.push(of_workload_entry(
                    namespace,
                    entry.meta.name(),
                    &entry.spec,
                    Arc::new(ports),
                ));
            }
        }
    }

    fn of_entry(&self, entry: &Object<ServiceEntry>, host: &str, into: &mut Vec<Endpoint>) {
        let spec = &entry.spec;
        let namespace = entry.meta.namespace();
        let ports_of = |overrides: &BTreeMap<String, u32>| {
            let ports = spec.ports.iter().filter_map(|port| {
                let target = match port.target_port {
                    0 => port.number,
                    target => target,
                };
                let number = overrides.get(&port.name).copied().unwrap_or(target);
                Some((port.name.clone(), u16::try_from(number).ok()?))
            });
            Arc::new(ports.collect::<BTreeMap<String, u16>>())
        };
        if let Some(selector) = &spec.workload_selector {
            for pod in self.pods.in_namespace(namespace) {
                if pod.ready && selects(&selector.labels, &pod.labels) {
                    for address in pod.addresses.iter().take(1) {
                        let ports = ports_of(&BTreeMap::new());
                        into.push(self.of_pod(pod, Address::parse(address), ports));
                    }
                }
            }
            for workload in self.snapshot.workload_entries.in_namespace(namespace) {
                if selects(&selector.labels, &workload.spec.labels) {
                    let ports = ports_of(&workload.spec.ports);
                    let name = workload.meta.name();
                    into.push(of_workload_entry(namespace, name, &workload.spec, ports));
                }
            }
            return;
        }
        match (spec.resolution, spec.endpoints.is_empty()) {
            (Resolution::None | Resolution::DynamicDns, _) => {}
            (Resolution::Dns | Resolution::DnsRoundRobin, true) => {
                if !host.starts_with('*') {
                    let ports = ports_of(&BTreeMap::new());
                    let address = Address::Name(host.to_owned());
                    into.push(Endpoint {
                        workload: entry.meta.name().to_owned(),
                        ..self.anonymous(namespace, address, ports, None)
                    });
                }
            }
            _ => {
                for (index, endpoint) in spec.endpoints.iter().enumerate() {
                    let ports = ports_of(&endpoint.ports);
                    let name = format!("{}-{index}", entry.meta.name());
                    into.push(of_workload_entry(namespace, &name, endpoint, ports));
                }
            }
        }
    }

    fn of_pod(&self, pod: &Pod, address: Address, ports: Arc<BTreeMap<String, u16>>) -> Endpoint {
        Endpoint {
            labels: Arc::new(pod.labels.clone()),
            workload: pod.workload.clone(),
            service_account: pod.service_account.clone(),
            mutual_tls: pod.labels.get(TLS_MODE).is_some_and(|mode| mode == "istio"),
            locality: match pod.labels.get("istio-locality") {
                Some(locality) => Locality::parse(&locality.replace('.', "/")),
                None => self.locality(&pod.node),
            },
            network: pod
                .labels
                .get("topology.istio.io/network")
                .cloned()
                .unwrap_or_default(),
            ..self.anonymous(&pod.namespace, address, ports, Some(&pod.node))
        }
    }

    fn anonymous(
        &self,
        namespace: &str,
        address: Address,
        ports: Arc<BTreeMap<String, u16>>,
        node: Option<&str>,
    ) -> Endpoint {
        let node = node.unwrap_or_default();
        Endpoint {
            address,
            ports,
            labels: Arc::new(Labels::new()),
            namespace: namespace.to_owned(),
            workload: String::new(),
            service_account: String::new(),
            hostname: None,
            node: node.to_owned(),
            locality: self.locality(node),
            network: String::new(),
            mutual_tls: false,
            weight: 0,
            health: Health::Unknown,
        }
    }

    fn locality(&self, node: &str) -> Locality {
        let node = self.nodes.get(&Key::new("", node));
        node.map(|node| node.locality.clone()).unwrap_or_default()
    }
}

fn entry_hosts(entry: &Object<ServiceEntry>) -> impl Iterator<Item = HostId> {
    entry.spec.hosts.iter().map(|host| HostId {
        namespace: entry.meta.namespace().to_owned(),
        host: host.clone(),
    })
}

fn of_workload_entry(
    namespace: &str,
    name: &str,
    entry: &WorkloadEntry,
    ports: Arc<BTreeMap<String, u16>>,
) -> Endpoint {
    // Without the label, a service account says that a proxy is there.
    let mutual_tls = match entry.labels.get(TLS_MODE) {
        Some(mode) => mode == "istio",
        None => !entry.service_account.is_empty(),
    };
    Endpoint {
        address: Address::parse(&entry.address),
        ports,
        labels: Arc::new(entry.labels.clone()),
        namespace: namespace.to_owned(),
        workload: name.to_owned(),
        service_account: entry.service_account.clone(),
        hostname: None,
        node: String::new(),
        locality: Locality::parse(&entry.locality),
        network: entry.network.clone(),
        mutual_tls,
        weight: entry.weight,
        health: Health::Unknown,
    }
}
