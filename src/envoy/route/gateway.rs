//! Routes of gateways: of each set of servers whose routes have one name, the hosts that they admit.

use std::collections::BTreeMap;
use std::sync::Arc;

use mesh::{GatewayServer, Scope, is_wildcard};
use proto::envoy::config::route::v3 as wire;

use super::rule::{self, At};
use super::{Made, configuration};

pub(crate) fn all(scope: &Scope) -> Vec<Made> {
    let routes = scope.gateways.routes.iter();
    routes
        .map(|(name, servers)| one(scope, name, servers))
        .collect()
}

/// A virtual host, and from which VirtualServices its routes came.
struct Host {
    made: wire::VirtualHost,
    sources: Vec<(String, String)>,
}

fn one(scope: &Scope, name: &str, servers: &[Arc<GatewayServer>]) -> Made {
    let mut hosts: BTreeMap<String, Host> = BTreeMap::new();
    let mut origin = Vec::new();
    // Routes of a VirtualService for a Gateway, which are made as for the first server that asks.
    let mut known: BTreeMap<(&str, &str, &str), Vec<wire::Route>> = BTreeMap::new();
    for server in servers {
        origin.push(server.origin.clone());
        let redirects = server.tls().is_some_and(|tls| tls.https_redirect);
        let all = wire::virtual_host::TlsRequirementType::All as i32;
        for routing in &server.routings {
            let admitted = server.admitted(routing);
            if admitted.is_empty() {
                continue;
            }
            let key = (
                server.gateway.as_str(),
                routing.namespace.as_str(),
                routing.name.as_str(),
            );
            let routes = match known.get(&key) {
                Some(known) => known.clone(),
                None => {
                    let at = At {
                        gateway: &server.gateway,
                        port: server.number,
                        ends_tls: server.tls().is_some(),
                    };
                    rule::of(scope, routing, at)
                }
            };
            if routes.is_empty() {
                continue;
            }
            known.insert(key, routes.clone());
            origin.extend(routing.origin.iter().cloned());
            for host in admitted {
                let host = host.to_ascii_lowercase();
                // Rules of several VirtualServices for one host add up, older ones first.
                let entry = hosts
                    .entry(host.clone())
                    .or_insert_with(|| virtual_host(scope, &host, server.number));
                entry.made.routes.extend(routes.iter().cloned());
                let source = (server.gateway.clone(), format!("{}/{}", key.1, key.2));
                entry.sources.push(source);
                if redirects {
                    entry.made.require_tls = all;
                }
            }
        }
        if redirects {
            for host in &server.hosts {
                // As upstream has it, a host for some namespaces only is sent to TLS where rules of
                // these are for it; elsewhere this name fits no request.
                let host = match &host.namespace {
                    Some(namespace) => format!("{namespace}/{}", host.name),
                    None => host.name.clone(),
                };
                let host = host.to_ascii_lowercase();
                let entry = hosts
                    .entry(host.clone())
                    .or_insert_with(|| virtual_host(scope, &host, server.number));
                entry.made.require_tls = all;
            }
        }
    }
    let mut made = collapsed(hosts);
    if made.is_empty() {
        // Without any host the answer is 404, not a refused connection.
        let port = servers.first().map_or(0, |server| server.number);
        made.push(wire::VirtualHost {
            name: format!("blackhole:{port}"),
            domains: vec!["*".to_owned()],
            ..Default::default()
        });
    }
    for host in &mut made {
        // What takes everything would hide the rules of VirtualServices that came later.
        host.routes.sort_by_key(rule::takes_everything);
    }
    Made {
        hosts: Vec::new(),
        configuration: configuration(name.to_owned(), made),
        origin,
    }
}

/// Hosts with the same routes share one virtual host, called like the most specific of them.
fn collapsed(hosts: BTreeMap<String, Host>) -> Vec<wire::VirtualHost> {
    let mut hosts: Vec<(String, Host)> = hosts.into_iter().collect();
    hosts.sort_by(|(a, _), (b, _)| {
        let specific = |host: &str| (is_wildcard(host), std::cmp::Reverse(host.len()));
        specific(a).cmp(&specific(b)).then_with(|| a.cmp(b))
    });
    let mut kept: Vec<Host> = Vec::new();
    for (_, host) in hosts {
        let same = kept.iter_mut().find(|other| {
            other.sources == host.sources && other.made.require_tls == host.made.require_tls
        });
        match same {
            Some(other) => other.made.domains.extend(host.made.domains),
            None => kept.push(host),
        }
    }
    kept.into_iter().map(|host| host.made).collect()
}

fn virtual_host(scope: &Scope, host: &str, port: u16) -> Host {
    Host {
        made: wire::VirtualHost {
            name: format!("{host}:{port}"),
            domains: vec![host.to_owned()],
            include_request_attempt_count: super::virtual_host::counts_attempts(scope),
            ..Default::default()
        },
        sources: Vec::new(),
    }
}
