//! Outbound listeners of sidecars: for every service that an egress listener takes in, where it is
//! listened for and how its connections go on. Which of two that meet stays is `table`'s.

use std::rc::Rc;
use std::sync::Arc;

use api::snapshot::Address;
use base::ObjectRef;
use mesh::{Egress, Interception, OutboundService, Port, Protocol, Registry, Resolution, Scope};

use super::opaque::Services;
use super::table::{Chain, Content, Entry, Kind, Shared, Table};
use super::{Made, captured, loopbacks, tcp, wildcards};

pub(crate) fn all(scope: &Scope) -> Vec<Made> {
    if scope.config.proxy_listen_port == 0 {
        return Vec::new();
    }
    let mut table = Table::default();
    let services = Services::new(scope);
    for view in &scope.outbound.views {
        of_view(&services, scope, view, &mut table);
    }
    let shared = Shared::new(&services);
    let entries = table.into_entries();
    let mut made: Vec<Made> = entries.map(|entry| entry.finished(&shared)).collect();
    made.extend(captured::http_proxy(scope));
    made.extend(captured::catch_all(&services));
    made
}

/// Where one port of one service is listened for, as far as it is known.
#[derive(Clone)]
pub(super) struct Place<'a> {
    pub(super) view: &'a Egress,
    pub(super) called: &'a OutboundService,
    /// What the listener is for: the service's port, or the egress listener's.
    pub(super) port: &'a Port,
    /// Addresses; the first is the listener's name. Empty when nothing is said yet.
    pub(super) binds: Rc<[String]>,
    pub(super) binds_to_port: bool,
    /// Ranges that connections must be bound to.
    pub(super) ranges: Vec<String>,
    /// Whether the ranges are single pods, which need no name beside them.
    pub(super) pods: bool,
}

fn of_view(services: &Services<'_>, scope: &Scope, view: &Egress, table: &mut Table) {
    let binds_to_port = scope.settings.interception == Interception::None || view.binds_to_port;
    let binds: Rc<[String]> = if !view.bind.is_empty() {
        [view.bind.clone()].into()
    } else if binds_to_port {
        loopbacks(scope).into()
    } else {
        [].into()
    };
    let own_port = view.port.as_ref().and_then(|own| {
        let number = u16::try_from(own.number).ok()?;
        Some(Port {
            number,
            name: own.name.clone(),
            protocol: Protocol::parse(&own.protocol),
            target: mesh::Target::Number(number),
        })
    });
    let place = |called, port| Place {
        view,
        called,
        port,
        binds: binds.clone(),
        binds_to_port,
        ranges: Vec::new(),
        pods: false,
    };
    if view.port.is_some() {
        let Some(port) = &own_port else {
            return;
        };
        for called in &view.services {
            let place = place(called.as_ref(), port);
            if can_bind(services, scope, &place) {
                add(services, scope, place, table);
            }
        }
        return;
    }
    // Ports that earlier listeners name are theirs alone.
    table.lock();
    let own = view.services.iter();
    for called in own.filter(|called| !called.service.is_alias()) {
        for port in &called.service.ports {
            let place = place(called.as_ref(), port);
            if !can_bind(services, scope, &place) {
                continue;
            }
            match pods(scope, &place) {
                None => add(services, scope, place, table),
                Some(pods) => pods
                    .into_iter()
                    .for_each(|pod| add(services, scope, pod, table)),
            }
        }
    }
}

/// Whether a listener may be there: ports of the bootstrap and of capture are taken, and low ones
/// need privileges.
fn can_bind(services: &Services<'_>, scope: &Scope, place: &Place) -> bool {
    let number = place.port.number;
    if place.binds_to_port && (1..1024).contains(&number) && scope.settings.unprivileged {
        return false;
    }
    let anywhere = match place.binds.first() {
        Some(bind) => *bind == services.anywhere[0],
        None => place.port.protocol.is_http(),
    };
    let config = &scope.config;
    let taken = scope.settings.taken.contains(&number)
        || number == config.proxy_listen_port
        || number == config.proxy_inbound_listen_port;
    !(anywhere && taken)
}

/// One place for each pod of a headless service whose port is not HTTP for sure: connections to it
/// are known by the pod's address. `None` for what is known otherwise.
fn pods<'a>(scope: &Scope, place: &Place<'a>) -> Option<Vec<Place<'a>>> {
    let service = &place.called.service;
    let by_pod = place.binds.is_empty()
        && service.resolution == Resolution::Passthrough
        && service.address(scope.reach()).is_none()
        && !place.port.protocol.is_http()
        && place.port.protocol != Protocol::Udp;
    if !by_pod {
        return None;
    }
    let known = service.spelled_out.iter().flat_map(|all| &all.endpoints);
    let known: Vec<_> = known
        .filter(|one| one.ports.contains_key(&place.port.name))
        .collect();
    // Nobody tells the endpoints of such an entry at all: every address is one.
    let unknown = service.registry == Registry::External && service.selector.is_none();
    if unknown && known.is_empty() {
        return None;
    }
    let opaque = place.port.protocol != Protocol::Unsupported;
    let mut found = Vec::new();
    for endpoint in known {
        let Address::Ip(ip) = &endpoint.address else {
            continue;
        };
        // Calls of itself go straight to the workload.
        if scope.own_addresses.first() == Some(ip) {
            continue;
        }
        let mut pod = place.clone();
        if scope.features.headless_chains && opaque {
            pod.binds = wildcards(scope).into();
            pod.ranges = vec![ip.to_string()];
            pod.pods = true;
        } else {
            pod.binds = [ip.to_string()].into();
        }
        found.push(pod);
    }
    Some(found)
}

