//! The inbound listener of sidecars: filter chains per port of the workload, by what the mTLS mode
//! and the protocol of the port allow, then those for all other ports.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::ObjectRef;
use mesh::{Flavour, InboundPort, Interception, Mode, Protocol, Scope};
use proto::envoy::config::core::v3 as core;
use proto::envoy::config::core::v3::TrafficDirection;
use proto::envoy::config::listener::v3::{
    Filter, FilterChain, FilterChainMatch, Listener, ListenerFilter,
    ListenerFilterChainMatchPredicate, listener_filter_chain_match_predicate,
};
use proto::envoy::extensions::transport_sockets::tls::v3 as tls;
use proto::envoy::r#type::matcher::v3::{StringMatcher, string_matcher::MatchPattern};
use proto::envoy::r#type::v3::Int32Range;
use proto::pack::Pack;

use listener_filter_chain_match_predicate::{MatchSet, Rule};

use super::filter_chain::{self, Routes, Side, Statistics};
use super::outbound::{PLAIN_HTTP, plain_http};
use super::table::additional;
use super::{Made, address, balanced, http, opaque, server_tls, wildcards};
use super::{http_inspector, original_destination, original_source, timeout, tls_inspector};
use crate::cluster::tls::{secret, validation, versions};
use crate::filter::guards::Guards;
use crate::parts::{flag, number, transport_socket};
use crate::{access_log, metadata, names, route};

const MESH_HTTP: [&str; 3] = ["istio-http/1.0", "istio-http/1.1", "istio-h2"];
const MESH_TCP: [&str; 2] = ["istio-peer-exchange", "istio"];
const MESH_ALL: [&str; 5] = [
    "istio",
    "istio-peer-exchange",
    "istio-http/1.0",
    "istio-http/1.1",
    "istio-h2",
];

/// Ciphers of TLS 1.2 towards workloads.
const CIPHERS: [&str; 6] = [
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-GCM-SHA256",
];

/// What a connection must look like, and how it is served then.
struct Chain {
    transport: &'static str,
    protocols: Vec<String>,
    /// Whether TLS ends here.
    tls: bool,
    http: bool,
}

fn on(transport: &'static str, protocols: &[&str], tls: bool, http: bool) -> Chain {
    Chain {
        transport,
        protocols: protocols.iter().map(|name| (*name).to_owned()).collect(),
        tls,
        http,
    }
}

/// The chains of a port, by mode and protocol.
fn chains(scope: &Scope, mode: Mode, protocol: Protocol) -> Vec<Chain> {
    let (http, unknown) = (protocol.is_http(), protocol == Protocol::Unsupported);
    let plain = || Chain {
        protocols: plain_http(scope),
        ..on("raw_buffer", &[], false, true)
    };
    match mode {
        Mode::Permissive if unknown => vec![
            on("tls", &MESH_HTTP, true, true),
            plain(),
            on("tls", &MESH_TCP, true, false),
            on("raw_buffer", &[], false, false),
            on("tls", &[], false, false),
        ],
        Mode::Permissive if http => vec![
            on("tls", &MESH_ALL, true, true),
            on("raw_buffer", &[], false, true),
        ],
        Mode::Permissive => vec![
            on("tls", &MESH_ALL, true, false),
            on("tls", &[], false, false),
            on("raw_buffer", &[], false, false),
        ],
        Mode::Strict if unknown => vec![
            on("tls", &MESH_HTTP, true, true),
            on("tls", &[], true, false),
        ],
        Mode::Strict => vec![on("tls", &[], true, http)],
        Mode::Disable if unknown => vec![plain(), on("raw_buffer", &[], false, false)],
        Mode::Disable => vec![on("raw_buffer", &[], false, http)],
    }
}

/// The chains of a port with TLS of its own.
fn of_own_tls(protocol: Protocol) -> Vec<Chain> {
    vec![on("tls", &[], true, protocol.is_http())]
}

