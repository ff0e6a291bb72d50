//! The one order of HTTP filters, by the side that a connection manager is on.

use mesh::{Flavour, Scope};
use proto::envoy::extensions::filters::http;
use proto::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpFilter, http_filter,
};
use proto::google::protobuf::Any;
use proto::pack::Pack;

use super::{dynamic, peer, stats};
use crate::listener::filter_chain::Side;

/// What decides which filters there are, beside the scope.
pub(crate) struct Wanted<'a> {
    pub(crate) side: Side,
    /// Translates that protocol.
    pub(crate) grpc_web: bool,
    /// No headers about what the proxy did.
    pub(crate) quiet: bool,
    /// Hosts outside of the mesh are not told who is asking.
    pub(crate) skips_peers: bool,
    /// Wildcard host whose names are resolved on the way.
    pub(crate) dynamic: Option<String>,
    /// Names of unknown hosts are resolved on the way.
    pub(crate) any_name: bool,
    /// Those that decide about requests.
    pub(crate) guards: &'a [HttpFilter],
}

/// All filters in order.
pub(crate) fn filters(scope: &Scope, wanted: &Wanted<'_>) -> Vec<HttpFilter> {
    let own = scope.flavour == Flavour::IstioProxy;
    let side = wanted.side;
    let mut filters = Vec::new();
    if own {
        let exchange = peer::http(side, wanted.skips_peers);
        filters.push(filter(peer::NAME, exchange));
    }
    // Who the peer is, is known to what refuses it.
    filters.extend(wanted.guards.iter().cloned());
    if wanted.grpc_web {
        let web = http::grpc_web::v3::GrpcWeb::default();
        filters.push(filter("envoy.filters.http.grpc_web", web.pack()));
    }
    let stats = http::grpc_stats::v3::FilterConfig {
        emit_filter_state: true,
        per_method_stat_specifier: Some(
            http::grpc_stats::v3::filter_config::PerMethodStatSpecifier::StatsForAllMethods(
                crate::parts::flag(false).unwrap_or_default(),
            ),
        ),
        ..Default::default()
    };
    let fault = http::fault::v3::HttpFault::default();
    let cors = http::cors::v3::Cors::default();
    filters.push(filter("envoy.filters.http.grpc_stats", stats.pack()));
    if own && side != Side::Inbound {
        filters.push(filter("istio.alpn", peer::alpn()));
    }
    filters.extend([
        filter("envoy.filters.http.fault", fault.pack()),
        filter("envoy.filters.http.cors", cors.pack()),
    ]);
    for counted in stats::all(scope, side) {
        filters.push(filter("istio.stats", counted));
    }
    if scope.features.persistent_sessions && side != Side::Inbound {
        let sessions = http::stateful_session::v3::StatefulSession::default();
        filters.push(filter(
            "envoy.filters.http.stateful_session",
            sessions.pack(),
        ));
    }
    if let Some(host) = &wanted.dynamic {
        filters.push(filter(dynamic::HTTP, dynamic::by_host(scope, host)));
    }
    if wanted.any_name {
        filters.push(filter(dynamic::HTTP, dynamic::by_any_host(scope)));
    }
    let router = http::router::v3::Router {
        suppress_envoy_headers: wanted.quiet,
        ..Default::default()
    };
    filters.push(filter("envoy.filters.http.router", router.pack()));
    filters
}

pub(crate) fn filter(name: &str, config: Any) -> HttpFilter {
    HttpFilter {
        name: name.to_owned(),
        config_type: Some(http_filter::ConfigType::TypedConfig(config)),
        ..Default::default()
    }
}
