//! Clusters: one per visible port and subset, one per port of the workload, and those for traffic
//! to unknown destinations.

mod connection_pool;
mod load_balancer;
mod outbound;
mod outlier_detection;
pub(crate) mod tls;

use base::ObjectRef;
use mesh::{Flavour, Protocol, Role, Scope};
use proto::envoy::config::cluster::v3 as wire;
use proto::envoy::config::core::v3 as core;
use proto::envoy::extensions::upstreams::http::v3 as http;
use proto::google::protobuf::Duration;
use proto::pack::Pack;

use crate::parts::{number, span, wildcard};
use crate::{EndpointView, metadata, names};

const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// A cluster with what it came from.
pub(crate) struct Made {
    pub(crate) cluster: wire::Cluster,
    pub(crate) origin: Vec<ObjectRef>,
    /// For clusters whose endpoints come over EDS.
    pub(crate) endpoints: Option<EndpointView>,
}

pub(crate) fn all(scope: &Scope) -> Vec<Made> {
    let mut made: Vec<Made> = Vec::new();
    for service in &scope.outbound.services {
        for port in service.service.called() {
            made.extend(outbound::of_port(scope, service, port));
        }
    }
    let mut without_origin = vec![black_hole(scope)];
    if scope.role == Role::Sidecar {
        without_origin.push(passthrough(scope));
        without_origin.push(inbound_passthrough(scope));
        made.extend(scope.inbound.ports.iter().map(|port| inbound(scope, port)));
    }
    made.extend(without_origin.into_iter().map(|cluster| Made {
        cluster,
        origin: Vec::new(),
        endpoints: None,
    }));
    made
}

fn of_type(kind: wire::cluster::DiscoveryType) -> Option<wire::cluster::ClusterDiscoveryType> {
    Some(wire::cluster::ClusterDiscoveryType::Type(kind as i32))
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

/// Traffic goes to where it was bound.
fn passthrough(scope: &Scope) -> wire::Cluster {
    let options = http::HttpProtocolOptions {
        common_http_protocol_options: Some(core::HttpProtocolOptions {
            idle_timeout: crate::parts::seconds(300),
            ..Default::default()
        }),
        ..protocol_options(Protocol::Unsupported).unwrap_or_default()
    };
    wire::Cluster {
        name: names::PASSTHROUGH.to_owned(),
        alt_stat_name: format!("{};", names::PASSTHROUGH),
        connect_timeout: span(scope.config.connect_timeout),
        cluster_discovery_type: of_type(wire::cluster::DiscoveryType::OriginalDst),
        lb_policy: wire::cluster::LbPolicy::ClusterProvided as i32,
        filters: greeting(scope),
        circuit_breakers: Some(connection_pool::unlimited()),
        typed_extension_protocol_options: [(HTTP_OPTIONS.to_owned(), options.pack())].into(),
        ..Default::default()
    }
}

fn inbound_passthrough(scope: &Scope) -> wire::Cluster {
    wire::Cluster {
        name: names::INBOUND_PASSTHROUGH.to_owned(),
        upstream_bind_config: Some(inbound_source(scope)),
        filters: Vec::new(),
        ..passthrough(scope)
    }
}

/// An address of the proxy's own, so that inbound traffic is not captured again on its way out.
fn inbound_source(scope: &Scope) -> core::BindConfig {
    let address = if wildcard(scope.families) == "::" {
        "::6"
    } else {
        "127.0.0.6"
    };
    core::BindConfig {
        source_address: Some(core::SocketAddress {
            address: address.to_owned(),
            port_specifier: Some(core::socket_address::PortSpecifier::PortValue(0)),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// The cluster behind a port of the workload.
fn inbound(scope: &Scope, port: &mesh::InboundPort) -> Made {
    let name = names::inbound(port.target);
    let services = port.services.iter().map(AsRef::as_ref);
    let rule = port.rule.as_deref();
    let policy = rule.map(|rule| rule.settings(None, port.port.number));
    let pool = policy
        .and_then(|policy| policy.connection_pool)
        .unwrap_or_default();
    let mut fields = metadata::services(services.clone());
    if let Some(rule) = rule {
        let path = names::config_path(&rule.origin[0]);
        fields.insert("config".to_owned(), metadata::text(path));
    }
    let cluster = wire::Cluster {
        alt_stat_name: format!("{name};"),
        name,
        connect_timeout: span(scope.config.connect_timeout),
        cluster_discovery_type: of_type(wire::cluster::DiscoveryType::OriginalDst),
        lb_policy: wire::cluster::LbPolicy::ClusterProvided as i32,
        circuit_breakers: Some(connection_pool::limits(&pool)),
        common_lb_config: Some(wire::cluster::CommonLbConfig::default()),
        // Never: the one address behind it is this workload's.
        cleanup_interval: Some(Duration {
            seconds: 9_223_372_035,
            nanos: 0,
        }),
        upstream_bind_config: Some(inbound_source(scope)),
        metadata: Some(metadata::istio(fields)),
        typed_extension_protocol_options: protocol_options(port.port.protocol)
            .map(|options| (HTTP_OPTIONS.to_owned(), options.pack()))
            .into_iter()
            .collect(),
        ..Default::default()
    };
    Made {
        cluster,
        origin: services.map(|service| service.origin.clone()).collect(),
        endpoints: None,
    }
}

/// Exchange of metadata at the beginning of connections.
fn greeting(scope: &Scope) -> Vec<wire::Filter> {
    if scope.flavour != Flavour::IstioProxy {
        return Vec::new();
    }
    vec![wire::Filter {
        name: "istio.metadata_exchange".to_owned(),
        typed_config: Some(crate::filter::peer::tcp()),
        ..Default::default()
    }]
}

/// Which HTTP a cluster speaks; nothing for HTTP/1 and for what is not HTTP.
fn protocol_options(protocol: Protocol) -> Option<http::HttpProtocolOptions> {
    use http::http_protocol_options::{
        ExplicitHttpConfig, UpstreamProtocolOptions, UseDownstreamHttpConfig, explicit_http_config,
    };
    let chosen = if protocol.is_http2() {
        UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig {
            protocol_config: Some(explicit_http_config::ProtocolConfig::Http2ProtocolOptions(
                core::Http2ProtocolOptions::default(),
            )),
        })
    } else if protocol == Protocol::Unsupported {
        UpstreamProtocolOptions::UseDownstreamProtocolConfig(UseDownstreamHttpConfig {
            http_protocol_options: Some(core::Http1ProtocolOptions::default()),
            http2_protocol_options: Some(core::Http2ProtocolOptions::default()),
            ..Default::default()
        })
    } else {
        return None;
    };
    Some(http::HttpProtocolOptions {
        upstream_protocol_options: Some(chosen),
        ..Default::default()
    })
}

/// All endpoints count as long as any is healthy.
fn no_panic() -> wire::cluster::CommonLbConfig {
    wire::cluster::CommonLbConfig {
        healthy_panic_threshold: Some(proto::envoy::r#type::v3::Percent::default()),
        ..Default::default()
    }
}

/// Retries and requests at a time, when limited.
pub(crate) fn limit(value: i32) -> Option<proto::google::protobuf::UInt32Value> {
    u32::try_from(value)
        .ok()
        .filter(|value| *value > 0)
        .and_then(number)
}
