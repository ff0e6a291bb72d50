//! Where a route leads: one cluster or several by weight, with rewrite, timeout, retries, mirrors.

use std::sync::LazyLock;

use api::duration::Duration;
use api::networking::virtual_service::{Destination, HttpDestination, HttpRoute, Percent};
use bytes::Bytes;
use mesh::{OutboundService, Role, Scope};
use proto::envoy::config::core::v3::RuntimeFractionalPercent;
use proto::envoy::config::route::v3 as wire;
use proto::envoy::r#type::matcher::v3::RegexMatchAndSubstitute;
use proto::envoy::r#type::v3::{FractionalPercent, fractional_percent::DenominatorType};
use proto::pack::Put;
use proto::writer::Writer;
use wire::route_action::{ClusterSpecifier, HostRewriteSpecifier, RequestMirrorPolicy};

use super::{hash, headers, matching, retry, rule};
use crate::names;
use crate::parts::{flag, number, seconds, span};

/// An action in which gRPC's own deadline has no say.
pub(super) fn without_grpc_timeout() -> wire::RouteAction {
    limiting_grpc(None)
}

/// An action in which gRPC's own deadline is at most the route's.
fn limiting_grpc(timeout: Option<Duration>) -> wire::RouteAction {
    #[allow(deprecated, reason = "the form that upstream still sends")]
    wire::RouteAction {
        max_grpc_timeout: timeout.map_or_else(|| seconds(0), span),
        ..Default::default()
    }
}

/// Writes the route of a service without a VirtualService, as a field of a virtual host; `rest` is
/// [`rest_of_default`].
pub(super) fn put_default(called: &OutboundService, port: u16, rest: &[u8], into: &mut Writer) {
    let host = called.service.id.host.as_str();
    let hash = hash::of_service(called, port).and_then(hash::policy);
    let port = port.to_string();
    into.nested(rule::ROUTES, |route| {
        route.raw(&EVERYTHING).nested(rule::ACTION, |action| {
            action.joined(rule::CLUSTER, &names::outbound_parts(&port, "", host));
            action.raw(rest);
            if let Some(hash) = hash {
                let own = wire::RouteAction {
                    hash_policy: vec![hash],
                    ..Default::default()
                };
                own.put(action);
            }
        });
        rule::put_operation(&[host, ":", &port, "/*"], route);
    });
}

/// What all such routes lead to but for the cluster.
pub(super) fn rest_of_default(scope: &Scope) -> Bytes {
    let action = wire::RouteAction {
        timeout: seconds(0),
        retry_policy: retry::of(scope, None, false),
        ..without_grpc_timeout()
    };
    action.fields()
}

/// A route that takes every request, but for where it leads.
static EVERYTHING: LazyLock<Bytes> = LazyLock::new(|| {
    let route = wire::Route {
        name: "default".to_owned(),
        r#match: Some(matching::everything()),
        ..Default::default()
    };
    route.fields()
});

/// Puts on a route where it leads. `authority` is the host that the rule's header changes give. Says whether
/// the retry policy is left to be [`retry::usual`].
pub(super) fn apply(
    scope: &Scope,
    rule: &HttpRoute,
    port: u16,
    authority: String,
    route: &mut wire::Route,
) -> bool {
    let mut action = wire::RouteAction {
        timeout: rule.timeout.map_or_else(|| seconds(0), span),
        ..limiting_grpc(rule.timeout)
    };
    rewrite(rule, authority, &mut action);
    mirrors(scope, rule, port, &mut action);
    let mut hashed = false;
    let weighted = rule.route.iter().filter(|to| to.weight > 0);
    match rule.route.as_slice() {
        [only] => hashed = single(scope, only, port, route, &mut action),
        _ if weighted.clone().next().is_none() => {
            // Envoy takes no route that leads nowhere; upstream sends one, and all routes are refused.
            let nowhere = wire::DirectResponseAction {
                status: 500,
                ..Default::default()
            };
            route.action = Some(wire::route::Action::DirectResponse(nowhere));
            return false;
        }
        _ => {
            let clusters = weighted.map(|to| of_weight(scope, to, port, &mut action));
            let clusters = wire::WeightedCluster {
                clusters: clusters.collect(),
                ..Default::default()
            };
            action.cluster_specifier = Some(ClusterSpecifier::WeightedClusters(clusters));
        }
    }
    let usual = rule.retries.is_none() && !hashed;
    if !usual {
        action.retry_policy = retry::of(scope, rule.retries.as_ref(), hashed);
    }
    route.action = Some(wire::route::Action::Route(action));
    usual
}

