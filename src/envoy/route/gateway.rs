//! Routes of gateways: of each set of servers whose routes have one name, the hosts that they admit.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;

use base::ObjectRef;
use base::hash::Map;
use bytes::Bytes;
use mesh::{GatewayServer, Routing, Scope, is_wildcard};
use proto::envoy::config::route::v3 as wire;
use proto::pack::Put;
use wire::virtual_host::TlsRequirementType;

use super::at::{Known, Place};
use super::fragment::{self, Names, Rest, Routes};
use super::{Made, configuration, domains};

pub(crate) fn all(scope: &Scope) -> Vec<Made> {
    let routes = scope.gateways.routes.iter();
    let common = Common::new(scope);
    routes
        .map(|(name, servers)| one(scope, name, servers, &common))
        .collect()
}

/// What the virtual hosts of all servers have in common.
struct Common<'a> {
    /// Routes of VirtualServices.
    known: Known<'a>,
    /// What a host is but for names and routes.
    plain: Bytes,
    /// The same for one that is sent to TLS.
    requiring_tls: Bytes,
}

impl<'a> Common<'a> {
    fn new(scope: &'a Scope) -> Self {
        let requiring = |tls: TlsRequirementType| {
            let own = wire::VirtualHost {
                include_request_attempt_count: super::making::counts_attempts(scope),
                require_tls: tls as i32,
                ..Default::default()
            };
            own.fields()
        };
        Common {
            known: Known::new(scope),
            plain: requiring(TlsRequirementType::None),
            requiring_tls: requiring(TlsRequirementType::All),
        }
    }
}

/// What a host has to answer.
#[derive(Default)]
struct Host<'a> {
    name: Cow<'a, str>,
    /// Further hosts that have the same.
    others: Vec<Cow<'a, str>>,
    port: u16,
    /// VirtualServices with their routes, which are made once for each Gateway; older ones first.
    routes: Vec<(&'a Routing, Rc<Routes>)>,
    requires_tls: bool,
    /// Gateways that say so.
    redirecting: Vec<Arc<ObjectRef>>,
}

impl<'a> Host<'a> {
    fn new(name: Cow<'a, str>, port: u16) -> Self {
        Host {
            name,
            port,
            ..Host::default()
        }
    }

    fn made(self, common: &Common<'_>) -> fragment::Host {
        let own = match self.requires_tls {
            true => &common.requiring_tls,
            false => &common.plain,
        };
        let routes: Vec<&Routes> = self.routes.iter().map(|(_, routes)| &**routes).collect();
        let origin = self.routes.iter().flat_map(|(routing, routes)| {
            let own = routing.origin.iter();
            own.chain(&routes.hashes).cloned()
        });
        let rest = Rest::new(
            &routes,
            own.clone(),
            origin.chain(self.redirecting).collect(),
        );
        let name = [&*self.name, ":", &self.port.to_string()].concat().into();
        let domains = std::iter::once(&self.name).chain(&self.others);
        fragment::Host {
            name,
            domains: Names::These(domains.map(|name| (**name).into()).collect()),
            rest: rest.into(),
        }
    }
}

/// What a host has to answer, by which hosts with the same are found.
struct Answers<'h, 'a>(&'h Host<'a>);

impl Answers<'_, '_> {
    fn parts(&self) -> (impl Iterator<Item = *const Routes>, bool) {
        let routes = self.0.routes.iter().map(|(_, routes)| Rc::as_ptr(routes));
        (routes, self.0.requires_tls)
    }
}

impl PartialEq for Answers<'_, '_> {
    fn eq(&self, other: &Self) -> bool {
        let ((one, tls), (other, other_tls)) = (self.parts(), other.parts());
        tls == other_tls && one.eq(other)
    }
}

impl Eq for Answers<'_, '_> {}

impl Hash for Answers<'_, '_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (routes, tls) = self.parts();
        routes.for_each(|routes| routes.addr().hash(state));
        tls.hash(state);
    }
}

fn one<'a>(
    scope: &'a Scope,
    name: &str,
    servers: &'a [Arc<GatewayServer>],
    common: &Common<'a>,
) -> Made {
    let mut hosts: Map<Cow<'_, str>, Host<'_>> = Map::default();
    let mut origin = Vec::new();
    // Routes of a VirtualService for a Gateway, which are made as for the first server that asks.
    let mut of_gateway: Map<(&str, *const Routing), Rc<Routes>> = Map::default();
    for server in servers {
        origin.push(server.origin.clone());
        let redirects = server.tls().is_some_and(|tls| tls.https_redirect);
        for routing in &server.routings {
            let admitted = server.admitted(routing);
            if admitted.is_empty() {
                continue;
            }
            let gateway = server.gateway.as_str();
            let routes = of_gateway.entry((gateway, Arc::as_ptr(routing)));
            let routes = routes.or_insert_with(|| {
                let place = Place {
                    gateway,
                    port: server.number,
                    ends_tls: server.tls().is_some(),
                };
                common.known.routes(scope, routing, place)
            });
            if routes.is_empty() {
                continue;
            }
            for host in admitted {
                let host = domains::lower(host);
                // Rules of several VirtualServices for one host add up, older ones first.
                let entry = hosts
                    .entry(host.clone())
                    .or_insert_with(|| Host::new(host, server.number));
                entry.routes.push((routing, routes.clone()));
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
                    .or_insert_with(|| Host::new(host, server.number));
                entry.requires_tls = true;
                entry.redirecting.push(server.origin.clone());
            }
        }
    }
    let hosts = hosts.into_values().collect();
    let hosts = collapsed(hosts).into_iter();
    let mut made = configuration(name.to_owned(), Vec::new());
    let hosts: Vec<fragment::Host> = hosts.map(|host| host.made(common)).collect();
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
        places.push(*first.entry(Answers(host)).or_insert(place));
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
