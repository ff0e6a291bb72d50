//! The one order of HTTP filters, by the side that a connection manager is on.

use std::sync::LazyLock;

use bytes::Bytes;
use mesh::{Flavour, Scope};
use proto::envoy::extensions::filters::http;
use proto::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, http_filter,
};
use proto::google::protobuf::Any;
use proto::pack::{Pack, Put};
use proto::writer::Writer;

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
    /// Those that decide about requests, as [`encoded`] makes them.
    pub(crate) guards: &'a [u8],
}

/// What never differs.
struct Constant {
    grpc_web: Bytes,
    grpc_stats: Bytes,
    alpn: Bytes,
    fault_and_cors: Bytes,
    sessions: Bytes,
    /// By whether the router is quiet.
    router: [Bytes; 2],
}

static CONSTANT: LazyLock<Constant> = LazyLock::new(|| {
    use http::grpc_stats::v3::filter_config::PerMethodStatSpecifier::StatsForAllMethods;
    let stats = http::grpc_stats::v3::FilterConfig {
        emit_filter_state: true,
        per_method_stat_specifier: crate::parts::flag(false).map(StatsForAllMethods),
        ..Default::default()
    };
    let fault = http::fault::v3::HttpFault::default();
    let cors = http::cors::v3::Cors::default();
    let one = |name: &str, config: Any| encoded(vec![filter(name, config)]);
    Constant {
        grpc_web: one(
            "envoy.filters.http.grpc_web",
            http::grpc_web::v3::GrpcWeb::default().pack(),
        ),
        grpc_stats: one("envoy.filters.http.grpc_stats", stats.pack()),
        alpn: one("istio.alpn", peer::alpn()),
        fault_and_cors: encoded(vec![
            filter("envoy.filters.http.fault", fault.pack()),
            filter("envoy.filters.http.cors", cors.pack()),
        ]),
        sessions: one(
            "envoy.filters.http.stateful_session",
            http::stateful_session::v3::StatefulSession::default().pack(),
        ),
        router: [false, true].map(|quiet| {
            let router = http::router::v3::Router {
                suppress_envoy_headers: quiet,
                ..Default::default()
            };
            one("envoy.filters.http.router", router.pack())
        }),
    }
});

/// Writes all filters in order, as a connection manager has them.
pub(crate) fn put(scope: &Scope, wanted: &Wanted<'_>, into: &mut Writer) {
    let own = scope.flavour == Flavour::IstioProxy;
    let side = wanted.side;
    if own {
        into.raw(peer::http(side, wanted.skips_peers));
    }
    // Who the peer is, is known to what refuses it.
    into.raw(wanted.guards);
    if wanted.grpc_web {
        into.raw(&CONSTANT.grpc_web);
    }
    into.raw(&CONSTANT.grpc_stats);
    if own && side != Side::Inbound {
        into.raw(&CONSTANT.alpn);
    }
    into.raw(&CONSTANT.fault_and_cors);
    let counted = stats::all(scope, side).into_iter();
    let counted = counted.map(|config| filter("istio.stats", config));
    into.raw(&encoded(counted.collect()));
    if scope.features.persistent_sessions && side != Side::Inbound {
        into.raw(&CONSTANT.sessions);
    }
    let by_host = wanted.dynamic.as_deref();
    let by_host = by_host.map(|host| filter(dynamic::HTTP, dynamic::by_host(scope, host)));
    let by_any = wanted
        .any_name
        .then(|| filter(dynamic::HTTP, dynamic::by_any_host(scope)));
    let resolvers: Vec<HttpFilter> = by_host.into_iter().chain(by_any).collect();
    into.raw(&encoded(resolvers));
    into.raw(&CONSTANT.router[usize::from(wanted.quiet)]);
}

pub(crate) fn filter(name: &str, config: Any) -> HttpFilter {
    HttpFilter {
        name: name.to_owned(),
        config_type: Some(http_filter::ConfigType::TypedConfig(config)),
        ..Default::default()
    }
}

/// Filters as a connection manager has them.
pub(crate) fn encoded(http_filters: Vec<HttpFilter>) -> Bytes {
    let manager = HttpConnectionManager {
        http_filters,
        ..Default::default()
    };
    manager.fields()
}
