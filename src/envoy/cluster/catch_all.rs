//! Clusters of traffic to unknown destinations: nowhere, on to where it was bound, by its name.

use api::networking::destination_rule::TlsMode;
use api::networking::sidecar::OutboundMode;
use mesh::{Protocol, Role, Scope};
use proto::envoy::config::cluster::v3 as wire;
use proto::envoy::config::core::v3 as core;
use proto::envoy::extensions::clusters::dynamic_forward_proxy::v3 as by_name;
use proto::envoy::extensions::upstreams::http::v3 as http;
use proto::pack::Pack;

use super::connection_pool::{self, Options};
use super::{HTTP_OPTIONS, greeting, of_type, tls};
use crate::filter::dynamic;
use crate::names;
use crate::parts::{seconds, span};

pub(super) fn all(scope: &Scope) -> Vec<wire::Cluster> {
    let mut made = vec![black_hole(scope)];
    if scope.role == Role::Sidecar {
        made.push(passthrough(scope));
        made.push(inbound_passthrough(scope));
        if scope.outbound.policy == OutboundMode::AllowAnyDynamicDns {
            made.push(any_name(scope));
        }
    }
    made
}

fn black_hole(scope: &Scope) -> wire::Cluster {
    wire::Cluster {
        name: names::BLACK_HOLE.to_owned(),
        alt_stat_name: format!("{};", names::BLACK_HOLE),
        connect_timeout: span(scope.config.connect_timeout),
        cluster_discovery_type: of_type(wire::cluster::DiscoveryType::Static),
        ..Default::default()
    }
}

/// HTTP as the caller speaks it.
fn options(scope: &Scope) -> http::HttpProtocolOptions {
    http::HttpProtocolOptions {
        common_http_protocol_options: Some(core::HttpProtocolOptions {
            idle_timeout: seconds(300),
            ..Default::default()
        }),
        ..Options::of(scope, Protocol::Unsupported)
            .0
            .unwrap_or_default()
    }
}

/// The limits of hosts whose rules say nothing.
fn limited(scope: &Scope, mut cluster: wire::Cluster) -> wire::Cluster {
    let default = scope.config.default_traffic_policy.as_ref();
    let pool = default.and_then(|policy| policy.connection_pool.clone());
    let pool = pool.unwrap_or_default();
    // Limits of requests are of no use here: the options are the same for all such clusters.
    let mut unused = Options::default();
    connection_pool::apply(scope, &mut cluster, &mut unused, &pool, None);
    cluster
}

/// Traffic goes to where it was bound.
fn passthrough(scope: &Scope) -> wire::Cluster {
    let cluster = wire::Cluster {
        name: names::PASSTHROUGH.to_owned(),
        alt_stat_name: format!("{};", names::PASSTHROUGH),
        cluster_discovery_type: of_type(wire::cluster::DiscoveryType::OriginalDst),
        lb_policy: wire::cluster::LbPolicy::ClusterProvided as i32,
        filters: greeting(scope),
        typed_extension_protocol_options: [(HTTP_OPTIONS.to_owned(), options(scope).pack())].into(),
        ..Default::default()
    };
    limited(scope, cluster)
}

fn inbound_passthrough(scope: &Scope) -> wire::Cluster {
    let both = scope.families.v4 && scope.families.v6;
    wire::Cluster {
        name: names::INBOUND_PASSTHROUGH.to_owned(),
        upstream_bind_config: Some(source(scope, both)),
        filters: Vec::new(),
        ..passthrough(scope)
    }
}

/// Addresses of the proxy's own, so that inbound traffic is not captured again on its way out.
pub(super) fn source(scope: &Scope, both: bool) -> core::BindConfig {
    let address = |text: &str| core::SocketAddress {
        address: text.to_owned(),
        port_specifier: Some(core::socket_address::PortSpecifier::PortValue(0)),
        ..Default::default()
    };
    let v4 = scope.families.v4 || !scope.families.v6;
    core::BindConfig {
        source_address: Some(address(if v4 { "127.0.0.6" } else { "::6" })),
        extra_source_addresses: both
            .then(|| core::ExtraSourceAddress {
                address: Some(address("::6")),
                ..Default::default()
            })
            .into_iter()
            .collect(),
        ..Default::default()
    }
}

/// HTTP goes to the host that its Host header names.
fn any_name(scope: &Scope) -> wire::Cluster {
    let tls = scope.config.outbound_traffic_policy.tls.as_ref();
    let plain = tls.is_none_or(|tls| tls.mode == TlsMode::Disable);
    let config = by_name::ClusterConfig {
        cluster_implementation_specifier: Some(
            by_name::cluster_config::ClusterImplementationSpecifier::DnsCacheConfig(
                dynamic::cache_of_any(scope),
            ),
        ),
        allow_insecure_cluster_options: plain,
        ..Default::default()
    };
    let cluster = wire::Cluster {
        name: names::BY_NAME.to_owned(),
        alt_stat_name: format!("{};", names::BY_NAME),
        cluster_discovery_type: Some(wire::cluster::ClusterDiscoveryType::ClusterType(
            wire::cluster::CustomClusterType {
                name: "envoy.clusters.dynamic_forward_proxy".to_owned(),
                typed_config: Some(config.pack()),
            },
        )),
        lb_policy: wire::cluster::LbPolicy::ClusterProvided as i32,
        filters: greeting(scope),
        typed_extension_protocol_options: [(HTTP_OPTIONS.to_owned(), options(scope).pack())].into(),
        transport_socket: tls
            .filter(|_| !plain)
            .and_then(|tls| tls::user_socket(scope, tls, false)),
        ..Default::default()
    };
    limited(scope, cluster)
}
