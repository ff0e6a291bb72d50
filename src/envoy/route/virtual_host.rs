//! Virtual hosts of an egress listener: one per host of the VirtualServices that apply, one per other
//! service, and what happens with all other hosts.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use api::networking::sidecar::OutboundMode;
use api::proxy_config::Switch;
use base::hash::Set;
use mesh::{Egress, MESH_GATEWAY, OutboundService, Routing, Scope};
use proto::envoy::config::route::v3 as wire;

use super::at::Place;
use super::fragment::{Host, Names, Rest, Routes};
use super::making::{Making, counts_attempts};
use super::services::{OfPort, http_ports, split};
use super::shares::{self, Wanted};
use super::{action, domains, matching};
use crate::listener::captured::elsewhere;
use crate::names;

/// The virtual hosts of a port, by name. Port 0 stands for all ports: of a generic HTTP proxy, or of
/// a unix socket. `only`: those of one service.
pub(super) fn of_port<'a>(
    making: &Making<'a>,
    view: &'a Egress,
    port: u16,
    only: Option<&str>,
) -> Vec<Host> {
    let services = match only {
        Some(host) => OfPort::new(making.only(view, host).into_iter(), port, 1),
        None => OfPort::new(view.services.iter(), port, view.services.len()),
    };
    let wrapped = wrapped(making, view, &services, port, only.is_some());
    let routed = wrapped.iter().flat_map(|wrapper| &wrapper.served);
    let routed: Set<&str> = routed.map(|called| &*called.service.id.host).collect();
    let mut all: Vec<(Wanted<'_>, Routed<'_>)> = Vec::with_capacity(services.len());
    for wrapper in &wrapped {
        let free = wrapper.free.iter();
        let free = free.map(|host| (domains::lower(host), None));
        let served = wrapper.served.iter();
        let served = served.map(|called| (called.service.id.host.as_str().into(), Some(*called)));
        all.extend(free.chain(served).map(|(host, called)| {
            let wanted = Wanted {
                literal: domains::literal(host),
                port: wrapper.port,
                called,
            };
            (wanted, Routed::By(wrapper))
        }));
    }
    // Older services first, for the sake of short names that two could have.
    let unrouted = services.iter().filter(|called| {
        !called.service.is_alias() && !routed.contains(called.service.id.host.as_str())
    });
    for called in unrouted {
        all.extend(http_ports(called, port).map(|own| {
            let wanted = Wanted {
                literal: domains::literal(called.service.id.host.as_str()),
                port: own.number,
                called: Some(called),
            };
            (wanted, Routed::Plainly(called))
        }));
    }
    making.expect(all.len());
    let shares = shares::of(making, port, all.iter().map(|(wanted, _)| wanted));
    let mut hosts: Vec<(u16, Host)> = Vec::with_capacity(all.len());
    let mut name = String::new();
    for ((wanted, routed), share) in all.iter().zip(shares) {
        let Some(domains) = share else {
            continue;
        };
        name.clear();
        name.extend([&*wanted.literal, ":", &wanted.port.to_string()]);
        let made = Host {
            name: name.as_str().into(),
            domains,
            rest: match routed {
                Routed::By(wrapper) => wrapper.rest(making, wanted.called),
                Routed::Plainly(called) => making.unrouted(called, wanted.port),
            },
        };
        hosts.push((wanted.port, made));
    }
    hosts.sort_unstable_by(|(_, a), (_, b)| a.name.cmp(&b.name));
    match port {
        0 => hosts.into_iter().filter_map(with_port).collect(),
        _ => hosts.into_iter().map(|(_, host)| host).collect(),
    }
}

/// How a virtual host comes by its routes.
enum Routed<'a> {
    /// They are those of a VirtualService.
    By(&'a Wrapper<'a>),
    /// They are the usual one.
    Plainly(&'a Arc<OutboundService>),
}

/// Routes of a VirtualService and the hosts that they are for.
struct Wrapper<'a> {
    port: u16,
    free: Vec<&'a str>,
    served: Vec<&'a Arc<OutboundService>>,
    routes: Rc<Routes>,
    routing: &'a Routing,
}

impl Wrapper<'_> {
    fn rest(&self, making: &Making<'_>, called: Option<&Arc<OutboundService>>) -> Arc<Rest> {
        let own = called.map(|called| called.service.origin.clone());
        let led = self.routing.origin.iter().chain(&self.routes.hashes);
        let host = making.own(called.map(AsRef::as_ref));
        let origin = own.into_iter().chain(led.cloned()).collect();
        Arc::new(Rest::new(&[&self.routes], host, origin))
    }
}

/// The VirtualServices of a view by the ports at which they route anything. `one`: of one service.
fn wrapped<'a>(
    making: &Making<'a>,
    view: &'a Egress,
    services: &OfPort<'a>,
    port: u16,
    one: bool,
) -> Vec<Wrapper<'a>> {
    let scope = making.scope;
    let mut wrapped = Vec::new();
    for routing in &view.routings {
        // Hosts outside of the registry are served on port 80 alone.
        if port != 80 && !routing.spec.hosts.iter().any(|host| services.has(host)) {
            continue;
        }
        let place = Place {
            gateway: MESH_GATEWAY,
            port,
            ends_tls: false,
        };
        let routes = making.known.routes(scope, routing, place);
        if routes.is_empty() {
            continue;
        }
        let (free, matched) = split(routing, services, &view.routings);
        let mut by_port: BTreeMap<u16, Vec<&Arc<OutboundService>>> = BTreeMap::new();
        for called in &matched {
            for number in http_ports(called, port) {
                by_port.entry(number.number).or_default().push(called);
            }
        }
        if by_port.is_empty() {
            if port != 80 || one {
                continue;
            }
            by_port.insert(80, Vec::new());
        }
        for (number, served) in by_port {
            wrapped.push(Wrapper {
                port: number,
                free: free.clone(),
                served,
                routes: routes.clone(),
                routing,
            });
        }
    }
    wrapped
}

/// Of hosts on several ports, all but those of port 80 are told by theirs.
fn with_port((port, mut host): (u16, Host)) -> Option<Host> {
    if port != 80 {
        let told = host.domains.iter().filter(|domain| domain.contains(':'));
        let told: Vec<Arc<str>> = told.map(Into::into).collect();
        if told.is_empty() {
            return None;
        }
        host.domains = Names::These(told);
    }
    Some(host)
}

/// What happens with hosts that are not known.
pub(super) fn unknown(scope: &Scope) -> wire::VirtualHost {
    let own = scope.settings.config(&scope.config.default_config);
    let headers = own.proxy_headers.as_ref();
    let to = |cluster: String| {
        wire::route::Action::Route(wire::RouteAction {
            cluster_specifier: Some(wire::route_action::ClusterSpecifier::Cluster(cluster)),
            append_x_forwarded_host: Switch::is_on(
                headers.and_then(|headers| headers.x_forwarded_host),
            ),
            ..action::unlimited()
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
