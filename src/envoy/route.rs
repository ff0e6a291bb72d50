//! Route configurations: of sidecars by the name that a listener asks for, inbound ones, gateways'.

mod action;
mod cors;
mod domains;
mod fault;
pub(crate) mod gateway;
mod hash;
mod headers;
mod matching;
mod redirect;
mod retry;
mod rule;
mod virtual_host;

use base::ObjectRef;
use mesh::{InboundPort, Scope};
use proto::envoy::config::route::v3 as wire;

use crate::parts::{flag, number, seconds};

/// A route configuration with what it came from.
pub(crate) struct Made {
    pub(crate) configuration: wire::RouteConfiguration,
    pub(crate) origin: Vec<ObjectRef>,
}

/// Routes of a sidecar: `80` for a wildcard port, `host:80` for a port whose protocol is found out.
pub(crate) fn sidecar(scope: &Scope, name: &str) -> Made {
    let (host, port) = match name.rsplit_once(':') {
        Some((host, port)) => (Some(host), port),
        None => (None, name),
    };
    let port: u16 = port.parse().unwrap_or_default();
    let (mut hosts, origin) = virtual_host::of_port(scope, port, host);
    match host {
        // The address has told the host already.
        Some(_) => {
            hosts.retain(|made| made.name == name);
            for made in &mut hosts {
                made.domains = vec!["*".to_owned()];
            }
        }
        None => hosts.push(virtual_host::unknown(scope)),
    }
    Made {
        configuration: configuration(name.to_owned(), hosts),
        origin,
    }
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
pub(crate) fn inbound(cluster: &str, port: Option<&InboundPort>) -> wire::RouteConfiguration {
    let number = port.map_or(0, |port| port.port.number);
    let host = port.map_or("", |port| port.service.id.host.as_str());
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
        // Only what surely never reached the workload.
        retry_policy: (!grpc).then(|| wire::RetryPolicy {
            retry_on: "reset-before-request".to_owned(),
            num_retries: crate::parts::number(2),
            ..Default::default()
        }),
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
