//! Services of the mesh: Kubernetes Services and ServiceEntries in one form.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::mesh_config::MeshConfig;
use api::networking::service_entry::{Location, Resolution as EntryResolution, ServiceEntry};
use api::snapshot::{
    HostEndpoints, HostId, Labels, Object, Service as KubernetesService, Snapshot, TargetPort,
    Timestamp, Transport,
};
use base::ObjectRef;

use crate::{Protocol, Visibility};

/// A host that can be called.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// Host and the namespace that declares it.
    pub id: HostId,
    /// Name of the Kubernetes Service, or the host.
    pub name: String,
    /// The object that declares it.
    pub origin: ObjectRef,
    /// What declares it.
    pub registry: Registry,
    /// When it was declared.
    pub created: Timestamp,
    /// Its ports; those of UDP are served, but not called through the mesh.
    pub ports: Vec<Port>,
    /// Virtual addresses or ranges; empty for headless ones.
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
    /// Names that its certificate may have beyond its accounts.
    pub subject_alt_names: Vec<String>,
    /// Its endpoints, when clusters or listeners spell them out.
    pub spelled_out: Option<Arc<HostEndpoints>>,
    /// `PreferClose` and the like.
    pub traffic_distribution: Option<String>,
    /// `internalTrafficPolicy: Local`.
    pub internal_local: bool,
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

    /// The addresses that listeners bind to and routes know it by.
    pub fn virtual_addresses(&self) -> &[String] {
        if self.addresses.is_empty() {
            &self.allocated
        } else {
            &self.addresses
        }
    }
}

/// All services, oldest first.
pub(crate) fn collect(snapshot: &Snapshot, domain: &str) -> Vec<Arc<Service>> {
    let mesh = &snapshot.mesh;
    let kubernetes = snapshot
        .services
        .values()
        .filter(|service| service.external_name.is_none())
        .map(|service| of_kubernetes(service, mesh, domain));
    let entries = snapshot.service_entries.values();
    let entries = entries.flat_map(|entry| of_entry(entry, mesh));
    let mut found: Vec<Service> = kubernetes.chain(entries).collect();
    for service in &mut found {
        if let Some(accounts) = snapshot.accounts.get(&service.id) {
            service.accounts = accounts.clone();
        }
        service.spelled_out = snapshot.spelled_out.get(&service.id).cloned();
    }
    let age = |service: &Service| {
        let HostId { namespace, host } = service.id.clone();
        (service.created, service.name.clone(), namespace, host)
    };
    found.sort_by_cached_key(age);
    found.into_iter().map(Arc::new).collect()
}

fn of_kubernetes(service: &KubernetesService, mesh: &MeshConfig, domain: &str) -> Service {
    let (name, namespace) = (service.meta.name(), service.meta.namespace());
    let export_to = service.export_to.clone().unwrap_or_default();
    Service {
        id: HostId {
            namespace: namespace.to_owned(),
            host: format!("{name}.{namespace}.svc.{domain}"),
        },
        name: name.to_owned(),
        origin: service.meta.reference.clone(),
        registry: Registry::Kubernetes,
        created: service.meta.created,
        ports: service
            .ports
            .iter()
            .map(|port| Port {
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
            })
            .collect(),
        addresses: service.addresses.clone(),
        allocated: Vec::new(),
        resolution: if service.headless {
            Resolution::Passthrough
        } else {
            Resolution::Endpoints
        },
        external: false,
        visibility: Visibility::of(&export_to, &mesh.default_service_export_to, namespace),
        selector: service.selector.clone(),
        accounts: Arc::default(),
        subject_alt_names: service.extra_accounts.clone(),
        spelled_out: None,
        traffic_distribution: service.traffic_distribution.clone(),
        internal_local: service.internal_local,
    }
}

fn of_entry<'a>(
    entry: &'a Object<ServiceEntry>,
    mesh: &'a MeshConfig,
) -> impl Iterator<Item = Service> + 'a {
    let spec = &entry.spec;
    let namespace = entry.meta.namespace();
    let ports: Vec<Port> = spec
        .ports
        .iter()
        .filter_map(|port| {
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
        })
        .collect();
    spec.hosts.iter().map(move |host| Service {
        id: HostId {
            namespace: namespace.to_owned(),
            host: host.clone(),
        },
        name: host.clone(),
        origin: entry.meta.reference.clone(),
        registry: Registry::External,
        created: entry.meta.created,
        ports: ports.clone(),
        addresses: spec.addresses.clone(),
        allocated: spec.allocated.clone(),
        resolution: match spec.resolution {
            EntryResolution::None | EntryResolution::DynamicDns => Resolution::Passthrough,
            EntryResolution::Static => Resolution::Endpoints,
            EntryResolution::Dns => Resolution::Dns,
            EntryResolution::DnsRoundRobin => Resolution::DnsRoundRobin,
        },
        external: spec.location == Location::MeshExternal,
        visibility: Visibility::of(&spec.export_to, &mesh.default_service_export_to, namespace),
        selector: spec
            .workload_selector
            .as_ref()
            .map(|selector| selector.labels.clone()),
        accounts: Arc::default(),
        subject_alt_names: spec.subject_alt_names.clone(),
        spelled_out: None,
        traffic_distribution: None,
        internal_local: false,
    })
}
