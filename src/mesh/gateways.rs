//! Gateways: the servers that a gateway workload has, merged by the place where they listen, with
//! the routes of each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::networking::gateway::{Gateway, Server, ServerTls, ServerTlsMode};
use api::snapshot::{Kind, Object, Snapshot, selects};
use base::ObjectRef;
use base::hash::{Map, Set};

use crate::names::subset_of;
use crate::{Mesh, Protocol, Proxy, Routing, Target, ingress};

/// A Service with this label is not asked which port its workloads listen on.
const UNTRANSLATED: &str = "experimental.istio.io/disable-gateway-port-translation";

/// What a gateway workload serves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GatewayView {
    /// Where it listens; several may be of one address and port.
    pub places: Vec<GatewayPlace>,
    /// Servers whose routes are asked for by one name.
    pub routes: BTreeMap<String, Vec<Arc<GatewayServer>>>,
    /// Whether it leads connections to services by the server names of the mesh's mTLS.
    pub passes_mesh: bool,
    /// Names of secrets that its servers refer to and that it may read.
    pub secrets: BTreeSet<String>,
}

/// A port, with all that is served there in one protocol.
#[derive(Clone, Debug, PartialEq)]
pub struct GatewayPlace {
    /// The port that the workload listens on.
    pub port: u16,
    /// The address, empty for all.
    pub bind: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// Name of the routes of plaintext HTTP.
    pub routes: String,
    /// What is served.
    pub servers: Vec<Arc<GatewayServer>>,
}

/// One server of one Gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct GatewayServer {
    /// The Gateway.
    pub origin: Arc<ObjectRef>,
    /// `namespace/name` of the Gateway.
    pub gateway: String,
    /// As the user wrote it.
    pub server: Server,
    /// Its protocol.
    pub protocol: Protocol,
    /// The port by which clients know it.
    pub number: u16,
    /// Name of its routes; empty when it has none.
    pub routes: String,
    /// Its hosts, and the namespaces whose routes they admit.
    pub hosts: Vec<ServerHost>,
    /// VirtualServices bound to its Gateway, in the order in which they are asked.
    pub routings: Vec<Arc<Routing>>,
}

/// A host of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerHost {
    /// The namespace whose routes it admits; absent for all.
    pub namespace: Option<String>,
    /// Name or wildcard.
    pub name: String,
}

impl ServerHost {
    fn parse(text: &str, own: &str) -> Self {
        let (namespace, name) = match text.split_once('/') {
            Some(("*", name)) => (None, name),
            Some((".", name)) => (Some(own), name),
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, text),
        };
        ServerHost {
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        }
    }

    fn admits(&self, routing: &Routing) -> bool {
        let own = self.namespace.as_ref();
        own.is_none_or(|own| *own == routing.namespace)
    }
}

impl GatewayServer {
    /// TLS, when it has any to do with it.
    pub fn tls(&self) -> Option<&ServerTls> {
        self.server.tls.as_ref()
    }

    /// Whether TLS connections go through.
    pub fn passes_tls(&self) -> bool {
        self.tls().is_some_and(|tls| tls.mode.is_passthrough())
    }

    /// Whether TLS is meant rather than a redirect to it.
    fn is_tls(&self) -> bool {
        self.tls().is_some() && !self.protocol.is_http()
    }

    /// Whether requests are read here.
    fn reads_requests(&self) -> bool {
        self.protocol.is_http() || self.protocol == Protocol::Https && !self.passes_tls()
    }

    /// Whether requests are read here, after TLS is ended.
    pub fn ends_https(&self) -> bool {
        self.tls().is_some() && self.protocol == Protocol::Https && !self.passes_tls()
    }

    /// Server names of TLS connections for it, sorted.
    pub fn server_names(&self) -> Vec<String> {
        let names: BTreeSet<&String> = self.hosts.iter().map(|host| &host.name).collect();
        names.into_iter().cloned().collect()
    }

