//! The rules of a VirtualService as routes, those that can never match left out.

use api::networking::virtual_service::{HttpMatch, HttpRoute};
use api::snapshot::selects;
use mesh::{MESH_GATEWAY, Routing, Scope};
use proto::envoy::config::route::v3 as wire;

use super::{action, cors, fault, headers, matching, redirect};
use crate::metadata;

const CORS: &str = "envoy.filters.http.cors";
const FAULT: &str = "envoy.filters.http.fault";

/// Where routes are for.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    /// The gateway as `namespace/name`, or [`MESH_GATEWAY`].
    pub(super) gateway: &'a str,
    /// The port that callers know.
    pub(super) port: u16,
    /// Whether TLS ends there.
    pub(super) ends_tls: bool,
}

/// Routes for sidecars.
pub(super) fn of_sidecar(scope: &Scope, routing: &Routing, port: u16) -> Vec<wire::Route> {
    let at = At {
        gateway: MESH_GATEWAY,
        port,
        ends_tls: false,
    };
    of(scope, routing, at)
}

/// Routes for a gateway, or for sidecars. Nothing behind a route that takes everything is reached.
pub(super) fn of(scope: &Scope, routing: &Routing, at: At<'_>) -> Vec<wire::Route> {
    let mut routes = Vec::new();
    for rule in &routing.spec.http {
        if rule.r#match.is_empty() {
            routes.push(one(scope, routing, rule, None, at));
            break;
        }
        for condition in &rule.r#match {
            if !applies(scope, condition, at) {
                continue;
            }
            let route = one(scope, routing, rule, Some(condition), at);
            let whole = takes_everything(&route);
            routes.push(route);
            if whole {
                return routes;
            }
        }
    }
    routes
}

/// Whether no route behind it is reached.
pub(super) fn takes_everything(route: &wire::Route) -> bool {
    route
        .r#match
        .as_ref()
        .is_none_or(matching::takes_everything)
}

/// The conditions on the caller. A condition that names gateways says nothing of workloads.
fn applies(scope: &Scope, condition: &HttpMatch, at: At<'_>) -> bool {
    let caller = if condition.gateways.is_empty() {
        selects(&condition.source_labels, &scope.workload.labels)
            && (condition.source_namespace.is_empty()
                || condition.source_namespace == scope.workload.namespace)
    } else {
        condition.gateways.iter().any(|name| name == at.gateway)
    };
    caller && (condition.port == 0 || condition.port == u32::from(at.port))
}

fn one(
    scope: &Scope,
    routing: &Routing,
    rule: &HttpRoute,
    condition: Option<&HttpMatch>,
    at: At<'_>,
) -> wire::Route {
    let own = condition.map_or("", |condition| condition.name.as_str());
    let matched = condition.map_or_else(matching::everything, |condition| {
        matching::of(condition, routing.semantics)
    });
    let mut route = wire::Route {
        name: if own.is_empty() {
            rule.name.clone()
        } else {
            format!("{}.{own}", rule.name)
        },
        r#match: Some(matched),
        metadata: Some(metadata::config(&routing.origin[0])),
        stat_prefix: condition.map_or_else(String::new, |condition| condition.stat_prefix.clone()),
        ..Default::default()
    };
    let mut authority = String::new();
    if let Some(changes) = &rule.headers {
        authority = headers::apply(changes, &mut route);
    }
    if let Some(to) = &rule.redirect {
        route.action = Some(redirect::redirect(to, at.port, at.ends_tls));
    } else if let Some(answer) = &rule.direct_response {
        route.action = Some(redirect::answer(answer));
    } else {
        action::apply(scope, rule, at.port, authority, &mut route);
    }
    if let Some(on_purpose) = &rule.fault {
        let filter = fault::of(on_purpose);
        route
            .typed_per_filter_config
            .insert(FAULT.to_owned(), filter);
    }
    if let Some(policy) = &rule.cors_policy {
        let filter = cors::of(policy);
        route
            .typed_per_filter_config
            .insert(CORS.to_owned(), filter);
    }
    let operation = operation(&route, &routing.name, at.port);
    route.decorator = Some(wire::Decorator {
        operation,
        ..Default::default()
    });
    route
}

/// What a trace calls the route: the host of its one cluster, or else the VirtualService.
pub(super) fn operation(route: &wire::Route, name: &str, port: u16) -> String {
    use wire::route_match::PathSpecifier;
    let path = match route
        .r#match
        .as_ref()
        .and_then(|m| m.path_specifier.as_ref())
    {
        Some(PathSpecifier::Prefix(prefix)) => format!("{prefix}*"),
        Some(PathSpecifier::Path(path)) => path.clone(),
        Some(PathSpecifier::SafeRegex(pattern)) => pattern.regex.clone(),
        _ => "/*".to_owned(),
    };
    if let Some(wire::route::Action::Route(action)) = &route.action
        && let Some(wire::route_action::ClusterSpecifier::Cluster(cluster)) =
            &action.cluster_specifier
        && let ["outbound", port, _, host] = cluster.split('|').collect::<Vec<_>>()[..]
    {
        return format!("{host}:{port}{path}");
    }
    format!("{name}:{port}{path}")
}
