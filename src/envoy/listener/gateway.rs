//! Listeners of gateways: one per port, HTTP with routes by name, or opaque connections.

use mesh::{GatewayServer, Protocol, Scope};
use proto::envoy::config::core::v3::TrafficDirection;
use proto::envoy::config::listener::v3::{FilterChain, Listener};

use super::filter_chain::{self, Routes, Side};
use super::{Made, any_address};
use crate::access_log;
use crate::parts::{number, socket};

pub(crate) fn all(scope: &Scope) -> Vec<Made> {
    let ports = scope.gateways.ports.iter();
    ports
        .filter_map(|(port, servers)| one(scope, *port, servers))
        .collect()
}

/// The name of the routes of a plaintext port.
pub(crate) fn routes_of(port: u16) -> String {
    format!("http.{port}")
}

fn one(scope: &Scope, port: u16, servers: &[GatewayServer]) -> Option<Made> {
    let http = plain(servers);
    http.first()?;
    let routes = routes_of(port);
    let bind = any_address(scope);
    let statistics = format!("outbound_{bind}_{port}");
    let chain = FilterChain {
        filters: vec![filter_chain::http(
            scope,
            Side::Gateway,
            &statistics,
            Protocol::Http,
            Routes::Named(routes.clone()),
        )],
        transport_socket_connect_timeout: crate::parts::seconds(15),
        ..Default::default()
    };
    let listener = Listener {
        name: format!("{bind}_{port}"),
        address: Some(socket(bind, port)),
        traffic_direction: TrafficDirection::Outbound as i32,
        max_connections_to_accept_per_socket_event: number(1),
        access_log: access_log::of_listener(scope),
        filter_chains: vec![chain],
        ..Default::default()
    };
    Some(Made {
        listener,
        origin: http.iter().map(|server| server.origin.clone()).collect(),
        routes: vec![routes],
    })
}

/// The servers of plaintext HTTP. Those that end TLS need their certificates over SDS from the
/// control plane.
pub(crate) fn plain(servers: &[GatewayServer]) -> Vec<&GatewayServer> {
    let plain = servers
        .iter()
        .filter(|server| server.server.tls.is_none() || redirects(server));
    plain.filter(|server| server.protocol.is_http()).collect()
}

/// Whether a plaintext server only sends callers to https.
fn redirects(server: &GatewayServer) -> bool {
    let tls = server.server.tls.as_ref();
    tls.is_some_and(|tls| tls.https_redirect && tls.mode.is_none())
}
