//! The tables behind a [`Snapshot`], with one door in: an object put or removed. Keeps the
//! endpoints of each host beside it, recomputing only the hosts that a change touches.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::slices::Slices;
use super::{
    Address, Endpoint, Health, HostEndpoints, HostId, Item, Key, Kind, Labels, Locality, Node,
    Object, Pod, Secret, Service, Snapshot, Table, selects,
};
use crate::features::Features;
use crate::mesh_config::MeshConfig;
use crate::mesh_networks::MeshNetworks;
use crate::networking::service_entry::{Resolution, ServiceEntry};
use crate::networking::workload_entry::WorkloadEntry;

/// Label that says that a workload accepts the mesh's mTLS.
const TLS_MODE: &str = "security.istio.io/tlsMode";
/// Label of workloads: `region.zone.subzone`.
const LOCALITY: &str = "istio-locality";
/// Labels of Services whose sessions stick to endpoints, by cookie or by header.
const SESSIONS: [&str; 2] = [
    "istio.io/persistent-session",
    "istio.io/persistent-session-header",
];

/// Everything that sources have told so far. Cheap to clone.
#[derive(Clone, Debug)]
pub struct World {
    domain: String,
    snapshot: Snapshot,
    slices: Slices,
    pods: Table<Pod>,
    nodes: Table<Node>,
    secrets: Table<Secret>,
    endpoints: imbl::OrdMap<HostId, Arc<HostEndpoints>>,
}

