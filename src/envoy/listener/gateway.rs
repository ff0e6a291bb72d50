//! Listeners of gateways: one per address and port, with a chain for plaintext HTTP, or one for
//! every set of server names.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::networking::gateway::{ServerTls, ServerTlsMode};
use api::networking::virtual_service::RouteDestination;
use base::ObjectRef;
use bytes::Bytes;
use mesh::{
    GatewayPlace, GatewayServer, OutboundService, Port, Protocol, Routing, Scope, subset_of,
};
use proto::envoy::config::core::v3::TrafficDirection;
use proto::envoy::config::listener::v3::{Filter, FilterChain, FilterChainMatch, Listener};

use proto::envoy::extensions::filters::listener::proxy_protocol::v3::ProxyProtocol;
use proto::pack::{Pack, Put};
use proto::writer::Writer;

use super::filter_chain::{self, CHAINS, MATCH, Routes, Side, Statistics};
use super::http::{self, Wanted};
use super::opaque::{self, L4Port, Tunnels};
use super::table::{NAME, inspectors, put_rest};
use super::{Made, additional, address, balanced, listener_filter, server_tls, wildcards};
use crate::access_log;
use crate::filter::guards::Guards;
use crate::names;
use crate::parts::number;

/// ALPN of the mesh's mTLS in all its forms.
const MESH_ALPN: [&str; 5] = [
    "istio",
    "istio-peer-exchange",
    "istio-http/1.0",
    "istio-http/1.1",
    "istio-h2",
];

pub(crate) fn all(scope: &Scope) -> Vec<Made> {
    let mut made: BTreeMap<String, Making> = BTreeMap::new();
    let guards = Guards::of(scope);
    let managers = http::Managers::new(scope);
    // Names of TLS that are passed through, by port, with the address that they are for.
    let mut passed: BTreeMap<u16, BTreeMap<String, String>> = BTreeMap::new();
    for place in &scope.gateways.places {
        let binds = match place.bind.as_str() {
            "" if scope.features.dual_stack => wildcards(scope),
            "" => wildcards(scope)[..1].to_vec(),
            bind => vec![bind.to_owned()],
        };
        let name = format!("{}_{}", binds[0], place.port);
        let mut chains = Chains {
            scope,
            guards: &guards,
            managers: &managers,
            name: &name,
            written: Writer::default(),
            routes: Vec::new(),
            origin: Vec::new(),
            looks: false,
            last: None,
        };
        if place.protocol.is_http() {
            chains.plain(place);
        } else {
            for server in &place.servers {
                let passed = passed.entry(place.port).or_default();
                chains.of_server(server, passed);
            }
        }
        let (written, routes, looks) = (chains.written, chains.routes, chains.looks);
        let led = chains.origin;
        let servers = place.servers.iter();
        let origin = servers.map(|server| server.origin.clone());
        let origin = origin.chain(scope.security.origin()).chain(led);
        let listener = made
            .entry(name.clone())
            .or_insert_with(|| Making::new(scope, &binds, place.port));
        listener.origin.extend(origin);
        listener.routes.extend(routes);
        listener.looks |= looks;
        if listener.chains.is_empty() {
            listener.chains = written;
        } else {
            listener.chains.raw(written.bytes());
        }
    }
    // A port that leads nowhere is not opened.
    let made = made.into_iter().filter(|(_, made)| !made.chains.is_empty());
    made.map(|(name, made)| made.finished(name)).collect()
}

/// A listener that several places may add to.
struct Making {
    /// All but its name, its chains and what they look for.
    rest: Writer,
    chains: Writer,
    /// Whether a chain is chosen by server name, or ends TLS.
    looks: bool,
    origin: Vec<Arc<ObjectRef>>,
    routes: Vec<String>,
}

impl Making {
    fn new(scope: &Scope, binds: &[String], port: u16) -> Self {
        let listener = Listener {
            address: Some(address(&binds[0], port)),
            additional_addresses: additional(binds, port),
            connection_balance_config: balanced(scope.settings.balances_outbound),
            ..listener(scope)
        };
        let mut rest = Writer::with_capacity(512);
        listener.put(&mut rest);
        Making {
            rest,
            chains: Writer::default(),
            looks: false,
            origin: Vec::new(),
            routes: Vec::new(),
        }
    }

    fn finished(self, name: String) -> Made {
        let mut written = self.chains;
        written.text(NAME, &name).raw(self.rest.bytes());
        if self.looks {
            written.raw(inspectors(true, false));
        }
        Made {
            name,
            written,
            origin: self.origin,
            routes: self.routes,
        }
    }
}

