//! What a consistent hash is made of.

use mesh::OutboundService;
use proto::envoy::config::route::v3::route_action::HashPolicy;
use proto::envoy::config::route::v3::route_action::hash_policy::{
    ConnectionProperties, Cookie, Header, PolicySpecifier, QueryParameter,
};

use crate::parts::span;

pub(super) fn of(called: &OutboundService, subset: &str, port: u16) -> Vec<HashPolicy> {
    let Some(rule) = &called.rule else {
        return Vec::new();
    };
    let settings = rule.settings(rule.subset(subset), port);
    let hash = settings
        .load_balancer
        .and_then(|balancer| balancer.consistent_hash);
    let Some(hash) = hash else {
        return Vec::new();
    };
    let specifier = if let Some(name) = hash.http_header_name {
        PolicySpecifier::Header(Header {
            header_name: name,
            ..Default::default()
        })
    } else if let Some(cookie) = hash.http_cookie {
        PolicySpecifier::Cookie(Cookie {
            name: cookie.name,
            path: cookie.path,
            ttl: cookie.ttl.and_then(span),
            ..Default::default()
        })
    } else if hash.use_source_ip == Some(true) {
        PolicySpecifier::ConnectionProperties(ConnectionProperties { source_ip: true })
    } else if let Some(name) = hash.http_query_parameter_name {
        PolicySpecifier::QueryParameter(QueryParameter { name })
    } else {
        return Vec::new();
    };
    vec![HashPolicy {
        policy_specifier: Some(specifier),
        ..Default::default()
    }]
}