/// What a change touched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Whether the snapshot changed.
    pub relations: bool,
    /// Hosts whose endpoints changed.
    pub hosts: BTreeSet<HostId>,
    /// Whether Secrets changed.
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

    /// A Secret; no part of the relations, which everybody may see.
    pub fn secret(&self, key: &Key) -> Option<&Arc<Secret>> {
        self.secrets.get(key)
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
            Kind::VirtualService => snapshot.virtual_services.remove(key),
            Kind::DestinationRule => snapshot.destination_rules.remove(key),
            Kind::Gateway => snapshot.gateways.remove(key),
            Kind::ServiceEntry => snapshot.service_entries.remove(key),
            Kind::WorkloadEntry => snapshot.workload_entries.remove(key),
            Kind::Sidecar => snapshot.sidecars.remove(key),
            Kind::Ingress => snapshot.ingresses.remove(key),
            Kind::IngressClass => snapshot.ingress_classes.remove(key),
            Kind::PeerAuthentication => snapshot.peer_authentications.remove(key),
        };
        self.after(&before, kind, key, changed)
    }

    fn after(&mut self, before: &World, kind: Kind, key: &Key, changed: bool) -> Touched {
        let mut touched = Touched::default();
        if !changed {
            return touched;
        }
        touched.secrets = kind == Kind::Secret;
        touched.relations = !matches!(
            kind,
            Kind::Node | Kind::EndpointSlice | Kind::Pod | Kind::Secret
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
                for slice in self.slices.with_pod(key) {
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

    fn of_service(&self, service: &Service, into: &mut Vec<Endpoint>) {
        let namespace = service.meta.namespace();
        let mut seen = BTreeSet::new();
        for slice in self.slices.of_service(&service.meta.key()) {
            let ports: Arc<BTreeMap<String, u16>> = Arc::new(slice.ports.iter().cloned().collect());
            for endpoint in &slice.endpoints {
                let Some(health) = health(service, endpoint) else {
                    continue;
                };
                let pod = endpoint.pod.as_ref();
                let pod = pod.map(|(namespace, name)| self.pods.get(&Key::new(namespace, name)));
                // An endpoint whose pod is not known yet has no identity; it joins with its pod.
                let Some(pod) = pod.map_or(Some(None), |found| found.map(Some)) else {
                    continue;
                };
                for address in &endpoint.addresses {
                    let both = pod.filter(|_| self.has_both(service)).map(more_addresses);
                    let both = both.filter(|more| !more.is_empty());
                    // The slice of the other family lists the same pods again.
                    if both.is_some() && matches!(address, Address::Ip(ip) if ip.is_ipv6()) {
                        continue;
                    }
                    if seen.insert((address.clone(), ports.clone())) {
                        let by_address = || self.pod_at(namespace, address);
                        let mut made = match pod.or_else(by_address) {
                            Some(pod) => self.of_pod(pod, address.clone(), ports.clone()),
                            None => self.anonymous("", address.clone(), ports.clone(), None),
                        };
                        made.health = health;
                        made.in_cluster = true;
                        made.more = both.unwrap_or_default();
                        into.push(made);
                    }
                }
            }
        }
        let Some(selector) = &service.selector else {
            return;
        };
        if service.headless || service.external_name.is_some() {
            return;
        }
        for entry in self.snapshot.workload_entries.in_namespace(namespace) {
            let address = Address::parse(&entry.spec.address);
            if matches!(address, Address::Ip(_))
                && !entry.spec.unhealthy
                && selects(selector, &entry.spec.labels)
            {
                let named = |name: &str| entry.spec.ports.get(name).copied();
                let ports = service.ports.iter().map(|port| {
                    let target = match &port.target {
                        super::TargetPort::Number(number) => {
                            named(&port.name).or(Some(u32::from(*number)))
                        }
                        super::TargetPort::Name(name) => named(name),
                    };
                    (port.name.clone(), target)
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

    /// The endpoints of an entry: once for each of its addresses, and known by the numbers of its
    /// ports, as names of ports are its own.
    fn of_entry(&self, entry: &Object<ServiceEntry>, host: &str, into: &mut Vec<Endpoint>) {
        let spec = &entry.spec;
        let mut found = Vec::new();
        self.of_entry_once(entry, host, &mut found);
        for endpoint in &mut found {
            let ports = spec.ports.iter().filter_map(|port| {
                let target = endpoint.ports.get(&port.name)?;
                Some((u16::try_from(port.number).ok()?, *target))
            });
            endpoint.by_number = Some(Arc::new(ports.collect()));
        }
        let addresses = spec.addresses.iter();
        let usable = addresses.filter(|text| is_address(text)).count();
        let times = match spec.addresses.is_empty() || spec.resolution == Resolution::DnsRoundRobin
        {
            true => 1,
            false => usable,
        };
        into.extend(std::iter::repeat_n(found, times).flatten());
    }

    fn of_entry_once(&self, entry: &Object<ServiceEntry>, host: &str, into: &mut Vec<Endpoint>) {
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
                let Some(address) = pod.addresses.first() else {
                    continue;
                };
                if !pod.ready || !selects(&selector.labels, &pod.labels) {
                    continue;
                }
                let own = pod.ports.iter().rev();
                let own = own.map(|(name, port)| (name.clone(), u32::from(*port)));
                let ports = ports_of(&own.collect());
                let dual_stack = self.snapshot.features.dual_stack;
                into.push(Endpoint {
                    health: Health::Healthy,
                    in_cluster: true,
                    more: if dual_stack {
                        more_addresses(pod)
                    } else {
                        Vec::new()
                    },
                    ..self.of_pod(pod, Address::parse(address), ports)
                });
            }
            let by_name = matches!(
                spec.resolution,
                Resolution::Dns | Resolution::DnsRoundRobin | Resolution::DynamicDns
            );
            for workload in self.snapshot.workload_entries.in_namespace(namespace) {
                // A name or a socket can only be told to proxies that resolve it themselves.
                let usable =
                    by_name || matches!(Address::parse(&workload.spec.address), Address::Ip(_));
                if usable
                    && !workload.spec.unhealthy
                    && selects(&selector.labels, &workload.spec.labels)
                {
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
            locality: match pod.labels.get(LOCALITY) {
                Some(locality) => Locality::parse(&locality.replace('.', "/")),
                None => self.locality(&pod.node),
            },
            hostname: pod.hostname.clone(),
            network: pod
                .labels
                .get("topology.istio.io/network")
                .cloned()
                .unwrap_or_default(),
            ..self.anonymous(&pod.namespace, address, ports, Some(&pod.node))
        }
    }

    /// Whether both IP families of a Service count.
    fn has_both(&self, service: &Service) -> bool {
        self.snapshot.features.dual_stack && service.addresses.len() > 1
    }

    /// The pod that an address without a pod's name belongs to.
    fn pod_at(&self, namespace: &str, address: &Address) -> Option<&Arc<Pod>> {
        let text = address.to_string();
        let mut pods = self.pods.in_namespace(namespace);
        pods.find(|pod| pod.addresses.contains(&text))
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
            more: Vec::new(),
            hostname: None,
            node: node.to_owned(),
            locality: self.locality(node),
            network: String::new(),
            by_number: None,
            in_cluster: false,
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

/// Whether a text is an IP address or a range of them.
fn is_address(text: &str) -> bool {
    let (address, length) = text.split_once('/').unwrap_or((text, "0"));
    let bits = match address.parse() {
        Ok(std::net::IpAddr::V4(_)) => 32,
        Ok(std::net::IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    length.parse::<u8>().is_ok_and(|length| length <= bits)
}

/// Whether an endpoint of a slice should get traffic; `None` when it is gone.
fn health(service: &Service, endpoint: &super::SliceEndpoint) -> Option<Health> {
    if endpoint.ready {
        return Some(Health::Healthy);
    }
    let labels = &service.meta.labels;
    let sticks = SESSIONS.iter().any(|name| {
        let value = labels.get(*name);
        value.is_some_and(|value| !value.is_empty())
    });
    let terminating = endpoint.terminating.unwrap_or(true);
    match (terminating, sticks && endpoint.serving) {
        (true, true) => Some(Health::Draining),
        (true, false) => None,
        (false, _) => Some(Health::Unhealthy),
    }
}

/// The addresses of a pod beside its first.
fn more_addresses(pod: &Arc<Pod>) -> Vec<std::net::IpAddr> {
    let more = pod.addresses.iter().skip(1);
    more.filter_map(|text| text.parse().ok()).collect()
}

/// Where a workload outside of Kubernetes stands.
fn locality(entry: &WorkloadEntry) -> Locality {
    match (entry.locality.as_str(), entry.labels.get(LOCALITY)) {
        ("", Some(label)) => Locality::parse(&label.replace('.', "/")),
        (own, _) => Locality::parse(own),
    }
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
        more: Vec::new(),
        hostname: None,
        node: String::new(),
        locality: locality(entry),
        network: entry.network.clone(),
        by_number: None,
        in_cluster: false,
        mutual_tls,
        weight: entry.weight,
        health: Health::Unknown,
    }
}