/// What every listener of a gateway has.
fn listener(scope: &Scope) -> Listener {
    let default = &scope.config.default_config;
    let topology = scope.settings.config(default).gateway_topology.as_ref();
    let told = topology.is_some_and(|topology| topology.proxy_protocol.is_some());
    let limits = scope.settings.connections(default, true);
    let buffer = limits.and_then(|limits| limits.listener_per_connection_buffer_limit_bytes);
    let protocol = || listener_filter("proxy_protocol", ProxyProtocol::default().pack());
    Listener {
        traffic_direction: TrafficDirection::Outbound as i32,
        max_connections_to_accept_per_socket_event: number(1),
        access_log: access_log::of_listener(scope, Side::Gateway),
        // What stands in front says who the caller is before anything else is read.
        listener_filters: told.then(protocol).into_iter().collect(),
        per_connection_buffer_limit_bytes: buffer
            .and_then(|bytes| u32::try_from(bytes).ok())
            .and_then(number),
        ..Default::default()
    }
}

struct Chains<'a, 'g> {
    scope: &'a Scope,
    guards: &'g Guards,
    managers: &'a http::Managers<'g>,
    name: &'a str,
    /// The chains, as fields of a listener.
    written: Writer,
    routes: Vec<String>,
    /// The objects that say where connections go.
    origin: Vec<Arc<ObjectRef>>,
    /// Whether a chain is chosen by server name, or ends TLS.
    looks: bool,
    /// TLS of the server before, of which the next has often the same.
    last: Option<(&'a ServerTls, bool, Bytes)>,
}

impl<'a> Chains<'a, '_> {
    /// All plaintext servers of a port are one.
    fn plain(&mut self, place: &GatewayPlace) {
        let statistics = format!("outbound_{}", self.name);
        let statistics = Statistics::Listener(&statistics);
        self.put_requests(None, None, statistics, (place.protocol, &place.routes));
    }

    fn put(
        &mut self,
        matched: Option<FilterChainMatch>,
        socket: Option<&Bytes>,
        filters: impl FnOnce(&mut Writer),
    ) {
        self.looks |= matched.is_some() || socket.is_some();
        self.written.block(CHAINS, |chain| {
            if let Some(matched) = matched {
                chain.nested(MATCH, |into| matched.put(into));
            }
            filters(chain);
            chain.raw(socket.map_or(&[][..], |socket| socket));
            put_rest(None, chain);
        });
    }

    /// Chains of opaque connections, for server names or for all.
    fn put_opaque(&mut self, names: &[String], socket: Option<&Bytes>, filters: Vec<Filter>) {
        self.looks |= !names.is_empty();
        let filters = filter_chain::encoded(filters);
        self.put(by_names(names), socket, |chain| {
            chain.raw(&filters);
        });
    }

    fn put_requests(
        &mut self,
        names: Option<&[String]>,
        socket: Option<&Bytes>,
        statistics: Statistics<'_>,
        (protocol, routes): (Protocol, &str),
    ) {
        let wanted = Wanted {
            side: Side::Gateway,
            statistics,
            protocol,
            routes: Routes::Named(routes.to_owned()),
            dynamic: None,
            http1: None,
            guards: &self.guards.requests,
        };
        let managers = self.managers;
        self.routes.push(routes.to_owned());
        self.looks |= names.is_some_and(|names| !names.is_empty());
        self.put(names.and_then(by_names), socket, |chain| {
            managers.put(wanted, chain);
        });
    }

    /// TLS of a server as a field of a chain.
    fn socket(&mut self, tls: &'a ServerTls, opaque: bool) -> Bytes {
        if let Some((known, of, socket)) = &self.last
            && (*known, *of) == (tls, opaque)
        {
            return socket.clone();
        }
        let chain = FilterChain {
            transport_socket: Some(server_tls::socket(self.scope, tls, opaque)),
            ..Default::default()
        };
        let socket = chain.fields();
        self.last = Some((tls, opaque, socket.clone()));
        socket
    }

    fn of_server(&mut self, server: &'a GatewayServer, passed: &mut BTreeMap<String, String>) {
        match server.tls() {
            Some(tls) if server.ends_https() => {
                let statistics = format!("outbound_{}", self.name);
                let statistics = match server.server.name.as_str() {
                    "" => Statistics::Listener(&statistics),
                    name => Statistics::Named(name),
                };
                let socket = self.socket(tls, false);
                let requests = (server.protocol, server.routes.as_str());
                let names = server.server_names();
                self.put_requests(Some(&names), Some(&socket), statistics, requests);
            }
            Some(tls) if tls.mode == ServerTlsMode::AutoPassthrough => self.of_mesh(server),
            Some(tls) if tls.mode == ServerTlsMode::Passthrough => {
                self.by_server_name(server, passed);
            }
            Some(tls) => {
                let filters = self.opaque(server);
                if !filters.is_empty() {
                    let socket = self.socket(tls, server.protocol != Protocol::Https);
                    self.put_opaque(&server.server_names(), Some(&socket), filters);
                }
            }
            None => {
                let filters = self.opaque(server);
                if !filters.is_empty() {
                    self.put_opaque(&[], None, filters);
                }
            }
        }
    }

    fn opaque(&mut self, server: &GatewayServer) -> Vec<Filter> {
        let mut filters = opaque(self.scope, server, &mut self.origin);
        if !filters.is_empty() {
            self.guards.stand_before(&mut filters);
        }
        filters
    }

