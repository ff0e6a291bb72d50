//! The inbound view of a workload: the ports that it serves, for which services, in which mode; by
//! its Services, or by the ingress listeners of its Sidecar.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use api::networking::destination_rule::ConnectionPool;
use api::networking::gateway::ServerTls;
use api::networking::sidecar::{CaptureMode, IngressListener, Sidecar};
use api::snapshot::{Address, Labels, Object, selects};
use base::ObjectRef;

use crate::services::Target;
use crate::settings::Interception;
use crate::{
    Mesh, Mode, Outbound, Port, Protocol, Proxy, Registry, Resolution, Role, Rule, Service,
    sidecars,
};

/// What a workload serves; equal for all its replicas.
#[derive(Clone, Debug, PartialEq)]
pub struct Inbound {
    /// One entry per port of the workload, in the order of their numbers.
    pub ports: Vec<InboundPort>,
    /// Mode of all other ports.
    pub mode: Mode,
    /// Modes of ports that differ.
    pub port_modes: BTreeMap<u16, Mode>,
    /// The PeerAuthentications that say these modes.
    pub modes_origin: Vec<Arc<ObjectRef>>,
}

/// A port of a workload.
#[derive(Clone, Debug, PartialEq)]
pub struct InboundPort {
    /// The number that the workload listens on.
    pub target: u16,
    /// The service that decides the protocol: the oldest. None for a Sidecar's port that is no
    /// Service's.
    pub service: Option<Arc<Service>>,
    /// Its port.
    pub port: Port,
    /// All services that lead here, the oldest first.
    pub services: Vec<Arc<Service>>,
    /// Its mode.
    pub mode: Mode,
    /// The DestinationRule whose limits hold here too.
    pub rule: Option<Arc<Rule>>,
    /// Limits that the Sidecar sets instead.
    pub pool: Option<ConnectionPool>,
    /// That Sidecar, when it sets them for all ports.
    pub pool_origin: Option<Arc<ObjectRef>>,
    /// The listener of a Sidecar that it comes from.
    pub listener: Option<Ingress>,
}

/// An ingress listener of a Sidecar.
#[derive(Clone, Debug, PartialEq)]
pub struct Ingress {
    /// The Sidecar.
    pub origin: Arc<ObjectRef>,
    /// `name.namespace` of the Sidecar where it takes effect, which stands for a host.
    pub host: String,
    /// Address to bind to; empty when nothing is said.
    pub bind: String,
    /// The proxy's own address that it is bound to then, when it has one that others reach.
    pub unicast: Option<IpAddr>,
    /// Whether it listens by itself rather than for captured traffic.
    pub binds_to_port: bool,
    /// TLS that ends here instead of the mesh's.
    pub tls: Option<ServerTls>,
    /// Where traffic goes.
    pub to: Backend,
}

/// Where the traffic of an ingress listener goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// To the address and port that were called.
    Called,
    /// To loopback.
    Loopback {
        /// Whether IPv6 is preferred.
        v6: bool,
        /// The port.
        port: u16,
    },
    /// To an address of the workload's own.
    Own {
        /// The address.
        address: IpAddr,
        /// The port.
        port: u16,
    },
    /// To a unix socket.
    Unix(String),
    /// Nowhere: what is written cannot be read.
    Nowhere,
}

impl InboundPort {
    /// The host that it is known by, in traces and statistics.
    pub fn host(&self) -> &str {
        match (&self.listener, &self.service) {
            (Some(listener), _) => &listener.host,
            (None, Some(service)) => &service.id.host,
            (None, None) => "",
        }
    }
}

pub(crate) fn of(mesh: &Mesh, proxy: &Proxy, outbound: &Outbound) -> Inbound {
    let (mode, port_modes) = mesh.modes.of_workload(&proxy.namespace, &proxy.labels);
    let mode_of = |port: u16| port_modes.get(&port).copied().unwrap_or(mode);
    let sidecar = sidecars::of(mesh, proxy).filter(|sidecar| !sidecar.spec.ingress.is_empty());
    let served = served(mesh, proxy, outbound, &mode_of);
    let none = proxy.settings.interception == Interception::None;
    let merges = mesh.snapshot.features.merge_sidecar_ingress;
    let mut ports: BTreeMap<u16, InboundPort> = BTreeMap::new();
    match sidecar {
        _ if proxy.role == Role::Router => {}
        None => {
            // Without capture, listeners would take the ports of the workload itself.
            if !none {
                ports = served;
            }
        }
        Some(sidecar) => {
            for listener in &sidecar.spec.ingress {
                let Ok(number) = u16::try_from(listener.port.number) else {
                    continue;
                };
                let known = served.get(&number);
                let made = of_sidecar(mesh, proxy, sidecar, listener, number, known);
                ports.entry(number).or_insert(InboundPort {
                    mode: mode_of(number),
                    ..made
                });
            }
            if merges {
                for (number, port) in served {
                    ports.entry(number).or_insert(port);
                }
            }
        }
    }
    // What the Sidecar says of all ports outdoes rules, as that of a single one does.
    let pool = sidecars::of(mesh, proxy)
        .and_then(|own| Some((own, own.spec.inbound_connection_pool.as_ref()?)));
    if let Some((sidecar, pool)) = pool {
        for port in ports.values_mut().filter(|port| port.pool.is_none()) {
            port.pool = Some(pool.clone());
            port.pool_origin = Some(sidecar.meta.reference.clone());
        }
    }
    Inbound {
        ports: ports.into_values().collect(),
        mode,
        port_modes,
        modes_origin: mesh
            .modes
            .origin_of_workload(&proxy.namespace, &proxy.labels),
    }
}

