//! The one order of HTTP filters, by the side that a connection manager is on.

use mesh::Flavour;
use proto::envoy::extensions::filters::http;
use proto::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpFilter, http_filter,
};
use proto::google::protobuf::Any;
use proto::pack::Pack;

use super::peer;
use crate::listener::filter_chain::Side;

/// All filters in order. `grpc_web` translates that protocol.
pub(crate) fn filters(flavour: Flavour, side: Side, grpc_web: bool) -> Vec<HttpFilter> {
    let own = flavour == Flavour::IstioProxy;
    let mut filters = Vec::new();
    if own {
        filters.push(filter("istio.metadata_exchange", peer::http(side)));
    }
    if grpc_web {
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
    let router = http::router::v3::Router::default();
    filters.push(filter("envoy.filters.http.grpc_stats", stats.pack()));
    if own && side != Side::Inbound {
        filters.push(filter("istio.alpn", peer::alpn()));
    }
    filters.extend([
        filter("envoy.filters.http.fault", fault.pack()),
        filter("envoy.filters.http.cors", cors.pack()),
    ]);
    if own {
        filters.push(filter("istio.stats", peer::stats(side)));
    }
    filters.push(filter("envoy.filters.http.router", router.pack()));
    filters
}

fn filter(name: &str, config: Any) -> HttpFilter {
    HttpFilter {
        name: name.to_owned(),
        config_type: Some(http_filter::ConfigType::TypedConfig(config)),
        ..Default::default()
    }
}
