//! Opaque connections: which cluster they go to, by VirtualService or by the service itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::networking::virtual_service::RouteDestination;
use api::snapshot::selects;
use base::ObjectRef;
use bytes::Bytes;
use mesh::{Routing, Scope, covers};

use super::filter_chain::{self, L4Port, Side};
use super::opaque::Services;
use super::outbound::{Place, dynamic};
use super::table::{Chain, Content};
use super::{opaque, wildcards};
use crate::{metadata, names, narrow, route, statistics};

/// Chains of a port that is not HTTP, as VirtualServices say, else to the service itself.
pub(super) fn chains(
    services: &Services<'_>,
    scope: &Scope,
    place: &Place,
) -> (Vec<Chain>, Vec<Arc<ObjectRef>>) {
    let host = &place.called.service.id.host;
    let routings: Vec<&Routing> = place
        .view
        .routings
        .iter()
        .filter(|routing| routing.spec.hosts.iter().any(|own| covers(own, host)))
        .map(AsRef::as_ref)
        .collect();
    let mut origin = Vec::new();
    let mut found = Vec::new();
    let decided = if place.port.protocol.is_tls() {
        tls(scope, place, &routings, &mut found, &mut origin)
    } else {
        tcp(scope, place, &routings, &mut found, &mut origin)
    };
    if !decided {
        let rule = place.called.rule.iter();
        origin.extend(rule.flat_map(|rule| rule.origin.iter().cloned()));
        found.push(own(services, scope, place));
    }
    (found, origin)
}

fn l4(place: &Place) -> L4Port {
    L4Port {
        number: place.port.number,
        protocol: place.port.protocol,
        greets: false,
    }
}

/// The chain to the service itself.
fn own(services: &Services<'_>, scope: &Scope, place: &Place) -> Chain {
    let service = &place.called.service;
    let host = &service.id.host;
    // The listener may be for another port than the service's only one.
    let number = match service.ports.as_slice() {
        [only] => only.number,
        _ => place.port.number,
    };
    let cluster = names::outbound(number, "", host);
    let statistics = statistics::outbound(scope, service, "", (number, ""));
    let rule = place.called.rule.as_deref();
    let resolved = dynamic(service);
    let resolved = resolved.as_deref();
    let filters = services.filters(l4(place), &cluster, statistics, rule, resolved);
    let mut chain = Chain::new(Content::Opaque(filters));
    chain.ranges.clone_from(&place.ranges);
    if place.port.protocol.is_tls() && by_name(scope, place) {
        chain.names.push(host.clone());
        let caller = narrow::for_domains(scope);
        for alias in &service.aliases {
            chain.names.push(alias.clone());
            chain.names.extend(route::domains::others(&caller, alias));
        }
    }
    chain
}

/// Whether only the server name tells a service from others that are listened for at the same place.
fn by_name(scope: &Scope, place: &Place) -> bool {
    let service = &place.called.service;
    let anywhere = &wildcards(scope)[0];
    let address = service.address(scope.reach());
    let nowhere = match service.registry {
        mesh::Registry::External if scope.families.v6 && !scope.families.v4 => "::",
        _ => "0.0.0.0",
    };
    let address = address.unwrap_or(nowhere);
    !place.pods
        && (!place.ranges.is_empty()
            || address.contains('/')
            || address == anywhere && place.binds.first() == Some(anywhere)
            || dynamic(service).is_some())
}

fn chain(routing: Option<&Routing>, ranges: &[String], filters: Bytes) -> Chain {
    let mut chain = Chain::new(Content::Opaque(filters));
    chain.ranges = ranges.to_vec();
    chain.metadata = routing.map(|routing| metadata::config(&routing.origin[0]));
    chain
}

fn filters(scope: &Scope, place: &Place, routing: &Routing, to: &[RouteDestination]) -> Bytes {
    let name = format!("{}.{}", routing.name, routing.namespace);
    let filters = filter_chain::to_destinations(scope, Side::Outbound, l4(place), to, &name);
    filter_chain::encoded(filters)
}

/// Chains of TLS rules; whether there is any.
fn tls(
    scope: &Scope,
    place: &Place,
    routings: &[&Routing],
    into: &mut Vec<Chain>,
    origin: &mut Vec<Arc<ObjectRef>>,
) -> bool {
    // The first rule with a condition that a connection can meet takes it.
    let mut handled: BTreeSet<(&[String], &[String])> = BTreeSet::new();
    let mut ranges = place.ranges.clone();
    for routing in routings {
        let rules = routing.spec.tls.iter();
        for rule in rules.filter(|rule| !rule.route.is_empty()) {
            for own in &rule.r#match {
                let caller = (&own.source_labels, own.source_namespace.as_str());
                if !applies(scope, place, own.port, caller, &own.gateways) {
                    continue;
                }
                // A unix socket has no address. Ranges of one condition hold for those after it
                // that name none, as upstream has it.
                if !own.destination_subnets.is_empty() && place.port.number > 0 {
                    ranges.clone_from(&own.destination_subnets);
                }
                if handled.insert((&own.sni_hosts, &own.destination_subnets)) {
                    let filters = filters(scope, place, routing, &rule.route);
                    let mut made = chain(Some(routing), &ranges, filters);
                    made.names.clone_from(&own.sni_hosts);
                    into.push(made);
                    origin.extend(routing.origin.iter().cloned());
                    origin.extend(opaque::origin(scope, &rule.route));
                }
            }
        }
    }
    !into.is_empty()
}

/// Chains of TCP rules; whether they leave nothing to the service itself.
fn tcp(
    scope: &Scope,
    place: &Place,
    routings: &[&Routing],
    into: &mut Vec<Chain>,
    origin: &mut Vec<Arc<ObjectRef>>,
) -> bool {
    let mut decided = false;
    for routing in routings {
        let rules = routing.spec.tcp.iter();
        for rule in rules.filter(|rule| !rule.route.is_empty()) {
            let mut subnets: Vec<String> = Vec::new();
            let mut whole = rule.r#match.is_empty();
            for own in &rule.r#match {
                let caller = (&own.source_labels, own.source_namespace.as_str());
                if !applies(scope, place, own.port, caller, &own.gateways) {
                    continue;
                }
                if own.destination_subnets.is_empty() || place.port.number == 0 {
                    whole = true;
                    break;
                }
                subnets.extend(own.destination_subnets.iter().cloned());
            }
            if !whole && subnets.is_empty() {
                continue;
            }
            let filters = filters(scope, place, routing, &rule.route);
            origin.extend(routing.origin.iter().cloned());
            origin.extend(opaque::origin(scope, &rule.route));
            if whole {
                into.push(chain(Some(routing), &place.ranges, filters));
                return true;
            }
            // A part of the addresses is no mark of the whole VirtualService.
            into.push(chain(None, &subnets, filters));
            let sorted = |list: &[String]| list.iter().cloned().collect::<BTreeSet<String>>();
            decided |= sorted(&subnets) == sorted(&place.ranges);
        }
    }
    decided
}

/// The conditions that TLS and TCP rules share.
fn applies(
    scope: &Scope,
    place: &Place,
    wanted: u32,
    (labels, namespace): (&BTreeMap<String, String>, &str),
    gateways: &[String],
) -> bool {
    (wanted == 0 || wanted == u32::from(place.port.number))
        && selects(labels, &scope.workload.labels)
        && (namespace.is_empty() || namespace == scope.workload.namespace)
        && (gateways.is_empty() || gateways.iter().any(|gateway| gateway == mesh::MESH_GATEWAY))
}
