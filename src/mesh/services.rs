//! Services of the mesh: Kubernetes Services and ServiceEntries in one form.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use api::networking::service_entry::{Location, Resolution as EntryResolution, ServiceEntry};
use api::snapshot::{
    HostEndpoints, HostId, Key, Labels, Object, Service as KubernetesService, Snapshot, TargetPort,
    Timestamp, TrafficDistribution, Transport,
};
use base::ObjectRef;
use base::hash::Set;

use crate::{Families, Protocol, Visibility, visibility};

/// Label of ServiceEntries for which no addresses are to be allocated.
const NO_ALLOCATION: &str = "networking.istio.io/enable-autoallocate-ip";

/// A host that can be called.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// Host and the namespace that declares it.
    pub id: HostId,
    /// Name of the Kubernetes Service, or the host.
    pub name: String,
    /// The object that declares it.
    pub origin: Arc<ObjectRef>,
    /// What declares it.
    pub registry: Registry,
    /// When it was declared.
    pub created: Timestamp,
    /// Its ports; those of UDP are served, but not called through the mesh.
    pub ports: Vec<Port>,
    /// Virtual addresses; empty for headless ones. A ServiceEntry has one address or range at most.
    pub addresses: Vec<String>,
    /// Addresses that were allocated for a ServiceEntry without any.
    pub allocated: Vec<String>,
    /// How its endpoints are found.
    pub resolution: Resolution,
    /// Outside of the mesh: no mTLS.
    pub external: bool,
    /// Who sees it.
    pub visibility: Visibility,
    /// Workloads that serve it, by labels; `None` when it does not select.
    pub selector: Option<Labels>,
    /// Service accounts (namespace, name) behind it.
    pub accounts: Arc<BTreeSet<(String, String)>>,
    /// Labels of the object that declares it.
    pub labels: Labels,
    /// Hosts that only stand for it (`ExternalName`).
    pub aliases: Vec<String>,
    /// The host that it only stands for.
    pub alias_of: Option<String>,
    /// Names that its certificate may have beyond its accounts.
    pub subject_alt_names: Vec<String>,
    /// Names of its ports that all endpoints, one at least, accept mTLS on.
    pub mutual_ports: Arc<BTreeSet<String>>,
    /// Its endpoints, when clusters or listeners spell them out.
    pub spelled_out: Option<Arc<HostEndpoints>>,
    /// Which endpoints it wants callers to prefer.
    pub traffic_distribution: Option<TrafficDistribution>,
    /// `internalTrafficPolicy: Local`.
    pub internal_local: bool,
    /// Addresses by which it is reached from outside of the cluster.
    pub external_addresses: Vec<String>,
    /// Ports that nodes listen on for its ports, where these lead to those addresses.
    pub node_ports: BTreeMap<u16, u16>,
    /// Whether addresses that are not ready are published.
    pub publish_not_ready: bool,
    /// Ports at addresses that callers chose themselves, by the port that they called.
    pub port_overrides: BTreeMap<u16, u16>,
    /// Whether names are resolved in both families, for the first that connects.
    pub resolves_both_families: bool,
    /// Addresses of the workloads that its ServiceEntry lists.
    pub listed: Arc<[IpAddr]>,
}

/// What declares a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Registry {
    /// A Kubernetes Service.
    Kubernetes,
    /// A ServiceEntry.
    External,
}

/// How endpoints are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resolution {
    /// The control plane tells them.
    Endpoints,
    /// The address that the caller used.
    Passthrough,
    /// By DNS, all answers.
    Dns,
    /// By DNS, the first answer.
    DnsRoundRobin,
    /// By DNS, the name that the caller says; for wildcards.
    DynamicDns,
    /// Those of the service that it stands for.
    Alias,
}

/// One port of a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Port {
    /// The number that clients use.
    pub number: u16,
    /// Its name, which endpoints know it by.
    pub name: String,
    /// What is spoken.
    pub protocol: Protocol,
    /// Where workloads listen.
    pub target: Target,
}

