//! The inbound listener of sidecars: chains per port of the workload (`inbound/chain.rs`), then those for all other
//! ports, and listeners of a Sidecar on ports of their own.

mod chain;
mod mesh_tls;

use std::collections::BTreeMap;
use std::sync::Arc;

use base::ObjectRef;
use mesh::{InboundPort, Interception, Scope};
use proto::envoy::config::core::v3::TrafficDirection;
use proto::envoy::config::listener::v3::{
    Listener, ListenerFilter, ListenerFilterChainMatchPredicate,
    listener_filter_chain_match_predicate,
};
use proto::envoy::r#type::v3::Int32Range;

use chain::{Chains, Look, Making};
use listener_filter_chain_match_predicate::{MatchSet, Rule};

use super::filter_chain::Side;
use super::table::additional;
use super::{Made, address, balanced, wildcards};
use super::{http_inspector, original_destination, original_source, timeout, tls_inspector};
use crate::access_log;
use crate::filter::guards::Guards;
use crate::parts::{flag, number};

/// The listener that captured inbound traffic arrives at, and those of a Sidecar that bind to their
/// ports.
pub(crate) fn all(scope: &Scope) -> Vec<Made> {
    let config = &scope.config;
    if config.proxy_listen_port == 0 {
        return Vec::new();
    }
    let inbound = &scope.inbound;
    let captured = config.proxy_inbound_listen_port;
    let guards = Guards::of(scope);
    let making = Making::new(scope, &guards);
    let mut chains = Chains::default();
    making.put_black_hole(captured, &mut chains);
    making.put(None, None, inbound.mode, &mut chains);
    for (port, mode) in &inbound.port_modes {
        let known = inbound.ports.iter().any(|known| known.target == *port);
        if !known && *mode != inbound.mode {
            making.put(Some(*port), None, *mode, &mut chains);
        }
    }
    let mut own = Vec::new();
    for port in &inbound.ports {
        if !can_bind(scope, port) {
            continue;
        }
        let bound = port.listener.as_ref().is_some_and(|own| own.binds_to_port);
        let mut chains_of_its_own = Chains::default();
        let into = if bound {
            &mut chains_of_its_own
        } else {
            &mut chains
        };
        making.put(Some(port.target), Some(port), port.mode, into);
        if bound {
            own.push(self::bound(scope, port, chains_of_its_own));
        }
    }
    if scope.settings.interception == Interception::None {
        return own;
    }
    let services = inbound.ports.iter().flat_map(origin);
    let origin = services.chain(decided(scope)).collect();
    let wildcards = wildcards(scope);
    let binds = if scope.features.dual_stack {
        wildcards.as_slice()
    } else {
        &wildcards[..1]
    };
    let transparent = scope.settings.interception == Interception::Transparent;
    let listener = Listener {
        transparent: if transparent { flag(true) } else { None },
        ..listener(
            scope,
            "virtualInbound",
            binds,
            captured,
            &chains.looks,
            false,
        )
    };
    let captured = Made::new(listener, chains.written, origin, Vec::new());
    std::iter::once(captured).chain(own).collect()
}

/// A listener of a Sidecar on a port of its own.
fn bound(scope: &Scope, port: &InboundPort, chains: Chains) -> Made {
    let binds = binds(scope, port);
    let name = format!("{}_{}", binds[0], port.target);
    let origin = origin(port).chain(decided(scope));
    let listener = listener(scope, &name, &binds, port.target, &chains.looks, true);
    Made::new(listener, chains.written, origin.collect(), Vec::new())
}

/// The objects that decide how every port is served.
fn decided(scope: &Scope) -> impl Iterator<Item = Arc<ObjectRef>> {
    let modes = scope.inbound.modes_origin.iter().cloned();
    scope.security.origin().chain(modes)
}

fn origin(port: &InboundPort) -> impl Iterator<Item = Arc<ObjectRef>> {
    let services = port.services.iter().map(|service| service.origin.clone());
    let sidecar = port.listener.iter().map(|own| own.origin.clone());
    services.chain(sidecar)
}

