//! What a proxy may see, as a value: an outbound view, shared by the proxies of a namespace for
//! which it is equal, and an inbound view, shared by the replicas of a workload.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use api::features::Features;
use api::mesh_config::MeshConfig;
use api::networking::Port as ListenerPort;
use api::networking::sidecar::OutboundMode;
use api::networking::virtual_service::Destination as Target;
use api::snapshot::{Address, Labels, Locality, TrafficDistribution};
use base::ObjectRef;
use base::hash::Map;

use crate::update::same_or_equal;
use crate::{
    Destination, Families, Flavour, GatewayView, Inbound, Mesh, Mode, PeerModes, Policy, Proxy,
    Reach, Resolution, Role, Routing, Rule, Scopes, Security, Service, VirtualHosts, authorization,
    gateways, inbound, networks,
};
use crate::{Networks, Settings, Telemetry};

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
    /// How it takes virtual hosts.
    pub virtual_hosts: VirtualHosts,
    /// What can be called.
    pub outbound: Arc<Outbound>,
    /// What is served.
    pub inbound: Arc<Inbound>,
    /// What a gateway serves; empty for sidecars.
    pub gateways: Arc<GatewayView>,
    /// The workload that it stands for.
    pub workload: Arc<Workload>,
    /// What the proxy decides about calls of its workload.
    pub security: Arc<Security>,
    /// mTLS modes of workloads, which decide how their endpoints are called.
    pub modes: Arc<PeerModes>,
    /// Switches of the environment.
    pub features: Arc<Features>,
    /// Networks that cannot reach each other.
    pub networks: Arc<Networks>,
    /// What the proxy says of itself.
    pub settings: Arc<Settings>,
    /// Who is told of its calls.
    pub telemetry: Arc<Telemetry>,
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
    /// How spans name it, when anybody takes them.
    pub traced_as: TracedAs,
}

/// How spans name a workload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TracedAs {
    /// As the mesh does.
    pub canonical: String,
    /// As OpenTelemetry says for Kubernetes.
    pub conventional: String,
}

/// What a namespace can call.
#[derive(Clone, Debug, PartialEq)]
pub struct Outbound {
    /// Services of all views; one per host. Clusters, endpoints and names are made of these.
    pub services: Vec<Arc<OutboundService>>,
    /// Places in `services` by host.
    pub by_host: Arc<Places>,
    /// One per egress listener, in their order; at least one. Listeners and routes are made of these.
    pub views: Vec<Arc<Egress>>,
    /// Unknown destinations.
    pub policy: OutboundMode,
    /// Where unknown traffic goes instead of where it was bound.
    pub egress_proxy: Option<Target>,
    /// The Sidecar that says what of this, when there is one.
    pub sidecar: Option<Arc<ObjectRef>>,
}

/// Places of services in a list, by host.
pub type Places = Map<Host, usize>;

/// The host of a service, by which that is found.
#[derive(Clone, Debug)]
pub struct Host(pub(crate) Arc<Service>);

impl Borrow<str> for Host {
    fn borrow(&self) -> &str {
        &self.0.id.host
    }
}

impl PartialEq for Host {
    fn eq(&self, other: &Self) -> bool {
        self.0.id.host == other.0.id.host
    }
}

impl Eq for Host {}

impl Hash for Host {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id.host.as_str().hash(state);
    }
}

/// What one egress listener takes in; without a Sidecar there is one for everything.
#[derive(Clone, Debug, PartialEq)]
pub struct Egress {
    /// The port that it is for; absent for every port that no listener before it names.
    pub port: Option<ListenerPort>,
    /// Address or `unix:///path` to bind to; empty when nothing is said.
    pub bind: String,
    /// Whether it listens by itself rather than for captured traffic.
    pub binds_to_port: bool,
    /// Services, the oldest first; several may declare one host in one namespace.
    pub services: Vec<Arc<OutboundService>>,
    /// VirtualServices for sidecars: those of the own namespace alone first, then those exported to
    /// it by name, then public ones; oldest first in each.
    pub routings: Vec<Arc<Routing>>,
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

impl TracedAs {
    fn of(proxy: &Proxy) -> Self {
        let label = |name: &str| proxy.labels.get(name).map_or("", String::as_str);
        let pod = proxy.id.split_once('.').map_or("", |(pod, _)| pod);
        // One container is named, of several none.
        let containers = &proxy.settings.containers;
        let container = match containers.contains(',') {
            true => "",
            false => containers,
        };
        let candidates = [
            proxy.settings.service_annotation.as_str(),
            label("app.kubernetes.io/instance"),
            label("app.kubernetes.io/name"),
            &proxy.workload,
            pod,
            container,
        ];
        let mut named = candidates.into_iter().filter(|name| !name.is_empty());
        TracedAs {
            canonical: proxy.node_cluster.clone(),
            conventional: named.next().unwrap_or("unknown_service").to_owned(),
        }
    }
}

impl Outbound {
    /// A visible service.
    pub fn service(&self, host: &str) -> Option<&Arc<OutboundService>> {
        self.by_host.get(host).map(|place| &self.services[*place])
    }

