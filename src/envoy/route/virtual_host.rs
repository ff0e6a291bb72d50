//! Virtual hosts of a port: one per host of the VirtualServices that apply, one per other service,
//! and what happens with all other hosts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::networking::sidecar::OutboundMode;
use base::ObjectRef;
use mesh::{OutboundService, Routing, Scope, is_wildcard, subset_of};
use proto::envoy::config::route::v3 as wire;

use super::{action, domains, matching, rule};
use crate::names;
use crate::parts::seconds;

/// The virtual hosts of a port, by name, and the objects that they came from.
pub(super) fn of_port(
    scope: &Scope,
    port: u16,
    only: Option<&str>,
) -> (Vec<wire::VirtualHost>, Vec<ObjectRef>) {
    let outbound = &scope.outbound;
    let mut services: BTreeMap<&str, &Arc<OutboundService>> = BTreeMap::new();
    for called in &outbound.services {
        let host = called.service.id.host.as_str();
        if called.service.port(port).is_some() && only.is_none_or(|only| only == host) {
            services.insert(host, called);
        }
    }
    let known: BTreeSet<String> = services.keys().map(|host| (*host).to_owned()).collect();
    let mut left = services.clone();
    let mut made = Builder {
        scope,
        port,
        known,
        taken: BTreeSet::new(),
        hosts: BTreeMap::new(),
        origin: Vec::new(),
    };
    for routing in &outbound.routings {
        let (free, matched) = split(routing, &services, outbound.routings.as_slice());
        let http = |called: &&Arc<OutboundService>| {
            let port = called.service.port(port);
            port.is_some_and(|port| port.protocol.may_be_http())
        };
        let served: Vec<&Arc<OutboundService>> = matched.into_iter().filter(http).collect();
        // Hosts outside of the registry are served on port 80 alone.
        if served.is_empty() && (port != 80 || free.is_empty() || only.is_some()) {
            continue;
        }
        let routes = rule::of_sidecar(scope, routing, port);
        if routes.is_empty() {
            continue;
        }
        made.origin.extend(routing.origin.iter().cloned());
        for host in free {
            made.add(host, None, &routes);
        }
        for called in served {
            left.remove(called.service.id.host.as_str());
            made.add(&called.service.id.host, Some(called), &routes);
        }
    }
    // Older services first, for the sake of short names that two could have.
    for called in &outbound.services {
        let host = called.service.id.host.as_str();
        let Some(port) = called.service.port(port) else {
            continue;
        };
        if left.contains_key(host) && port.protocol.may_be_http() {
            let route = action::default_route(scope, called, port);
            made.add(host, Some(called), &[route]);
        }
    }
    (made.hosts.into_values().collect(), made.origin)
}

struct Builder<'a> {
    scope: &'a Scope,
    port: u16,
    known: BTreeSet<String>,
    taken: BTreeSet<String>,
    hosts: BTreeMap<String, wire::VirtualHost>,
    origin: Vec<ObjectRef>,
}

impl Builder<'_> {
    /// Adds a virtual host with the domains that no earlier one has.
    fn add(&mut self, host: &str, called: Option<&Arc<OutboundService>>, routes: &[wire::Route]) {
        let name = format!("{host}:{}", self.port);
        if self.hosts.contains_key(&name) {
            return;
        }
        let workload = &self.scope.workload;
        let mut wanted = match called {
            Some(called) => {
                self.origin.push(called.service.origin.clone());
                domains::of_service(&called.service, workload, self.scope.families)
            }
            None => vec![domains::literal(host)],
        };
        let full = domains::literal(host);
        wanted.retain(|domain| {
            let other = *domain != full && self.known.contains(domain);
            !other && self.taken.insert(domain.to_ascii_lowercase())
        });
        if wanted.is_empty() {
            return;
        }
        let made = wire::VirtualHost {
            name: name.clone(),
            domains: wanted,
            routes: routes.to_vec(),
            include_request_attempt_count: true,
            ..Default::default()
        };
        self.hosts.insert(name, made);
    }
}

/// The hosts of a routing that no service has, and the services that it routes.
fn split<'a>(
    routing: &'a Routing,
    services: &BTreeMap<&str, &'a Arc<OutboundService>>,
    all: &[Arc<Routing>],
) -> (Vec<&'a str>, Vec<&'a Arc<OutboundService>>) {
    let mut free = Vec::new();
    let mut matched: Vec<&Arc<OutboundService>> = Vec::new();
    for host in &routing.spec.hosts {
        if !is_wildcard(host) {
            match services.get(host.as_str()) {
                Some(called) => matched.push(called),
                None => free.push(host.as_str()),
            }
            continue;
        }
        let mut found = false;
        for (name, called) in services {
            if subset_of(name, host) {
                found = true;
                if most_specific(name, all) == Some(host.as_str()) {
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

/// The host of any routing that says most about a name.
fn most_specific<'a>(name: &str, all: &'a [Arc<Routing>]) -> Option<&'a str> {
    let hosts = all.iter().flat_map(|routing| routing.spec.hosts.iter());
    let fitting = hosts.filter(|host| subset_of(name, host));
    fitting
        .max_by_key(|host| (!is_wildcard(host), host.len()))
        .map(String::as_str)
}

/// What happens with hosts that are not known.
pub(super) fn unknown(scope: &Scope) -> wire::VirtualHost {
    let (name, action) = match scope.outbound.policy {
        OutboundMode::AllowAny => {
            let cluster = names::PASSTHROUGH.to_owned();
            let action = wire::RouteAction {
                cluster_specifier: Some(wire::route_action::ClusterSpecifier::Cluster(cluster)),
                timeout: seconds(0),
                ..action::without_grpc_timeout()
            };
            ("allow_any", wire::route::Action::Route(action))
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
        include_request_attempt_count: true,
        ..Default::default()
    }
}
