//! Where a route leads: one cluster or several by weight, with rewrite, timeout, retries, mirrors.

use std::sync::LazyLock;

use api::duration::Duration;
use api::networking::destination_rule::ConsistentHash;
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

use super::at::At;
use super::{hash, headers, matching, retry, rule};
use crate::names;
use crate::parts::{flag, number, seconds, span};

/// Field numbers of `Route` and `RouteAction`.
const ACTION: u32 = 2;
const CLUSTER: u32 = 1;

/// An action that takes as long as it likes, and in which gRPC's own deadline has no say.
pub(super) fn unlimited() -> wire::RouteAction {
    limited(None)
}

/// An action that takes so long at most, whatever gRPC's own deadline.
fn limited(timeout: Option<Duration>) -> wire::RouteAction {
    let most = timeout.map_or_else(|| seconds(0), span);
    #[allow(deprecated, reason = "the form that upstream still sends")]
    wire::RouteAction {
        timeout: most,
        max_grpc_timeout: most,
        ..Default::default()
    }
}

/// Writes the route of a service without a VirtualService, as a field of a virtual host; `retries` is
/// [`retry::usual`].
pub(super) fn put_default(called: &OutboundService, port: u16, retries: &[u8], into: &mut Writer) {
    let host = called.service.id.host.as_str();
    let hash = hash::of_service(called, port);
    let port = port.to_string();
    into.nested(rule::ROUTES, |route| {
        route.raw(&EVERYTHING).nested(ACTION, |action| {
            action.joined(CLUSTER, &names::outbound_parts(&port, "", host));
            action.raw(&UNLIMITED).raw(retries);
            hash::put(hash, action);
        });
        rule::put_operation(&[host, ":", &port, "/*"], route);
    });
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

/// What most rules say of time.
static UNLIMITED: LazyLock<Bytes> = LazyLock::new(|| unlimited().fields());

/// Writes where a rule leads, as fields of its route. `authority` is the host that the rule's header changes give.
/// The cluster, if it is only one.
pub(super) fn put<'a>(
    scope: &'a Scope,
    rule: &'a HttpRoute,
    at: &At<'_>,
    mut authority: String,
    route: &mut Writer,
) -> Option<Cluster<'a>> {
    let only = match rule.route.as_slice() {
        [only] => Some(only),
        _ => None,
    };
    let mut weighted = rule.route.iter().filter(|to| to.weight > 0).peekable();
    if only.is_none() && weighted.peek().is_none() {
        // Envoy takes no route that leads nowhere; upstream sends one, and all routes are refused.
        let nowhere = wire::DirectResponseAction {
            status: 500,
            ..Default::default()
        };
        rule::put_answer(wire::route::Action::DirectResponse(nowhere), route);
        return None;
    }
    if let Some(rewrite) = &rule.rewrite
        && !rewrite.authority.is_empty()
    {
        authority.clone_from(&rewrite.authority);
    }
    // Header changes of the one destination are the route's. What the rule says of the host goes before.
    if let Some(changes) = only.and_then(|only| only.headers.as_ref()) {
        let own = headers::put(changes, route);
        if authority.is_empty() {
            authority = own;
        }
    }
    let only = only.map(|only| Cluster::of(scope, &only.destination, at));
    route.nested(ACTION, |action| {
        match &only {
            Some(cluster) => {
                action.joined(CLUSTER, &cluster.parts());
                hash::put(cluster.hash, action);
            }
            None => put_weighted(scope, weighted, at, action),
        }
        match rule.timeout {
            None => {
                action.raw(&UNLIMITED);
            }
            some => limited(some).put(action),
        }
        put_rewrite(rule, authority, action);
        put_mirrors(scope, rule, at, action);
        let hashed = only.as_ref().is_some_and(|only| only.hash.is_some());
        if rule.retries.is_none() && !hashed {
            action.raw(at.retries);
        } else {
            let own = wire::RouteAction {
                retry_policy: retry::of(scope, rule.retries.as_ref(), hashed),
                ..Default::default()
            };
            own.put(action);
        }
    });
    only
}