/// The ports of the Services that a workload stands behind, by target.
fn served(
    mesh: &Mesh,
    proxy: &Proxy,
    outbound: &Outbound,
    mode_of: &impl Fn(u16) -> Mode,
) -> BTreeMap<u16, InboundPort> {
    let own = |service: &&Arc<Service>| service.id.namespace == proxy.namespace;
    let workload = Served::of(mesh, proxy);
    let selected = |service: &&Arc<Service>| {
        let selector = service.selector.as_ref();
        selector.is_some_and(|selector| selects(selector, workload.labels))
    };
    let mut services: Vec<&Arc<Service>> = mesh.services.iter().filter(own).collect();
    // Ties are broken by host here, not by name.
    services.sort_by(|a, b| (a.created, &a.id.host).cmp(&(b.created, &b.id.host)));
    let kubernetes = |service: &&Arc<Service>| service.registry == Registry::Kubernetes;
    let by_selector = services.iter().copied().filter(kubernetes);
    let mut targets: Vec<(&Arc<Service>, &Port, u16)> = Vec::new();
    for service in by_selector.clone().filter(selected) {
        if workload.outside && service.resolution != Resolution::Endpoints {
            continue;
        }
        for port in &service.ports {
            if let Some(target) = workload.of_service(port) {
                targets.push((service, port, target));
            }
        }
    }
    if targets.is_empty() && !workload.outside {
        let first = proxy.addresses.first();
        for service in by_selector {
            targets.extend(by_address(service, first));
        }
    }
    for service in services
        .iter()
        .copied()
        .filter(|service| !kubernetes(service))
    {
        let addressed = proxy.addresses.iter();
        if selected(&service) {
            for port in &service.ports {
                if let Some(target) = workload.of_entry(port) {
                    targets.push((service, port, target));
                }
            }
        } else {
            for address in addressed.filter(|own| service.listed.contains(own)) {
                targets.extend(of_entry(mesh, service, address));
            }
        }
    }
    targets.sort_by(|a, b| (a.0.created, &a.0.id.host).cmp(&(b.0.created, &b.0.id.host)));
    let mut ports: BTreeMap<u16, InboundPort> = BTreeMap::new();
    for (service, port, target) in targets {
        let entry = ports.entry(target).or_insert_with(|| InboundPort {
            target,
            service: Some(service.clone()),
            port: port.clone(),
            services: Vec::new(),
            rule: rule(mesh, proxy, outbound, service),
            mode: mode_of(target),
            pool: None,
            pool_origin: None,
            listener: None,
        });
        let same = entry.port.number == port.number;
        let known = entry
            .services
            .iter()
            .any(|known| known.id.host == service.id.host);
        if same && !known {
            entry.services.push(service.clone());
        }
    }
    ports
}

/// The rule for a service, as far as the workload sees that at all.
fn rule(mesh: &Mesh, proxy: &Proxy, outbound: &Outbound, service: &Service) -> Option<Arc<Rule>> {
    let seen = outbound.service(&service.id.host)?;
    let root = &mesh.config.root_namespace;
    mesh.rules.of_server(&seen.service, &proxy.namespace, root)
}

/// What the proxy stands before: a pod, or what a WorkloadEntry with its address describes.
struct Served<'a> {
    labels: &'a Labels,
    ports: BTreeMap<&'a str, u16>,
    outside: bool,
}

impl<'a> Served<'a> {
    fn of(mesh: &'a Mesh, proxy: &'a Proxy) -> Self {
        let entries = mesh
            .snapshot
            .workload_entries
            .in_namespace(&proxy.namespace);
        let mut entries = entries.filter(|entry| !entry.spec.unhealthy);
        let address = proxy.addresses.first();
        let known = entries.find(|entry| {
            let own = entry.spec.address.parse::<IpAddr>().ok();
            own.is_some() && own.as_ref() == address && !entry.spec.labels.is_empty()
        });
        match known {
            Some(entry) => Served {
                labels: &entry.spec.labels,
                ports: entry
                    .spec
                    .ports
                    .iter()
                    .filter_map(|(name, port)| Some((name.as_str(), u16::try_from(*port).ok()?)))
                    .collect(),
                outside: true,
            },
            None => Served {
                labels: &proxy.labels,
                ports: proxy
                    .ports
                    .iter()
                    .rev()
                    .map(|(name, port)| (name.as_str(), *port))
                    .collect(),
                outside: false,
            },
        }
    }

