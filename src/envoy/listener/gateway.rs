//! Listeners of gateways: one per address and port, with a chain for plaintext HTTP, or one for
//! every set of server names.

use std::collections::BTreeMap;

use api::networking::gateway::ServerTlsMode;
use mesh::{
    GatewayPlace, GatewayServer, OutboundService, Port, Protocol, Routing, Scope, subset_of,
};
use proto::envoy::config::core::v3::TrafficDirection;
use proto::envoy::config::listener::v3::{Filter, FilterChain, FilterChainMatch, Listener};

use proto::envoy::extensions::filters::listener::proxy_protocol::v3::ProxyProtocol;
use proto::pack::Pack;

use super::filter_chain::{Routes, Side, Statistics};
use super::http::{self, Wanted};
use super::opaque::{self, L4Port, Tunnels};
use super::{
    Made, additional, address, balanced, listener_filter, server_tls, tls_inspector, wildcards,
};
use crate::access_log;
use crate::filter::guards::Guards;
use crate::names;
use crate::parts::{number, seconds};

/// ALPN of the mesh's mTLS in all its forms.
const MESH_ALPN: [&str; 5] = [
    "istio",
    "istio-peer-exchange",
    "istio-http/1.0",
    "istio-http/1.1",
    "istio-h2",
];

pub(crate) fn all(scope: &Scope) -> Vec<Made> {
    let mut made: BTreeMap<String, Made> = BTreeMap::new();
    let managers = http::Managers::new(scope);
    // Names of TLS that are passed through, by port, with the address that they are for.
    let guards = Guards::of(scope);
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
            made: Vec::new(),
            routes: Vec::new(),
            named: false,
        };
        if place.protocol.is_http() {
            chains.plain(place);
        } else {
            for server in &place.servers {
                let passed = passed.entry(place.port).or_default();
                chains.of_server(server, passed);
            }
        }
        let (filter_chains, routes, named) = (chains.made, chains.routes, chains.named);
        let servers = place.servers.iter();
        let origin = servers.map(|server| server.origin.clone());
        let origin = origin.chain(scope.security.origin());
        let listener = made.entry(name.clone()).or_insert_with(|| Made {
            listener: Listener {
                name,
                address: Some(address(&binds[0], place.port)),
                additional_addresses: additional(&binds, place.port),
                connection_balance_config: balanced(scope.settings.balances_outbound),
                ..listener(scope)
            },
            origin: Vec::new(),
            routes: Vec::new(),
        });
        listener.origin.extend(origin);
        listener.routes.extend(routes);
        let ends_tls = |chain: &FilterChain| chain.transport_socket.is_some();
        let listener = &mut listener.listener;
        let filters = &mut listener.listener_filters;
        let inspector = tls_inspector();
        if (named || filter_chains.iter().any(ends_tls)) && !filters.contains(&inspector) {
            filters.push(inspector);
        }
        listener.filter_chains.extend(filter_chains);
    }
    let made = made.into_values();
    // A port that leads nowhere is not opened.
    made.filter(|made| !made.listener.filter_chains.is_empty())
        .collect()
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

struct Chains<'a> {
    scope: &'a Scope,
    guards: &'a Guards,
    managers: &'a http::Managers<'a>,
    name: &'a str,
    made: Vec<FilterChain>,
    routes: Vec<String>,
    /// Whether a chain is chosen by server name.
    named: bool,
}

impl Chains<'_> {
    /// All plaintext servers of a port are one.
    fn plain(&mut self, place: &GatewayPlace) {
        let statistics = format!("outbound_{}", self.name);
        let statistics = Statistics::Listener(&statistics);
        let filter = self.requests(statistics, place.protocol, &place.routes);
        self.routes.push(place.routes.clone());
        self.made.push(chain(None, vec![filter]));
    }

    fn named(&mut self, names: &[String], filters: Vec<Filter>) -> &mut FilterChain {
        self.named |= !names.is_empty();
        self.made.push(chain(Some(names), filters));
        let last = self.made.len() - 1;
        &mut self.made[last]
    }

    fn requests(&self, statistics: Statistics<'_>, protocol: Protocol, routes: &str) -> Filter {
        let wanted = Wanted {
            side: Side::Gateway,
            statistics,
            protocol,
            routes: Routes::Named(routes.to_owned()),
            dynamic: None,
            http1: None,
            guards: &self.guards.requests,
        };
        self.managers.manager(wanted)
    }

    fn of_server(&mut self, server: &GatewayServer, passed: &mut BTreeMap<String, String>) {
        match server.tls() {
            Some(tls) if server.ends_https() => {
                let statistics = format!("outbound_{}", self.name);
                let statistics = match server.server.name.as_str() {
                    "" => Statistics::Listener(&statistics),
                    name => Statistics::Named(name),
                };
                let filter = self.requests(statistics, server.protocol, &server.routes);
                self.routes.push(server.routes.clone());
                let socket = server_tls::socket(self.scope, tls, false);
                let made = self.named(&server.server_names(), vec![filter]);
                made.transport_socket = Some(socket);
            }
            Some(tls) if tls.mode == ServerTlsMode::AutoPassthrough => self.of_mesh(server),
            Some(tls) if tls.mode == ServerTlsMode::Passthrough => {
                self.by_server_name(server, passed);
            }
            Some(tls) => {
                let filters = self.opaque(server);
                if !filters.is_empty() {
                    let opaque = server.protocol != Protocol::Https;
                    let socket = server_tls::socket(self.scope, tls, opaque);
                    let made = self.named(&server.server_names(), filters);
                    made.transport_socket = Some(socket);
                }
            }
            None => {
                let filters = self.opaque(server);
                if !filters.is_empty() {
                    self.made.push(chain(None, filters));
                }
            }
        }
    }

    fn opaque(&self, server: &GatewayServer) -> Vec<Filter> {
        let mut filters = opaque(self.scope, server);
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
                    self.named(names, filters);
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
        let made = self.named(&[cluster], filters);
        if let Some(matched) = &mut made.filter_chain_match {
            // Nobody gets at a workload in plaintext through here.
            matched.application_protocols = MESH_ALPN.map(str::to_owned).to_vec();
        }
    }
}

fn chain(server_names: Option<&[String]>, filters: Vec<Filter>) -> FilterChain {
    // A name that everything fits is none.
    let names = server_names.filter(|names| !names.iter().any(|name| name == "*"));
    let matched = names.filter(|names| !names.is_empty()).map(|names| {
        let mut server_names = names.to_vec();
        server_names.sort();
        FilterChainMatch {
            server_names,
            ..Default::default()
        }
    });
    FilterChain {
        filter_chain_match: matched,
        filters,
        transport_socket_connect_timeout: seconds(15),
        ..Default::default()
    }
}

/// Connections of a server by the first rule of VirtualServices that takes them.
fn opaque(scope: &Scope, server: &GatewayServer) -> Vec<Filter> {
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