    /// Whether a port of a host is visible.
    pub fn has(&self, place: &Destination) -> bool {
        let called = self.service(&place.host);
        called.is_some_and(|called| called.service.port(place.port).is_some())
    }

    /// The view that the routes of a listener are made of: the first that is for its port, or, for
    /// port 0, that is bound to the unix socket.
    pub fn view(&self, port: u16, bind: &str) -> Option<&Arc<Egress>> {
        self.views.iter().find(|view| match &view.port {
            None => true,
            Some(own) if own.number != u32::from(port) => false,
            Some(_) => port != 0 || view.bind == bind,
        })
    }
}

impl OutboundService {
    /// Whether calls of a port use mTLS where the endpoint can, without a rule that says so.
    /// `policy` is what the rule says of the host or of the subset, ports left out.
    pub fn expects_mutual_tls(&self, policy: Option<&Policy>, port: u16) -> bool {
        let service = &self.service;
        if service.external {
            return false;
        }
        let balancer = policy.and_then(|policy| policy.load_balancer.as_ref());
        let simple = balancer.and_then(|balancer| balancer.simple.as_deref());
        if service.resolution == Resolution::Passthrough || simple == Some("PASSTHROUGH") {
            // The address decides which endpoint answers, so all must be able to.
            let port = service.port(port);
            if !port.is_some_and(|port| service.mutual_ports.contains(&port.name)) {
                return false;
            }
        }
        self.mode != Mode::Disable
    }
}

impl Outbound {
    /// Whether both are made of the same values. Equal views need not be.
    pub fn is(&self, other: &Self) -> bool {
        crate::scopes::is_same(self, other)
    }
}

impl OutboundService {
    /// Whether its clusters may depend on where the caller stands: on its locality, node, labels.
    pub fn depends_on_place(&self, config: &MeshConfig) -> bool {
        let service = &self.service;
        let failover = config.locality_lb_setting.as_ref();
        let mesh_wide = config.zone_aware_lb_setting.is_some()
            || failover.is_some_and(|setting| !setting.distribute.is_empty())
            || (config.default_traffic_policy.as_ref())
                .is_some_and(|policy| policy.outlier_detection.is_some());
        let of_policy = |policy: &Policy| {
            let ports = &policy.port_level_settings;
            policy.load_balancer.is_some()
                || policy.outlier_detection.is_some()
                || ports
                    .iter()
                    .any(|own| own.load_balancer.is_some() || own.outlier_detection.is_some())
        };
        let of_rule = |rule: &Rule| {
            let subsets = rule.subsets.iter();
            let mut policies = subsets.filter_map(|subset| subset.traffic_policy.as_ref());
            rule.policy.as_ref().is_some_and(of_policy) || policies.any(of_policy)
        };
        mesh_wide
            || service.traffic_distribution.is_some()
            || service.internal_local
            || self.rule.as_deref().is_some_and(of_rule)
    }
}

impl Mesh {
    /// What a proxy may see.
    pub fn scope(&self, proxy: &Proxy) -> Scope {
        Scopes::default().scope(self, proxy)
    }
}

impl Scope {
    /// Whether both are made of the same values. Costs little; equal scopes need not be.
    pub fn is(&self, other: &Self) -> bool {
        let Scope {
            config,
            role,
            flavour,
            families,
            virtual_hosts,
            outbound,
            inbound,
            gateways,
            workload,
            security,
            modes,
            features,
            networks,
            settings,
            telemetry,
            own_addresses,
        } = self;
        Arc::ptr_eq(outbound, &other.outbound)
            && Arc::ptr_eq(inbound, &other.inbound)
            && Arc::ptr_eq(gateways, &other.gateways)
            && Arc::ptr_eq(config, &other.config)
            && Arc::ptr_eq(modes, &other.modes)
            && Arc::ptr_eq(features, &other.features)
            && (role, flavour, families) == (&other.role, &other.flavour, &other.families)
            && *virtual_hosts == other.virtual_hosts
            && *own_addresses == other.own_addresses
            && same_or_equal(security, &other.security)
            && same_or_equal(networks, &other.networks)
            && same_or_equal(settings, &other.settings)
            && same_or_equal(telemetry, &other.telemetry)
            && same_or_equal(workload, &other.workload)
    }

