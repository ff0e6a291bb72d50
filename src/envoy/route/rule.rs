//! The rules of a VirtualService as routes, those that can never match left out.

use api::networking::virtual_service::{HttpMatch, HttpRoute};
use api::snapshot::selects;
use bytes::Bytes;
use mesh::{Routing, Scope};
use proto::envoy::config::route::v3 as wire;
use proto::google::protobuf::Any;
use proto::pack::Put;
use proto::writer::Writer;

use super::at::At;
use super::fragment::Routes;
use super::{action, cors, fault, hash, headers, matching, redirect};
use crate::metadata;

const CORS: &str = "envoy.filters.http.cors";
const FAULT: &str = "envoy.filters.http.fault";

/// Field numbers of `VirtualHost`, `Route`, `Decorator`.
pub(super) const ROUTES: u32 = 3;
const MATCH: u32 = 1;
const METADATA: u32 = 4;
const DECORATOR: u32 = 5;
const NAME: u32 = 14;
const STATISTICS: u32 = 19;
const OPERATION: u32 = 1;

/// Routes for a gateway, or for sidecars. Nothing behind a route that takes everything is reached.
pub(super) fn of(scope: &Scope, routing: &Routing, at: &At<'_>) -> Routes {
    let mut metadata = Writer::with_capacity(128);
    metadata::put_config(METADATA, &routing.origin[0], &mut metadata);
    let metadata = metadata.bytes();
    let rules = routing.spec.http.iter();
    let count: usize = rules.map(|rule| rule.r#match.len().max(1)).sum();
    // Names and paths take some 200 bytes of a route.
    let mut made = Writer::with_capacity(count * (metadata.len() + at.retries.len() + 200));
    let mut all = Bytes::new();
    'rules: for rule in &routing.spec.http {
        let unconditional = rule.r#match.is_empty().then_some(None);
        let conditions = rule.r#match.iter().map(Some);
        for condition in unconditional.into_iter().chain(conditions) {
            if condition.is_some_and(|condition| !applies(scope, condition, at)) {
                continue;
            }
            let start = made.len();
            if put(scope, routing, rule, condition, at, metadata, &mut made) {
                all = made.split_off(start);
                break 'rules;
            }
        }
    }
    Routes {
        some: made.finish(),
        all,
        hashes: hash::origin(scope, routing).cloned().collect(),
    }
}

/// The conditions on the caller. A condition that names gateways says nothing of workloads.
fn applies(scope: &Scope, condition: &HttpMatch, at: &At<'_>) -> bool {
    let caller = if condition.gateways.is_empty() {
        selects(&condition.source_labels, &scope.workload.labels)
            && (condition.source_namespace.is_empty()
                || condition.source_namespace == scope.workload.namespace)
    } else {
        condition.gateways.iter().any(|name| name == at.gateway())
    };
    caller && (condition.port == 0 || condition.port == u32::from(at.port()))
}

/// Writes one route; says whether it takes everything.
fn put(
    scope: &Scope,
    routing: &Routing,
    rule: &HttpRoute,
    condition: Option<&HttpMatch>,
    at: &At<'_>,
    metadata: &[u8],
    into: &mut Writer,
) -> bool {
    let matched = condition.map_or_else(matching::everything, |condition| {
        matching::of(condition, routing.semantics)
    });
    into.nested(ROUTES, |route| {
        put_names(rule, condition, route);
        route.nested(MATCH, |own| matched.put(own)).raw(metadata);
        let changes = rule.headers.as_ref();
        let authority = changes.map(|changes| headers::put(changes, route));
        let mut cluster = None;
        if let Some(to) = &rule.redirect {
            put_answer(redirect::redirect(to, at.port(), at.ends_tls()), route);
        } else if let Some(answer) = &rule.direct_response {
            put_answer(redirect::answer(answer), route);
        } else {
            cluster = action::put(scope, rule, at, authority.unwrap_or_default(), route);
        }
        if let Some(policy) = &rule.cors_policy {
            put_filter(CORS, cors::of(policy), route);
        }
        if let Some(on_purpose) = &rule.fault {
            put_filter(FAULT, fault::of(on_purpose), route);
        }
        // A trace calls it by the host of its one cluster, or else by the VirtualService.
        let [path, rest] = matching::path(&matched);
        match &cluster {
            Some(own) => put_operation(&[own.host, ":", &own.port, path, rest], route),
            None => {
                let port = at.port().to_string();
                put_operation(&[&routing.name, ":", &port, path, rest], route);
            }
        }
    });
    matching::takes_everything(&matched)
}

fn put_names(rule: &HttpRoute, condition: Option<&HttpMatch>, route: &mut Writer) {
    let own = condition.map_or("", |condition| condition.name.as_str());
    if !own.is_empty() {
        route.joined(NAME, &[&rule.name, ".", own]);
    } else if !rule.name.is_empty() {
        route.text(NAME, &rule.name);
    }
    if let Some(condition) = condition
        && !condition.stat_prefix.is_empty()
    {
        route.text(STATISTICS, &condition.stat_prefix);
    }
}

/// Writes an answer that needs no upstream.
pub(super) fn put_answer(answer: wire::route::Action, route: &mut Writer) {
    let own = wire::Route {
        action: Some(answer),
        ..Default::default()
    };
    own.put(route);
}

/// Writes what a filter does otherwise on a route.
fn put_filter(name: &str, settings: Any, route: &mut Writer) {
    let own = wire::Route {
        typed_per_filter_config: [(name.to_owned(), settings)].into(),
        ..Default::default()
    };
    own.put(route);
}

/// Writes what a trace calls a route, of these parts.
pub(super) fn put_operation(operation: &[&str], into: &mut Writer) {
    into.nested(DECORATOR, |decorator| {
        decorator.joined(OPERATION, operation);
    });
}
