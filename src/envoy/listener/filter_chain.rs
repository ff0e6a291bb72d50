//! Network filters: HTTP connection managers and TCP proxies.

use std::sync::LazyLock;

use bytes::Bytes;
use mesh::{Flavour, Reports, Scope};
use proto::envoy::config::listener::v3::{Filter, FilterChain, filter};
use proto::envoy::extensions::filters::network;
use proto::google::protobuf::Any;
use proto::pack::{Pack, Put};
use proto::writer::Writer;

use network::tcp_proxy::v3 as tcp;

use crate::parts::span;
use crate::{access_log, filter as http_filters};

pub(crate) use super::http::http;
pub(crate) use super::opaque::{L4Port, to_destinations};

const TCP_PROXY: &str = "envoy.filters.network.tcp_proxy";

/// Where a connection manager finds its routes.
pub(crate) enum Routes {
    /// Asked for by name.
    Named(String),
    /// Inside of it, encoded.
    Inline(Bytes),
}

/// Which side a connection manager is on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Outbound,
    Inbound,
    Gateway,
}

impl Side {
    /// What is told of calls on this side.
    pub(crate) fn reports(self, scope: &Scope) -> &Reports {
        match self {
            Side::Outbound | Side::Gateway => &scope.telemetry.client,
            Side::Inbound => &scope.telemetry.server,
        }
    }
}

/// What the statistics of a connection manager are called.
#[derive(Clone, Copy)]
pub(crate) enum Statistics<'a> {
    /// Like its listener.
    Listener(&'a str),
    /// As the user says.
    Named(&'a str),
}

/// A proxy to one cluster, whose name is also that of the statistics.
pub(crate) fn to(scope: &Scope, side: Side, cluster: &str) -> tcp::TcpProxy {
    tcp::TcpProxy {
        stat_prefix: cluster.to_owned(),
        cluster_specifier: Some(tcp::tcp_proxy::ClusterSpecifier::Cluster(
            cluster.to_owned(),
        )),
        access_log: access_log::all(scope, side, access_log::Kind::Tcp),
        idle_timeout: scope.settings.idle_timeout.and_then(span),
        ..Default::default()
    }
}

pub(crate) fn proxy(proxy: tcp::TcpProxy) -> Filter {
    of(TCP_PROXY, proxy.pack())
}

/// What stands before the filters of a connection: exchange of metadata, where the peer's proxy
/// begins it.
pub(crate) fn greeting(scope: &Scope, side: Side) -> Option<Filter> {
    let wanted = scope.flavour == Flavour::IstioProxy && side == Side::Inbound;
    wanted.then(|| of(http_filters::peer::NAME, http_filters::peer::tcp()))
}

/// Metrics of opaque connections.
pub(crate) fn metrics(scope: &Scope, side: Side) -> Vec<Filter> {
    let counted = http_filters::stats::all(scope, side).into_iter();
    counted.map(|config| of("istio.stats", config)).collect()
}

pub(crate) fn of(name: &str, config: Any) -> Filter {
    Filter {
        name: name.to_owned(),
        config_type: Some(filter::ConfigType::TypedConfig(config)),
    }
}

/// Field numbers of `Listener`, `FilterChain` and `FilterChainMatch`.
pub(super) const CHAINS: u32 = 3;
pub(super) const MATCH: u32 = 1;
pub(super) const FILTERS: u32 = 3;
pub(super) const CHAIN_NAME: u32 = 7;
const PORT: u32 = 8;
/// Field numbers of `Filter`, `Any` and a wrapped number.
const NAME: u32 = 1;
const CONFIG: u32 = 4;
const TYPE: u32 = 1;
const VALUE: u32 = 2;
const WRAPPED: u32 = 1;

/// Writes the condition that a connection was made to a port.
pub(super) fn put_port(port: u16, matched: &mut Writer) {
    matched.nested(PORT, |wrapped| {
        wrapped.number(WRAPPED, port.into());
    });
}

/// Writes a filter of a chain, with what `value` writes as its settings.
pub(super) fn put(name: &str, type_url: &str, into: &mut Writer, value: impl FnOnce(&mut Writer)) {
    into.block(FILTERS, |filter| {
        filter.text(NAME, name).block(CONFIG, |any| {
            any.text(TYPE, type_url).block(VALUE, value);
        });
    });
}

/// Writes the filter of connections that go to a cluster; `rest` is all else of it, encoded.
pub(super) fn put_proxy(statistics: &str, cluster: &str, rest: &[u8], into: &mut Writer) {
    /// Field numbers of `TcpProxy`.
    const STATISTICS: u32 = 1;
    const CLUSTER: u32 = 2;
    static TYPE: LazyLock<String> = LazyLock::new(tcp::TcpProxy::type_url);
    put(TCP_PROXY, &TYPE, into, |proxy| {
        proxy
            .text(STATISTICS, statistics)
            .text(CLUSTER, cluster)
            .raw(rest);
    });
}

/// Filters as a chain has them.
pub(super) fn encoded(filters: Vec<Filter>) -> Bytes {
    let chain = FilterChain {
        filters,
        ..Default::default()
    };
    chain.fields()
}
