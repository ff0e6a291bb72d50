//! What a consistent hash is made of.

use std::sync::Arc;

use api::networking::destination_rule::{ConsistentHash, TrafficPolicy};
use api::networking::virtual_service::Destination;
use base::ObjectRef;
use mesh::{OutboundService, Routing, Scope};
use proto::envoy::config::route::v3::RouteAction;
use proto::envoy::config::route::v3::route_action::HashPolicy;
use proto::envoy::config::route::v3::route_action::hash_policy::{
    ConnectionProperties, Cookie, CookieAttribute, Header, PolicySpecifier, QueryParameter,
};
use proto::pack::Put;
use proto::writer::Writer;

use crate::parts::span;

/// The hash of calls of a service that no VirtualService routes.
pub(super) fn of_service(called: &OutboundService, port: u16) -> Option<&ConsistentHash> {
    let policy = called.rule.as_ref()?.policy.as_ref()?;
    let own = of_port(policy, u32::from(port));
    own.or_else(|| of_policy(policy))
}

/// The hash of a destination. Settings of a port count only where the destination names the port.
pub(super) fn of_destination<'a>(
    called: &'a OutboundService,
    to: &Destination,
) -> Option<&'a ConsistentHash> {
    let rule = called.rule.as_ref()?;
    let whole = rule.policy.as_ref();
    let port = to.port.as_ref().map(|port| port.number);
    let subset = rule
        .subset(&to.subset)
        .and_then(|subset| subset.traffic_policy.as_ref());
    let at_port = |policy: Option<&'a TrafficPolicy>| of_port(policy?, port?);
    at_port(subset)
        .or_else(|| of_policy(subset?))
        .or_else(|| at_port(whole))
        .or_else(|| of_policy(whole?))
}

/// The DestinationRules whose hashes the rules of a VirtualService take in.
pub(super) fn origin<'a>(
    scope: &'a Scope,
    routing: &'a Routing,
) -> impl Iterator<Item = &'a Arc<ObjectRef>> {
    let rules = routing.spec.http.iter().flat_map(|rule| &rule.route);
    let hashed = rules.filter_map(|to| {
        let called = scope.outbound.service(&to.destination.host)?;
        of_destination(called, &to.destination)?;
        called.rule.as_ref()
    });
    hashed.flat_map(|rule| &rule.origin)
}

fn of_policy(policy: &TrafficPolicy) -> Option<&ConsistentHash> {
    policy.load_balancer.as_ref()?.consistent_hash.as_ref()
}

fn of_port(policy: &TrafficPolicy, port: u32) -> Option<&ConsistentHash> {
    let own = policy
        .port_level_settings
        .iter()
        .find(|setting| setting.port.number == port);
    own?.load_balancer.as_ref()?.consistent_hash.as_ref()
}

/// Writes a hash as a field of an action.
pub(super) fn put(hash: Option<&ConsistentHash>, action: &mut Writer) {
    if let Some(policy) = hash.and_then(policy) {
        let own = RouteAction {
            hash_policy: vec![policy],
            ..Default::default()
        };
        own.put(action);
    }
}

/// Envoy's form of it; nothing when it does not say what is hashed.
fn policy(hash: &ConsistentHash) -> Option<HashPolicy> {
    let specifier = if let Some(name) = &hash.http_header_name {
        PolicySpecifier::Header(Header {
            header_name: name.clone(),
            ..Default::default()
        })
    } else if let Some(cookie) = &hash.http_cookie {
        let attributes = cookie.attributes.iter().map(|attribute| CookieAttribute {
            name: attribute.name.clone(),
            value: attribute.value.clone(),
        });
        PolicySpecifier::Cookie(Cookie {
            name: cookie.name.clone(),
            path: cookie.path.clone(),
            ttl: cookie.ttl.and_then(span),
            attributes: attributes.collect(),
        })
    } else if let Some(source_ip) = hash.use_source_ip {
        PolicySpecifier::ConnectionProperties(ConnectionProperties { source_ip })
    } else if let Some(name) = &hash.http_query_parameter_name {
        PolicySpecifier::QueryParameter(QueryParameter { name: name.clone() })
    } else {
        return None;
    };
    Some(HashPolicy {
        policy_specifier: Some(specifier),
        ..Default::default()
    })
}
