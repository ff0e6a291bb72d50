//! Routes of gateways: of each set of servers whose routes have one name, the hosts that they admit.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use base::ObjectRef;
use base::hash::Map;
use mesh::{GatewayServer, Routing, Scope, is_wildcard};
use proto::envoy::config::route::v3 as wire;
use proto::pack::Put;

use super::fragment::{self, Names, Rest, Routes};
use super::rule::{self, At};
use super::{Made, configuration, domains, hash, retry};

pub(crate) fn all(scope: &Scope) -> Vec<Made> {
    let routes = scope.gateways.routes.iter();
    let retries = retry::usual(scope);
    routes
        .map(|(name, servers)| one(scope, name, servers, &retries))
        .collect()
}

/// What a host has to answer.
#[derive(Default)]
struct Host<'a> {
    name: String,
    /// Further hosts that have the same.
    others: Vec<String>,
    port: u16,
    /// Gateways and the VirtualServices with their routes, older ones first.
    routes: Vec<(&'a str, &'a Routing, Rc<Routes>)>,
    requires_tls: bool,
    /// Gateways that say so.
    redirecting: Vec<Arc<ObjectRef>>,
}

impl Host<'_> {
    fn new(name: &str, port: u16) -> Self {
        Host {
            name: name.to_owned(),
            port,
            ..Host::default()
        }
    }

    /// Hosts for which this is the same have the same routes, from the same VirtualServices.
    fn sources(&self) -> (Vec<(&str, *const Routing)>, bool) {
        let routes = self.routes.iter();
        let of = routes.map(|(gateway, routing, _)| (*gateway, std::ptr::from_ref(*routing)));
        (of.collect(), self.requires_tls)
    }

    fn made(self, scope: &Scope) -> fragment::Host {
        use wire::virtual_host::TlsRequirementType;
        let own = wire::VirtualHost {
            include_request_attempt_count: super::making::counts_attempts(scope),
            require_tls: if self.requires_tls {
                TlsRequirementType::All as i32
            } else {
                TlsRequirementType::None as i32
            },
            ..Default::default()
        };
        let routes: Vec<&Routes> = self.routes.iter().map(|(_, _, routes)| &**routes).collect();
        let origin = self.routes.iter();
        let origin = origin.flat_map(|(_, routing, _)| {
            let own = routing.origin.iter().cloned();
            own.chain(hash::origin(scope, routing))
        });
        let rest = Rest::new(
            &routes,
            own.fields(),
            origin.chain(self.redirecting).collect(),
        );
        let name = format!("{}:{}", self.name, self.port).into();
        let domains = std::iter::once(self.name).chain(self.others);
        fragment::Host {
            name,
            domains: Names::These(domains.map(Into::into).collect()),
            rest: rest.into(),
        }
    }
}

fn one(scope: &Scope, name: &str, servers: &[Arc<GatewayServer>], retries: &[u8]) -> Made {
    let mut hosts: Map<Cow<'_, str>, Host<'_>> = Map::default();
    let mut origin = Vec::new();
    // Routes of a VirtualService for a Gateway, which are made as for the first server that asks.
    let mut known: Map<(&str, *const Routing), Rc<Routes>> = Map::default();
    for server in servers {
        origin.push(server.origin.clone());
        let redirects = server.tls().is_some_and(|tls| tls.https_redirect);
        for routing in &server.routings {
            let admitted = server.admitted(routing);
            if admitted.is_empty() {
                continue;
            }
            let gateway = server.gateway.as_str();
            let routes = known.entry((gateway, Arc::as_ptr(routing)));
            let routes = routes.or_insert_with(|| {
                let at = At {
                    gateway,
                    port: server.number,
                    ends_tls: server.tls().is_some(),
                    retries,
                };
                Rc::new(rule::of(scope, routing, at))
            });
            if routes.is_empty() {
                continue;
            }
            for host in admitted {
                let host = domains::lower(host);
                // Rules of several VirtualServices for one host add up, older ones first.
                let entry = hosts
                    .entry(host.clone())
                    .or_insert_with(|| Host::new(&host, server.number));
                entry.routes.push((gateway, routing, routes.clone()));
                entry.requires_tls |= redirects;
            }
        }
        if redirects {
            for host in &server.hosts {
                // As upstream has it, a host for some namespaces only is sent to TLS where rules of
                // these are for it; elsewhere this name fits no request.
                let host: Cow<'_, str> = match &host.namespace {
                    Some(namespace) => format!("{namespace}/{}", host.name)
                        .to_ascii_lowercase()
                        .into(),
                    None => domains::lower(&host.name),
                };
                let entry = hosts
                    .entry(host.clone())
                    .or_insert_with(|| Host::new(&host, server.number));
                entry.requires_tls = true;
                entry.redirecting.push(server.origin.clone());
            }
        }
    }
    let hosts = hosts.into_values().collect();
    let hosts = collapsed(hosts).into_iter();
    let mut made = configuration(name.to_owned(), Vec::new());
    let hosts: Vec<fragment::Host> = hosts.map(|host| host.made(scope)).collect();
    if hosts.is_empty() {
        // Without any host the answer is 404, not a refused connection.
        let port = servers.first().map_or(0, |server| server.number);
        made.virtual_hosts.push(wire::VirtualHost {
            name: format!("blackhole:{port}"),
            domains: vec!["*".to_owned()],
            ..Default::default()
        });
    }
    Made {
        hosts,
        apart: Vec::new(),
        configuration: made,
        origin,
    }
}

/// Hosts with the same routes share one virtual host, called like the most specific of them.
fn collapsed(mut hosts: Vec<Host<'_>>) -> Vec<Host<'_>> {
    hosts.sort_unstable_by(|a, b| {
        let specific = |host: &str| (is_wildcard(host), std::cmp::Reverse(host.len()));
        let (a, b) = (&a.name, &b.name);
        specific(a).cmp(&specific(b)).then_with(|| a.cmp(b))
    });
    let mut first: Map<_, usize> = Map::default();
    let mut places = Vec::with_capacity(hosts.len());
    for (place, host) in hosts.iter().enumerate() {
        places.push(*first.entry(host.sources()).or_insert(place));
    }
    drop(first);
    let mut kept: Vec<Option<Host<'_>>> = hosts.into_iter().map(Some).collect();
    for (place, to) in places.into_iter().enumerate() {
        if place != to
            && let Some(host) = kept[place].take()
            && let Some(first) = &mut kept[to]
        {
            first.others.push(host.name);
            first.redirecting.extend(host.redirecting);
        }
    }
    kept.into_iter().flatten().collect()
}
