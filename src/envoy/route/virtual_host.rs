//! Virtual hosts of an egress listener: one per host of the VirtualServices that apply, one per other
//! service, and what happens with all other hosts.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use api::networking::sidecar::OutboundMode;
use api::proxy_config::Switch;
use base::ObjectRef;
use base::hash::{Map, Set};
use bytes::Bytes;
use mesh::{
    Egress, MESH_GATEWAY, OutboundService, Port, Protocol, Routing, Scope, covers, is_wildcard,
    subset_of,
};
use proto::envoy::config::route::v3 as wire;
use proto::pack::Put;
use proto::writer::Writer;

use super::domains::{Caller, Domain};
use super::fragment::{Host, Names, Rest, Routes};
use super::rule::At;
use super::{action, domains, hash, matching, retry, rule, session};
use crate::listener::captured::elsewhere;
use crate::memo::{Memo, Same};
use crate::parts::seconds;
use crate::{names, narrow};

/// What the routes of all listeners of a scope are made with.
pub(super) struct Making<'a> {
    scope: &'a Scope,
    memo: &'a Memo,
    /// What routes to a service depend on beside it.
    bare: Same<Scope>,
    /// What domains depend on.
    named: Same<Caller>,
    /// What default routes lead to, but for the cluster.
    default: Bytes,
    /// Retry policies that most routes of VirtualServices have.
    retries: Bytes,
    /// What most virtual hosts are but for names and routes.
    plain: Bytes,
    /// Services of egress listeners by host, where single ones are asked for.
    seen: RefCell<Map<*const Egress, Services<'a>>>,
}

/// Services by host, in the form in which the routes of a port see them.
type Services<'a> = Map<Cow<'a, str>, Vec<&'a Arc<OutboundService>>>;

impl<'a> Making<'a> {
    pub(super) fn new(scope: &'a Scope, memo: &'a Memo) -> Self {
        let bare = narrow::for_clusters(scope, memo, false);
        Making {
            scope,
            memo,
            default: action::rest_of_default(&bare.0),
            retries: retry::usual(&bare.0),
            plain: plain(&bare.0).fields(),
            bare,
            named: memo.caller(narrow::for_domains(scope)),
            seen: RefCell::default(),
        }
    }

    /// The services of a host, the oldest first.
    fn only(&self, view: &'a Egress, host: &str) -> Vec<&'a Arc<OutboundService>> {
        let mut seen = self.seen.borrow_mut();
        let seen = seen.entry(std::ptr::from_ref(view)).or_insert_with(|| {
            let mut by_host = Services::default();
            by_host.reserve(view.services.len());
            for called in &view.services {
                let host = domains::lower(&called.service.id.host);
                by_host.entry(host).or_default().push(called);
            }
            by_host
        });
        seen.get(&*domains::lower(host))
            .cloned()
            .unwrap_or_default()
    }
}

/// The services that a port's routes are for, by host; the oldest first.
struct OfPort<'a> {
    services: Vec<(Cow<'a, str>, &'a Arc<OutboundService>)>,
    /// Places of those that count, by host.
    places: Map<Cow<'a, str>, usize>,
    /// Places of hosts that stand for several.
    wild: Vec<usize>,
}

impl<'a> OfPort<'a> {
    fn new(
        called: impl Iterator<Item = &'a Arc<OutboundService>>,
        port: u16,
        count: usize,
    ) -> Self {
        let mut found = OfPort {
            services: Vec::with_capacity(count),
            places: Map::with_capacity_and_hasher(count, Default::default()),
            wild: Vec::new(),
        };
        for called in called {
            if port != 0 && !called.service.ports.iter().any(|own| own.number == port) {
                continue;
            }
            let host = domains::lower(&called.service.id.host);
            // Of the addresses of one object the first counts; of several objects the youngest.
            let place = found.services.len();
            let known = found.places.entry(host.clone()).or_insert(place);
            if *known != place {
                let known_origin = &found.services[*known].1.service.origin;
                if *known_origin == called.service.origin {
                    continue;
                }
                *known = place;
            }
            found.services.push((host, called));
        }
        let counts = |place: usize, host: &str| found.places.get(host) == Some(&place);
        for (place, (host, _)) in found.services.iter().enumerate() {
            if is_wildcard(host) && counts(place, host) {
                found.wild.push(place);
            }
        }
        found
    }

