//! What a proxy may see, as a value: an outbound view, shared by the proxies of a namespace for
//! which it is equal, and an inbound view, shared by the replicas of a workload.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::mesh_config::MeshConfig;
use api::networking::sidecar::OutboundMode;
use api::snapshot::{Labels, Locality};

use crate::{
    Families, Flavour, GatewayView, Inbound, Mesh, Mode, PeerModes, Policy, Proxy, Registry,
    Resolution, Role, Routing, Rule, Service, gateways, inbound,
};
use crate::{sidecars, traffic_policy};

/// Everything that a proxy's resources are derived from.
#[derive(Clone, Debug, PartialEq)]
pub struct Scope {
    /// Settings of the mesh.
    pub config: Arc<MeshConfig>,
    /// What it stands for.
    pub role: Role,
    /// Which filters it has.
    pub flavour: Flavour,
    /// Its IP families.
    pub families: Families,
    /// What can be called.
    pub outbound: Arc<Outbound>,
    /// What is served.
    pub inbound: Arc<Inbound>,
    /// What a gateway serves; empty for sidecars.
    pub gateways: Arc<GatewayView>,
    /// The workload that it stands for.
    pub workload: Arc<Workload>,
    /// mTLS modes of workloads, which decide how their endpoints are called.
    pub modes: Arc<PeerModes>,
    /// Its own addresses among those of headless services: it does not listen for itself there.
    pub own_addresses: Vec<std::net::IpAddr>,
}

/// Facts of a workload that reach its resources.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Its namespace.
    pub namespace: String,
    /// Its labels.
    pub labels: Labels,
    /// `namespace.svc.cluster.local`.
    pub dns_domain: String,
    /// Its cluster.
    pub cluster: String,
    /// Its mesh.
    pub mesh_id: String,
    /// Its network.
    pub network: String,
    /// Where it stands.
    pub locality: Locality,
    /// Its node, when an endpoint's being on the same one matters.
    pub node: String,
    /// Its name.
    pub name: String,
}

/// What a namespace can call.
#[derive(Clone, Debug, PartialEq)]
pub struct Outbound {
    /// Visible services, oldest first; one per host.
    pub services: Vec<Arc<OutboundService>>,
    /// Places in `services` by host.
    pub by_host: BTreeMap<String, usize>,
    /// Visible VirtualServices for sidecars: of the own namespace first, oldest first in each.
    pub routings: Vec<Arc<Routing>>,
    /// Unknown destinations.
    pub policy: OutboundMode,
}

/// A service with what applies to calls of it.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboundService {
    /// The service.
    pub service: Arc<Service>,
    /// Its DestinationRule.
    pub rule: Option<Arc<Rule>>,
    /// mTLS mode of its namespace.
    pub mode: Mode,
}

impl Outbound {
    /// A visible service.
    pub fn service(&self, host: &str) -> Option<&Arc<OutboundService>> {
        self.by_host.get(host).map(|place| &self.services[*place])
    }
}

impl OutboundService {
    /// Whether calls of a port use mTLS where the endpoint can, without a rule that says so.
    pub fn expects_mutual_tls(&self, policy: &Policy, port: u16) -> bool {
        let service = &self.service;
        if service.external {
            return false;
        }
        let balancer = policy.load_balancer.as_ref();
        let simple = balancer.and_then(|balancer| balancer.simple.as_deref());
        if service.resolution == Resolution::Passthrough || simple == Some("PASSTHROUGH") {
            // The address decides which endpoint answers, so all must be able to.
            let name = service.port(port).map(|port| port.name.as_str());
            let known = service
                .spelled_out
                .iter()
                .flat_map(|all| all.endpoints.iter());
            let mut known = known
                .filter(|endpoint| name.is_some_and(|name| endpoint.ports.contains_key(name)))
                .peekable();
            if known.peek().is_none() || known.any(|endpoint| !endpoint.mutual_tls) {
                return false;
            }
        }
        self.mode != Mode::Disable
    }
}

