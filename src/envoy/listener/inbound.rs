//! The inbound listener of sidecars: filter chains per port of the workload, by what the mTLS mode
//! and the protocol of the port allow, then those for all other ports.

use mesh::{Flavour, InboundPort, Mode, Protocol, Scope};
use proto::envoy::config::core::v3 as core;
use proto::envoy::config::core::v3::TrafficDirection;
use proto::envoy::config::listener::v3::{
    FilterChain, FilterChainMatch, Listener, ListenerFilterChainMatchPredicate,
    listener_filter_chain_match_predicate,
};
use proto::envoy::extensions::transport_sockets::tls::v3 as tls;
use proto::envoy::r#type::matcher::v3::{StringMatcher, string_matcher::MatchPattern};
use proto::envoy::r#type::v3::Int32Range;
use proto::pack::Pack;

use super::filter_chain::{self, Routes, Side};
use super::{Made, any_address, http_inspector, original_destination, timeout, tls_inspector};
use crate::cluster::tls::{secret, validation, versions};
use crate::parts::{flag, number, socket, transport_socket};
use crate::{access_log, names, route};

/// The port that captured inbound traffic is sent to.
const CAPTURED: u16 = 15006;

const MESH_HTTP: [&str; 3] = ["istio-http/1.0", "istio-http/1.1", "istio-h2"];
const MESH_TCP: [&str; 2] = ["istio-peer-exchange", "istio"];
const MESH_ALL: [&str; 5] = [
    "istio",
    "istio-peer-exchange",
    "istio-http/1.0",
    "istio-http/1.1",
    "istio-h2",
];
const PLAIN_HTTP: [&str; 2] = ["http/1.1", "h2c"];

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
    protocols: &'static [&'static str],
    /// Whether TLS ends here.
    tls: bool,
    http: bool,
}

const fn on(
    transport: &'static str,
    protocols: &'static [&'static str],
    tls: bool,
    http: bool,
) -> Chain {
    Chain {
        transport,
        protocols,
        tls,
        http,
    }
}

