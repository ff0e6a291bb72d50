//! Routes of gateways: per port the hosts that its servers admit.

use std::collections::BTreeMap;

use mesh::{GatewayServer, Scope};
use proto::envoy::config::route::v3 as wire;

use super::{Made, configuration, domains, rule};
use crate::listener::gateway::{plain, routes_of};

pub(crate) fn all(scope: &Scope) -> Vec<Made> {
    let ports = scope.gateways.ports.iter();
    ports
        .filter_map(|(port, servers)| one(scope, *port, servers))
        .collect()
}

fn one(scope: &Scope, port: u16, servers: &[GatewayServer]) -> Option<Made> {
    let servers = plain(servers);
    servers.first()?;
    let mut hosts: BTreeMap<String, wire::VirtualHost> = BTreeMap::new();
    let mut origin = Vec::new();
    for server in servers {
        origin.push(server.origin.clone());
        let redirect = server
            .server
            .tls
            .as_ref()
            .is_some_and(|tls| tls.https_redirect);
        for routing in &server.routings {
            let admitted = server.admitted(routing);
            if admitted.is_empty() {
                continue;
            }
            let routes = rule::of(scope, routing, server.number, &server.gateway);
            if routes.is_empty() {
                continue;
            }
            origin.extend(routing.origin.iter().cloned());
            for host in admitted {
                // Rules of several VirtualServices for one host add up, older ones first.
                let made = hosts
                    .entry(host.clone())
                    .or_insert_with(|| virtual_host(&host, server.number));
                made.routes.extend(routes.iter().cloned());
                if redirect {
                    made.require_tls = wire::virtual_host::TlsRequirementType::All as i32;
                }
            }
        }
        if redirect {
            for (_, host) in &server.hosts {
                let made = hosts
                    .entry(host.clone())
                    .or_insert_with(|| virtual_host(host, server.number));
                made.require_tls = wire::virtual_host::TlsRequirementType::All as i32;
            }
        }
    }
    let mut hosts = collapsed(hosts);
    if hosts.is_empty() {
        // Without any host the answer is 404, not a refused connection.
        hosts.insert(
            String::new(),
            wire::VirtualHost {
                name: format!("blackhole:{port}"),
                domains: vec!["*".to_owned()],
                ..Default::default()
            },
        );
    }
    Some(Made {
        configuration: configuration(routes_of(port), hosts.into_values().collect()),
        origin,
    })
}

/// Hosts with the same routes share one virtual host, called like the last of them.
fn collapsed(hosts: BTreeMap<String, wire::VirtualHost>) -> BTreeMap<String, wire::VirtualHost> {
    let mut kept: BTreeMap<String, wire::VirtualHost> = BTreeMap::new();
    for (host, made) in hosts.into_iter().rev() {
        let same = kept
            .values_mut()
            .find(|other| other.routes == made.routes && other.require_tls == made.require_tls);
        match same {
            Some(other) => other.domains.extend(made.domains),
            None => drop(kept.insert(host, made)),
        }
    }
    kept
}

fn virtual_host(host: &str, port: u16) -> wire::VirtualHost {
    wire::VirtualHost {
        name: format!("{host}:{port}"),
        domains: vec![domains::literal(host)],
        include_request_attempt_count: true,
        ..Default::default()
    }
}