/// Where workloads listen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// A port by number.
    Number(u16),
    /// A container port by name.
    Name(String),
}

impl Service {
    /// One port by number.
    pub fn port(&self, number: u16) -> Option<&Port> {
        self.called().find(|port| port.number == number)
    }

    /// The ports that are called through the mesh.
    pub fn called(&self) -> impl Iterator<Item = &Port> {
        let ports = self.ports.iter();
        ports.filter(|port| port.protocol != Protocol::Udp)
    }

    /// The address that a proxy listens on for it; `None` when it has none of its own.
    pub fn address(&self, reach: Reach) -> Option<&str> {
        let mut own = self.addresses.iter().map(String::as_str);
        match self.registry {
            Registry::Kubernetes => own
                .clone()
                .find(|address| reach.families.includes(address))
                // Of another family than the proxy's: better that than every address.
                .or_else(|| own.next()),
            Registry::External => {
                let first = own.next();
                first.or_else(|| self.allocated(reach).first().copied())
            }
        }
    }

    /// All addresses that a proxy knows it by.
    pub fn addresses_for(&self, reach: Reach) -> Vec<&str> {
        let own = self.addresses.iter().map(String::as_str);
        match self.registry {
            Registry::Kubernetes => usable(own.collect(), reach),
            Registry::External if self.addresses.is_empty() => self.allocated(reach),
            // Whatever its family: the caller decides what it calls.
            Registry::External => own.collect(),
        }
    }

    /// Allocated addresses count for proxies that answer DNS with them: IPv4 first.
    fn allocated(&self, reach: Reach) -> Vec<&str> {
        if !reach.allocated {
            return Vec::new();
        }
        let own = self.allocated.iter().map(String::as_str);
        let mut known: Vec<&str> = own.collect();
        known.sort_by_key(|address| address.contains(':'));
        usable(known, reach)
    }
}

/// The addresses that a proxy can use. One of both families uses those of one, that of the first,
/// unless it is to use both.
fn usable(mut addresses: Vec<&str>, reach: Reach) -> Vec<&str> {
    let both = reach.families.v4 && reach.families.v6;
    if both && reach.dual_stack {
        return addresses;
    }
    let first = addresses.first().map(|address| address.contains(':'));
    addresses.retain(|address| {
        reach.families.includes(address) && (!both || Some(address.contains(':')) == first)
    });
    addresses
}

/// Which addresses of services a proxy can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reach {
    /// Its IP families.
    pub families: Families,
    /// Whether it uses both families at once.
    pub dual_stack: bool,
    /// Whether it answers DNS itself, so that allocated addresses are known to its workload.
    pub allocated: bool,
}

/// All services, oldest first. A ServiceEntry is one for each of its hosts and addresses.
pub(crate) fn collect(snapshot: &Snapshot, domain: &str) -> Vec<Arc<Service>> {
    let kubernetes = snapshot.services.values();
    let kubernetes = kubernetes.map(|service| of_kubernetes(service, snapshot, domain));
    let entries = snapshot.service_entries.values();
    let entries = entries.flat_map(|entry| of_entry(entry, snapshot));
    let mut found: Vec<Service> = kubernetes.chain(entries).collect();
    for service in &mut found {
        tell(service, snapshot);
    }
    alias(&mut found);
    let mut found: Vec<Arc<Service>> = found.into_iter().map(Arc::new).collect();
    found.sort_by(|a, b| age(a).cmp(&age(b)));
    found
}

/// The order of services.
fn age(service: &Service) -> (Timestamp, &str, &str, &str) {
    let HostId { namespace, host } = &service.id;
    (service.created, &service.name, namespace, host)
}

