//! RequestAuthentications as the filter that checks tokens: one that is there must be good, one that is
//! not need not be, unless a rule demands it. Its claims stay in the request's metadata.

use std::collections::{BTreeMap, BTreeSet};

use api::duration::Duration as Span;
use api::security::attribute::is_header;
use api::security::jwt::Presence;
use mesh::{Issuer, Keys, Role, Scope};
use proto::envoy::config::core::v3 as core;
use proto::envoy::config::route::v3::{RouteMatch, route_match};
use proto::envoy::extensions::filters::http::jwt_authn::v3 as jwt;
use proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use proto::google::protobuf::Empty;
use proto::pack::Pack;

use jwt::jwt_requirement::RequiresType;

use super::claims::{JWT, PAYLOAD};
use super::order::filter;
use crate::names;
use crate::parts::{seconds, span};

/// Keys of an issuer whose own are not known, or not usable: a public key whose private half nobody has, as it was
/// thrown away when it was made. No token is good by it.
const NOBODYS: &str = concat!(
    r#"{"keys":[{"kty":"RSA","e":"AQAB","n":""#,
    "jcvidFBpYYI42_SuCagdd8Yp54Qjo8vs0O8srmzEuEpOlXAEsIPd4YSQcS2t9SGgOawyaBTG5TaEbyw1bhmX5yUVyiFC",
    "hE6KczhaoR0hq7dh00TqJ2s-cQ4mogIUaklmNVpYgWDI4S7lCXbFVx-YxBR15xLQg7O-TDDvURZzs4pseTEsbx5MF-H8",
    "EJwN22JC-slJSqybvPKh93v8KGBvX0OvDvlTKTaUL2KTY3NWNUxDBfh0gQicAIJxhnYFflWyxCnb72MQec3tncmlFHNM",
    "J92IjnRGSSAAAEoGnO9UnWcdrl_QOgENQbLffEiYu1E0lRXqbdTbR-OTE-CV5p2kkQ",
    r#""}]}"#,
);

/// How long to wait for keys when nothing is said.
const PATIENCE: Span = Span::seconds(5);
/// How long a proxy that fetches keys itself keeps them.
const KEPT: i64 = 300;

/// The filter, when there is any issuer.
pub(super) fn filter_of(scope: &Scope) -> Option<HttpFilter> {
    let issuers = &scope.security.issuers;
    if issuers.is_empty() {
        return None;
    }
    let mut providers = BTreeMap::new();
    for (place, issuer) in issuers.iter().enumerate() {
        providers.insert(name(place), provider(scope, issuer));
    }
    let rule = jwt::RequirementRule {
        r#match: Some(RouteMatch {
            path_specifier: Some(route_match::PathSpecifier::Prefix("/".to_owned())),
            ..Default::default()
        }),
        requirement_type: Some(jwt::requirement_rule::RequirementType::Requires(
            requirement(issuers),
        )),
    };
    let config = jwt::JwtAuthentication {
        providers,
        rules: vec![rule],
        bypass_cors_preflight: true,
        ..Default::default()
    };
    Some(filter(JWT, config.pack()))
}

fn name(place: usize) -> String {
    format!("origins-{place}")
}

fn requires(requires: RequiresType) -> jwt::JwtRequirement {
    jwt::JwtRequirement {
        requires_type: Some(requires),
    }
}

fn any(requirements: Vec<jwt::JwtRequirement>) -> jwt::JwtRequirement {
    let list = jwt::JwtRequirementOrList { requirements };
    requires(RequiresType::RequiresAny(list))
}

/// What a request must bring.
fn requirement(issuers: &[Issuer]) -> jwt::JwtRequirement {
    let of = |place: usize| requires(RequiresType::ProviderName(name(place)));
    let places = issuers.iter().enumerate();
    let demanded = places.filter(|(_, own)| own.rule.presence == Presence::Required);
    let mut demanded: Vec<jwt::JwtRequirement> = demanded.map(|(place, _)| of(place)).collect();
    match demanded.len() {
        0 => {}
        1 => return demanded.remove(0),
        _ => return any(demanded),
    }
    let missing = || requires(RequiresType::AllowMissing(Empty {}));
    let optional = |place: usize| any(vec![of(place), missing()]);
    if issuers.len() == 1 {
        return optional(0);
    }
    // Where issuers share a place for tokens, one's token is a bad one of every other.
    let mut either: Vec<jwt::JwtRequirement> = (0..issuers.len()).map(of).collect();
    let all = jwt::JwtRequirementAndList {
        requirements: (0..issuers.len()).map(optional).collect(),
    };
    either.push(requires(RequiresType::RequiresAll(all)));
    any(either)
}

fn provider(scope: &Scope, issuer: &Issuer) -> jwt::JwtProvider {
    let rule = &issuer.rule;
    let split: BTreeSet<&str> = rule
        .space_delimited_claims
        .iter()
        .map(String::as_str)
        .chain(["permission", "scope"])
        .collect();
    let headers = rule.from_headers.iter().filter(|own| is_header(&own.name));
    let claims = rule.output_claim_to_headers.iter();
    let claims = claims.filter(|own| is_header(&own.header) && !own.claim.is_empty());
    jwt::JwtProvider {
        issuer: rule.issuer.clone(),
        audiences: rule.audiences.clone(),
        forward: rule.forward_original_token,
        forward_payload_header: Some(&rule.output_payload_to_header)
            .filter(|name| is_header(name))
            .cloned()
            .unwrap_or_default(),
        payload_in_metadata: PAYLOAD.to_owned(),
        normalize_payload_in_metadata: Some(jwt::jwt_provider::NormalizePayload {
            space_delimited_claims: split.into_iter().map(str::to_owned).collect(),
        }),
        // Routes of gateways may depend on claims.
        clear_route_cache: scope.role == Role::Router,
        claim_to_headers: claims
            .map(|own| jwt::JwtClaimToHeader {
                header_name: own.header.clone(),
                claim_name: own.claim.clone(),
                ..Default::default()
            })
            .collect(),
        from_headers: headers
            .map(|own| jwt::JwtHeader {
                name: own.name.clone(),
                value_prefix: own.prefix.clone(),
            })
            .collect(),
        from_params: rule.from_params.clone(),
        from_cookies: rule.from_cookies.clone(),
        jwks_source_specifier: Some(keys(issuer)),
        ..Default::default()
    }
}

fn keys(issuer: &Issuer) -> jwt::jwt_provider::JwksSourceSpecifier {
    use jwt::jwt_provider::JwksSourceSpecifier as Source;
    let text = match &issuer.keys {
        Keys::Known(text) => text,
        Keys::None => NOBODYS,
        Keys::Fetched { host, port } => {
            let uri = core::HttpUri {
                uri: issuer.rule.jwks_uri.clone(),
                timeout: span(issuer.rule.timeout.unwrap_or(PATIENCE)),
                http_upstream_type: Some(core::http_uri::HttpUpstreamType::Cluster(
                    names::outbound(*port, "", host),
                )),
            };
            return Source::RemoteJwks(jwt::RemoteJwks {
                http_uri: Some(uri),
                cache_duration: seconds(KEPT),
                ..Default::default()
            });
        }
    };
    Source::LocalJwks(core::DataSource {
        specifier: Some(core::data_source::Specifier::InlineString(text.to_string())),
        ..Default::default()
    })
}
