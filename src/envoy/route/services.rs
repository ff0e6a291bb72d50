//! The services that the routes of a port are for, and which of them a VirtualService routes.

use std::borrow::Cow;
use std::sync::Arc;

use base::hash::Map;
use mesh::{OutboundService, Port, Protocol, Routing, covers, is_wildcard, subset_of};

use super::domains;

/// The services that a port's routes are for, by host; the oldest first.
pub(super) struct OfPort<'a> {
    services: Vec<OfHost<'a>>,
    /// Places of those that count, by host.
    places: Map<Cow<'a, str>, usize>,
    /// Places of hosts that stand for several.
    wild: Vec<usize>,
}

struct OfHost<'a> {
    host: Cow<'a, str>,
    called: &'a Arc<OutboundService>,
    /// Of several for one host, one.
    counts: bool,
}

impl<'a> OfPort<'a> {
    pub(super) fn new(
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
                let known_service = &mut found.services[*known];
                if known_service.called.service.origin == called.service.origin {
                    continue;
                }
                known_service.counts = false;
                *known = place;
            }
            let counts = true;
            found.services.push(OfHost {
                host,
                called,
                counts,
            });
        }
        let services = found.services.iter().enumerate();
        let wild = services.filter(|(_, own)| own.counts && is_wildcard(&own.host));
        found.wild = wild.map(|(place, _)| place).collect();
        found
    }

    /// How many there are, with those that do not count.
    pub(super) fn len(&self) -> usize {
        self.services.len()
    }

    fn get(&self, host: &str) -> Option<&'a Arc<OutboundService>> {
        let place = self.places.get(host);
        place.map(|place| self.services[*place].called)
    }

    /// Those that count, the oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &'a Arc<OutboundService>> {
        self.counting().map(|own| own.called)
    }

    fn counting(&self) -> impl Iterator<Item = &OfHost<'a>> {
        self.services.iter().filter(|own| own.counts)
    }

    /// Those that count, by host.
    fn sorted(&self) -> Vec<&OfHost<'a>> {
        let mut all: Vec<_> = self.counting().collect();
        all.sort_unstable_by_key(|own| &own.host);
        all
    }

    /// Whether a host of a VirtualService is one of the services, or might be.
    pub(super) fn has(&self, host: &str) -> bool {
        let host = domains::lower(host);
        let fits = |own: &str| covers(&host, own);
        self.places.contains_key(&host)
            || if is_wildcard(&host) {
                self.places.keys().any(|own| fits(own))
            } else {
                self.wild
                    .iter()
                    .any(|place| fits(&self.services[*place].host))
            }
    }
}

/// Ports of a service that may speak HTTP: one, or all of them for port 0.
pub(super) fn http_ports(called: &OutboundService, port: u16) -> impl Iterator<Item = &Port> {
    let ports = called.service.ports.iter();
    ports.filter(move |own| {
        (port == 0 || own.number == port)
            && own.protocol.may_be_http()
            && own.protocol != Protocol::Udp
    })
}

/// The hosts of a routing that no service has, and the services that it routes.
pub(super) fn split<'a>(
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
        for own in services.sorted() {
            if covers(&own.host, &domains::lower(host)) {
                found = true;
                let best = most_specific(&own.host, all);
                if best.is_some_and(|best| std::ptr::eq(best, routing)) {
                    matched.push(own.called);
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