/// Tells a service what its endpoints say of it.
fn tell(service: &mut Service, snapshot: &Snapshot) {
    let accounts = snapshot.accounts.get(&service.id);
    service.accounts = accounts.cloned().unwrap_or_default();
    let ports = snapshot.mutual_ports.get(&service.id);
    service.mutual_ports = ports.cloned().unwrap_or_default();
    service.spelled_out = snapshot.spelled_out.get(&service.id).cloned();
}

/// The services of a snapshot from those of one before, where only some objects differ and none of them stands for
/// another of the mesh. `None` where all have to be made anew.
pub(crate) fn updated(
    services: &[Arc<Service>],
    before: &Snapshot,
    snapshot: &Snapshot,
    domain: &str,
) -> Option<Vec<Arc<Service>>> {
    let same = Arc::ptr_eq(&before.mesh, &snapshot.mesh)
        && before.namespaces.is(&snapshot.namespaces)
        && before.accounts.ptr_eq(&snapshot.accounts)
        && before.mutual_ports.ptr_eq(&snapshot.mutual_ports)
        && before.spelled_out.ptr_eq(&snapshot.spelled_out);
    if !same {
        return None;
    }
    let (mut gone, mut made) = (Vec::new(), Vec::new());
    for (old, new) in snapshot.services.differing(&before.services) {
        gone.extend(old.map(|old| &*old.meta.reference));
        made.extend(new.map(|new| of_kubernetes(new, snapshot, domain)));
    }
    let entries = snapshot.service_entries.differing(&before.service_entries);
    for (old, new) in entries {
        gone.extend(old.map(|old| &*old.meta.reference));
        made.extend(new.into_iter().flat_map(|new| of_entry(new, snapshot)));
    }
    // Looking for many in turn would take longer than making all.
    if gone.len() > 16 || made.len() > 16 {
        return None;
    }
    let (mut found, mut known) = (Vec::with_capacity(services.len()), Vec::new());
    for service in services {
        let origin = &service.origin;
        // Names differ first.
        let goes = gone
            .iter()
            .any(|gone| gone.name == origin.name && **gone == **origin);
        if goes { &mut known } else { &mut found }.push(service.clone());
    }
    let changed: Vec<&Service> = known.iter().map(AsRef::as_ref).chain(&made).collect();
    if !stand_alone(&changed, &found) {
        return None;
    }
    for mut service in made {
        tell(&mut service, snapshot);
        let known = known.iter().find(|known| ***known == service).cloned();
        let place = found.partition_point(|own| age(own) <= age(&service));
        // Of two objects that declare the same host at once, their names decide.
        let beside = place.checked_sub(1).map(|place| &found[place]);
        if beside.is_some_and(|own| age(own) == age(&service) && own.origin != service.origin) {
            return None;
        }
        found.insert(place, known.unwrap_or_else(|| Arc::new(service)));
    }
    Some(found)
}

/// Whether no service stands for one of `changed`, and none of these for a service.
fn stand_alone(changed: &[&Service], others: &[Arc<Service>]) -> bool {
    let hosts: Set<&str> = changed.iter().map(|own| own.id.host.as_str()).collect();
    let targets = changed.iter().filter_map(|own| own.alias_of.as_deref());
    let targets: Set<&str> = targets.collect();
    let others = others.iter().map(AsRef::as_ref);
    others.chain(changed.iter().copied()).all(|service| {
        let target = service.alias_of.as_deref();
        !targets.contains(service.id.host.as_str())
            && target.is_none_or(|target| !hosts.contains(target))
    })
}

