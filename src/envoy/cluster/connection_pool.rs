//! Limits of connections and requests, and the protocol towards the upstream.

use api::networking::destination_rule::{ConnectionPool, RetryBudget, TcpKeepalive};
use mesh::{Protocol, Role, Scope};
use proto::envoy::config::cluster::v3 as wire;
use proto::envoy::config::core::v3 as core;
use proto::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use proto::envoy::extensions::upstreams::http::v3::http_protocol_options::{
    ExplicitHttpConfig, UpstreamProtocolOptions, UseDownstreamHttpConfig, explicit_http_config,
};
use proto::envoy::r#type::v3::Percent;
use proto::google::protobuf::Any;
use proto::pack::Pack;

use super::{HTTP_OPTIONS, limit};
use crate::listener::http::preserved_case;
use crate::parts::{number, span};

fn limits(pool: &ConnectionPool, budget: Option<&RetryBudget>) -> wire::CircuitBreakers {
    let http = pool.http.clone().unwrap_or_default();
    let connections = pool.tcp.as_ref().map_or(0, |tcp| tcp.max_connections);
    let or_none = |value: i32| limit(value).or_else(|| number(u32::MAX));
    let budget = budget.map(|budget| wire::circuit_breakers::thresholds::RetryBudget {
        budget_percent: Some(Percent {
            value: budget.percent.unwrap_or(20.0),
        }),
        min_retry_concurrency: match budget.min_retry_concurrency {
            0 => number(3),
            own => number(own),
        },
        budget_interval: budget.budget_interval.and_then(span),
    });
    wire::CircuitBreakers {
        thresholds: vec![wire::circuit_breakers::Thresholds {
            max_connections: or_none(connections),
            max_pending_requests: or_none(http.http1_max_pending_requests),
            max_requests: or_none(http.http2_max_requests),
            max_retries: or_none(http.max_retries),
            retry_budget: budget,
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// Puts the limits on a cluster, and those of requests into its protocol's options.
pub(super) fn apply(
    scope: &Scope,
    cluster: &mut wire::Cluster,
    options: &mut Options,
    pool: &ConnectionPool,
    budget: Option<&RetryBudget>,
) {
    let tcp = pool.tcp.clone().unwrap_or_default();
    cluster.connect_timeout = span(tcp.connect_timeout.unwrap_or(scope.config.connect_timeout));
    cluster.circuit_breakers = Some(limits(pool, budget));
    keepalive(cluster, scope.config.tcp_keepalive.as_ref());
    keepalive(cluster, tcp.tcp_keepalive.as_ref());

    let http = pool.http.clone().unwrap_or_default();
    let idle = http.idle_timeout.or(tcp.idle_timeout);
    let requests = limit(http.max_requests_per_connection);
    let streams = limit(http.max_concurrent_streams);
    let pings = http.http2_keep_alive.as_ref();
    let life = tcp.max_connection_duration;
    if idle.is_some()
        || requests.is_some()
        || streams.is_some()
        || pings.is_some()
        || life.is_some()
    {
        let made = options.0.get_or_insert_default();
        let common = made.common_http_protocol_options.get_or_insert_default();
        common.idle_timeout = idle.and_then(span);
        common.max_requests_per_connection = requests;
        common.max_connection_duration = life.and_then(span);
        if let Some(http2) = explicit_http2(made) {
            http2.max_concurrent_streams = streams;
            http2.connection_keepalive = pings.map(|pings| core::KeepaliveSettings {
                interval: pings.interval.and_then(span),
                timeout: pings.timeout.and_then(span),
                ..Default::default()
            });
        }
    }
    if http.use_client_protocol {
        options.follow_caller();
    }
}

fn keepalive(cluster: &mut wire::Cluster, settings: Option<&TcpKeepalive>) {
    let Some(settings) = settings else { return };
    let made = cluster.upstream_connection_options.get_or_insert_default();
    let made = made.tcp_keepalive.get_or_insert_default();
    let whole = |value: api::duration::Duration| {
        number(u32::try_from(value.0.as_secs()).unwrap_or(u32::MAX))
    };
    if settings.probes > 0 {
        made.keepalive_probes = number(settings.probes);
    }
    if let Some(time) = settings.time {
        made.keepalive_time = whole(time);
    }
    if let Some(interval) = settings.interval {
        made.keepalive_interval = whole(interval);
    }
}

/// Which HTTP a cluster speaks and how; nothing for HTTP/1 without anything to say of it.
#[derive(Default)]
pub(super) struct Options(pub(super) Option<HttpProtocolOptions>);

impl Options {
    /// By the protocol of a port. A gateway does not know what callers speak further on, so it never
    /// follows them.
    pub(super) fn of(scope: &Scope, protocol: Protocol) -> Self {
        let mut made = Options::default();
        if protocol.is_http2() {
            made.upgrade();
            return made;
        }
        let own = scope.settings.config(&scope.config.default_config);
        let headers = own.proxy_headers.as_ref();
        let preserved =
            headers.is_some_and(|headers| headers.preserve_http1_header_case == Some(true));
        if preserved && protocol.may_be_http() {
            made.explicit(explicit_http_config::ProtocolConfig::HttpProtocolOptions(
                core::Http1ProtocolOptions {
                    header_key_format: Some(preserved_case()),
                    ..Default::default()
                },
            ));
        }
        if protocol == Protocol::Unsupported && scope.role == Role::Sidecar {
            made.follow_caller();
        }
        made
    }

    fn explicit(&mut self, config: explicit_http_config::ProtocolConfig) {
        let made = self.0.get_or_insert_default();
        let explicit = ExplicitHttpConfig {
            protocol_config: Some(config),
        };
        let options = UpstreamProtocolOptions::ExplicitHttpConfig(explicit);
        made.upstream_protocol_options = Some(options);
    }

    /// Speaks HTTP/2, unless something else is said already.
    pub(super) fn upgrade(&mut self) {
        let said = self.0.as_ref();
        if said.is_none_or(|said| said.upstream_protocol_options.is_none()) {
            let http2 = core::Http2ProtocolOptions::default();
            self.explicit(explicit_http_config::ProtocolConfig::Http2ProtocolOptions(
                http2,
            ));
        }
    }

    /// Speaks what the caller speaks.
    fn follow_caller(&mut self) {
        let made = self.0.get_or_insert_default();
        let http1 = match &made.upstream_protocol_options {
            Some(UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig {
                protocol_config:
                    Some(explicit_http_config::ProtocolConfig::HttpProtocolOptions(own)),
            })) => own.clone(),
            _ => core::Http1ProtocolOptions::default(),
        };
        let follow = UseDownstreamHttpConfig {
            http_protocol_options: Some(http1),
            http2_protocol_options: Some(core::Http2ProtocolOptions::default()),
            ..Default::default()
        };
        made.upstream_protocol_options =
            Some(UpstreamProtocolOptions::UseDownstreamProtocolConfig(follow));
    }

    /// Whether it is HTTP/2 and nothing else.
    pub(super) fn is_http2(&mut self) -> bool {
        let made = self.0.as_mut();
        made.is_some_and(|made| explicit_http2(made).is_some())
    }

    /// The options as a cluster has them.
    pub(super) fn packed(self) -> Vec<(String, Any)> {
        let mut made = self;
        if made
            .0
            .as_ref()
            .is_some_and(|options| options.upstream_protocol_options.is_none())
        {
            // Something must be said once there are options at all.
            made.explicit(explicit_http_config::ProtocolConfig::HttpProtocolOptions(
                core::Http1ProtocolOptions::default(),
            ));
        }
        let options = made.0.into_iter();
        options
            .map(|options| (HTTP_OPTIONS.to_owned(), options.pack()))
            .collect()
    }
}

fn explicit_http2(options: &mut HttpProtocolOptions) -> Option<&mut core::Http2ProtocolOptions> {
    match &mut options.upstream_protocol_options {
        Some(UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig {
            protocol_config: Some(explicit_http_config::ProtocolConfig::Http2ProtocolOptions(http2)),
        })) => Some(http2),
        _ => None,
    }
}

/// Whether calls go on as HTTP/2, whatever the port's protocol.
pub(super) fn upgrades(scope: &Scope, pool: &ConnectionPool, protocol: Protocol) -> bool {
    if let Some(http) = &pool.http {
        if http.use_client_protocol {
            return false;
        }
        match http.h2_upgrade_policy.as_deref() {
            Some("UPGRADE") => return true,
            Some("DO_NOT_UPGRADE") => return false,
            _ => {}
        }
    }
    protocol.is_http() && scope.config.h2_upgrade_policy == "UPGRADE"
}
