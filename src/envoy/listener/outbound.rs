//! Outbound listeners of sidecars: one per wildcard port of HTTP, one per address and port else,
//! and the one that captured traffic arrives at.

use std::collections::BTreeMap;

use api::networking::sidecar::OutboundMode;
use api::snapshot::Address;
use mesh::{OutboundService, Port, Protocol, Registry, Resolution, Scope};
use proto::envoy::config::core::v3::TrafficDirection;
use proto::envoy::config::listener::v3::{FilterChain, FilterChainMatch, Listener};

use super::filter_chain::{self, Routes, Side};
use super::{Made, any_address, http_inspector, outbound, tcp, tls_inspector};
use crate::access_log;
use crate::names;
use crate::parts::{flag, number, seconds, socket};

/// The port that captured traffic is sent to.
const CAPTURED: u16 = 15001;

/// Where a port is listened for.
enum Place {
    /// Every address; what it is for is found out from the connection.
    Anywhere,
    /// One address.
    At(String),
}

pub(crate) fn all(scope: &Scope) -> Vec<Made> {
    let mut made: BTreeMap<String, Made> = BTreeMap::new();
    for service in &scope.outbound.services {
        for port in service.service.called() {
            for place in places(scope, service, port) {
                add(scope, service, port, &place, &mut made);
            }
        }
    }
    made.into_values()
        .map(|made| finished(scope, made))
        .collect()
}

fn places(scope: &Scope, called: &OutboundService, port: &Port) -> Vec<Place> {
    let service = &called.service;
    if port.protocol.is_http() {
        return vec![Place::Anywhere];
    }
    let usable = |address: &&String| {
        let v6 = address.contains(':');
        if v6 {
            scope.families.v6
        } else {
            scope.families.v4
        }
    };
    let address = service.virtual_addresses().iter().find(usable);
    match address {
        Some(address) if address.contains('/') => vec![Place::Anywhere],
        Some(address) => vec![Place::At(address.clone())],
        None if service.registry == Registry::Kubernetes
            && service.resolution == Resolution::Passthrough =>
        {
            let known = service
                .spelled_out
                .iter()
                .flat_map(|known| known.endpoints.iter());
            let mut places = Vec::new();
            for endpoint in known {
                let Address::Ip(ip) = &endpoint.address else {
                    continue;
                };
                // Calls of itself go straight to the workload.
                if endpoint.ports.contains_key(&port.name) && !scope.own_addresses.contains(ip) {
                    places.push(Place::At(ip.to_string()));
                }
            }
            places
        }
        None => vec![Place::Anywhere],
    }
}

fn add(
    scope: &Scope,
    called: &OutboundService,
    port: &Port,
    place: &Place,
    made: &mut BTreeMap<String, Made>,
) {
    let bind = match place {
        Place::Anywhere => any_address(scope),
        Place::At(address) => address.as_str(),
    };
    let name = format!("{bind}_{}", port.number);
    let entry = made.entry(name.clone()).or_insert_with(|| Made {
        listener: outbound(scope, bind, port.number),
        origin: Vec::new(),
        routes: Vec::new(),
    });
    if matches!(place, Place::At(_)) && !entry.origin.is_empty() {
        // Two services of one address: the older one keeps it.
        return;
    }
    let by_name = matches!(place, Place::Anywhere);
    let ranges: Vec<String> = if by_name {
        let ranges = called.service.virtual_addresses().iter();
        ranges
            .filter(|address| address.contains('/'))
            .cloned()
            .collect()
    } else {
        Vec::new()
    };
    entry.origin.push(called.service.origin.clone());
    if port.protocol.is_http() {
        let routes = port.number.to_string();
        if entry.routes.contains(&routes) {
            return;
        }
        entry.routes.push(routes.clone());
        entry
            .listener
            .filter_chains
            .push(sniffed(scope, &name, port, routes));
        inspect_http(&mut entry.listener);
        if entry.listener.default_filter_chain.is_none() {
            entry.listener.default_filter_chain = Some(unknown(scope));
        }
        return;
    }
    let (mut chains, origin) = tcp::chains(scope, called, port, &ranges, by_name);
    entry.origin.extend(origin);
    let maybe_http = port.protocol == Protocol::Unsupported;
    if maybe_http && ranges.is_empty() {
        let routes = if by_name {
            port.number.to_string()
        } else {
            format!("{}:{}", called.service.id.host, port.number)
        };
        if !entry.routes.contains(&routes) {
            entry.routes.push(routes.clone());
            chains.insert(0, sniffed(scope, &name, port, routes));
        }
        inspect_http(&mut entry.listener);
    }
    for chain in chains {
        if chain
            .filter_chain_match
            .as_ref()
            .is_some_and(|m| !m.server_names.is_empty())
        {
            inspect_tls(&mut entry.listener);
        }
        let known = &mut entry.listener.filter_chains;
        // The first of equal conditions wins, as two would be refused.
        if known
            .iter()
            .any(|other| other.filter_chain_match == chain.filter_chain_match)
        {
            continue;
        }
        known.push(chain);
    }
}