/// Tells services which others only stand for them, over any number of steps. Those that only stand
/// for each other stand for nothing.
fn alias(services: &mut [Service]) {
    let aliases: BTreeMap<String, String> = services
        .iter()
        .filter_map(|service| Some((service.id.host.clone(), service.alias_of.clone()?)))
        .collect();
    if aliases.is_empty() {
        return;
    }
    let mut of: BTreeMap<String, Vec<HostId>> = BTreeMap::new();
    for service in services.iter() {
        let Some(mut to) = service.alias_of.as_deref() else {
            continue;
        };
        let mut seen = BTreeSet::from([service.id.host.as_str(), to]);
        let concrete = loop {
            match aliases.get(to) {
                None => break Some(to),
                Some(next) if !seen.insert(next) => break None,
                Some(next) => to = next,
            }
        };
        if let Some(host) = concrete {
            of.entry(host.to_owned())
                .or_default()
                .push(service.id.clone());
        }
    }
    of.values_mut().for_each(|ids| ids.sort());
    for service in services {
        if let Some(ids) = of.get(&service.id.host) {
            service.aliases = ids.iter().map(|id| id.host.clone()).collect();
        }
    }
}

fn of_kubernetes(service: &KubernetesService, snapshot: &Snapshot, domain: &str) -> Service {
    let mesh = &snapshot.mesh;
    let (name, namespace) = (service.meta.name(), service.meta.namespace());
    let export_to = service.export_to.clone().unwrap_or_default();
    let ports = service.ports.iter().map(|port| Port {
        number: port.number,
        name: port.name.clone(),
        protocol: match port.transport {
            Transport::Udp => Protocol::Udp,
            _ => Protocol::of_port(port.number, &port.name, port.app_protocol.as_deref()),
        },
        target: match &port.target {
            TargetPort::Number(number) => Target::Number(*number),
            TargetPort::Name(name) => Target::Name(name.clone()),
        },
    });
    Service {
        id: HostId {
            namespace: namespace.to_owned(),
            host: format!("{name}.{namespace}.svc.{domain}"),
        },
        name: name.to_owned(),
        origin: service.meta.reference.clone(),
        registry: Registry::Kubernetes,
        created: service.meta.created,
        ports: ports.collect(),
        addresses: service.addresses.clone(),
        allocated: Vec::new(),
        resolution: if service.headless {
            Resolution::Passthrough
        } else if service.external_name.is_some() {
            Resolution::Alias
        } else {
            Resolution::Endpoints
        },
        external: service.external_name.is_some(),
        visibility: Visibility::of(&export_to, &mesh.default_service_export_to, namespace),
        selector: service.selector.clone(),
        accounts: Arc::default(),
        mutual_ports: Arc::default(),
        labels: service.meta.labels.clone(),
        aliases: Vec::new(),
        alias_of: service.external_name.clone(),
        subject_alt_names: service.extra_accounts.clone(),
        spelled_out: None,
        traffic_distribution: service
            .traffic_distribution
            .or_else(|| wish(snapshot, namespace)),
        internal_local: service.internal_local,
        external_addresses: service.external_addresses.clone(),
        node_ports: service.node_ports.iter().copied().collect(),
        publish_not_ready: service.publish_not_ready,
        port_overrides: BTreeMap::new(),
        resolves_both_families: false,
        listed: Arc::default(),
    }
}

/// The wish of a namespace for its services.
fn wish(snapshot: &Snapshot, namespace: &str) -> Option<TrafficDistribution> {
    let own = snapshot.namespaces.get(&Key::new("", namespace));
    own.and_then(|own| own.traffic_distribution)
}