impl Mesh {
    /// What a proxy may see.
    pub fn scope(&self, proxy: &Proxy) -> Scope {
        let outbound = self.outbound(proxy);
        let spelled = outbound
            .services
            .iter()
            .filter_map(|visible| visible.service.spelled_out.as_ref())
            .flat_map(|endpoints| endpoints.endpoints.iter());
        let own_addresses = proxy
            .addresses
            .iter()
            .filter(|own| {
                let own = api::snapshot::Address::Ip(**own);
                spelled.clone().any(|endpoint| endpoint.address == own)
            })
            .copied()
            .collect();
        Scope {
            config: self.config.clone(),
            role: proxy.role,
            flavour: proxy.flavour,
            families: proxy.families(),
            inbound: Arc::new(inbound::of(self, proxy)),
            gateways: Arc::new(match proxy.role {
                Role::Router => gateways::of(self, proxy),
                Role::Sidecar => GatewayView::default(),
            }),
            workload: Arc::new(Workload {
                namespace: proxy.namespace.clone(),
                labels: proxy.labels.clone(),
                dns_domain: proxy.dns_domain.clone(),
                cluster: proxy.cluster.clone(),
                mesh_id: proxy.mesh_id.clone(),
                network: proxy.network.clone(),
                locality: proxy.locality.clone(),
                node: proxy.node.clone(),
                name: proxy.workload.clone(),
            }),
            outbound: Arc::new(outbound),
            modes: self.modes.clone(),
            own_addresses,
        }
    }

    fn outbound(&self, proxy: &Proxy) -> Outbound {
        let namespace = proxy.namespace.as_str();
        let egress = match proxy.role {
            Role::Sidecar => sidecars::of(self, proxy),
            Role::Router => None,
        };
        let visible = |own: bool| {
            let egress = egress.as_ref();
            self.routings.iter().filter(move |routing| {
                routing.is_for(crate::MESH_GATEWAY)
                    && routing.visibility.includes(namespace)
                    && is_private(routing, namespace) == own
                    && egress.is_none_or(|egress| egress.takes(routing))
            })
        };
        let routings: Vec<Arc<Routing>> = visible(true).chain(visible(false)).cloned().collect();
        let led_to = sidecars::destinations(routings.iter().map(AsRef::as_ref));
        let mut services: Vec<Arc<OutboundService>> = Vec::new();
        let mut by_host: BTreeMap<String, usize> = BTreeMap::new();
        for service in &self.services {
            if !service.visibility.includes(namespace) {
                continue;
            }
            let narrowed;
            let service = match egress.as_ref().filter(|egress| !egress.reaches(service)) {
                None => service,
                Some(_) => match led_to.get(&service.id.host) {
                    None => continue,
                    Some(ports) if ports.is_empty() => service,
                    Some(ports) => {
                        let mut own = service.as_ref().clone();
                        own.ports.retain(|port| ports.contains(&port.number.into()));
                        narrowed = Arc::new(own);
                        &narrowed
                    }
                },
            };
            let made = Arc::new(OutboundService {
                service: service.clone(),
                rule: traffic_policy::of_service(
                    &self.rules,
                    service,
                    namespace,
                    &proxy.labels,
                    &self.config.root_namespace,
                ),
                mode: self.modes.of_namespace(&service.id.namespace),
            });
            match by_host.get(&service.id.host) {
                None => {
                    by_host.insert(service.id.host.clone(), services.len());
                    services.push(made);
                }
                // The oldest keeps a host, but no ServiceEntry takes it from a Kubernetes Service.
                Some(place) => {
                    let first = &mut services[*place];
                    if first.service.registry == Registry::External
                        && service.registry == Registry::Kubernetes
                    {
                        *first = made;
                    }
                }
            }
        }
        Outbound {
            services,
            by_host,
            routings,
            policy: egress
                .and_then(|egress| egress.policy)
                .unwrap_or(self.config.outbound_traffic_policy.mode),
        }
    }
}

/// Whether only its own namespace sees a routing: such come first.
fn is_private(routing: &Routing, namespace: &str) -> bool {
    match &routing.visibility {
        crate::Visibility::Public => false,
        crate::Visibility::Only(names) => routing.namespace == namespace && names.len() == 1,
    }
}