    fn get(&self, host: &str) -> Option<&'a Arc<OutboundService>> {
        self.places.get(host).map(|place| self.services[*place].1)
    }

    /// Those that count, the oldest first.
    fn iter(&self) -> impl Iterator<Item = (&Cow<'a, str>, &'a Arc<OutboundService>)> {
        let services = self.services.iter().enumerate();
        let counting = services.filter(|(place, (host, _))| self.places[host] == *place);
        counting.map(|(_, (host, called))| (host, *called))
    }

    /// Those that count, by host.
    fn sorted(&self) -> Vec<(&Cow<'a, str>, &'a Arc<OutboundService>)> {
        let mut all: Vec<_> = self.iter().collect();
        all.sort_unstable_by_key(|(host, _)| *host);
        all
    }

    /// Whether a host of a VirtualService is one of the services, or might be.
    fn has(&self, host: &str) -> bool {
        let host = domains::lower(host);
        let fits = |own: &str| covers(&host, own);
        self.places.contains_key(&host)
            || if is_wildcard(&host) {
                self.places.keys().any(|own| fits(own))
            } else {
                self.wild.iter().any(|place| fits(&self.services[*place].0))
            }
    }
}

/// The virtual hosts of a port, by name. Port 0 stands for all ports: of a generic HTTP proxy, or of
/// a unix socket. `only`: those of one service.
pub(super) fn of_port<'a>(
    making: &Making<'a>,
    view: &'a Egress,
    port: u16,
    only: Option<&str>,
) -> Vec<Host> {
    let scope = making.scope;
    let services = match only {
        Some(host) => OfPort::new(making.only(view, host).into_iter(), port, 1),
        None => OfPort::new(view.services.iter(), port, view.services.len()),
    };
    let mut made = Builder::new(making, port, services.services.len());
    let mut wrapped: Vec<Wrapper> = Vec::new();
    let mut routed: Set<&str> = Set::default();
    for routing in &view.routings {
        // Hosts outside of the registry are served on port 80 alone.
        if port != 80 && !routing.spec.hosts.iter().any(|host| services.has(host)) {
            continue;
        }
        let at = At {
            gateway: MESH_GATEWAY,
            port,
            ends_tls: false,
            retries: &making.retries,
        };
        let routes = rule::of(scope, routing, at);
        if routes.is_empty() {
            continue;
        }
        let (free, matched) = split(routing, &services, &view.routings);
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
        let routes = Rc::new(routes);
        let hashes: Rc<[_]> = hash::origin(scope, routing).into();
        for (number, served) in by_port {
            routed.extend(served.iter().map(|called| called.service.id.host.as_str()));
            wrapped.push(Wrapper {
                port: number,
                free: free.clone(),
                served,
                routes: routes.clone(),
                routing,
                hashes: hashes.clone(),
            });
        }
    }
    // Older services first, for the sake of short names that two could have.
    let unrouted = services.iter().filter(|(_, called)| {
        !called.service.is_alias() && !routed.contains(called.service.id.host.as_str())
    });
    let unrouted: Vec<(&Port, &Arc<OutboundService>)> = unrouted
        .flat_map(|(_, called)| http_ports(called, port).map(move |own| (own, called)))
        .collect();
    let routed = wrapped.iter().flat_map(|wrapper| {
        let served = wrapper.served.iter();
        served.map(|called| (wrapper.port, called.service.id.host.as_str()))
    });
    made.known.extend(routed);
    let default = unrouted.iter();
    let default = default.map(|(own, called)| (own.number, called.service.id.host.as_str()));
    made.known.extend(default);
    for wrapper in wrapped {
        for host in &wrapper.free {
            made.add(&domains::lower(host), None, wrapper.port, |called| {
                wrapper.rest(making, called)
            });
        }
        for called in &wrapper.served {
            let host = &called.service.id.host;
            made.add(host, Some(called), wrapper.port, |called| {
                wrapper.rest(making, called)
            });
        }
    }
    for (own, called) in unrouted {
        let host = &called.service.id.host;
        made.add(host, Some(called), own.number, |_| {
            default_of(making, called, own)
        });
    }
    let mut hosts = made.hosts;
    hosts.sort_unstable_by(|(_, a), (_, b)| a.name.cmp(&b.name));
    match port {
        0 => hosts.into_iter().filter_map(with_port).collect(),
        _ => hosts.into_iter().map(|(_, host)| host).collect(),
    }
}

