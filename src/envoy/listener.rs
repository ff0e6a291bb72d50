//! Listeners: the outbound ones, the catch-all for captured traffic, the inbound one, gateways'.

pub(crate) mod captured;
pub(crate) mod filter_chain;
pub(crate) mod gateway;
pub(crate) mod http;
pub(crate) mod inbound;
pub(crate) mod opaque;
pub(crate) mod outbound;
pub(crate) mod server_tls;
mod table;
mod tcp;

use std::sync::Arc;

use base::ObjectRef;
use mesh::Scope;
use proto::envoy::config::core::v3 as core;
use proto::envoy::config::listener::v3::listener as wire;
use proto::envoy::config::listener::v3::{Listener, ListenerFilter, listener_filter};
use proto::envoy::extensions::filters::listener;
use proto::google::protobuf::Any;
use proto::pack::{Pack, Put};
use proto::writer::Writer;
use table::additional;

use crate::parts::{seconds, socket};

/// An encoded listener with what it came from and the routes that it asks for.
pub(crate) struct Made {
    pub(crate) name: String,
    pub(crate) written: Writer,
    pub(crate) origin: Vec<Arc<ObjectRef>>,
    pub(crate) routes: Vec<String>,
}

impl Made {
    /// One with fields of which some are written already.
    fn new(
        listener: Listener,
        mut written: Writer,
        origin: Vec<Arc<ObjectRef>>,
        routes: Vec<String>,
    ) -> Self {
        listener.put(&mut written);
        Made {
            name: listener.name,
            written,
            origin,
            routes,
        }
    }
}

/// An address and port, or a unix socket for port 0.
pub(crate) fn address(bind: &str, port: u16) -> core::Address {
    if port != 0 {
        return socket(bind, port);
    }
    core::Address {
        address: Some(core::address::Address::Pipe(core::Pipe {
            path: bind.strip_prefix("unix://").unwrap_or(bind).to_owned(),
            ..Default::default()
        })),
    }
}

/// Every address of the proxy's families, IPv4 first.
pub(crate) fn wildcards(scope: &Scope) -> Vec<String> {
    of_families(scope, "0.0.0.0", "::")
}

/// Loopback of the proxy's families, IPv4 first.
pub(crate) fn loopbacks(scope: &Scope) -> Vec<String> {
    of_families(scope, "127.0.0.1", "::1")
}

fn of_families(scope: &Scope, v4: &str, v6: &str) -> Vec<String> {
    let families = scope.families;
    let v4 = (families.v4 || !families.v6).then(|| v4.to_owned());
    let v6 = families.v6.then(|| v6.to_owned());
    v4.into_iter().chain(v6).collect()
}

/// Connections spread over threads evenly, where the proxy wants it.
fn balanced(wanted: bool) -> Option<wire::ConnectionBalanceConfig> {
    use wire::connection_balance_config::{BalanceType, ExactBalance};
    wanted.then(|| wire::ConnectionBalanceConfig {
        balance_type: Some(BalanceType::ExactBalance(ExactBalance {})),
    })
}

/// How long the protocol of a connection may stay unknown.
fn timeout(scope: &Scope) -> Option<proto::google::protobuf::Duration> {
    match scope.config.protocol_detection_timeout {
        none if none.is_zero() => seconds(0),
        some => crate::parts::span(some),
    }
}

fn listener_filter(name: &str, config: Any) -> ListenerFilter {
    ListenerFilter {
        name: format!("envoy.filters.listener.{name}"),
        config_type: Some(listener_filter::ConfigType::TypedConfig(config)),
        ..Default::default()
    }
}

fn http_inspector() -> ListenerFilter {
    let config = listener::http_inspector::v3::HttpInspector::default();
    listener_filter("http_inspector", config.pack())
}

fn tls_inspector() -> ListenerFilter {
    let config = listener::tls_inspector::v3::TlsInspector {
        initial_read_buffer_size: crate::parts::number(512),
        ..Default::default()
    };
    listener_filter("tls_inspector", config.pack())
}

/// The caller's address is kept on the way on.
fn original_source() -> ListenerFilter {
    let config = listener::original_src::v3::OriginalSrc {
        mark: 1337,
        ..Default::default()
    };
    listener_filter("original_src", config.pack())
}

fn original_destination() -> ListenerFilter {
    let config = listener::original_dst::v3::OriginalDst::default();
    listener_filter("original_dst", config.pack())
}