/// A listener with its unconditional chain, when others stand beside it, as the default.
fn finished(scope: &Scope, mut made: Made) -> Made {
    let chains = &mut made.listener.filter_chains;
    if chains.len() > 1 {
        let unconditional = chains
            .iter()
            .position(|chain| chain.filter_chain_match.is_none());
        if let Some(place) = unconditional {
            made.listener.default_filter_chain = Some(chains.remove(place));
        }
    }
    let listener = &mut made.listener;
    let wildcard = listener
        .name
        .starts_with(&format!("{}_", any_address(scope)));
    let conditional = listener
        .filter_chains
        .iter()
        .all(|chain| chain.filter_chain_match.is_some());
    if wildcard && conditional && listener.default_filter_chain.is_none() {
        listener.default_filter_chain = Some(unknown(scope));
    }
    made
}

fn inspect_http(listener: &mut Listener) {
    let filter = http_inspector();
    if !listener.listener_filters.contains(&filter) {
        listener.listener_filters.push(filter);
    }
}

fn inspect_tls(listener: &mut Listener) {
    let filter = tls_inspector();
    if !listener.listener_filters.contains(&filter) {
        listener.listener_filters.insert(0, filter);
    }
}

/// Plaintext HTTP.
fn sniffed(scope: &Scope, name: &str, port: &Port, routes: String) -> FilterChain {
    let statistics = format!("outbound_{name}");
    let manager = filter_chain::http(
        scope,
        Side::Outbound,
        &statistics,
        port.protocol,
        Routes::Named(routes),
    );
    FilterChain {
        filter_chain_match: Some(FilterChainMatch {
            application_protocols: vec!["http/1.1".to_owned(), "h2c".to_owned()],
            transport_protocol: "raw_buffer".to_owned(),
            ..Default::default()
        }),
        filters: vec![manager],
        transport_socket_connect_timeout: seconds(15),
        ..Default::default()
    }
}

/// What is not HTTP on a port of HTTP: as for unknown destinations.
fn unknown(scope: &Scope) -> FilterChain {
    FilterChain {
        name: "PassthroughFilterChain".to_owned(),
        filter_chain_match: Some(FilterChainMatch::default()),
        filters: filter_chain::opaque(
            scope,
            Side::Outbound,
            filter_chain::tcp(scope, elsewhere(scope)),
        ),
        ..Default::default()
    }
}

/// The cluster of unknown destinations.
fn elsewhere(scope: &Scope) -> &'static str {
    match scope.outbound.policy {
        OutboundMode::AllowAny => names::PASSTHROUGH,
        OutboundMode::RegistryOnly => names::BLACK_HOLE,
    }
}

/// The listener that captured traffic arrives at and is handed on from.
pub(crate) fn catch_all(scope: &Scope) -> Made {
    let black_hole = FilterChain {
        name: "virtualOutbound-blackhole".to_owned(),
        filter_chain_match: Some(FilterChainMatch {
            destination_port: number(CAPTURED.into()),
            ..Default::default()
        }),
        filters: filter_chain::opaque(
            scope,
            Side::Outbound,
            filter_chain::tcp_silent(names::BLACK_HOLE),
        ),
        ..Default::default()
    };
    let rest = FilterChain {
        name: "virtualOutbound-catchall-tcp".to_owned(),
        filters: filter_chain::opaque(
            scope,
            Side::Outbound,
            filter_chain::tcp(scope, elsewhere(scope)),
        ),
        ..Default::default()
    };
    let listener = Listener {
        name: "virtualOutbound".to_owned(),
        address: Some(socket(any_address(scope), CAPTURED)),
        use_original_dst: flag(true),
        traffic_direction: TrafficDirection::Outbound as i32,
        max_connections_to_accept_per_socket_event: number(1),
        access_log: access_log::of_listener(scope),
        filter_chains: vec![black_hole, rest],
        ..Default::default()
    };
    Made {
        listener,
        origin: Vec::new(),
        routes: Vec::new(),
    }
}