/// The listener that captured inbound traffic arrives at, and those of a Sidecar that bind to their
/// ports.
pub(crate) fn all(scope: &Scope) -> Vec<Made> {
    let config = &scope.config;
    if config.proxy_listen_port == 0 {
        return Vec::new();
    }
    let inbound = &scope.inbound;
    let captured = config.proxy_inbound_listen_port;
    let mut filter_chains = vec![FilterChain {
        name: "virtualInbound-blackhole".to_owned(),
        filter_chain_match: Some(FilterChainMatch {
            destination_port: number(captured.into()),
            ..Default::default()
        }),
        filters: filter_chain::opaque(
            scope,
            Side::Inbound,
            filter_chain::tcp_silent(names::BLACK_HOLE),
        ),
        ..Default::default()
    }];
    let guards = Guards::of(scope);
    let managers = http::Managers::new(scope);
    filter_chains.extend(of(&managers, &guards, None, None, inbound.mode));
    for (port, mode) in &inbound.port_modes {
        let known = inbound.ports.iter().any(|known| known.target == *port);
        if !known && *mode != inbound.mode {
            filter_chains.extend(of(&managers, &guards, Some(*port), None, *mode));
        }
    }
    let mut own = Vec::new();
    for port in &inbound.ports {
        if !can_bind(scope, port) {
            continue;
        }
        let chains = of(&managers, &guards, Some(port.target), Some(port), port.mode);
        if port.listener.as_ref().is_some_and(|own| own.binds_to_port) {
            own.push(bound(scope, port, chains));
        } else {
            filter_chains.extend(chains);
        }
    }
    if scope.settings.interception == Interception::None {
        return own;
    }
    let services = inbound.ports.iter().flat_map(origin);
    let origin = services.chain(decided(scope)).collect();
    let wildcards = wildcards(scope);
    let binds = if scope.features.dual_stack {
        wildcards.as_slice()
    } else {
        &wildcards[..1]
    };
    let transparent = scope.settings.interception == Interception::Transparent;
    let listener = Listener {
        transparent: if transparent { flag(true) } else { None },
        ..listener(
            scope,
            "virtualInbound",
            binds,
            captured,
            filter_chains,
            false,
        )
    };
    let captured = Made::new(listener, origin, Vec::new());
    std::iter::once(captured).chain(own).collect()
}

/// A listener of a Sidecar on a port of its own.
fn bound(scope: &Scope, port: &InboundPort, chains: Vec<FilterChain>) -> Made {
    let binds = binds(scope, port);
    let name = format!("{}_{}", binds[0], port.target);
    let origin = origin(port).chain(decided(scope));
    let listener = listener(scope, &name, &binds, port.target, chains, true);
    Made::new(listener, origin.collect(), Vec::new())
}

/// The objects that decide how every port is served.
fn decided(scope: &Scope) -> impl Iterator<Item = Arc<ObjectRef>> {
    let modes = scope.inbound.modes_origin.iter().cloned();
    scope.security.origin().chain(modes)
}

fn origin(port: &InboundPort) -> impl Iterator<Item = Arc<ObjectRef>> {
    let services = port.services.iter().map(|service| service.origin.clone());
    let sidecar = port.listener.iter().map(|own| own.origin.clone());
    services.chain(sidecar)
}

fn listener(
    scope: &Scope,
    name: &str,
    binds: &[String],
    port: u16,
    filter_chains: Vec<FilterChain>,
    own: bool,
) -> Listener {
    Listener {
        name: name.to_owned(),
        address: Some(address(&binds[0], port)),
        additional_addresses: additional(binds, port),
        traffic_direction: TrafficDirection::Inbound as i32,
        max_connections_to_accept_per_socket_event: number(1),
        connection_balance_config: balanced(scope.settings.balances_inbound),
        listener_filters: listener_filters(scope, &filter_chains, own),
        listener_filters_timeout: timeout(scope),
        continue_on_listener_filters_timeout: true,
        access_log: access_log::of_listener(scope, Side::Inbound),
        filter_chains,
        ..Default::default()
    }
}

/// The addresses that a port is known by: those of its Sidecar's listener, one of the proxy's own
/// when that says none, or every address.
fn binds(scope: &Scope, port: &InboundPort) -> Vec<String> {
    match &port.listener {
        None => wildcards(scope),
        Some(own) if !own.bind.is_empty() => vec![own.bind.clone()],
        Some(own) => match own.unicast {
            Some(address) => vec![address.to_string()],
            None => wildcards(scope),
        },
    }
}

