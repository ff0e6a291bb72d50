//! Virtual hosts of an egress listener: one per host of the VirtualServices that apply, one per other
//! service, and what happens with all other hosts.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use api::networking::sidecar::OutboundMode;
use api::proxy_config::Switch;
use base::ObjectRef;
use mesh::{
    Egress, OutboundService, Port, Protocol, Routing, Scope, covers, is_wildcard, subset_of,
};
use proto::envoy::config::route::v3 as wire;

use super::fragment::{Host, Rest};
use super::{action, domains, matching, rule, session};
use crate::listener::captured::elsewhere;
use crate::memo::{Memo, Same};
use crate::parts::seconds;
use crate::{names, narrow};

/// Services by host, in the form in which the routes of a port see them.
type Services<'a> = BTreeMap<String, &'a Arc<OutboundService>>;

/// The virtual hosts of a port, by name, and the objects that they came from. Port 0 stands for all
/// ports: of a generic HTTP proxy, or of a unix socket. `only`: those of one service.
pub(super) fn of_port(
    scope: &Scope,
    view: &Egress,
    port: u16,
    only: Option<&str>,
    memo: &Memo,
) -> (Vec<Host>, Vec<ObjectRef>) {
    let bare = narrow::for_clusters(scope, memo, false);
    let mut services: Services = BTreeMap::new();
    for called in &view.services {
        let host = called.service.id.host.to_ascii_lowercase();
        let wanted = port == 0 || called.service.ports.iter().any(|own| own.number == port);
        if !wanted || only.is_some_and(|only| only != host) {
            continue;
        }
        // Of the addresses of one object the first counts; of several objects the youngest.
        let known: Option<&&Arc<OutboundService>> = services.get(&host);
        if known.is_none_or(|known| known.service.origin != called.service.origin) {
            services.insert(host, called);
        }
    }
    let mut made = Builder {
        scope,
        named: narrow::for_domains(scope, memo),
        memo,
        listener: port,
        known: HashSet::new(),
        taken: HashSet::new(),
        hosts: BTreeMap::new(),
        origin: Vec::new(),
    };
    let mut left = services.clone();
    let mut wrapped: Vec<Wrapper> = Vec::new();
    for routing in &view.routings {
        // Hosts outside of the registry are served on port 80 alone.
        if port != 80 && !routing.spec.hosts.iter().any(|host| has(&services, host)) {
            continue;
        }
        let routes = rule::of_sidecar(scope, routing, port);
        if routes.is_empty() {
            continue;
        }
        let (free, matched) = split(routing, &services, &view.routings, &view.services);
        let mut by_port: BTreeMap<u16, Vec<&Arc<OutboundService>>> = BTreeMap::new();
        for called in &matched {
            for number in http_ports(called, port) {
                by_port.entry(number.number).or_default().push(called);
            }
        }
        if by_port.is_empty() {
            if port != 80 || only.is_some() {
                continue;
            }
            by_port.insert(80, Vec::new());
        }
        made.origin.extend(routing.origin.iter().cloned());
        for (number, served) in by_port {
            for called in &served {
                left.remove(&called.service.id.host.to_ascii_lowercase());
            }
            wrapped.push(Wrapper {
                port: number,
                free: free.clone(),
                served,
                routes: Routes::Rules(routes.clone(), &routing.origin),
            });
        }
    }
    // Older services first, for the sake of short names that two could have.
    for called in &view.services {
        let host = called.service.id.host.to_ascii_lowercase();
        if !left.get(&host).is_some_and(|own| Arc::ptr_eq(own, called)) || called.service.is_alias()
        {
            continue;
        }
        for own in http_ports(called, port) {
            wrapped.push(Wrapper {
                port: own.number,
                free: Vec::new(),
                served: vec![called],
                routes: Routes::Known(default_of(&bare, called, own, memo)),
            });
        }
    }
    for wrapper in &wrapped {
        for called in &wrapper.served {
            let host = &called.service.id.host;
            made.known.insert(host.clone());
            made.known.insert(format!("{host}:{}", wrapper.port));
        }
    }
    for wrapper in wrapped {
        for host in wrapper.free {
            let host = host.to_ascii_lowercase();
            made.add(&host, None, wrapper.port, &wrapper.routes);
        }
        for called in wrapper.served {
            let host = &called.service.id.host;
            made.add(host, Some(called), wrapper.port, &wrapper.routes);
        }
    }
    let hosts = made.hosts.into_values();
    let hosts = match port {
        0 => hosts.filter_map(with_port).collect(),
        _ => hosts.map(|(_, host)| host).collect(),
    };
    (hosts, made.origin)
}