    /// Where it listens for a port of a Service.
    fn of_service(&self, port: &Port) -> Option<u16> {
        let own = |name: &str| self.ports.get(name).copied();
        match &port.target {
            Target::Number(number) if self.outside => own(&port.name).or(Some(*number)),
            Target::Number(number) => Some(*number),
            Target::Name(name) => own(name),
        }
    }

    /// Where it listens for a port of a ServiceEntry, which knows its ports by name.
    fn of_entry(&self, port: &Port) -> Option<u16> {
        match (self.ports.get(port.name.as_str()), &port.target) {
            (Some(own), _) => Some(*own),
            (None, Target::Number(number)) => Some(*number),
            (None, Target::Name(_)) => None,
        }
    }
}

/// Ports of a headless Service without a selector that has the workload among its endpoints.
fn by_address<'a>(
    service: &'a Arc<Service>,
    address: Option<&IpAddr>,
) -> Vec<(&'a Arc<Service>, &'a Port, u16)> {
    let known = service.spelled_out.iter().flat_map(|all| &all.endpoints);
    let mut found = Vec::new();
    for endpoint in known {
        if address.is_none_or(|own| endpoint.address != Address::Ip(*own)) {
            continue;
        }
        for port in &service.ports {
            if let Some(target) = endpoint.ports.get(&port.name) {
                found.push((service, port, *target));
            }
        }
    }
    found
}

/// Ports of a ServiceEntry that lists the workload's address.
fn of_entry<'a>(
    mesh: &Mesh,
    service: &'a Arc<Service>,
    address: &IpAddr,
) -> Vec<(&'a Arc<Service>, &'a Port, u16)> {
    let name = service.origin.name.as_str();
    let key = api::snapshot::Key::new(&service.id.namespace, name);
    let Some(entry) = mesh.snapshot.service_entries.get(&key) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for endpoint in &entry.spec.endpoints {
        if endpoint.address.parse::<IpAddr>().ok().as_ref() != Some(address) {
            continue;
        }
        for port in &service.ports {
            let own = endpoint.ports.get(&port.name).copied();
            let target = match (own.and_then(|own| u16::try_from(own).ok()), &port.target) {
                (Some(own), _) if own != 0 => own,
                (_, Target::Number(number)) => *number,
                _ => continue,
            };
            found.push((service, port, target));
        }
    }
    found
}

fn of_sidecar(
    mesh: &Mesh,
    proxy: &Proxy,
    sidecar: &Object<Sidecar>,
    listener: &IngressListener,
    number: u16,
    served: Option<&InboundPort>,
) -> InboundPort {
    let service = served.and_then(|port| port.service.clone());
    let tls = listener.tls.clone();
    let protocol = Protocol::parse(&listener.port.protocol);
    let ends_tls = tls.is_some() && mesh.snapshot.features.sidecar_ingress_tls;
    let own_namespace = &proxy.namespace;
    InboundPort {
        target: number,
        services: service
            .iter()
            .filter(|service| !service.external)
            .cloned()
            .collect(),
        service,
        port: Port {
            number,
            name: listener.port.name.clone(),
            protocol: if ends_tls {
                protocol.after_tls()
            } else {
                protocol
            },
            target: Target::Number(number),
        },
        mode: Mode::Permissive,
        rule: served.and_then(|port| port.rule.clone()),
        pool: listener.connection_pool.clone(),
        pool_origin: None,
        listener: Some(Ingress {
            origin: sidecar.meta.reference.clone(),
            host: format!("{}.{own_namespace}", sidecar.meta.name()),
            bind: listener.bind.clone(),
            unicast: proxy
                .addresses
                .iter()
                .find(|address| is_global_unicast(address))
                .filter(|_| listener.bind.is_empty())
                .copied(),
            binds_to_port: match listener.capture_mode {
                CaptureMode::Default => proxy.settings.interception == Interception::None,
                CaptureMode::None => true,
                CaptureMode::Iptables => false,
            },
            tls: tls.filter(|_| ends_tls),
            to: backend(&listener.default_endpoint, proxy),
        }),
    }
}

/// Whether others can reach an address: neither loopback nor link-local nor multicast.
fn is_global_unicast(address: &IpAddr) -> bool {
    let link_local = match address {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !(link_local || address.is_loopback() || address.is_multicast() || address.is_unspecified())
}

fn backend(text: &str, proxy: &Proxy) -> Backend {
    if text.is_empty() {
        return Backend::Called;
    }
    if text.starts_with("unix://") {
        return Backend::Unix(text.to_owned());
    }
    let Some((address, port)) = text.rsplit_once(':') else {
        return Backend::Nowhere;
    };
    let Ok(port) = port.parse::<u16>() else {
        return Backend::Nowhere;
    };
    let first = |v6: bool| proxy.addresses.iter().find(|own| own.is_ipv6() == v6);
    let own = |v6: bool| match first(v6) {
        Some(address) => Backend::Own {
            address: *address,
            port,
        },
        None => Backend::Loopback { v6, port },
    };
    match address {
        "0.0.0.0" => own(false),
        "[::]" => own(true),
        "127.0.0.1" => Backend::Loopback { v6: false, port },
        "[::1]" => Backend::Loopback { v6: true, port },
        _ => Backend::Called,
    }
}
