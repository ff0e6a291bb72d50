//! Listeners: the outbound ones, the catch-all for captured traffic, the inbound one, gateways'.

pub(crate) mod filter_chain;
pub(crate) mod gateway;
pub(crate) mod inbound;
pub(crate) mod outbound;
mod tcp;

use base::ObjectRef;
use mesh::Scope;
use proto::envoy::config::core::v3::TrafficDirection;
use proto::envoy::config::listener::v3::{Listener, ListenerFilter, listener_filter};
use proto::envoy::extensions::filters::listener;
use proto::google::protobuf::Any;
use proto::pack::Pack;

use crate::parts::{flag, seconds, socket, wildcard};

/// A listener with what it came from and the routes that it asks for.
pub(crate) struct Made {
    pub(crate) listener: Listener,
    pub(crate) origin: Vec<ObjectRef>,
    pub(crate) routes: Vec<String>,
}

/// What every listener of a call has.
fn outbound(scope: &Scope, bind: &str, port: u16) -> Listener {
    Listener {
        name: format!("{bind}_{port}"),
        address: Some(socket(bind, port)),
        bind_to_port: flag(false),
        traffic_direction: TrafficDirection::Outbound as i32,
        listener_filters_timeout: timeout(scope),
        continue_on_listener_filters_timeout: true,
        ..Default::default()
    }
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

fn original_destination() -> ListenerFilter {
    let config = listener::original_dst::v3::OriginalDst::default();
    listener_filter("original_dst", config.pack())
}

/// The address that captured traffic is accepted on.
fn any_address(scope: &Scope) -> &'static str {
    wildcard(scope.families)
}
