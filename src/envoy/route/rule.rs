//! The rules of a VirtualService as routes, those that can never match left out.

use api::networking::virtual_service::{HttpMatch, HttpRoute};
use api::snapshot::selects;
use bytes::Bytes;
use mesh::{Routing, Scope};
use proto::envoy::config::route::v3 as wire;
use proto::pack::Put;
use proto::writer::Writer;

use super::fragment::Routes;
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
    /// [`retry::usual`](super::retry::usual), made once for all.
    pub(super) retries: &'a [u8],
}

/// Field numbers of `VirtualHost`, `Route`, `RouteAction`, `Decorator`.
pub(super) const ROUTES: u32 = 3;
pub(super) const ACTION: u32 = 2;
pub(super) const CLUSTER: u32 = 1;
const DECORATOR: u32 = 5;
const OPERATION: u32 = 1;

/// Routes for a gateway, or for sidecars. Nothing behind a route that takes everything is reached.
pub(super) fn of(scope: &Scope, routing: &Routing, at: At<'_>) -> Routes {
    let metadata = wire::Route {
        metadata: Some(metadata::config(&routing.origin[0])),
        ..Default::default()
    };
    let metadata = metadata.fields();
    let mut made = Writer::default();
    for rule in &routing.spec.http {
        let unconditional = rule.r#match.is_empty().then_some(None);
        let conditions = rule.r#match.iter().map(Some);
        for condition in unconditional.into_iter().chain(conditions) {
            if condition.is_some_and(|condition| !applies(scope, condition, at)) {
                continue;
            }
            let start = made.len();
            if put(scope, routing, rule, condition, at, &metadata, &mut made) {
                let all = made.split_off(start);
                return Routes {
                    some: made.finish(),
                    all,
                };
            }
        }
    }
    Routes {
        some: made.finish(),
        all: Bytes::new(),
    }
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

/// Writes one route; says whether it takes everything.
fn put(
    scope: &Scope,
    routing: &Routing,
    rule: &HttpRoute,
    condition: Option<&HttpMatch>,
    at: At<'_>,
    metadata: &[u8],
    into: &mut Writer,
) -> bool {
    let own = condition.map_or("", |condition| condition.name.as_str());
    let matched = condition.map_or_else(matching::everything, |condition| {
        matching::of(condition, routing.semantics)
    });
    let whole = matching::takes_everything(&matched);
    let mut route = wire::Route {
        name: if own.is_empty() {
            rule.name.clone()
        } else {
            format!("{}.{own}", rule.name)
        },
        r#match: Some(matched),
        stat_prefix: condition.map_or_else(String::new, |condition| condition.stat_prefix.clone()),
        ..Default::default()
    };
    let mut authority = String::new();
    if let Some(changes) = &rule.headers {
        authority = headers::apply(changes, &mut route);
    }
    let mut usual_retries = false;
    if let Some(to) = &rule.redirect {
        route.action = Some(redirect::redirect(to, at.port, at.ends_tls));
    } else if let Some(answer) = &rule.direct_response {
        route.action = Some(redirect::answer(answer));
    } else {
        usual_retries = action::apply(scope, rule, at.port, authority, &mut route);
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
    // What many routes have is encoded once, beside the action that its retry policy goes into.
    let action = route.action.take();
    into.nested(ROUTES, |into| {
        match action {
            Some(wire::route::Action::Route(action)) => {
                into.nested(ACTION, |into| {
                    action.put(into);
                    if usual_retries {
                        into.raw(at.retries);
                    }
                });
            }
            other => route.action = other,
        }
        route.put(into);
        into.raw(metadata);
        put_operation(&[&operation], into);
    });
    whole
}

/// Writes what a trace calls a route.
pub(super) fn put_operation(operation: &[&str], into: &mut Writer) {
    into.nested(DECORATOR, |decorator| {
        decorator.joined(OPERATION, operation);
    });
}

/// What a trace calls the route: the host of its one cluster, or else the VirtualService.
fn operation(route: &wire::Route, name: &str, port: u16) -> String {
    use wire::route_match::PathSpecifier;
    let matched = route.r#match.as_ref();
    let (path, rest) = match matched.and_then(|matched| matched.path_specifier.as_ref()) {
        Some(PathSpecifier::Prefix(prefix)) => (prefix.as_str(), "*"),
        Some(PathSpecifier::Path(path)) => (path.as_str(), ""),
        Some(PathSpecifier::SafeRegex(pattern)) => (pattern.regex.as_str(), ""),
        _ => ("/*", ""),
    };
    if let Some(wire::route::Action::Route(action)) = &route.action
        && let Some(wire::route_action::ClusterSpecifier::Cluster(cluster)) =
            &action.cluster_specifier
    {
        let mut parts = cluster.split('|');
        if let (Some("outbound"), Some(port), Some(_), Some(host), None) = (
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
        ) {
            return [host, ":", port, path, rest].concat();
        }
    }
    format!("{name}:{port}{path}{rest}")
}