fn of_entry(entry: &Object<ServiceEntry>, snapshot: &Snapshot) -> Vec<Service> {
    let (spec, mesh) = (&entry.spec, &snapshot.mesh);
    let namespace = entry.meta.namespace();
    let ports = spec.ports.iter().filter_map(|port| {
        let number = u16::try_from(port.number).ok()?;
        let target = match u16::try_from(port.target_port).ok()? {
            0 => number,
            target => target,
        };
        Some(Port {
            number,
            name: port.name.clone(),
            protocol: Protocol::parse(&port.protocol),
            target: Target::Number(target),
        })
    });
    let ports: Vec<Port> = ports.collect();
    let addresses: Vec<String> = spec
        .addresses
        .iter()
        .filter_map(|text| whole(text))
        .collect();
    let resolution = match spec.resolution {
        EntryResolution::None => Resolution::Passthrough,
        EntryResolution::Static => Resolution::Endpoints,
        EntryResolution::Dns => Resolution::Dns,
        EntryResolution::DnsRoundRobin => Resolution::DnsRoundRobin,
        EntryResolution::DynamicDns => Resolution::DynamicDns,
    };
    let visibility = Visibility::of(&spec.export_to, &mesh.default_service_export_to, namespace);
    let visibility = visibility::capped(visibility, snapshot, namespace);
    let selector = spec.workload_selector.as_ref();
    let listed = spec.endpoints.iter();
    let listed: Arc<[IpAddr]> = listed
        .filter_map(|endpoint| endpoint.address.parse().ok())
        .collect();
    let made = |host: &String, address: Option<&String>| Service {
        id: HostId {
            namespace: namespace.to_owned(),
            host: host.clone(),
        },
        name: host.clone(),
        origin: entry.meta.reference.clone(),
        registry: Registry::External,
        created: entry.meta.created,
        ports: ports.clone(),
        addresses: address.into_iter().cloned().collect(),
        allocated: if allocates(entry) {
            let own = spec.allocated.iter().filter(|(of, _)| of == host);
            own.map(|(_, value)| value.clone()).collect()
        } else {
            Vec::new()
        },
        resolution,
        external: spec.location == Location::MeshExternal,
        visibility: visibility.clone(),
        selector: selector.map(|selector| selector.labels.clone()),
        accounts: Arc::default(),
        mutual_ports: Arc::default(),
        labels: entry.meta.labels.clone(),
        aliases: Vec::new(),
        alias_of: None,
        subject_alt_names: spec.subject_alt_names.clone(),
        spelled_out: None,
        traffic_distribution: entry
            .spec
            .traffic_distribution
            .or_else(|| wish(snapshot, namespace)),
        internal_local: false,
        external_addresses: Vec::new(),
        node_ports: BTreeMap::new(),
        publish_not_ready: false,
        port_overrides: overrides(spec),
        resolves_both_families: spec.races_connections,
        listed: listed.clone(),
    };
    let hosts = spec.hosts.iter();
    if spec.addresses.is_empty() {
        return hosts.map(|host| made(host, None)).collect();
    }
    hosts
        .flat_map(|host| addresses.iter().map(move |address| (host, address)))
        .map(|(host, address)| made(host, Some(address)))
        .collect()
}

/// Ports that stand in place of those that callers of unknown addresses call.
fn overrides(spec: &ServiceEntry) -> BTreeMap<u16, u16> {
    let ports = spec.ports.iter();
    let ports =
        ports.filter(|port| spec.resolution == EntryResolution::None && port.target_port != 0);
    ports
        .filter_map(|port| {
            let target = u16::try_from(port.target_port).ok()?;
            Some((u16::try_from(port.number).ok()?, target))
        })
        .collect()
}

/// Whether addresses that were allocated for an entry count.
fn allocates(entry: &Object<ServiceEntry>) -> bool {
    let label = entry.meta.labels.get(NO_ALLOCATION);
    let refused = label.is_some_and(|value| value.eq_ignore_ascii_case("false"));
    !refused && entry.spec.addresses.is_empty() && entry.spec.resolution != EntryResolution::None
}

/// An address or range; a range of one address is that address, and what is neither is left out.
fn whole(text: &str) -> Option<String> {
    let Some((address, length)) = text.split_once('/') else {
        return text.parse::<IpAddr>().ok().map(|_| text.to_owned());
    };
    let parsed: IpAddr = address.parse().ok()?;
    let length: u8 = length.parse().ok()?;
    let bits = if parsed.is_ipv4() { 32 } else { 128 };
    (length <= bits).then(|| {
        if length == bits {
            parsed.to_string()
        } else {
            text.to_owned()
        }
    })
}