/// Routes and the hosts that they are for.
struct Wrapper<'a> {
    port: u16,
    free: Vec<&'a str>,
    served: Vec<&'a Arc<OutboundService>>,
    routes: Routes<'a>,
}

/// Routes of a VirtualService with its objects, or all that a service has without one.
enum Routes<'a> {
    Rules(Vec<wire::Route>, &'a [ObjectRef]),
    Known(Arc<Rest>),
}

/// A virtual host without its name and domains: for a service, or for a host that is none.
fn rest(scope: &Scope, called: Option<&OutboundService>, routes: Vec<wire::Route>) -> Rest {
    let origin = called.map(|called| called.service.origin.clone());
    let host = wire::VirtualHost {
        routes,
        include_request_attempt_count: counts_attempts(scope),
        typed_per_filter_config: called
            .and_then(|called| session::of(scope, &called.service))
            .into_iter()
            .collect(),
        ..Default::default()
    };
    Rest::new(&host, origin.into_iter().collect())
}

/// That of a service without a VirtualService.
fn default_of(
    part: &Same<Scope>,
    called: &Arc<OutboundService>,
    port: &Port,
    memo: &Memo,
) -> Arc<Rest> {
    let key = (part.clone(), Same(called.clone()), port.number);
    memo.defaults.get_or(key, || {
        let route = action::default_route(&part.0, called, port);
        Arc::new(rest(&part.0, Some(called), vec![route]))
    })
}

/// Of hosts on several ports, all but those of port 80 are told by theirs.
fn with_port((port, mut host): (u16, Host)) -> Option<Host> {
    if port != 80 {
        host.domains.retain(|domain| domain.contains(':'));
    }
    (!host.domains.is_empty()).then_some(host)
}

/// Ports of a service that may speak HTTP: one, or all of them for port 0.
fn http_ports(called: &OutboundService, port: u16) -> impl Iterator<Item = &Port> {
    let ports = called.service.ports.iter();
    ports.filter(move |own| {
        (port == 0 || own.number == port)
            && own.protocol.may_be_http()
            && own.protocol != Protocol::Udp
    })
}

/// Whether a host of a VirtualService is one of the services, or might be.
fn has(services: &Services, host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    services.contains_key(&host)
        || services
            .keys()
            .any(|own| (is_wildcard(&host) || is_wildcard(own)) && covers(&host, own))
}

struct Builder<'a> {
    scope: &'a Scope,
    /// What domains depend on.
    named: Same<Scope>,
    memo: &'a Memo,
    listener: u16,
    /// Full names, which outdo short forms of others.
    known: HashSet<String>,
    taken: HashSet<String>,
    hosts: BTreeMap<String, (u16, Host)>,
    origin: Vec<ObjectRef>,
}

impl Builder<'_> {
    /// Adds a virtual host with the domains that no earlier one has.
    fn add(
        &mut self,
        host: &str,
        called: Option<&Arc<OutboundService>>,
        port: u16,
        routes: &Routes<'_>,
    ) {
        let name = format!("{}:{port}", domains::literal(host));
        if self.hosts.contains_key(&name) {
            return;
        }
        let mut all = match called {
            Some(called) => {
                self.origin.push(called.service.origin.clone());
                let named = (self.listener == 0).then_some(port);
                let key = (self.named.clone(), Same(called.service.clone()), named);
                let of_service = || domains::of_service(&self.named.0, &called.service, named);
                let domains = self.memo.domains.get_or(key, || Arc::new(of_service()));
                let outdone = |domain: &&String| {
                    domains.others.contains(domain) && self.known.contains(*domain)
                };
                let own = domains.all.iter().filter(|domain| !outdone(domain));
                own.cloned().collect()
            }
            None => vec![domains::literal(host)],
        };
        all.retain(|domain| self.taken.insert(domain.to_ascii_lowercase()));
        if all.is_empty() {
            return;
        }
        let rest = match routes {
            Routes::Known(rest) => rest.clone(),
            Routes::Rules(routes, origin) => {
                let called = called.map(AsRef::as_ref);
                rest(self.scope, called, routes.clone())
                    .blaming(origin)
                    .into()
            }
        };
        let made = Host {
            name: name.clone(),
            domains: all,
            rest,
        };
        self.hosts.insert(name, (port, made));
    }
}

