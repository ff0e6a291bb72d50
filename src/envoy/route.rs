//! Route configurations: of sidecars by the name that a listener asks for, inbound ones, gateways'.

mod action;
pub(crate) mod apart;
mod at;
mod cors;
pub(crate) mod domains;
mod fault;
pub(crate) mod fragment;
pub(crate) mod gateway;
mod hash;
mod headers;
mod making;
mod matching;
mod redirect;
mod retry;
mod rule;
mod services;
mod session;
mod shares;
mod virtual_host;

use std::collections::BTreeSet;
use std::sync::Arc;

use base::ObjectRef;
use mesh::{InboundPort, Protocol, Scope};
use proto::envoy::config::route::v3 as wire;

use crate::memo::Memo;
use crate::parts::{flag, number, seconds};

/// A route configuration with what it came from.
pub(crate) struct Made {
    /// With those of its virtual hosts that are its own.
    pub(crate) configuration: wire::RouteConfiguration,
    /// Virtual hosts that it shares parts of with others.
    pub(crate) hosts: Vec<fragment::Host>,
    /// Virtual hosts that were taken out of it.
    pub(crate) apart: Vec<fragment::Host>,
    /// What it came from beside the objects of its virtual hosts.
    pub(crate) origin: Vec<Arc<ObjectRef>>,
}

/// Routes of a sidecar by the names that its listeners ask for: `80` for a wildcard port, `host:80`
/// for a port whose protocol is found out, `http_proxy`, or the path of a unix socket.
pub(crate) fn sidecar(scope: &Scope, names: &BTreeSet<String>, memo: &Memo) -> Vec<Made> {
    let making = making::Making::new(scope, memo);
    let made = names.iter().map(|name| of_name(scope, name, &making));
    made.collect()
}

fn of_name<'a>(scope: &'a Scope, name: &str, making: &making::Making<'a>) -> Made {
    let socket = name.starts_with("unix://");
    let (host, port) = match name.rsplit_once(':') {
        Some((host, port)) if !socket => (Some(host), port),
        _ => (None, name),
    };
    let port: u16 = port.parse().unwrap_or_default();
    let mut hosts = Vec::new();
    if let Some(view) = scope.outbound.view(port, name) {
        let of = view
            .port
            .as_ref()
            .map(|port| Protocol::parse(&port.protocol));
        let port = match of {
            Some(Protocol::HttpProxy) => 0,
            _ => port,
        };
        hosts = virtual_host::of_port(making, view, port, host);
    }
    let mut own = Vec::new();
    match host {
        // The address has told the host already.
        Some(host) => {
            hosts.retain(|made| made.domains.iter().any(|domain| domain == host));
            for made in &mut hosts {
                made.domains = fragment::Names::Any;
            }
        }
        None => own.push(virtual_host::unknown(scope)),
    }
    Made {
        configuration: configuration(name.to_owned(), own),
        hosts,
        apart: Vec::new(),
        origin: Vec::new(),
    }
}

/// Routes of unknown destinations by the name in the Host header.
pub(crate) fn by_name(scope: &Scope) -> wire::RouteConfiguration {
    let name = "allow_any_dynamic_dns".to_owned();
    configuration(name, vec![virtual_host::unknown(scope)])
}

fn configuration(name: String, virtual_hosts: Vec<wire::VirtualHost>) -> wire::RouteConfiguration {
    wire::RouteConfiguration {
        name,
        virtual_hosts,
        validate_clusters: flag(false),
        max_direct_response_body_size_bytes: number(1 << 20),
        ignore_port_in_host_matching: true,
        ..Default::default()
    }
}

/// Routes to the one cluster behind a port of the workload, or on to the port that was called.
pub(crate) fn inbound(
    scope: &Scope,
    cluster: &str,
    port: Option<&InboundPort>,
) -> wire::RouteConfiguration {
    let number = port.map_or(0, |port| port.port.number);
    let host = port.map_or("", InboundPort::host);
    let grpc = port.is_some_and(|port| port.port.protocol.is_grpc());
    let action = wire::RouteAction {
        cluster_specifier: Some(wire::route_action::ClusterSpecifier::Cluster(
            cluster.to_owned(),
        )),
        timeout: seconds(0),
        max_stream_duration: Some(wire::route_action::MaxStreamDuration {
            max_stream_duration: seconds(0),
            grpc_timeout_header_max: seconds(0),
            ..Default::default()
        }),
        retry_policy: if grpc {
            None
        } else {
            retry::inbound(scope.config.default_inbound_http_retry_policy.as_ref())
        },
        ..Default::default()
    };
    let route = wire::Route {
        name: "default".to_owned(),
        r#match: Some(matching::everything()),
        decorator: Some(wire::Decorator {
            operation: format!("{host}:{number}/*"),
            ..Default::default()
        }),
        action: Some(wire::route::Action::Route(action)),
        ..Default::default()
    };
    wire::RouteConfiguration {
        name: cluster.to_owned(),
        virtual_hosts: vec![wire::VirtualHost {
            name: format!("inbound|http|{number}"),
            domains: vec!["*".to_owned()],
            routes: vec![route],
            ..Default::default()
        }],
        validate_clusters: flag(false),
        ..Default::default()
    }
}
