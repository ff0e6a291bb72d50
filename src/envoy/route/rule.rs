//! The rules of a VirtualService as routes, those that can never match left out.

use api::networking::virtual_service::{HttpMatch, HttpRoute};
use api::snapshot::selects;
use mesh::{MESH_GATEWAY, Routing, Scope};
use proto::envoy::config::route::v3 as wire;

use super::{action, cors, fault, headers, matching, redirect};
use crate::metadata;

const CORS: &str = "envoy.filters.http.cors";
const FAULT: &str = "envoy.filters.http.fault";

/// Routes for sidecars.
pub(super) fn of_sidecar(scope: &Scope, routing: &Routing, port: u16) -> Vec<wire::Route> {
    of(scope, routing, port, MESH_GATEWAY)
}

/// Routes for a gateway, or for sidecars.
pub(super) fn of(scope: &Scope, routing: &Routing, port: u16, gateway: &str) -> Vec<wire::Route> {
    let mut routes = Vec::new();
    for rule in &routing.spec.http {
        if rule.r#match.is_empty() {
            routes.push(one(scope, routing, rule, None, port));
            break;
        }
        let mut whole = false;
        for condition in &rule.r#match {
            if applies(scope, routing, condition, port, gateway) {
                routes.push(one(scope, routing, rule, Some(condition), port));
                if matching::takes_everything(condition) {
                    whole = true;
                    break;
                }
            }
        }
        if whole {
            break;
        }
    }
    routes
}

fn applies(
    scope: &Scope,
    routing: &Routing,
    condition: &HttpMatch,
    port: u16,
    gateway: &str,
) -> bool {
    let gateways = if condition.gateways.is_empty() {
        &routing.spec.gateways
    } else {
        &condition.gateways
    };
    (condition.port == 0 || condition.port == u32::from(port))
        && gateways.iter().any(|name| name == gateway)
        && selects(&condition.source_labels, &scope.workload.labels)
        && (condition.source_namespace.is_empty()
            || condition.source_namespace == scope.workload.namespace)
}

fn one(
    scope: &Scope,
    routing: &Routing,
    rule: &HttpRoute,
    condition: Option<&HttpMatch>,
    port: u16,
) -> wire::Route {
    let own = condition.map_or("", |condition| condition.name.as_str());
    let mut route = wire::Route {
        name: if own.is_empty() {
            rule.name.clone()
        } else {
            format!("{}.{own}", rule.name)
        },
        r#match: Some(condition.map_or_else(matching::everything, matching::of)),
        metadata: Some(metadata::config(&routing.origin[0])),
        stat_prefix: condition.map_or_else(String::new, |condition| condition.stat_prefix.clone()),
        ..Default::default()
    };
    let mut authority = String::new();
    if let Some(changes) = &rule.headers {
        authority = headers::apply(changes, &mut route);
    }
    route.action = Some(if let Some(to) = &rule.redirect {
        redirect::redirect(to, port)
    } else if let Some(answer) = &rule.direct_response {
        redirect::answer(answer)
    } else {
        wire::route::Action::Route(action::of(scope, rule, condition, port, &authority))
    });
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
    let operation = operation(&route, &routing.name, port);
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
        Some(PathSpecifier::PathSeparatedPrefix(prefix)) => format!("{prefix}/*"),
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