    /// The hosts of a routing that this server admits: those of the routing, or its own where they
    /// are narrower.
    pub fn admitted<'a>(&'a self, routing: &'a Routing) -> Vec<&'a str> {
        let mut found: Vec<&str> = Vec::new();
        for host in self.hosts.iter().filter(|host| host.admits(routing)) {
            for wanted in &routing.spec.hosts {
                let narrower = if subset_of(&host.name, wanted) {
                    host.name.as_str()
                } else if subset_of(wanted, &host.name) {
                    wanted.as_str()
                } else {
                    continue;
                };
                if !found.contains(&narrower) {
                    found.push(narrower);
                }
            }
        }
        found
    }
}

/// All Gateways, with those that Ingresses stand for, oldest first.
pub(crate) fn collect(snapshot: &Snapshot) -> Vec<Arc<Object<Gateway>>> {
    let mut found: Vec<Arc<Object<Gateway>>> = snapshot.gateways.values().cloned().collect();
    found.extend(ingress::gateways(snapshot).into_iter().map(Arc::new));
    found.sort_by(|a, b| a.meta.age().cmp(&b.meta.age()));
    found
}

/// The servers of all Gateways that select the proxy.
pub(crate) fn of(mesh: &Mesh, proxy: &Proxy) -> GatewayView {
    let found = mesh
        .gateways
        .iter()
        .filter(|gateway| selects(&gateway.spec.selector, &proxy.labels));
    let mut merge = Merge::default();
    let all = bound(mesh, proxy);
    // Many servers are for one port, and finding where it is listened for looks at every service.
    let mut ports: Map<u16, u16> = Map::default();
    for gateway in found {
        let namespace = gateway.meta.namespace();
        let name = format!("{namespace}/{}", gateway.meta.name());
        let routings = all.get(name.as_str()).cloned().unwrap_or_default();
        for server in &gateway.spec.servers {
            let Ok(number) = u16::try_from(server.port.number) else {
                continue;
            };
            let port = ports.entry(number);
            let port = *port.or_insert_with(|| listened(mesh, proxy, number));
            let hosts = server.hosts.iter();
            let mut made = GatewayServer {
                origin: gateway.meta.reference.clone(),
                gateway: name.clone(),
                server: server.clone(),
                protocol: Protocol::parse(&server.port.protocol),
                number,
                routes: String::new(),
                hosts: hosts
                    .map(|host| ServerHost::parse(host, namespace))
                    .collect(),
                routings: routings.clone(),
            };
            made.routes = routes_of(&made, port, gateway);
            let beside = namespace == proxy.namespace;
            let secrets = secrets(&made, &proxy.namespace, beside);
            merge.view.secrets.extend(secrets);
            merge.add(Arc::new(made), port);
        }
    }
    let mut view = merge.view;
    if proxy.settings.unprivileged {
        // A process without privileges cannot listen there.
        view.places.retain(|place| place.port >= 1024);
    }
    // What nobody listens for nobody asks for.
    let asked = view.places.iter().flat_map(|place| {
        let of_servers = place.servers.iter().map(|server| server.routes.as_str());
        of_servers.chain([place.routes.as_str()])
    });
    let asked: Set<&str> = asked.collect();
    view.routes.retain(|name, _| asked.contains(name.as_str()));
    view
}

/// The name of a server's routes. All plaintext servers of a port share theirs; those that end TLS
/// have their own, since the certificate is theirs.
fn routes_of(server: &GatewayServer, port: u16, gateway: &Object<Gateway>) -> String {
    let bind = match server.server.bind.as_str() {
        "" => String::new(),
        bind => format!(".{bind}"),
    };
    if server.protocol.is_http() {
        format!("http.{port}{bind}")
    } else if server.reads_requests() {
        let name = gateway.meta.name();
        let namespace = gateway.meta.namespace();
        let port = &server.server.port;
        format!(
            "https.{}.{}.{name}.{namespace}{bind}",
            port.number, port.name
        )
    } else {
        String::new()
    }
}