/// Routes of a VirtualService and the hosts that they are for.
struct Wrapper<'a> {
    port: u16,
    free: Vec<&'a str>,
    served: Vec<&'a Arc<OutboundService>>,
    routes: Rc<Routes>,
    routing: &'a Routing,
    /// The DestinationRules whose hashes the routes take in.
    hashes: Rc<[Arc<ObjectRef>]>,
}

impl Wrapper<'_> {
    fn rest(&self, making: &Making<'_>, called: Option<&OutboundService>) -> Arc<Rest> {
        let own = called.map(|called| called.service.origin.clone());
        let led = self.routing.origin.iter().chain(&*self.hashes).cloned();
        let host = host_of(making.scope, called, &making.plain);
        let origin = own.into_iter().chain(led).collect();
        Arc::new(Rest::new(&[&self.routes], host, origin))
    }
}

/// A virtual host of which nothing is said.
fn plain(scope: &Scope) -> wire::VirtualHost {
    wire::VirtualHost {
        include_request_attempt_count: counts_attempts(scope),
        ..Default::default()
    }
}

/// A virtual host without its name, domains and routes: for a service, or for a host that is none.
fn host_of(scope: &Scope, called: Option<&OutboundService>, usual: &Bytes) -> Bytes {
    match called.and_then(|called| session::of(scope, &called.service)) {
        None => usual.clone(),
        Some(session) => wire::VirtualHost {
            typed_per_filter_config: [session].into(),
            ..plain(scope)
        }
        .fields(),
    }
}

/// That of a service without a VirtualService.
fn default_of(making: &Making<'_>, called: &Arc<OutboundService>, port: &Port) -> Arc<Rest> {
    let part = &making.bare;
    let key = (part.clone(), Same(called.clone()), port.number);
    making.memo.defaults.get_or(key, || {
        let mut rest = Writer::with_capacity(512);
        action::put_default(called, port, &making.default, &mut rest);
        rest.raw(&host_of(&part.0, Some(called), &making.plain));
        let mut origin = vec![called.service.origin.clone()];
        let hash = hash::of_service(called, port.number).and(called.rule.as_ref());
        origin.extend(hash.iter().flat_map(|rule| rule.origin.iter().cloned()));
        Arc::new(Rest::whole(rest.finish(), origin))
    })
}