/// Adds what one place needs to the table.
fn add(services: &Services<'_>, scope: &Scope, mut place: Place<'_>, table: &mut Table) {
    let service = &place.called.service;
    if service.is_alias() {
        return;
    }
    let protocol = place.port.protocol;
    if protocol == Protocol::Udp {
        return;
    }
    if place.binds.is_empty() {
        if protocol.is_http() {
            place.binds = services.anywhere.clone();
        } else {
            locate(scope, &mut place);
        }
    }
    let wildcard = place.binds[0] == services.anywhere[0];
    let known = table.get_mut(&place.binds[0], place.port.number);
    if known.as_ref().is_some_and(|known| known.locked) {
        return;
    }
    // A Sidecar's own listener is where and what it says.
    let own = place.view.port.is_some() || !place.view.bind.is_empty();
    let sidecar = own.then(|| scope.outbound.sidecar.clone()).flatten();
    let origin = std::iter::once(service.origin.clone()).chain(sidecar);
    let known = match known {
        // All routes of a port are in one place.
        Some(Entry {
            kind: Kind::Http(_) | Kind::Sniffed,
            origin: of_known,
            ..
        }) if protocol.is_http() && protocol != Protocol::HttpProxy => {
            return of_known.extend(origin);
        }
        known => known.map(|known| known.kind),
    };
    let http = |conditional: bool, routes: String| Chain {
        protocols: if conditional { plain_http(scope) } else { &[] },
        transport: if conditional { "raw_buffer" } else { "" },
        ..Chain::new(Content::Http {
            routes,
            protocol,
            dynamic: dynamic(service),
        })
    };
    let by_port = || match place.port.number {
        0 => place.binds[0].clone(),
        number => number.to_string(),
    };
    let mut origin: Vec<Arc<ObjectRef>> = origin.collect();
    let (kind, chains) = match protocol {
        Protocol::HttpProxy => (Kind::Http(protocol), vec![http(false, by_port())]),
        _ if protocol.is_http() => {
            let kind = if wildcard {
                Kind::Sniffed
            } else {
                Kind::Http(protocol)
            };
            (kind, vec![http(wildcard, by_port())])
        }
        Protocol::Unsupported => {
            let (mut chains, from) = tcp::chains(services, scope, &place);
            origin.extend(from);
            if known != Some(Kind::Sniffed) {
                let routes = if place.port.number != 0 && !wildcard {
                    format!("{}:{}", service.id.host, place.port.number)
                } else {
                    by_port()
                };
                chains.push(http(true, routes));
            }
            (Kind::Sniffed, chains)
        }
        _ => {
            let (chains, from) = tcp::chains(services, scope, &place);
            origin.extend(from);
            (Kind::Opaque(protocol), chains)
        }
    };
    table.add(
        Entry {
            number: place.port.number,
            binds: place.binds,
            binds_to_port: place.binds_to_port,
            locked: false,
            kind,
            chains,
            taken: Default::default(),
            origin,
        },
        protocol,
    );
}

/// The host of a service whose names are resolved on the way.
pub(super) fn dynamic(service: &mesh::Service) -> Option<String> {
    let host = &service.id.host;
    let dynamic = service.resolution == Resolution::DynamicDns && mesh::is_wildcard(host);
    dynamic.then(|| host.clone())
}

/// The address that a service is listened for at: its own, or every address for ranges and for what
/// has none.
fn locate(scope: &Scope, place: &mut Place) {
    let service = &place.called.service;
    let reach = scope.reach();
    let extra = || -> Vec<String> {
        let all = service.addresses_for(reach);
        all.into_iter().skip(1).map(str::to_owned).collect()
    };
    match service.address(reach) {
        Some(range) if range.contains('/') => {
            place.binds = wildcards(scope).into();
            place.ranges = vec![range.to_owned()];
            place.ranges.extend(extra());
        }
        Some(address) => {
            let own = std::iter::once(address.to_owned());
            place.binds = own.chain(extra()).collect();
        }
        None => {
            let external = service.registry == Registry::External;
            let only_v6 = external && scope.families.v6 && !scope.families.v4;
            let first = if only_v6 { "::" } else { "0.0.0.0" };
            let both = external && scope.families.v4 && scope.families.v6;
            let own = std::iter::once(first).chain(both.then_some("::"));
            place.binds = own.map(str::to_owned).collect();
        }
    }
}

/// ALPN by which plaintext HTTP is known.
pub(super) fn plain_http(scope: &Scope) -> &'static [&'static str] {
    match scope.features.http10 {
        true => &["http/1.0", "http/1.1", "h2c"],
        false => &["http/1.1", "h2c"],
    }
}