/// Secrets that a server refers to, as they are asked for, and that stand in the namespace of the proxy. Whether the
/// proxy may read them is asked for when it connects, wherever the Gateway stands: users keep Gateways beside their
/// applications. Names of the form `kubernetes-gateway://` are not asked about, so they count only for a Gateway
/// `beside` the proxy (upstream: filterAuthorizedResources in pilot/pkg/xds/sds.go). ConfigMaps hold nothing secret, so
/// those beside the Gateway count as well.
fn secrets(server: &GatewayServer, namespace: &str, beside: bool) -> Vec<String> {
    let own = |name: &str| {
        let form = beside || !name.starts_with("kubernetes-gateway://");
        let place = crate::secret_of(name, namespace).filter(|_| form);
        place.is_some_and(|place| {
            let there = &place.key.namespace;
            let public = place.kind == Kind::ConfigMap;
            there == namespace || public && Some(there) == server.origin.namespace.as_ref()
        })
    };
    let Some(tls) = server.tls() else {
        return Vec::new();
    };
    let names: &[String] = if tls.credential_names.is_empty() {
        std::slice::from_ref(&tls.credential_name)
    } else {
        &tls.credential_names
    };
    let asks_clients = matches!(
        tls.mode,
        ServerTlsMode::Mutual | ServerTlsMode::OptionalMutual
    );
    let mut found = Vec::new();
    for name in names {
        let Some(name) = crate::secret_name(name) else {
            continue;
        };
        if !own(&name) {
            continue;
        }
        if asks_clients {
            found.push(format!("{name}-cacert"));
        }
        found.push(name);
    }
    if asks_clients
        && let Some(roots) = crate::secret_name(&tls.ca_cert_credential_name)
        && own(&roots)
    {
        found.push(roots);
    }
    found
}

/// Puts servers where they listen; what cannot stand beside the older ones is left out.
#[derive(Default)]
struct Merge {
    view: GatewayView,
    /// Ports that have a server.
    taken: BTreeSet<u16>,
    /// Places in `view.places` of plaintext ports.
    plain: BTreeMap<u16, usize>,
    /// By port, the address that each host of TLS is for.
    hosts: BTreeMap<u16, BTreeMap<String, String>>,
}

impl Merge {
    fn add(&mut self, server: Arc<GatewayServer>, port: u16) {
        if server.tls().is_some() && !self.claim_hosts(&server, port) {
            return;
        }
        if let Some(tls) = server.tls() {
            self.view.passes_mesh |= tls.mode == ServerTlsMode::AutoPassthrough;
        }
        if self.taken.insert(port) {
            self.open(&server, port);
            return;
        }
        match self.plain.get(&port).copied() {
            Some(place) => self.beside_plain(&server, port, place),
            None if !server.is_tls() => self.open(&server, port),
            None => self.beside_tls(&server, port),
        }
    }

    /// No two servers of an address and port may have a host in common.
    fn claim_hosts(&mut self, server: &GatewayServer, port: u16) -> bool {
        let bind = &server.server.bind;
        let known = self.hosts.entry(port).or_default();
        // Hosts for some namespaces are others than those for all.
        let names: Vec<String> = server
            .hosts
            .iter()
            .map(|host| match &host.namespace {
                Some(namespace) => format!("{namespace}/{}", host.name),
                None => host.name.clone(),
            })
            .collect();
        if names.iter().any(|name| known.get(name) == Some(bind)) {
            return false;
        }
        known.extend(names.into_iter().map(|name| (name, bind.clone())));
        true
    }

