//! Gateways: the servers that a gateway workload has, merged by port, with the routes of each.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::networking::gateway::Server;
use api::snapshot::selects;
use base::ObjectRef;

use crate::names::{covers, resolve};
use crate::{Mesh, Protocol, Proxy, Routing, Target};

/// What a gateway workload serves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GatewayView {
    /// Servers, by the port that they listen on.
    pub ports: BTreeMap<u16, Vec<GatewayServer>>,
}

/// One server of one Gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct GatewayServer {
    /// The Gateway.
    pub origin: ObjectRef,
    /// `namespace/name` of the Gateway.
    pub gateway: String,
    /// As the user wrote it.
    pub server: Server,
    /// Its protocol.
    pub protocol: Protocol,
    /// The port by which clients know it.
    pub number: u16,
    /// Its hosts without their namespaces, and the namespaces whose routes they admit.
    pub hosts: Vec<(Option<String>, String)>,
    /// VirtualServices bound to it, oldest first.
    pub routings: Vec<Arc<Routing>>,
}

impl GatewayServer {
    /// The hosts of a routing that this server admits: those of the routing, or its own where they
    /// are narrower.
    pub fn admitted(&self, routing: &Routing) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for host in &routing.spec.hosts {
            for (namespace, own) in &self.hosts {
                if namespace
                    .as_ref()
                    .is_none_or(|name| *name == routing.namespace)
                    && covers(host, own)
                {
                    let narrower = if crate::subset_of(host, own) {
                        host
                    } else {
                        own
                    };
                    if !found.contains(narrower) {
                        found.push(narrower.clone());
                    }
                }
            }
        }
        found
    }
}

/// The servers of all Gateways that select the proxy.
pub(crate) fn of(mesh: &Mesh, proxy: &Proxy) -> GatewayView {
    let mut found: Vec<_> = mesh
        .snapshot
        .gateways
        .values()
        .filter(|gateway| selects(&gateway.spec.selector, &proxy.labels))
        .collect();
    found.sort_by_key(|gateway| gateway.meta.age());
    let mut view = GatewayView::default();
    for gateway in found {
        let name = format!("{}/{}", gateway.meta.namespace(), gateway.meta.name());
        for server in &gateway.spec.servers {
            let Ok(number) = u16::try_from(server.port.number) else {
                continue;
            };
            let hosts = server.hosts.iter().map(|host| match host.split_once('/') {
                Some(("*", host)) => (None, full(host, gateway.meta.namespace(), &mesh.domain)),
                Some((".", host)) => {
                    let namespace = gateway.meta.namespace().to_owned();
                    let host = full(host, &namespace, &mesh.domain);
                    (Some(namespace), host)
                }
                Some((namespace, host)) => (
                    Some(namespace.to_owned()),
                    full(host, namespace, &mesh.domain),
                ),
                None => (None, full(host, gateway.meta.namespace(), &mesh.domain)),
            });
            let made = GatewayServer {
                origin: gateway.meta.reference.clone(),
                gateway: name.clone(),
                server: server.clone(),
                protocol: Protocol::parse(&server.port.protocol),
                number,
                hosts: hosts.collect(),
                routings: bound(mesh, proxy, &name),
            };
            for target in targets(mesh, proxy, number) {
                // A process without privileges cannot listen there.
                if proxy.unprivileged && target < 1024 {
                    continue;
                }
                let servers = view.ports.entry(target).or_default();
                if servers
                    .first()
                    .is_none_or(|first| first.protocol.is_http() == made.protocol.is_http())
                {
                    servers.push(made.clone());
                }
            }
        }
    }
    view
}

fn full(host: &str, namespace: &str, domain: &str) -> String {
    if host == "*" {
        host.to_owned()
    } else {
        resolve(host, namespace, domain)
    }
}

/// The ports that the workload listens on for a port of a server: the targets of the Services in
/// front of it, or else the number itself.
fn targets(mesh: &Mesh, proxy: &Proxy, number: u16) -> Vec<u16> {
    let mut found: Vec<u16> = mesh
        .services
        .iter()
        .filter(|service| service.id.namespace == proxy.namespace)
        .filter(|service| {
            let selector = service.selector.as_ref();
            selector.is_some_and(|selector| selects(selector, &proxy.labels))
        })
        .filter_map(|service| service.port(number))
        .filter_map(|port| match &port.target {
            Target::Number(target) => Some(*target),
            Target::Name(name) => {
                let known = proxy.ports.iter().find(|(known, _)| known == name);
                known.map(|(_, number)| *number)
            }
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    if found.is_empty() {
        found.push(number);
    }
    found
}

/// The VirtualServices bound to a gateway and visible to its workload.
fn bound(mesh: &Mesh, proxy: &Proxy, gateway: &str) -> Vec<Arc<Routing>> {
    let routings = mesh.routings.iter();
    routings
        .filter(|routing| routing.is_for(gateway) && routing.visibility.includes(&proxy.namespace))
        .cloned()
        .collect()
}
