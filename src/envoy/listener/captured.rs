//! What a sidecar listens to beside its services: the port that captured traffic arrives at, where
//! unknown destinations end, and an HTTP proxy where one is wanted.

use api::networking::sidecar::OutboundMode;
use mesh::{Interception, Protocol, Scope};
use proto::envoy::config::core::v3::{Http1ProtocolOptions, TrafficDirection};
use proto::envoy::config::listener::v3::{FilterChain, FilterChainMatch, Listener};
use proto::pack::Put;
use proto::writer::Writer;

use super::filter_chain::{self, CHAIN_NAME, CHAINS, MATCH, Routes, Side, Statistics, put_port};
use super::opaque::Services;
use super::outbound::plain_http;
use super::table::additional;
use super::{Made, address, http, http_inspector, loopbacks, wildcards};
use crate::parts::{flag, number, seconds};
use crate::{access_log, names, route};

/// Writes the chain of connections that match no service of their port: as for unknown destinations.
pub(super) fn put_unknown(services: &Services<'_>, chain: &mut Writer) {
    chain
        .text(CHAIN_NAME, "PassthroughFilterChain")
        .nested(MATCH, |_| {});
    put_onwards(services, chain);
}

/// Writes the filters of connections to unknown destinations.
fn put_onwards(services: &Services<'_>, chain: &mut Writer) {
    let cluster = elsewhere(services.scope);
    services.put_plain(&cluster, &cluster, chain);
}

/// The cluster of unknown destinations.
pub(crate) fn elsewhere(scope: &Scope) -> String {
    let outbound = &scope.outbound;
    match (outbound.policy, &outbound.egress_proxy) {
        (OutboundMode::RegistryOnly, _) => names::BLACK_HOLE.to_owned(),
        (_, None) => names::PASSTHROUGH.to_owned(),
        (_, Some(to)) => {
            let port = to.port.as_ref().map_or(0, |port| port.number);
            let port = u16::try_from(port).unwrap_or_default();
            names::outbound(port, &to.subset, &to.host)
        }
    }
}

/// The listener that captured traffic arrives at and is handed on from; none without capture.
pub(super) fn catch_all(services: &Services<'_>) -> Option<Made> {
    let scope = services.scope;
    let interception = scope.settings.interception;
    if interception == Interception::None {
        return None;
    }
    let captured = scope.config.proxy_listen_port;
    let mut written = Writer::with_capacity(2048);
    written.block(CHAINS, |chain| {
        chain
            .text(CHAIN_NAME, "virtualOutbound-blackhole")
            .nested(MATCH, |matched| put_port(captured, matched))
            .raw(&services.before);
        // What ends here leaves no line in the access log.
        filter_chain::put_proxy(names::BLACK_HOLE, names::BLACK_HOLE, &[], chain);
    });
    let by_name = scope.outbound.policy == OutboundMode::AllowAnyDynamicDns;
    if by_name {
        let chain = FilterChain {
            name: "virtualOutbound-catchall-tcp-http".to_owned(),
            filter_chain_match: Some(FilterChainMatch {
                application_protocols: plain_http(scope)
                    .iter()
                    .map(|name| (*name).to_owned())
                    .collect(),
                ..Default::default()
            }),
            filters: vec![filter_chain::http(
                scope,
                Side::Outbound,
                Statistics::Listener("outbound_virtualOutbound_allow_any_dynamic_dns"),
                Protocol::Http,
                Routes::Inline(route::by_name(scope).fields()),
            )],
            ..Default::default()
        };
        written.block(CHAINS, |into| chain.put(into));
    }
    written.block(CHAINS, |chain| {
        chain.text(CHAIN_NAME, "virtualOutbound-catchall-tcp");
        put_onwards(services, chain);
    });
    let binds = wildcards(scope);
    let only_v6 = scope.families.v6 && !scope.families.v4;
    let more = if scope.features.dual_stack && binds.len() > 1 {
        additional(&binds, captured)
    } else if scope.features.ipv4_for_ipv6 && only_v6 {
        additional(&[String::new(), "0.0.0.0".to_owned()], captured)
    } else {
        Vec::new()
    };
    let listener = Listener {
        name: "virtualOutbound".to_owned(),
        address: Some(address(&binds[0], captured)),
        additional_addresses: more,
        use_original_dst: flag(true),
        transparent: if interception == Interception::Transparent {
            flag(true)
        } else {
            None
        },
        traffic_direction: TrafficDirection::Outbound as i32,
        max_connections_to_accept_per_socket_event: number(1),
        listener_filters: by_name.then(http_inspector).into_iter().collect(),
        access_log: access_log::of_listener(scope, Side::Outbound),
        ..Default::default()
    };
    let origin = scope.outbound.sidecar.iter().cloned().collect();
    Some(Made::new(listener, written, origin, Vec::new()))
}

/// An HTTP proxy for the workload, on loopback.
pub(super) fn http_proxy(scope: &Scope) -> Option<Made> {
    let port = scope.settings.http_proxy_port;
    let port = port.unwrap_or(scope.config.proxy_http_port);
    if port == 0 {
        return None;
    }
    let binds = loopbacks(scope);
    let name = format!("{}_{port}", binds[0]);
    let chain = FilterChain {
        filters: vec![http::manager(
            scope,
            http::Wanted {
                side: Side::Outbound,
                statistics: Statistics::Listener(&format!("outbound_{name}")),
                protocol: Protocol::HttpProxy,
                routes: Routes::Named("http_proxy".to_owned()),
                dynamic: None,
                http1: Some(Http1ProtocolOptions {
                    allow_absolute_url: flag(true),
                    accept_http_10: scope.features.http10 || scope.settings.http10,
                    ..Default::default()
                }),
                guards: &[],
            },
        )],
        transport_socket_connect_timeout: seconds(15),
        ..Default::default()
    };
    let listener = Listener {
        name,
        address: Some(address(&binds[0], port)),
        additional_addresses: additional(&binds, port),
        traffic_direction: TrafficDirection::Outbound as i32,
        max_connections_to_accept_per_socket_event: number(1),
        listener_filters_timeout: seconds(0),
        continue_on_listener_filters_timeout: true,
        filter_chains: vec![chain],
        ..Default::default()
    };
    let routes = vec!["http_proxy".to_owned()];
    let written = Writer::default();
    Some(Made::new(listener, written, Vec::new(), routes))
}