fn rewrite(rule: &HttpRoute, mut authority: String, action: &mut wire::RouteAction) {
    if let Some(rewrite) = &rule.rewrite {
        match &rewrite.uri_regex_rewrite {
            Some(regex) => {
                action.regex_rewrite = Some(RegexMatchAndSubstitute {
                    pattern: Some(matching::regex(&regex.r#match)),
                    substitution: regex.rewrite.clone(),
                });
            }
            None => action.prefix_rewrite.clone_from(&rewrite.uri),
        }
        if !rewrite.authority.is_empty() {
            authority.clone_from(&rewrite.authority);
        }
    }
    if !authority.is_empty() {
        action.host_rewrite_specifier = Some(HostRewriteSpecifier::HostRewriteLiteral(authority));
    }
}

/// The one destination of a route; its header changes are the route's. Whether it has a hash.
fn single(
    scope: &Scope,
    to: &HttpDestination,
    port: u16,
    route: &mut wire::Route,
    action: &mut wire::RouteAction,
) -> bool {
    let cluster = cluster(scope, &to.destination, port);
    action.cluster_specifier = Some(ClusterSpecifier::Cluster(cluster));
    if let Some(changes) = &to.headers {
        let authority = headers::apply(changes, route);
        // What the rule says of the host goes before.
        if !authority.is_empty() && action.host_rewrite_specifier.is_none() {
            let literal = HostRewriteSpecifier::HostRewriteLiteral(authority);
            action.host_rewrite_specifier = Some(literal);
        }
    }
    add_hash(scope, &to.destination, action)
}

fn of_weight(
    scope: &Scope,
    to: &HttpDestination,
    port: u16,
    action: &mut wire::RouteAction,
) -> wire::weighted_cluster::ClusterWeight {
    let mut made = wire::weighted_cluster::ClusterWeight {
        name: cluster(scope, &to.destination, port),
        weight: number(u32::try_from(to.weight).unwrap_or_default()),
        ..Default::default()
    };
    if let Some(changes) = &to.headers {
        headers::apply_weighted(changes, &mut made);
    }
    add_hash(scope, &to.destination, action);
    made
}

/// Adds what is hashed for a destination; whether there is a hash.
fn add_hash(scope: &Scope, to: &Destination, action: &mut wire::RouteAction) -> bool {
    let called = scope.outbound.service(&to.host);
    let hash = called.and_then(|called| hash::of_destination(called, to));
    action.hash_policy.extend(hash.and_then(hash::policy));
    hash.is_some()
}

/// The port of a destination: as it says, or the caller's; of a gateway, whose own port says
/// nothing about its hosts', the only one of the host.
fn port_of(scope: &Scope, to: &Destination, port: u16) -> u16 {
    let known = scope.outbound.service(&to.host);
    let known = known.map(|called| called.service.ports.as_slice());
    match (&to.port, scope.role, known) {
        (Some(port), _, _) => u16::try_from(port.number).unwrap_or_default(),
        (None, role, Some([only])) if role == Role::Router || port == 0 => only.number,
        _ => port,
    }
}

/// The cluster of a destination; that of a host that is not known does not exist, and answers 503.
pub(super) fn cluster(scope: &Scope, to: &Destination, port: u16) -> String {
    let known = scope.outbound.service(&to.host);
    // Another name of a host leads to the host.
    let host = known.and_then(|called| called.service.alias_of.as_deref());
    let number = port_of(scope, to, port);
    names::outbound(number, &to.subset, host.unwrap_or(&to.host))
}

fn mirrors(scope: &Scope, rule: &HttpRoute, port: u16, action: &mut wire::RouteAction) {
    let mut add = |to: &Destination, share: Option<FractionalPercent>| {
        let share = share.unwrap_or_else(|| whole(100));
        // None at all, when none are wanted.
        if share.numerator > 0 {
            action.request_mirror_policies.push(RequestMirrorPolicy {
                cluster: cluster(scope, to, port),
                runtime_fraction: Some(RuntimeFractionalPercent {
                    default_value: Some(share),
                    ..Default::default()
                }),
                trace_sampled: flag(false),
                disable_shadow_host_suffix_append: true,
                ..Default::default()
            });
        }
    };
    if let Some(mirror) = &rule.mirror {
        let share = rule.mirror_percentage.map(fraction);
        add(mirror, share.or(rule.mirror_percent.map(whole)));
    }
    for mirror in &rule.mirrors {
        add(&mirror.destination, mirror.percentage.map(fraction));
    }
}

/// A share with four digits after the point of a percent; further ones are cut off.
pub(super) fn fraction(percent: Percent) -> FractionalPercent {
    FractionalPercent {
        numerator: (percent.value * 10_000.0) as u32,
        denominator: DenominatorType::Million as i32,
    }
}

/// A share in whole percents.
pub(super) fn whole(percent: u32) -> FractionalPercent {
    FractionalPercent {
        numerator: percent,
        denominator: DenominatorType::Hundred as i32,
    }
}
