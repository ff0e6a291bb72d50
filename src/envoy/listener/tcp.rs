//! Opaque connections: which cluster they go to, by VirtualService or by the service itself.

use std::collections::BTreeMap;

use api::networking::virtual_service::{Destination, RouteDestination};
use api::snapshot::selects;
use mesh::{Outbound, OutboundService, Port, Routing, Scope, subset_of};
use proto::envoy::config::listener::v3::{FilterChain, FilterChainMatch};
use proto::envoy::extensions::filters::network::tcp_proxy::v3 as wire;

use super::filter_chain;
use crate::parts::{range, seconds, span};
use crate::{access_log, metadata, names};

/// Filter chains of a port that is not HTTP, most specific first.
pub(super) fn chains(
    scope: &Scope,
    called: &OutboundService,
    port: &Port,
    ranges: &[String],
    by_name: bool,
) -> (Vec<FilterChain>, Vec<base::ObjectRef>) {
    let host = &called.service.id.host;
    let mut origin = Vec::new();
    let mut found: Vec<FilterChain> = Vec::new();
    let routing = scope.outbound.routings.iter().find(|routing| {
        let hosts = routing.spec.hosts.iter();
        hosts.clone().any(|own| subset_of(host, own))
    });
    let mut whole = false;
    if let Some(routing) = routing {
        if port.protocol.is_tls() {
            whole |= tls(scope, routing, port, ranges, &mut found);
        }
        if !whole || found.is_empty() {
            whole |= tcp(scope, routing, port, ranges, &mut found);
        }
        if !found.is_empty() {
            origin.extend(routing.origin.iter().cloned());
        }
    }
    if !whole {
        let cluster = names::outbound(port.number, "", host);
        let to = [RouteDestination {
            destination: Destination {
                host: host.clone(),
                ..Default::default()
            },
            weight: 0,
        }];
        let filters = filters(scope, port, &to, &cluster, Some(called));
        // One chain per range, so that each can be told from those of other services.
        let mut conditions: Vec<FilterChainMatch> = ranges.chunks(1).map(within).collect();
        if conditions.is_empty() {
            conditions.push(FilterChainMatch::default());
        }
        for mut matched in conditions {
            if port.protocol.is_tls() && by_name {
                matched.server_names = vec![host.clone()];
            }
            found.push(chain(matched, filters.clone()));
        }
    }
    (found, origin)
}

fn chain(
    matched: FilterChainMatch,
    filters: Vec<proto::envoy::config::listener::v3::Filter>,
) -> FilterChain {
    let empty = matched == FilterChainMatch::default();
    FilterChain {
        filter_chain_match: (!empty).then_some(matched),
        filters,
        transport_socket_connect_timeout: seconds(15),
        ..Default::default()
    }
}

/// Chains of TLS rules; whether one of them takes everything.
fn tls(
    scope: &Scope,
    routing: &Routing,
    port: &Port,
    ranges: &[String],
    into: &mut Vec<FilterChain>,
) -> bool {
    let mut matched_any = false;
    for route in &routing.spec.tls {
        for condition in &route.r#match {
            let caller = (
                &condition.source_labels,
                condition.source_namespace.as_str(),
            );
            if !applies(
                scope,
                routing,
                port,
                condition.port,
                caller,
                &condition.gateways,
            ) {
                continue;
            }
            let subnets = if condition.destination_subnets.is_empty() {
                ranges
            } else {
                &condition.destination_subnets
            };
            let matched = FilterChainMatch {
                server_names: condition.sni_hosts.clone(),
                prefix_ranges: subnets.iter().filter_map(|text| range(text)).collect(),
                ..Default::default()
            };
            push(scope, routing, port, &route.route, matched, into);
            matched_any = true;
        }
    }
    matched_any
}

/// Chains of TCP rules; whether one of them takes everything.
fn tcp(
    scope: &Scope,
    routing: &Routing,
    port: &Port,
    ranges: &[String],
    into: &mut Vec<FilterChain>,
) -> bool {
    for route in &routing.spec.tcp {
        if route.r#match.is_empty() {
            push(scope, routing, port, &route.route, within(ranges), into);
            return true;
        }
        let mut subnets: Vec<String> = Vec::new();
        for condition in &route.r#match {
            let caller = (
                &condition.source_labels,
                condition.source_namespace.as_str(),
            );
            if !applies(
                scope,
                routing,
                port,
                condition.port,
                caller,
                &condition.gateways,
            ) {
                continue;
            }
            if condition.destination_subnets.is_empty() {
                let matched = within(ranges);
                push(scope, routing, port, &route.route, matched, into);
                return true;
            }
            subnets.extend(condition.destination_subnets.iter().cloned());
        }
        if !subnets.is_empty() {
            push(scope, routing, port, &route.route, within(&subnets), into);
            // A part of the addresses is no mark of the whole VirtualService.
            if let Some(made) = into.last_mut() {
                made.metadata = None;
            }
        }
    }
    false
}