    /// The same with those parts of `before` that are equal.
    #[must_use]
    pub fn keeping(mut self, before: &Self) -> Self {
        if self.inbound == before.inbound {
            self.inbound = before.inbound.clone();
        }
        if self.gateways == before.gateways {
            self.gateways = before.gateways.clone();
        }
        if self.security == before.security {
            self.security = before.security.clone();
        }
        if self.telemetry == before.telemetry {
            self.telemetry = before.telemetry.clone();
        }
        self
    }

    /// Whether a network is the proxy's own, as far as anybody says it.
    pub fn is_own_network(&self, network: &str) -> bool {
        let own = &self.workload.network;
        network.is_empty() || own.is_empty() || network == own
    }

    /// Which addresses of services it can use.
    pub fn reach(&self) -> Reach {
        Reach {
            families: self.families,
            dual_stack: self.features.dual_stack && self.families.v4 && self.families.v6,
            allocated: self.settings.answers_dns,
        }
    }

    /// The scope of a proxy with this outbound view. Of its place only what something depends on
    /// enters, so that replicas in different places share what does not.
    pub(crate) fn new(mesh: &Mesh, proxy: &Proxy, outbound: Arc<Outbound>) -> Self {
        let services = outbound.services.iter();
        let spelled = services
            .clone()
            .filter_map(|visible| visible.service.spelled_out.as_ref())
            .flat_map(|endpoints| endpoints.endpoints.iter());
        let own_addresses = proxy.addresses.iter().filter(|own| {
            let own = Address::Ip(**own);
            spelled.clone().any(|endpoint| endpoint.address == own)
        });
        let place = services
            .clone()
            .any(|called| called.depends_on_place(&mesh.config));
        let on_node = services.clone().any(|called| {
            let service = &called.service;
            service.internal_local
                || service.traffic_distribution == Some(TrafficDistribution::SameNode)
        });
        let telemetry = mesh.telemetry.of(&proxy.namespace, &proxy.labels);
        Scope {
            config: mesh.config.clone(),
            role: proxy.role,
            flavour: proxy.flavour,
            families: proxy.families(),
            virtual_hosts: proxy.virtual_hosts,
            inbound: Arc::new(inbound::of(mesh, proxy, &outbound)),
            gateways: Arc::new(match proxy.role {
                Role::Router => gateways::of(mesh, proxy),
                Role::Sidecar => GatewayView::default(),
            }),
            workload: Arc::new(Workload {
                namespace: proxy.namespace.clone(),
                labels: proxy.labels.clone(),
                dns_domain: proxy.dns_domain.clone(),
                cluster: proxy.cluster.clone(),
                mesh_id: proxy.mesh_id.clone(),
                network: proxy.network.clone(),
                locality: if place {
                    proxy.locality.clone()
                } else {
                    Locality::default()
                },
                node: if on_node {
                    proxy.node.clone()
                } else {
                    String::new()
                },
                name: proxy.workload.clone(),
                traced_as: match telemetry.leaves_spans() {
                    true => TracedAs::of(proxy),
                    false => TracedAs::default(),
                },
            }),
            own_addresses: own_addresses.copied().collect(),
            security: Arc::new(authorization::of(mesh, proxy)),
            modes: mesh.modes.clone(),
            features: mesh.snapshot.features.clone(),
            networks: Arc::new(networks::of(mesh, &proxy.cluster)),
            settings: proxy.settings.clone(),
            telemetry,
            outbound,
        }
    }
}