/// Whether a port may be listened for: those of the bootstrap are taken, and low ones need
/// privileges.
fn can_bind(scope: &Scope, port: &InboundPort) -> bool {
    let anywhere = wildcards(scope);
    let target = port.target;
    let (bind, binds_to_port) = match &port.listener {
        None => (anywhere[0].as_str(), false),
        Some(own) => (own.bind.as_str(), own.binds_to_port),
    };
    if binds_to_port && (1..1024).contains(&target) && scope.settings.unprivileged {
        return false;
    }
    let config = &scope.config;
    let captured = port.listener.is_none()
        && (target == config.proxy_listen_port || target == config.proxy_inbound_listen_port);
    let taken = scope.settings.taken.contains(&target) || captured;
    let everywhere = if bind.is_empty() {
        port.port.protocol.is_http()
    } else {
        bind == anywhere[0]
    };
    !(everywhere && taken)
}

/// Chains for one port of the workload, for another port that differs in its mode, or for the rest.
fn of<'g>(
    managers: &http::Managers<'g>,
    guards: &'g Guards,
    number_: Option<u16>,
    port: Option<&InboundPort>,
    mode: Mode,
) -> Vec<FilterChain> {
    let scope = managers.scope;
    let protocol = port.map_or(Protocol::Unsupported, |port| port.port.protocol);
    let cluster = match port {
        Some(port) => names::inbound(port.target),
        None => names::INBOUND_PASSTHROUGH.to_owned(),
    };
    let own = port.map(|port| format!("{}_{}", binds(scope, port)[0], port.target));
    let statistics = match &own {
        Some(name) => format!("inbound_{name}"),
        None => cluster.clone(),
    };
    let sidecar = port.and_then(|port| port.listener.as_ref());
    // TLS of a Sidecar's own ends where the mesh's does not.
    let tls = sidecar.and_then(|own| own.tls.as_ref());
    let tls = tls.filter(|_| mode == Mode::Disable);
    let chains = match tls {
        Some(_) => of_own_tls(protocol),
        None => chains(scope, mode, protocol),
    };
    let made = chains.into_iter().map(|chain| {
        let mut filters: Vec<Filter> = filter_chain::greeting(scope, Side::Inbound)
            .into_iter()
            .collect();
        if chain.http {
            let routes = Routes::Inline(Box::new(route::inbound(scope, &cluster, port)));
            let wanted = http::Wanted {
                side: Side::Inbound,
                statistics: Statistics::Listener(&statistics),
                protocol,
                routes,
                dynamic: None,
                http1: None,
                guards: &guards.requests,
            };
            filters.push(managers.manager(wanted));
        } else {
            guards.stand_before(&mut filters);
            filters.extend(filter_chain::metrics(scope, Side::Inbound));
            let mut proxy = filter_chain::to(scope, Side::Inbound, &cluster);
            if let Some(name) = crate::statistics::connections(scope, port) {
                proxy.stat_prefix = name;
            }
            filters.extend(opaque::ending(scope, protocol, proxy));
        }
        let name = match (&own, number_, chain.http) {
            (Some(name), _, _) => name.clone(),
            (None, _, true) => "virtualInbound-catchall-http".to_owned(),
            (None, _, false) => "virtualInbound".to_owned(),
        };
        let matched = FilterChainMatch {
            destination_port: number_.and_then(|port| number(port.into())),
            transport_protocol: chain.transport.to_owned(),
            application_protocols: chain.protocols,
            ..Default::default()
        };
        FilterChain {
            name,
            filter_chain_match: Some(matched),
            filters,
            transport_socket: chain.tls.then(|| match tls {
                Some(tls) => server_tls::socket(scope, tls, !chain.http),
                None => downstream(scope, chain.http),
            }),
            metadata: sidecar.map(|own| metadata::config(&own.origin)),
            ..Default::default()
        }
    });
    made.collect()
}