    /// Two plaintext servers of one address share it when both are HTTP.
    fn beside_plain(&mut self, server: &Arc<GatewayServer>, port: u16, place: usize) {
        let older = &mut self.view.places[place];
        if older.bind != server.server.bind {
            match self.place_of(server, port) {
                None => self.open(server, port),
                Some(place) => {
                    let known = &mut self.view.places[place];
                    known.routes.clone_from(&server.routes);
                    known.servers.push(server.clone());
                    self.add_routes(server);
                }
            }
            return;
        }
        let both_http = older.protocol.is_http() && server.protocol.is_http();
        if both_http {
            older.servers.push(server.clone());
            self.add_routes(server);
        }
    }

    /// Servers of TLS share a port, told apart by server names.
    fn beside_tls(&mut self, server: &Arc<GatewayServer>, port: u16) {
        if server.reads_requests() {
            if self.view.routes.contains_key(&server.routes) {
                return;
            }
            self.add_routes(server);
        }
        match self.place_of(server, port) {
            Some(place) => self.view.places[place].servers.push(server.clone()),
            None => self.view.places.push(GatewayPlace {
                port,
                bind: server.server.bind.clone(),
                protocol: server.protocol,
                routes: String::new(),
                servers: vec![server.clone()],
            }),
        }
    }

    /// Begins to listen.
    fn open(&mut self, server: &Arc<GatewayServer>, port: u16) {
        if server.reads_requests() {
            let alone = vec![server.clone()];
            self.view.routes.insert(server.routes.clone(), alone);
        }
        let place = self.view.places.len();
        self.view.places.push(GatewayPlace {
            port,
            bind: server.server.bind.clone(),
            protocol: server.protocol,
            routes: server.routes.clone(),
            servers: vec![server.clone()],
        });
        if !server.is_tls() {
            self.plain.insert(port, place);
        }
    }

    fn add_routes(&mut self, server: &Arc<GatewayServer>) {
        let servers = self.view.routes.entry(server.routes.clone()).or_default();
        servers.push(server.clone());
    }

    fn place_of(&self, server: &GatewayServer, port: u16) -> Option<usize> {
        self.view.places.iter().position(|place| {
            place.port == port
                && place.bind == server.server.bind
                && place.protocol == server.protocol
        })
    }
}

/// The port that the workload listens on for a port of a server: the target of the oldest Service
/// in front of it that has the port, or else the number itself.
fn listened(mesh: &Mesh, proxy: &Proxy, number: u16) -> u16 {
    let mut found = mesh
        .services
        .iter()
        .filter(|service| service.id.namespace == proxy.namespace)
        .filter(|service| !service.labels.contains_key(UNTRANSLATED))
        .filter(|service| {
            let selector = service.selector.as_ref();
            selector.is_some_and(|selector| selects(selector, &proxy.labels))
        })
        .filter_map(|service| service.ports.iter().find(|port| port.number == number))
        .filter_map(|port| match &port.target {
            Target::Number(target) => Some(*target),
            Target::Name(name) => {
                let known = proxy.ports.iter().find(|(known, _)| known == name);
                known.map(|(_, number)| *number)
            }
        });
    found.next().unwrap_or(number)
}

/// The VirtualServices that are bound to gateways and visible to a workload, by gateway.
fn bound<'a>(mesh: &'a Mesh, proxy: &Proxy) -> Map<&'a str, Vec<Arc<Routing>>> {
    let visible = mesh.routings.iter();
    let visible = visible.filter_map(|routing| Some((routing.rank(&proxy.namespace)?, routing)));
    let mut found: Vec<(u8, &Arc<Routing>)> = visible.collect();
    found.sort_by_key(|(rank, _)| *rank);
    let mut bound: Map<&str, Vec<Arc<Routing>>> = Map::default();
    for (_, routing) in found {
        for gateway in &routing.spec.gateways {
            let of_gateway = bound.entry(gateway).or_default();
            // A gateway may be named twice.
            if of_gateway
                .last()
                .is_none_or(|last| !Arc::ptr_eq(last, routing))
            {
                of_gateway.push(routing.clone());
            }
        }
    }
    bound
}
