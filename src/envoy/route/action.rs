//! Where a route leads: one cluster or several by weight, with rewrite, timeout, retries, mirrors.

use api::duration::Duration;
use api::networking::matching::StringMatch;
use api::networking::virtual_service::{Destination, HttpMatch, HttpRoute, Percent};
use mesh::{OutboundService, Port, Role, Scope};
use proto::envoy::config::core::v3::RuntimeFractionalPercent;
use proto::envoy::config::route::v3 as wire;
use proto::envoy::r#type::matcher::v3::RegexMatchAndSubstitute;
use proto::envoy::r#type::v3::{FractionalPercent, fractional_percent::DenominatorType};
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

/// The route of a service without a VirtualService.
pub(super) fn default_route(scope: &Scope, called: &OutboundService, port: &Port) -> wire::Route {
    let cluster = names::outbound(port.number, "", &called.service.id.host);
    let hash_policy = hash::of(called, "", port.number);
    let action = wire::RouteAction {
        cluster_specifier: Some(ClusterSpecifier::Cluster(cluster)),
        timeout: seconds(0),
        retry_policy: retry::of(scope, None, false),
        hash_policy,
        ..without_grpc_timeout()
    };
    let mut route = wire::Route {
        name: "default".to_owned(),
        r#match: Some(matching::everything()),
        action: Some(wire::route::Action::Route(action)),
        ..Default::default()
    };
    let operation = rule::operation(&route, &called.service.name, port.number);
    route.decorator = Some(wire::Decorator {
        operation,
        ..Default::default()
    });
    route
}

pub(super) fn of(
    scope: &Scope,
    rule: &HttpRoute,
    condition: Option<&HttpMatch>,
    port: u16,
    authority: &str,
) -> wire::RouteAction {
    let mut action = wire::RouteAction {
        timeout: rule.timeout.map_or_else(|| seconds(0), span),
        ..limiting_grpc(rule.timeout)
    };
    let mut authority = authority.to_owned();
    if let Some(rewrite) = &rule.rewrite {
        if let Some(regex) = &rewrite.uri_regex_rewrite {
            action.regex_rewrite = Some(RegexMatchAndSubstitute {
                pattern: Some(matching::regex(&regex.r#match)),
                substitution: regex.rewrite.clone(),
            });
        } else if let Some(StringMatch::Regex(pattern)) = condition.and_then(|c| c.uri.as_ref())
            && !rewrite.uri.is_empty()
        {
            action.regex_rewrite = Some(RegexMatchAndSubstitute {
                pattern: Some(matching::regex(pattern)),
                substitution: rewrite.uri.clone(),
            });
        } else {
            action.prefix_rewrite = rewrite.uri.clone();
        }
        if !rewrite.authority.is_empty() {
            authority = rewrite.authority.clone();
        }
    }
    if !authority.is_empty() {
        action.host_rewrite_specifier = Some(HostRewriteSpecifier::HostRewriteLiteral(authority));
    }
    mirrors(scope, rule, port, &mut action);
    let mut weighted = rule.route.iter().filter(|to| to.weight > 0);
    let only = match rule.route.as_slice() {
        [only] => Some(only),
        _ => weighted.next().filter(|_| weighted.next().is_none()),
    };
    match (rule.route.as_slice(), only) {
        ([], _) => {}
        (_, Some(only)) if only.headers.is_none() => {
            let to = &only.destination;
            action.cluster_specifier = Some(ClusterSpecifier::Cluster(cluster(scope, to, port)));
            action.hash_policy = hash_of(scope, to, port);
        }
        (all, _) => {
            let single = all.len() == 1;
            let clusters = all.iter().filter(|to| single || to.weight > 0).map(|to| {
                let mut made = wire::weighted_cluster::ClusterWeight {
                    name: cluster(scope, &to.destination, port),
                    weight: number(u32::try_from(to.weight).unwrap_or_default()),
                    ..Default::default()
                };
                if let Some(changes) = &to.headers {
                    headers::apply_weighted(changes, &mut made);
                }
                made
            });
            action.cluster_specifier =
                Some(ClusterSpecifier::WeightedClusters(wire::WeightedCluster {
                    clusters: clusters.collect(),
                    ..Default::default()
                }));
            for to in all {
                action
                    .hash_policy
                    .extend(hash_of(scope, &to.destination, port));
            }
        }
    }
    action.retry_policy = retry::of(scope, rule.retries.as_ref(), !action.hash_policy.is_empty());
    action
}

fn hash_of(scope: &Scope, to: &Destination, port: u16) -> Vec<wire::route_action::HashPolicy> {
    let called = scope.outbound.service(&to.host);
    let number = port_of(scope, to, port);
    called
        .map(|called| hash::of(called, &to.subset, number))
        .unwrap_or_default()
}

/// The port of a destination: as it says, or the caller's; of a gateway, whose own port says
/// nothing about its hosts', the only one of the host.
fn port_of(scope: &Scope, to: &Destination, port: u16) -> u16 {
    let known = scope.outbound.service(&to.host);
    let known = known.map(|called| called.service.ports.as_slice());
    match (&to.port, scope.role, known) {
        (Some(port), _, _) => u16::try_from(port.number).unwrap_or_default(),
        (None, Role::Router, Some([only])) => only.number,
        _ => port,
    }
}

/// The cluster of a destination; that of a host that is not known does not exist, and answers 503.
pub(super) fn cluster(scope: &Scope, to: &Destination, port: u16) -> String {
    names::outbound(port_of(scope, to, port), &to.subset, &to.host)
}

fn mirrors(scope: &Scope, rule: &HttpRoute, port: u16, action: &mut wire::RouteAction) {
    let whole = RuntimeFractionalPercent {
        default_value: Some(FractionalPercent {
            numerator: 100,
            denominator: DenominatorType::Hundred as i32,
        }),
        ..Default::default()
    };
    let share = |percent: Option<Percent>| match percent {
        Some(percent) => RuntimeFractionalPercent {
            default_value: Some(fraction(percent)),
            ..Default::default()
        },
        None => whole.clone(),
    };
    let mut wanted = Vec::new();
    if let Some(mirror) = &rule.mirror {
        let percent = rule
            .mirror_percentage
            .or(rule.mirror_percent.map(|percent| Percent {
                value: f64::from(percent),
            }));
        wanted.push((mirror, percent));
    } else {
        wanted.extend(
            rule.mirrors
                .iter()
                .map(|mirror| (&mirror.destination, mirror.percentage)),
        );
    }
    for (to, percent) in wanted {
        if percent.is_some_and(|percent| percent.value <= 0.0) {
            continue;
        }
        action.request_mirror_policies.push(RequestMirrorPolicy {
            cluster: cluster(scope, to, port),
            runtime_fraction: Some(share(percent)),
            trace_sampled: flag(false),
            disable_shadow_host_suffix_append: true,
            ..Default::default()
        });
    }
}

/// A share with four digits after the point of a percent.
pub(super) fn fraction(percent: Percent) -> FractionalPercent {
    FractionalPercent {
        numerator: (percent.value * 10_000.0).round() as u32,
        denominator: DenominatorType::Million as i32,
    }
}