/// The chains of a port, by mode and protocol.
fn chains(mode: Mode, protocol: Protocol) -> Vec<Chain> {
    let (http, unknown) = (protocol.is_http(), protocol == Protocol::Unsupported);
    match mode {
        Mode::Permissive if unknown => vec![
            on("tls", &MESH_HTTP, true, true),
            on("raw_buffer", &PLAIN_HTTP, false, true),
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
        Mode::Disable if unknown => vec![
            on("raw_buffer", &PLAIN_HTTP, false, true),
            on("", &[], false, false),
        ],
        Mode::Disable => vec![on("raw_buffer", &[], false, http)],
    }
}

pub(crate) fn all(scope: &Scope) -> Made {
    let mut filter_chains = vec![FilterChain {
        name: "virtualInbound-blackhole".to_owned(),
        filter_chain_match: Some(FilterChainMatch {
            destination_port: number(CAPTURED.into()),
            ..Default::default()
        }),
        filters: filter_chain::opaque(
            scope,
            Side::Inbound,
            filter_chain::tcp_silent(names::BLACK_HOLE),
        ),
        ..Default::default()
    }];
    let inbound = &scope.inbound;
    filter_chains.extend(of(scope, None, None, inbound.mode));
    for port in &inbound.ports {
        filter_chains.extend(of(scope, Some(port.target), Some(port), port.mode));
    }
    for (port, mode) in &inbound.port_modes {
        let known = inbound.ports.iter().any(|known| known.target == *port);
        if !known && *mode != inbound.mode {
            filter_chains.extend(of(scope, Some(*port), None, *mode));
        }
    }
    let origin = inbound.ports.iter().flat_map(|port| port.services.iter());
    let origin = origin.map(|service| service.origin.clone()).collect();
    let listener = Listener {
        name: "virtualInbound".to_owned(),
        address: Some(socket(any_address(scope), CAPTURED)),
        traffic_direction: TrafficDirection::Inbound as i32,
        max_connections_to_accept_per_socket_event: number(1),
        listener_filters: listener_filters(scope),
        listener_filters_timeout: timeout(scope),
        continue_on_listener_filters_timeout: true,
        access_log: access_log::of_listener(scope),
        filter_chains,
        ..Default::default()
    };
    Made {
        listener,
        origin,
        routes: Vec::new(),
    }
}

/// Chains for one port of the workload, for another port that differs in its mode, or for the rest.
fn of(
    scope: &Scope,
    number_: Option<u16>,
    port: Option<&InboundPort>,
    mode: Mode,
) -> Vec<FilterChain> {
    let protocol = port.map_or(Protocol::Unsupported, |port| port.port.protocol);
    let cluster = match port {
        Some(port) => names::inbound(port.target),
        None => names::INBOUND_PASSTHROUGH.to_owned(),
    };
    let statistics = match port {
        Some(port) => format!("inbound_{}_{}", any_address(scope), port.target),
        None => cluster.clone(),
    };
    let chains = chains(mode, protocol);
    let made = chains.into_iter().map(|chain| {
        let filters = if chain.http {
            let routes = Routes::Inline(Box::new(route::inbound(&cluster, port)));
            let mut filters = Vec::new();
            filters.extend(filter_chain::greeting(scope, Side::Inbound));
            filters.push(filter_chain::http(
                scope,
                Side::Inbound,
                &statistics,
                protocol,
                routes,
            ));
            filters
        } else {
            let mut filters = Vec::new();
            filters.extend(filter_chain::greeting(scope, Side::Inbound));
            filters.extend(filter_chain::metrics(scope, Side::Inbound));
            filters.extend(filter_chain::before(protocol, &cluster));
            filters.push(filter_chain::tcp(scope, &cluster));
            filters
        };
        let name = match (port, number_, chain.http) {
            (Some(port), _, _) => format!("{}_{}", any_address(scope), port.target),
            (None, Some(number), _) => format!("{}_{number}", any_address(scope)),
            (None, None, true) => "virtualInbound-catchall-http".to_owned(),
            (None, None, false) => "virtualInbound".to_owned(),
        };
        let matched = FilterChainMatch {
            destination_port: number_.and_then(|port| number(port.into())),
            transport_protocol: chain.transport.to_owned(),
            application_protocols: chain
                .protocols
                .iter()
                .map(|name| (*name).to_owned())
                .collect(),
            ..Default::default()
        };
        FilterChain {
            name,
            filter_chain_match: Some(matched),
            filters,
            transport_socket: chain.tls.then(|| downstream(scope, chain.http)),
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

/// The inspectors, each only where its finding decides something.
fn listener_filters(scope: &Scope) -> Vec<proto::envoy::config::listener::v3::ListenerFilter> {
    let guesses = |port: &InboundPort| guesses(port.mode, port.port.protocol);
    let mut tls = tls_inspector();
    tls.filter_disabled = except(&quiet(scope, |port| port.mode == Mode::Disable));
    let mut filters = vec![original_destination(), tls];
    let inbound = &scope.inbound;
    let elsewhere = self::guesses(inbound.mode, Protocol::Unsupported);
    if elsewhere || inbound.ports.iter().any(guesses) {
        let mut http = http_inspector();
        http.filter_disabled = except(&quiet(scope, |port| !guesses(port)));
        filters.push(http);
    }
    filters
}

/// Whether a port tells HTTP in plaintext from what is not.
fn guesses(mode: Mode, protocol: Protocol) -> bool {
    chains(mode, protocol)
        .iter()
        .any(|chain| chain.protocols == PLAIN_HTTP)
}

fn quiet(scope: &Scope, needless: impl Fn(&InboundPort) -> bool) -> Vec<u16> {
    let ports = scope.inbound.ports.iter().filter(|port| needless(port));
    let mut ports: Vec<u16> = ports.map(|port| port.target).collect();
    ports.push(CAPTURED);
    ports.sort_unstable();
    ports
}

/// A predicate that holds of these ports.
fn except(ports: &[u16]) -> Option<ListenerFilterChainMatchPredicate> {
    use listener_filter_chain_match_predicate::{MatchSet, Rule};
    let mut rules = ports.iter().map(|port| ListenerFilterChainMatchPredicate {
        rule: Some(Rule::DestinationPortRange(Int32Range {
            start: i32::from(*port),
            end: i32::from(*port) + 1,
        })),
    });
    if ports.len() == 1 {
        return rules.next();
    }
    Some(ListenerFilterChainMatchPredicate {
        rule: Some(Rule::OrMatch(MatchSet {
            rules: rules.collect(),
        })),
    })
}
