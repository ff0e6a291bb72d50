//! Network filters: HTTP connection managers and TCP proxies.

use mesh::{Flavour, Protocol, Scope};
use proto::envoy::config::listener::v3::{Filter, filter};
use proto::envoy::config::route::v3::RouteConfiguration;
use proto::envoy::extensions::filters::network;
use proto::envoy::extensions::request_id::uuid::v3::UuidRequestIdConfig;
use proto::google::protobuf::Any;
use proto::pack::Pack;

use network::http_connection_manager::v3 as hcm;
use network::tcp_proxy::v3 as tcp;

use crate::parts::{ads, flag, seconds};
use crate::{access_log, filter as http_filters, tracing};

/// Where a connection manager finds its routes.
pub(crate) enum Routes {
    /// Asked for by name.
    Named(String),
    /// Inside of it.
    Inline(Box<RouteConfiguration>),
}

/// Which side a connection manager is on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Outbound,
    Inbound,
    Gateway,
}

pub(crate) fn http(
    scope: &Scope,
    side: Side,
    statistics: &str,
    protocol: Protocol,
    routes: Routes,
) -> Filter {
    use hcm::http_connection_manager as parts;
    let mut manager = hcm::HttpConnectionManager {
        stat_prefix: format!("{statistics};"),
        http_filters: http_filters::order::filters(
            scope.flavour,
            side,
            protocol == Protocol::GrpcWeb,
        ),
        tracing: Some(tracing::of(scope)),
        stream_idle_timeout: seconds(0),
        access_log: access_log::all(scope),
        use_remote_address: flag(side == Side::Gateway),
        proxy_100_continue: true,
        upgrade_configs: vec![parts::UpgradeConfig {
            upgrade_type: "websocket".to_owned(),
            ..Default::default()
        }],
        request_id_extension: Some(hcm::RequestIdExtension {
            typed_config: Some(
                UuidRequestIdConfig {
                    use_request_id_for_trace_sampling: flag(true),
                    ..Default::default()
                }
                .pack(),
            ),
        }),
        route_specifier: Some(match routes {
            Routes::Named(name) => parts::RouteSpecifier::Rds(hcm::Rds {
                config_source: Some(ads()),
                route_config_name: name,
            }),
            Routes::Inline(routes) => parts::RouteSpecifier::RouteConfig(*routes),
        }),
        ..Default::default()
    };
    normalise(scope, &mut manager);
    match side {
        Side::Outbound => {}
        Side::Inbound => {
            manager.server_name = "istio-envoy".to_owned();
            manager.forward_client_cert_details =
                parts::ForwardClientCertDetails::AppendForward as i32;
            manager.set_current_client_cert_details = Some(parts::SetCurrentClientCertDetails {
                subject: flag(true),
                uri: true,
                dns: true,
                ..Default::default()
            });
            if protocol.is_http2() {
                manager.http2_protocol_options = Some(Default::default());
            }
        }
        Side::Gateway => {
            manager.server_name = "istio-envoy".to_owned();
            manager.forward_client_cert_details =
                parts::ForwardClientCertDetails::SanitizeSet as i32;
            manager.set_current_client_cert_details = Some(parts::SetCurrentClientCertDetails {
                subject: flag(true),
                cert: true,
                uri: true,
                dns: true,
                ..Default::default()
            });
            manager.append_x_forwarded_port = false;
        }
    }
    of(
        "envoy.filters.network.http_connection_manager",
        manager.pack(),
    )
}

/// Paths are normalised before anything looks at them, as far as the mesh wants it.
fn normalise(scope: &Scope, manager: &mut hcm::HttpConnectionManager) {
    use hcm::http_connection_manager::PathWithEscapedSlashesAction as Action;
    let wanted = scope.config.path_normalization.normalization.as_str();
    manager.path_with_escaped_slashes_action = Action::KeepUnchanged as i32;
    manager.normalize_path = flag(wanted != "NONE");
    manager.merge_slashes = matches!(wanted, "MERGE_SLASHES" | "DECODE_AND_MERGE_SLASHES");
    if wanted == "DECODE_AND_MERGE_SLASHES" {
        manager.path_with_escaped_slashes_action = Action::UnescapeAndForward as i32;
    }
}

/// Connections go to one cluster, whose name is also that of their statistics.
pub(crate) fn tcp(scope: &Scope, cluster: &str) -> Filter {
    proxy(tcp::TcpProxy {
        stat_prefix: cluster.to_owned(),
        access_log: access_log::all(scope),
        cluster_specifier: Some(tcp::tcp_proxy::ClusterSpecifier::Cluster(
            cluster.to_owned(),
        )),
        ..Default::default()
    })
}

pub(crate) fn proxy(proxy: tcp::TcpProxy) -> Filter {
    of("envoy.filters.network.tcp_proxy", proxy.pack())
}

/// What stands before the filters of a connection: exchange of metadata, where the peer's proxy
/// begins it.
pub(crate) fn greeting(scope: &Scope, side: Side) -> Option<Filter> {
    let wanted = scope.flavour == Flavour::IstioProxy && side == Side::Inbound;
    wanted.then(|| of("istio.metadata_exchange", http_filters::peer::tcp()))
}

/// Metrics of opaque connections.
pub(crate) fn metrics(scope: &Scope, side: Side) -> Option<Filter> {
    let wanted = scope.flavour == Flavour::IstioProxy;
    wanted.then(|| of("istio.stats", http_filters::peer::stats(side)))
}

/// Connections to one cluster, with what stands before.
pub(crate) fn opaque(scope: &Scope, side: Side, proxy: Filter) -> Vec<Filter> {
    let mut filters = Vec::new();
    filters.extend(greeting(scope, side));
    filters.extend(metrics(scope, side));
    filters.push(proxy);
    filters
}

/// What looks at a protocol before the TCP proxy.
pub(crate) fn before(protocol: Protocol, statistics: &str) -> Option<Filter> {
    match protocol {
        Protocol::Mongo => {
            let config = network::mongo_proxy::v3::MongoProxy {
                stat_prefix: statistics.to_owned(),
                ..Default::default()
            };
            Some(of("envoy.filters.network.mongo_proxy", config.pack()))
        }
        _ => None,
    }
}

fn of(name: &str, config: Any) -> Filter {
    Filter {
        name: name.to_owned(),
        config_type: Some(filter::ConfigType::TypedConfig(config)),
    }
}

/// Connections that end here without a line in the access log.
pub(crate) fn tcp_silent(cluster: &str) -> Filter {
    proxy(tcp::TcpProxy {
        stat_prefix: cluster.to_owned(),
        cluster_specifier: Some(tcp::tcp_proxy::ClusterSpecifier::Cluster(
            cluster.to_owned(),
        )),
        ..Default::default()
    })
}
