//! Small pieces of Envoy's messages that many resources share. No decision is taken here.

use std::net::IpAddr;

use api::duration::Duration as Span;
use proto::envoy::config::core::v3 as core;
use proto::google::protobuf::{Any, BoolValue, Duration, UInt32Value, UInt64Value};

pub(crate) fn flag(value: bool) -> Option<BoolValue> {
    Some(BoolValue { value })
}

pub(crate) fn number(value: u32) -> Option<UInt32Value> {
    Some(UInt32Value { value })
}

pub(crate) fn long(value: u64) -> Option<UInt64Value> {
    Some(UInt64Value { value })
}

pub(crate) fn seconds(seconds: i64) -> Option<Duration> {
    Some(Duration { seconds, nanos: 0 })
}

pub(crate) fn span(span: Span) -> Option<Duration> {
    Some(Duration {
        seconds: i64::try_from(span.0.as_secs()).unwrap_or(i64::MAX),
        nanos: span.0.subsec_nanos().cast_signed(),
    })
}

/// A port of an address; `host` may be a name.
pub(crate) fn socket(host: &str, port: u16) -> core::Address {
    let socket = core::SocketAddress {
        address: host.to_owned(),
        port_specifier: Some(core::socket_address::PortSpecifier::PortValue(port.into())),
        ..Default::default()
    };
    core::Address {
        address: Some(core::address::Address::SocketAddress(socket)),
    }
}

/// `10.0.0.0/8`, or an address alone.
pub(crate) fn range(text: &str) -> Option<core::CidrRange> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => {
            let address = address.parse::<IpAddr>().ok()?;
            let length: u32 = length.parse().ok()?;
            let longest = if address.is_ipv4() { 32 } else { 128 };
            (length <= longest).then_some((address, length))?
        }
        None => {
            let address = text.parse::<IpAddr>().ok()?;
            (address, if address.is_ipv4() { 32 } else { 128 })
        }
    };
    Some(core::CidrRange {
        address_prefix: address.to_string(),
        prefix_len: number(length),
    })
}

fn source(specifier: core::config_source::ConfigSourceSpecifier) -> core::ConfigSource {
    core::ConfigSource {
        config_source_specifier: Some(specifier),
        initial_fetch_timeout: seconds(0),
        resource_api_version: core::ApiVersion::V3 as i32,
        ..Default::default()
    }
}

/// What comes over the stream to the control plane.
pub(crate) fn ads() -> core::ConfigSource {
    let ads = core::AggregatedConfigSource::default();
    source(core::config_source::ConfigSourceSpecifier::Ads(ads))
}

/// What comes from the agent beside the proxy.
pub(crate) fn agent() -> core::ConfigSource {
    let service = core::GrpcService {
        target_specifier: Some(core::grpc_service::TargetSpecifier::EnvoyGrpc(
            core::grpc_service::EnvoyGrpc {
                cluster_name: "sds-grpc".to_owned(),
                ..Default::default()
            },
        )),
        ..Default::default()
    };
    let api = core::ApiConfigSource {
        api_type: core::api_config_source::ApiType::Grpc as i32,
        transport_api_version: core::ApiVersion::V3 as i32,
        grpc_services: vec![service],
        set_node_on_first_message_only: true,
        ..Default::default()
    };
    source(core::config_source::ConfigSourceSpecifier::ApiConfigSource(
        api,
    ))
}

/// A service of the mesh that is asked over gRPC.
pub(crate) fn grpc_service(at: &mesh::Destination) -> core::GrpcService {
    use core::grpc_service::{EnvoyGrpc, TargetSpecifier};
    core::GrpcService {
        target_specifier: Some(TargetSpecifier::EnvoyGrpc(EnvoyGrpc {
            cluster_name: crate::names::outbound(at.port, "", &at.host),
            authority: at.host.clone(),
            ..Default::default()
        })),
        ..Default::default()
    }
}

pub(crate) fn transport_socket(name: &str, config: Any) -> core::TransportSocket {
    core::TransportSocket {
        name: name.to_owned(),
        config_type: Some(core::transport_socket::ConfigType::TypedConfig(config)),
    }
}

/// In which families names are resolved.
pub(crate) fn lookup_family(
    scope: &mesh::Scope,
) -> proto::envoy::config::cluster::v3::cluster::DnsLookupFamily {
    use proto::envoy::config::cluster::v3::cluster::DnsLookupFamily;
    let features = &scope.features;
    match (scope.families.v4, scope.families.v6) {
        (true, true) if features.dual_stack => DnsLookupFamily::All,
        (false, true) if features.ipv4_for_ipv6 => DnsLookupFamily::All,
        (false, true) => DnsLookupFamily::V6Only,
        _ => DnsLookupFamily::V4Only,
    }
}
