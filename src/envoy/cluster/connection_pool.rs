//! Limits of connections and requests, and the protocol towards the upstream.

use api::networking::destination_rule::{ConnectionPool, TcpKeepalive};
use mesh::{Protocol, Scope};
use proto::envoy::config::cluster::v3 as wire;
use proto::envoy::config::core::v3 as core;
use proto::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use proto::envoy::extensions::upstreams::http::v3::http_protocol_options::{
    ExplicitHttpConfig, UpstreamProtocolOptions, explicit_http_config,
};
use proto::google::protobuf::Duration;

use super::limit;
use crate::parts::{number, span};

/// No limits: they are for users to set.
pub(super) fn unlimited() -> wire::CircuitBreakers {
    limits(&ConnectionPool::default())
}

pub(super) fn limits(pool: &ConnectionPool) -> wire::CircuitBreakers {
    let http = pool.http.clone().unwrap_or_default();
    let connections = pool.tcp.as_ref().map_or(0, |tcp| tcp.max_connections);
    let or_none = |value: i32| limit(value).or_else(|| number(u32::MAX));
    wire::CircuitBreakers {
        thresholds: vec![wire::circuit_breakers::Thresholds {
            max_connections: or_none(connections),
            max_pending_requests: or_none(http.http1_max_pending_requests),
            max_requests: or_none(http.http2_max_requests),
            max_retries: or_none(http.max_retries),
            ..Default::default()
        }],
        ..Default::default()
    }
}

pub(super) fn connect_timeout(scope: &Scope, pool: &ConnectionPool) -> Option<Duration> {
    let own = pool.tcp.as_ref().and_then(|tcp| tcp.connect_timeout);
    span(own.unwrap_or(scope.config.connect_timeout))
}

pub(super) fn keepalive(
    scope: &Scope,
    pool: &ConnectionPool,
) -> Option<wire::UpstreamConnectionOptions> {
    let own = pool.tcp.as_ref().and_then(|tcp| tcp.tcp_keepalive.as_ref());
    let keepalive: &TcpKeepalive = own.or(scope.config.tcp_keepalive.as_ref())?;
    let whole = |value: Option<api::duration::Duration>| {
        value.and_then(|value| number(u32::try_from(value.0.as_secs()).unwrap_or(u32::MAX)))
    };
    Some(wire::UpstreamConnectionOptions {
        tcp_keepalive: Some(core::TcpKeepalive {
            keepalive_probes: (keepalive.probes > 0)
                .then(|| number(keepalive.probes))
                .flatten(),
            keepalive_time: whole(keepalive.time),
            keepalive_interval: whole(keepalive.interval),
        }),
        ..Default::default()
    })
}

/// Whether HTTP/1 calls go on as HTTP/2.
pub(super) fn upgrades(scope: &Scope, pool: &ConnectionPool, protocol: Protocol) -> bool {
    if protocol != Protocol::Http {
        return false;
    }
    let own = pool
        .http
        .as_ref()
        .and_then(|http| http.h2_upgrade_policy.as_deref());
    match own {
        Some("UPGRADE") => true,
        Some("DO_NOT_UPGRADE") => false,
        _ => scope.config.h2_upgrade_policy == "UPGRADE",
    }
}

/// The protocol options of a cluster with the pool's limits.
pub(super) fn options(
    pool: &ConnectionPool,
    options: Option<HttpProtocolOptions>,
) -> Option<HttpProtocolOptions> {
    let http = pool.http.clone().unwrap_or_default();
    let mut common = core::HttpProtocolOptions::default();
    let mut limited = false;
    let of_connections = pool.tcp.as_ref().and_then(|tcp| tcp.idle_timeout);
    if let Some(idle) = http.idle_timeout.or(of_connections) {
        common.idle_timeout = span(idle);
        limited = true;
    }
    if let Some(most) = limit(http.max_requests_per_connection) {
        common.max_requests_per_connection = Some(most);
        limited = true;
    }
    if let Some(most) = limit(http.max_concurrent_streams) {
        let mut made = options.unwrap_or_else(http1);
        if let Some(UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig {
            protocol_config: Some(explicit_http_config::ProtocolConfig::Http2ProtocolOptions(http2)),
        })) = &mut made.upstream_protocol_options
        {
            http2.max_concurrent_streams = Some(most);
        }
        made.common_http_protocol_options = limited.then_some(common);
        return Some(made);
    }
    if http.use_client_protocol {
        let mut made = super::protocol_options(Protocol::Unsupported).unwrap_or_default();
        made.common_http_protocol_options = limited.then_some(common);
        return Some(made);
    }
    if !limited {
        return options;
    }
    let mut made = options.unwrap_or_else(http1);
    made.common_http_protocol_options = Some(common);
    Some(made)
}

/// HTTP/1, which must be said once anything else is.
pub(super) fn http1() -> HttpProtocolOptions {
    HttpProtocolOptions {
        upstream_protocol_options: Some(UpstreamProtocolOptions::ExplicitHttpConfig(
            ExplicitHttpConfig {
                protocol_config: Some(explicit_http_config::ProtocolConfig::HttpProtocolOptions(
                    core::Http1ProtocolOptions::default(),
                )),
            },
        )),
        ..Default::default()
    }
}