/// Whether hosts are told how often a request was tried.
pub(super) fn counts_attempts(scope: &Scope) -> bool {
    let own = scope.settings.config(&scope.config.default_config);
    let headers = own.proxy_headers.as_ref();
    !Switch::is_off(headers.and_then(|headers| headers.attempt_count))
}

/// The hosts of a routing that no service has, and the services that it routes.
fn split<'a>(
    routing: &'a Routing,
    services: &Services<'a>,
    all: &[Arc<Routing>],
    visible: &[Arc<OutboundService>],
) -> (Vec<&'a str>, Vec<&'a Arc<OutboundService>>) {
    let mut free = Vec::new();
    let mut matched: Vec<&Arc<OutboundService>> = Vec::new();
    for host in routing.spec.hosts.iter().filter(|host| !is_wildcard(host)) {
        match services.get(&host.to_ascii_lowercase()) {
            Some(called) => matched.push(called),
            None => free.push(host.as_str()),
        }
    }
    for host in routing.spec.hosts.iter().filter(|host| is_wildcard(host)) {
        let mut found = false;
        for (name, called) in services {
            if covers(name, &host.to_ascii_lowercase()) {
                found = true;
                let seen = visible
                    .iter()
                    .any(|own| own.service.id.host == called.service.id.host);
                let best = most_specific(name, all).filter(|_| seen);
                if best.is_some_and(|best| std::ptr::eq(best, routing)) {
                    matched.push(called);
                }
            }
        }
        if !found {
            free.push(host);
        }
    }
    (free, matched)
}

/// The routing whose host says most about a name; the first of equals.
fn most_specific<'a>(name: &str, all: &'a [Arc<Routing>]) -> Option<&'a Routing> {
    let mut best: Option<((bool, usize), &Routing)> = None;
    for routing in all {
        for host in routing
            .spec
            .hosts
            .iter()
            .filter(|host| subset_of(name, host))
        {
            let rank = (!is_wildcard(host), host.len());
            if best.is_none_or(|(before, _)| rank > before) {
                best = Some((rank, routing));
            }
        }
    }
    best.map(|(_, routing)| routing)
}

/// What happens with hosts that are not known.
pub(super) fn unknown(scope: &Scope) -> wire::VirtualHost {
    let own = scope.settings.config(&scope.config.default_config);
    let headers = own.proxy_headers.as_ref();
    let to = |cluster: String| {
        wire::route::Action::Route(wire::RouteAction {
            cluster_specifier: Some(wire::route_action::ClusterSpecifier::Cluster(cluster)),
            timeout: seconds(0),
            append_x_forwarded_host: Switch::is_on(
                headers.and_then(|headers| headers.x_forwarded_host),
            ),
            ..action::without_grpc_timeout()
        })
    };
    let (name, action) = match scope.outbound.policy {
        OutboundMode::AllowAny => ("allow_any", to(elsewhere(scope))),
        OutboundMode::AllowAnyDynamicDns => {
            ("allow_any_dynamic_dns", to(names::BY_NAME.to_owned()))
        }
        OutboundMode::RegistryOnly => {
            let answer = wire::DirectResponseAction {
                status: 502,
                ..Default::default()
            };
            ("block_all", wire::route::Action::DirectResponse(answer))
        }
    };
    wire::VirtualHost {
        name: name.to_owned(),
        domains: vec!["*".to_owned()],
        routes: vec![wire::Route {
            name: name.to_owned(),
            r#match: Some(matching::everything()),
            action: Some(action),
            ..Default::default()
        }],
        include_request_attempt_count: counts_attempts(scope),
        ..Default::default()
    }
}