/// A listener without its chains, which the looks are for.
fn listener(
    scope: &Scope,
    name: &str,
    binds: &[String],
    port: u16,
    looks: &BTreeMap<u16, Look>,
    own: bool,
) -> Listener {
    Listener {
        name: name.to_owned(),
        address: Some(address(&binds[0], port)),
        additional_addresses: additional(binds, port),
        traffic_direction: TrafficDirection::Inbound as i32,
        max_connections_to_accept_per_socket_event: number(1),
        connection_balance_config: balanced(scope.settings.balances_inbound),
        listener_filters: listener_filters(scope, looks, own),
        listener_filters_timeout: timeout(scope),
        continue_on_listener_filters_timeout: true,
        access_log: access_log::of_listener(scope, Side::Inbound),
        ..Default::default()
    }
}

/// The addresses that a port is known by: those of its Sidecar's listener, one of the proxy's own
/// when that says none, or every address.
fn binds(scope: &Scope, port: &InboundPort) -> Vec<String> {
    match &port.listener {
        None => wildcards(scope),
        Some(own) if !own.bind.is_empty() => vec![own.bind.clone()],
        Some(own) => match own.unicast {
            Some(address) => vec![address.to_string()],
            None => wildcards(scope),
        },
    }
}

/// Whether a port may be listened for: those of the bootstrap are taken, and low ones need
/// privileges.
fn can_bind(scope: &Scope, port: &InboundPort) -> bool {
    let anywhere = wildcards(scope);
    let target = port.target;
    let (bind, binds_to_port) = match &port.listener {
        None => (anywhere[0].as_str(), false),
        Some(own) => (own.bind.as_str(), own.binds_to_port),
    };
    if binds_to_port && (1..1024).contains(&target) && scope.settings.unprivileged {
        return false;
    }
    let config = &scope.config;
    let captured = port.listener.is_none()
        && (target == config.proxy_listen_port || target == config.proxy_inbound_listen_port);
    let taken = scope.settings.taken.contains(&target) || captured;
    let everywhere = if bind.is_empty() {
        port.port.protocol.is_http()
    } else {
        bind == anywhere[0]
    };
    !(everywhere && taken)
}

/// What is looked at before a chain is chosen, each only where its finding decides something.
fn listener_filters(scope: &Scope, looks: &BTreeMap<u16, Look>, own: bool) -> Vec<ListenerFilter> {
    let mut filters = Vec::new();
    if !own {
        filters.push(original_destination());
        if scope.settings.interception == Interception::Transparent {
            filters.push(original_source());
        }
    }
    if looks.values().any(|look| look.tls) {
        let everywhere = looks.get(&0).is_some_and(|look| look.tls);
        let mut ports = looks.iter().filter(|(port, _)| **port != 0);
        let mut filter = tls_inspector();
        filter.filter_disabled = if everywhere {
            let quiet = ports.filter(|(_, look)| !look.tls);
            except(&quiet.map(|(port, _)| *port).collect::<Vec<u16>>())
        } else {
            let looked: Vec<u16> = ports
                .by_ref()
                .filter(|(_, look)| look.tls)
                .map(|(port, _)| *port)
                .collect();
            except(&looked).map(|rule| ListenerFilterChainMatchPredicate {
                rule: Some(Rule::NotMatch(Box::new(rule))),
            })
        };
        filters.push(filter);
    }
    if looks.values().any(|look| look.http) {
        let quiet = looks.iter().filter(|(_, look)| !look.http);
        let mut filter = http_inspector();
        filter.filter_disabled = except(&quiet.map(|(port, _)| *port).collect::<Vec<u16>>());
        filters.push(filter);
    }
    filters
}

/// A predicate that holds of these ports; none for no port.
fn except(ports: &[u16]) -> Option<ListenerFilterChainMatchPredicate> {
    let mut rules = ports.iter().map(|port| ListenerFilterChainMatchPredicate {
        rule: Some(Rule::DestinationPortRange(Int32Range {
            start: i32::from(*port),
            end: i32::from(*port) + 1,
        })),
    });
    if ports.len() < 2 {
        return rules.next();
    }
    Some(ListenerFilterChainMatchPredicate {
        rule: Some(Rule::OrMatch(MatchSet {
            rules: rules.collect(),
        })),
    })
}
