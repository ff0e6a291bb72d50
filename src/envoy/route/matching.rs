//! Conditions of a rule as Envoy's route match.

use api::networking::matching::StringMatch;
use api::networking::virtual_service::HttpMatch;
use proto::envoy::config::route::v3 as wire;
use proto::envoy::r#type::matcher::v3::{
    RegexMatcher, StringMatcher, string_matcher::MatchPattern,
};
use wire::header_matcher::HeaderMatchSpecifier;
use wire::route_match::PathSpecifier;

use crate::parts::flag;

/// Every request.
pub(super) fn everything() -> wire::RouteMatch {
    wire::RouteMatch {
        path_specifier: Some(PathSpecifier::Prefix("/".to_owned())),
        ..Default::default()
    }
}

/// Whether a condition holds of every request, so that no later rule is reached.
pub(super) fn takes_everything(condition: &HttpMatch) -> bool {
    let path = match &condition.uri {
        None | Some(StringMatch::Any) => true,
        Some(StringMatch::Prefix(prefix)) => prefix == "/",
        Some(StringMatch::Regex(pattern)) => pattern == "*",
        Some(StringMatch::Exact(_)) => false,
    };
    path && condition.headers.is_empty()
        && condition.without_headers.is_empty()
        && condition.query_params.is_empty()
        && condition.method.is_none()
        && condition.scheme.is_none()
        && condition.authority.is_none()
}

pub(super) fn regex(pattern: &str) -> RegexMatcher {
    RegexMatcher {
        regex: pattern.to_owned(),
        ..Default::default()
    }
}

/// A string condition; nothing for one that everything fulfils.
pub(super) fn string(condition: &StringMatch) -> Option<StringMatcher> {
    let pattern = match condition {
        StringMatch::Exact(text) => MatchPattern::Exact(text.clone()),
        StringMatch::Prefix(text) => MatchPattern::Prefix(text.clone()),
        StringMatch::Regex(pattern) => MatchPattern::SafeRegex(regex(pattern)),
        StringMatch::Any => return None,
    };
    Some(StringMatcher {
        match_pattern: Some(pattern),
        ..Default::default()
    })
}

pub(super) fn of(condition: &HttpMatch) -> wire::RouteMatch {
    let mut made = everything();
    made.path_specifier = Some(match &condition.uri {
        Some(StringMatch::Exact(path)) => PathSpecifier::Path(path.clone()),
        Some(StringMatch::Prefix(prefix)) => PathSpecifier::Prefix(prefix.clone()),
        Some(StringMatch::Regex(pattern)) => PathSpecifier::SafeRegex(regex(pattern)),
        None | Some(StringMatch::Any) => PathSpecifier::Prefix("/".to_owned()),
    });
    made.case_sensitive = flag(!condition.ignore_uri_case);
    let present = StringMatch::Any;
    made.headers.extend(
        condition
            .headers
            .iter()
            .map(|(name, value)| header(name, value)),
    );
    for (name, value) in &condition.without_headers {
        let mut matcher = header(name, value);
        matcher.invert_match = true;
        // A header that is absent is not the forbidden one.
        matcher.treat_missing_header_as_empty = *value != present;
        made.headers.push(matcher);
    }
    made.headers.sort_by(|a, b| a.name.cmp(&b.name));
    for (name, value) in [
        (":method", &condition.method),
        (":authority", &condition.authority),
        (":scheme", &condition.scheme),
    ] {
        made.headers
            .extend(value.iter().map(|value| header(name, value)));
    }
    for (name, value) in &condition.query_params {
        use wire::query_parameter_matcher::QueryParameterMatchSpecifier as Specifier;
        made.query_parameters.push(wire::QueryParameterMatcher {
            name: name.clone(),
            query_parameter_match_specifier: Some(match string(value) {
                Some(matcher) => Specifier::StringMatch(matcher),
                None => Specifier::PresentMatch(true),
            }),
        });
    }
    made
}

fn header(name: &str, value: &StringMatch) -> wire::HeaderMatcher {
    wire::HeaderMatcher {
        name: name.to_owned(),
        header_match_specifier: Some(match string(value) {
            Some(matcher) => HeaderMatchSpecifier::StringMatch(matcher),
            None => HeaderMatchSpecifier::PresentMatch(true),
        }),
        ..Default::default()
    }
}