/// Connections to these addresses; to all when there is none.
fn within(ranges: &[String]) -> FilterChainMatch {
    FilterChainMatch {
        prefix_ranges: ranges.iter().filter_map(|text| range(text)).collect(),
        ..Default::default()
    }
}

/// The conditions that TLS and TCP rules share.
fn applies(
    scope: &Scope,
    routing: &Routing,
    port: &Port,
    wanted: u32,
    (labels, namespace): (&BTreeMap<String, String>, &str),
    gateways: &[String],
) -> bool {
    let gateways = if gateways.is_empty() {
        &routing.spec.gateways
    } else {
        gateways
    };
    (wanted == 0 || wanted == u32::from(port.number))
        && selects(labels, &scope.workload.labels)
        && (namespace.is_empty() || namespace == scope.workload.namespace)
        && gateways.iter().any(|gateway| gateway == mesh::MESH_GATEWAY)
}

fn push(
    scope: &Scope,
    routing: &Routing,
    port: &Port,
    route: &[RouteDestination],
    matched: FilterChainMatch,
    into: &mut Vec<FilterChain>,
) {
    let statistics = format!("{}.{}", routing.name, routing.namespace);
    let mut made = chain(matched, filters(scope, port, route, &statistics, None));
    made.metadata = Some(metadata::config(&routing.origin[0]));
    into.push(made);
}

fn filters(
    scope: &Scope,
    port: &Port,
    route: &[RouteDestination],
    statistics: &str,
    called: Option<&OutboundService>,
) -> Vec<proto::envoy::config::listener::v3::Filter> {
    let cluster = |to: &RouteDestination| cluster(&scope.outbound, port, &to.destination);
    let first = route.first().map(&cluster).unwrap_or_default();
    let single = route.len() == 1;
    let specifier = if single {
        wire::tcp_proxy::ClusterSpecifier::Cluster(first.clone())
    } else {
        let clusters = route.iter().filter(|to| to.weight > 0);
        wire::tcp_proxy::ClusterSpecifier::WeightedClusters(wire::tcp_proxy::WeightedCluster {
            clusters: clusters
                .map(|to| wire::tcp_proxy::weighted_cluster::ClusterWeight {
                    name: cluster(to),
                    weight: u32::try_from(to.weight).unwrap_or_default(),
                    ..Default::default()
                })
                .collect(),
        })
    };
    let host = route
        .first()
        .map(|to| to.destination.host.as_str())
        .unwrap_or_default();
    let to = called.or_else(|| scope.outbound.service(host).map(AsRef::as_ref));
    let subset = route
        .first()
        .map(|to| to.destination.subset.as_str())
        .unwrap_or_default();
    let tcp = to.and_then(|to| {
        let rule = to.rule.as_ref()?;
        let subset = rule.subset(subset);
        rule.settings(subset, port.number).connection_pool?.tcp
    });
    let statistics = if single { &first } else { statistics };
    let proxy = wire::TcpProxy {
        stat_prefix: statistics.to_owned(),
        access_log: access_log::all(scope),
        idle_timeout: tcp.as_ref().and_then(|tcp| tcp.idle_timeout).and_then(span),
        max_downstream_connection_duration: tcp
            .as_ref()
            .and_then(|tcp| tcp.max_connection_duration)
            .and_then(span),
        cluster_specifier: Some(specifier),
        ..Default::default()
    };
    let mut filters = Vec::new();
    filters.extend(filter_chain::metrics(scope, filter_chain::Side::Outbound));
    filters.extend(filter_chain::before(port.protocol, statistics));
    filters.push(filter_chain::proxy(proxy));
    filters
}

/// The cluster of a destination; its port, or the only one of its host, or that of the listener.
fn cluster(outbound: &Outbound, port: &Port, to: &Destination) -> String {
    let known = outbound
        .service(&to.host)
        .map(|called| &called.service.ports);
    let number = match (&to.port, known.map(Vec::as_slice)) {
        (Some(port), _) => u16::try_from(port.number).unwrap_or_default(),
        (None, Some([only])) => only.number,
        (None, _) => port.number,
    };
    names::outbound(number, &to.subset, &to.host)
}