/// Of hosts on several ports, all but those of port 80 are told by theirs.
fn with_port((port, mut host): (u16, Host)) -> Option<Host> {
    if port != 80 {
        let told = host.domains.iter().filter(|domain| domain.contains(':'));
        let told: Vec<Arc<str>> = told.cloned().collect();
        if told.is_empty() {
            return None;
        }
        host.domains = Names::These(told);
    }
    Some(host)
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

struct Builder<'a, 'b> {
    making: &'b Making<'a>,
    listener: u16,
    /// Full names with their ports, which outdo short forms of others.
    known: Known<'b>,
    taken: Set<Arc<str>>,
    names: Set<Arc<str>>,
    hosts: Vec<(u16, Host)>,
}

/// Full names and their ports.
#[derive(Default)]
struct Known<'a> {
    names: Set<&'a str>,
    with_ports: Set<(&'a str, u16)>,
}

impl<'a> Known<'a> {
    fn extend(&mut self, names: impl Iterator<Item = (u16, &'a str)>) {
        for (port, host) in names {
            self.names.insert(host);
            self.with_ports.insert((host, port));
        }
    }

    /// Whether a domain is a full name, or that with its port.
    fn has(&self, domain: &str) -> bool {
        self.names.contains(domain)
            || domain.rsplit_once(':').is_some_and(|(host, port)| {
                let port = port.parse::<u16>();
                port.is_ok_and(|port| self.with_ports.contains(&(host, port)))
            })
    }
}

impl<'a, 'b> Builder<'a, 'b> {
    fn new(making: &'b Making<'a>, listener: u16, count: usize) -> Self {
        Builder {
            making,
            listener,
            known: Known::default(),
            taken: Set::with_capacity_and_hasher(4 * count, Default::default()),
            names: Set::with_capacity_and_hasher(count, Default::default()),
            hosts: Vec::with_capacity(count),
        }
    }

    /// Adds a virtual host with the domains that no earlier one has.
    fn add(
        &mut self,
        host: &str,
        called: Option<&Arc<OutboundService>>,
        port: u16,
        rest: impl FnOnce(Option<&OutboundService>) -> Arc<Rest>,
    ) {
        let literal = domains::literal(host);
        let name: Arc<str> = format!("{literal}:{port}").into();
        if self.names.contains(&name) {
            return;
        }
        let names = match called {
            Some(called) => self.of_service(called, port),
            None => {
                let domain = Domain::new(&literal, false);
                let free = self.taken.insert(domain.key);
                free.then(|| Names::These(vec![domain.text]))
            }
        };
        let Some(domains) = names else {
            return;
        };
        self.names.insert(name.clone());
        let rest = rest(called.map(AsRef::as_ref));
        let made = Host {
            name,
            domains,
            rest,
        };
        self.hosts.push((port, made));
    }

    /// The domains of a service that are free.
    fn of_service(&mut self, called: &Arc<OutboundService>, port: u16) -> Option<Names> {
        let Making { memo, named, .. } = self.making;
        let with = (self.listener == 0).then_some(port);
        let key = (named.clone(), Same(called.service.clone()), with);
        let all = memo.domains.get_or(key, || {
            Arc::new(domains::of_service(&named.0, &called.service, with))
        });
        let Builder { known, taken, .. } = self;
        let outdone = |domain: &Domain| domain.is_other && known.has(&domain.text);
        let mut is_free = |domain: &&Domain| !outdone(domain) && taken.insert(domain.key.clone());
        let free: Vec<bool> = all.all.iter().map(|domain| is_free(&domain)).collect();
        if free.iter().all(|free| *free) {
            return (!free.is_empty()).then(|| Names::All(Same(all)));
        }
        let own = all.all.iter().zip(free).filter(|(_, free)| *free);
        let own: Vec<Arc<str>> = own.map(|(domain, _)| domain.text.clone()).collect();
        (!own.is_empty()).then_some(Names::These(own))
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
    services: &OfPort<'a>,
    all: &[Arc<Routing>],
) -> (Vec<&'a str>, Vec<&'a Arc<OutboundService>>) {
    let mut free = Vec::new();
    let mut matched: Vec<&Arc<OutboundService>> = Vec::new();
    for host in routing.spec.hosts.iter().filter(|host| !is_wildcard(host)) {
        match services.get(&domains::lower(host)) {
            Some(called) => matched.push(called),
            None => free.push(host.as_str()),
        }
    }
    for host in routing.spec.hosts.iter().filter(|host| is_wildcard(host)) {
        let mut found = false;
        for (name, called) in services.sorted() {
            if covers(name, &domains::lower(host)) {
                found = true;
                let best = most_specific(name, all);
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