    /// TLS that goes through, by the rules of VirtualServices on server names.
    fn by_server_name(&mut self, server: &GatewayServer, passed: &mut BTreeMap<String, String>) {
        let bind = &server.server.bind;
        for routing in admitted(server) {
            for rule in routing
                .spec
                .tls
                .iter()
                .filter(|rule| !rule.route.is_empty())
            {
                for condition in &rule.r#match {
                    let names = &condition.sni_hosts;
                    if !applies(server, condition.port, &condition.gateways)
                        || names.iter().any(|name| passed.get(name) == Some(bind))
                    {
                        continue;
                    }
                    passed.extend(names.iter().map(|name| (name.clone(), bind.clone())));
                    let mut filters = opaque::to_destinations(
                        self.scope,
                        Side::Gateway,
                        l4(server, false),
                        &rule.route,
                        &named(routing),
                    );
                    self.guards.stand_before(&mut filters);
                    self.origin.extend(led_by(self.scope, routing, &rule.route));
                    self.put_opaque(names, None, filters);
                }
            }
        }
    }

    /// The mesh's mTLS goes through to the service, port and subset that the server name says.
    fn of_mesh(&mut self, server: &GatewayServer) {
        let hosts = server.server_names();
        for called in &self.scope.outbound.services {
            let service = &called.service;
            let led = hosts.iter().any(|host| subset_of(&service.id.host, host));
            if service.external || service.is_alias() || !led {
                continue;
            }
            self.origin.push(service.origin.clone());
            let rule = called.rule.iter();
            self.origin
                .extend(rule.flat_map(|rule| rule.origin.iter().cloned()));
            for port in service.called() {
                self.by_cluster(called, port, "");
                let subsets = called.rule.iter().flat_map(|rule| &rule.subsets);
                for subset in subsets {
                    self.by_cluster(called, port, &subset.name);
                }
            }
        }
    }

    fn by_cluster(&mut self, called: &OutboundService, port: &Port, subset: &str) {
        let cluster = names::sni(port.number, subset, &called.service.id.host);
        let port = L4Port {
            number: port.number,
            protocol: port.protocol,
            greets: false,
        };
        let filters = opaque::to_cluster(
            self.scope,
            Side::Gateway,
            port,
            &cluster,
            called.rule.as_deref(),
            subset,
            Tunnels::Never,
        );
        let matched = FilterChainMatch {
            server_names: vec![cluster],
            // Nobody gets at a workload in plaintext through here.
            application_protocols: MESH_ALPN.map(str::to_owned).to_vec(),
            ..Default::default()
        };
        let filters = filter_chain::encoded(filters);
        self.put(Some(matched), None, |chain| {
            chain.raw(&filters);
        });
    }
}

/// The condition that a connection is for one of these; a name that everything fits is none.
fn by_names(names: &[String]) -> Option<FilterChainMatch> {
    if names.is_empty() || names.iter().any(|name| name == "*") {
        return None;
    }
    let mut server_names = names.to_vec();
    server_names.sort();
    Some(FilterChainMatch {
        server_names,
        ..Default::default()
    })
}

/// Connections of a server by the first rule of VirtualServices that takes them.
fn opaque(scope: &Scope, server: &GatewayServer, origin: &mut Vec<Arc<ObjectRef>>) -> Vec<Filter> {
    let greets = server
        .tls()
        .is_some_and(|tls| tls.mode == ServerTlsMode::IstioMutual);
    for routing in admitted(server) {
        for rule in routing
            .spec
            .tcp
            .iter()
            .filter(|rule| !rule.route.is_empty())
        {
            let mut conditions = rule.r#match.iter();
            if rule.r#match.is_empty()
                || conditions.any(|own| applies(server, own.port, &own.gateways))
            {
                origin.extend(led_by(scope, routing, &rule.route));
                return opaque::to_destinations(
                    scope,
                    Side::Gateway,
                    l4(server, greets),
                    &rule.route,
                    &named(routing),
                );
            }
        }
    }
    Vec::new()
}

/// The objects that lead connections to these destinations.
fn led_by(scope: &Scope, routing: &Routing, to: &[RouteDestination]) -> Vec<Arc<ObjectRef>> {
    let rules = opaque::origin(scope, to);
    routing.origin.iter().cloned().chain(rules).collect()
}

fn admitted(server: &GatewayServer) -> impl Iterator<Item = &Routing> {
    let routings = server.routings.iter().map(AsRef::as_ref);
    routings.filter(|routing| !server.admitted(routing).is_empty())
}

/// The conditions that TLS and TCP rules share; what they say of callers is not known here.
fn applies(server: &GatewayServer, port: u32, gateways: &[String]) -> bool {
    (port == 0 || port == u32::from(server.number))
        && (gateways.is_empty() || gateways.contains(&server.gateway))
}

fn l4(server: &GatewayServer, greets: bool) -> L4Port {
    L4Port {
        number: server.number,
        protocol: server.protocol,
        greets,
    }
}

fn named(routing: &Routing) -> String {
    format!("{}.{}", routing.name, routing.namespace)
}