fn put_rewrite(rule: &HttpRoute, authority: String, action: &mut Writer) {
    if rule.rewrite.is_none() && authority.is_empty() {
        return;
    }
    let mut own = wire::RouteAction::default();
    if let Some(rewrite) = &rule.rewrite {
        match &rewrite.uri_regex_rewrite {
            Some(regex) => {
                own.regex_rewrite = Some(RegexMatchAndSubstitute {
                    pattern: Some(matching::regex(&regex.r#match)),
                    substitution: regex.rewrite.clone(),
                });
            }
            None => own.prefix_rewrite.clone_from(&rewrite.uri),
        }
    }
    if !authority.is_empty() {
        own.host_rewrite_specifier = Some(HostRewriteSpecifier::HostRewriteLiteral(authority));
    }
    own.put(action);
}

/// The cluster of a destination; that of a host that is not known does not exist, and answers 503.
pub(super) struct Cluster<'a> {
    pub(super) port: String,
    subset: &'a str,
    pub(super) host: &'a str,
    /// What requests are spread by.
    hash: Option<&'a ConsistentHash>,
}

impl<'a> Cluster<'a> {
    /// The port is as the destination says, or the caller's; of a gateway, whose own port says
    /// nothing about its hosts', the only one of the host.
    fn of(scope: &'a Scope, to: &'a Destination, at: &At<'_>) -> Self {
        let known = scope.outbound.service(&to.host);
        let ports = known.map(|called| called.service.ports.as_slice());
        let number = match (&to.port, scope.role, ports) {
            (Some(port), _, _) => u16::try_from(port.number).unwrap_or_default(),
            (None, role, Some([only])) if role == Role::Router || at.port() == 0 => only.number,
            _ => at.port(),
        };
        // Another name of a host leads to the host.
        let host = known.and_then(|called| called.service.alias_of.as_deref());
        Cluster {
            port: number.to_string(),
            subset: &to.subset,
            host: host.unwrap_or(&to.host),
            hash: known.and_then(|called| hash::of_destination(called, to)),
        }
    }

    fn parts(&self) -> [&str; 6] {
        names::outbound_parts(&self.port, self.subset, self.host)
    }
}

fn put_weighted<'a>(
    scope: &'a Scope,
    to: impl Iterator<Item = &'a HttpDestination>,
    at: &At<'_>,
    action: &mut Writer,
) {
    let clusters = to.map(|to| {
        let cluster = Cluster::of(scope, &to.destination, at);
        hash::put(cluster.hash, action);
        let mut made = wire::weighted_cluster::ClusterWeight {
            name: cluster.parts().concat(),
            weight: number(u32::try_from(to.weight).unwrap_or_default()),
            ..Default::default()
        };
        if let Some(changes) = &to.headers {
            headers::apply_weighted(changes, &mut made);
        }
        made
    });
    let clusters = wire::WeightedCluster {
        clusters: clusters.collect(),
        ..Default::default()
    };
    let own = wire::RouteAction {
        cluster_specifier: Some(ClusterSpecifier::WeightedClusters(clusters)),
        ..Default::default()
    };
    own.put(action);
}

fn put_mirrors(scope: &Scope, rule: &HttpRoute, at: &At<'_>, action: &mut Writer) {
    let mut add = |to: &Destination, share: Option<FractionalPercent>| {
        let share = share.unwrap_or_else(|| whole(100));
        // None at all, when none are wanted.
        if share.numerator > 0 {
            let policy = RequestMirrorPolicy {
                cluster: Cluster::of(scope, to, at).parts().concat(),
                runtime_fraction: Some(RuntimeFractionalPercent {
                    default_value: Some(share),
                    ..Default::default()
                }),
                trace_sampled: flag(false),
                disable_shadow_host_suffix_append: true,
                ..Default::default()
            };
            let own = wire::RouteAction {
                request_mirror_policies: vec![policy],
                ..Default::default()
            };
            own.put(action);
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