/// mTLS with the workload's certificate, from any workload of the mesh.
pub(super) fn downstream(scope: &Scope, http: bool) -> core::TransportSocket {
    let config = &scope.config;
    let domains = std::iter::once(&config.trust_domain).chain(&config.trust_domain_aliases);
    let peers = domains.map(|domain| StringMatcher {
        match_pattern: Some(MatchPattern::Prefix(format!("spiffe://{domain}/"))),
        ..Default::default()
    });
    let own = config.mesh_mtls.clone().unwrap_or_default();
    let mut params = versions();
    if own.min_protocol_version == "TLSV1_3" {
        params.tls_minimum_protocol_version = tls::tls_parameters::TlsProtocol::TlSv13 as i32;
    }
    params.cipher_suites = if own.cipher_suites.is_empty() {
        CIPHERS.iter().map(|name| (*name).to_owned()).collect()
    } else {
        own.cipher_suites
    };
    params.ecdh_curves = own.ecdh_curves;
    let exchange = !http && scope.flavour == Flavour::IstioProxy;
    let alpn = exchange
        .then_some("istio-peer-exchange")
        .into_iter()
        .chain(["h2", "http/1.1"]);
    let context = tls::DownstreamTlsContext {
        common_tls_context: Some(tls::CommonTlsContext {
            tls_params: Some(params),
            tls_certificate_sds_secret_configs: vec![secret("default")],
            alpn_protocols: alpn.map(str::to_owned).collect(),
            validation_context_type: Some(validation(secret("ROOTCA"), peers.collect())),
            ..Default::default()
        }),
        require_client_certificate: flag(true),
        ..Default::default()
    };
    transport_socket("envoy.transport_sockets.tls", context.pack())
}

/// What is looked at before a chain is chosen, each only where its finding decides something.
fn listener_filters(scope: &Scope, chains: &[FilterChain], own: bool) -> Vec<ListenerFilter> {
    // Which ports need which look; port 0 stands for all others.
    let mut looks: BTreeMap<u16, (bool, bool)> = BTreeMap::new();
    for chain in chains {
        let matched = chain.filter_chain_match.clone().unwrap_or_default();
        let port = matched.destination_port.map_or(0, |port| port.value);
        let (tls, http) = looks
            .entry(u16::try_from(port).unwrap_or_default())
            .or_default();
        *tls |= matched.transport_protocol == "tls";
        let mut protocols = matched.application_protocols.iter();
        *http |= protocols.any(|name| PLAIN_HTTP.contains(&name.as_str()));
    }
    let mut filters = Vec::new();
    if !own {
        filters.push(original_destination());
        if scope.settings.interception == Interception::Transparent {
            filters.push(original_source());
        }
    }
    if looks.values().any(|(tls, _)| *tls) {
        let everywhere = looks.get(&0).is_some_and(|(tls, _)| *tls);
        let mut ports = looks.iter().filter(|(port, _)| **port != 0);
        let mut filter = tls_inspector();
        filter.filter_disabled = if everywhere {
            let quiet = ports.filter(|(_, (tls, _))| !tls);
            except(&quiet.map(|(port, _)| *port).collect::<Vec<u16>>())
        } else {
            let looked: Vec<u16> = ports
                .by_ref()
                .filter(|(_, (tls, _))| *tls)
                .map(|(port, _)| *port)
                .collect();
            except(&looked).map(|rule| ListenerFilterChainMatchPredicate {
                rule: Some(Rule::NotMatch(Box::new(rule))),
            })
        };
        filters.push(filter);
    }
    if looks.values().any(|(_, http)| *http) {
        let quiet = looks.iter().filter(|(_, (_, http))| !http);
        let mut filter = http_inspector();
        filter.filter_disabled = except(&quiet.map(|(port, _)| *port).collect::<Vec<u16>>());
        filters.push(filter);
    }
    filters
}

/// A predicate that holds of these ports; none for no port.
fn except(ports: &[u16]) -> Option<ListenerFilterChainMatchPredicate> {
    let mut rules = ports.iter().map(|port| ListenerFilterChainMatchPredicate {
        rule: Some(Rule::DestinationPortRange(Int32Range {
            start: i32::from(*port),
            end: i32::from(*port) + 1,
        })),
    });
    if ports.len() < 2 {
        return rules.next();
    }
    Some(ListenerFilterChainMatchPredicate {
        rule: Some(Rule::OrMatch(MatchSet {
            rules: rules.collect(),
        })),
    })
}
