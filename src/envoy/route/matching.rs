//! Conditions of a rule as Envoy's route match.

use api::networking::matching::StringMatch;
use api::networking::virtual_service::HttpMatch;
use mesh::Semantics;
use proto::envoy::config::route::v3 as wire;
use proto::envoy::r#type::matcher::v3::{
    MetadataMatcher, RegexMatcher, StringMatcher, ValueMatcher, string_matcher::MatchPattern,
    value_matcher,
};
use wire::header_matcher::HeaderMatchSpecifier;
use wire::route_match::PathSpecifier;

use crate::filter::claims;
use crate::parts::flag;

/// Every request.
pub(super) fn everything() -> wire::RouteMatch {
    wire::RouteMatch {
        path_specifier: Some(PathSpecifier::Prefix("/".to_owned())),
        ..Default::default()
    }
}

/// Whether a match holds of every request, so that no later rule is reached.
pub(super) fn takes_everything(made: &wire::RouteMatch) -> bool {
    let path = match &made.path_specifier {
        Some(PathSpecifier::Prefix(prefix) | PathSpecifier::PathSeparatedPrefix(prefix)) => {
            prefix == "/"
        }
        Some(PathSpecifier::SafeRegex(pattern)) => pattern.regex == ".*",
        _ => false,
    };
    path && made.headers.is_empty()
        && made.query_parameters.is_empty()
        && made.dynamic_metadata.is_empty()
}

/// The path that a match is for, as the name of an operation has it.
pub(super) fn path(made: &wire::RouteMatch) -> [&str; 2] {
    match &made.path_specifier {
        Some(PathSpecifier::Prefix(prefix)) => [prefix, "*"],
        Some(PathSpecifier::Path(path)) => [path, ""],
        Some(PathSpecifier::SafeRegex(pattern)) => [&pattern.regex, ""],
        _ => ["/*", ""],
    }
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

/// Whether it is enough that there is a value. `*` is no regular expression; people mean any.
fn is_presence(condition: &StringMatch) -> bool {
    match condition {
        StringMatch::Any => true,
        StringMatch::Regex(pattern) => pattern == "*",
        StringMatch::Exact(_) | StringMatch::Prefix(_) => false,
    }
}

pub(super) fn of(condition: &HttpMatch, semantics: Semantics) -> wire::RouteMatch {
    let mut made = wire::RouteMatch::default();
    for (name, value) in &condition.headers {
        match claim(name, value) {
            Some(matcher) => made.dynamic_metadata.push(matcher),
            None => made.headers.push(header(name, value)),
        }
    }
    for (name, value) in &condition.without_headers {
        if let Some(mut matcher) = claim(name, value) {
            matcher.invert = true;
            made.dynamic_metadata.push(matcher);
            continue;
        }
        let mut matcher = header(name, value);
        matcher.invert_match = true;
        // A header that is absent is not the forbidden one.
        matcher.treat_missing_header_as_empty = !is_presence(value);
        made.headers.push(matcher);
    }
    made.headers.sort_by(|a, b| a.name.cmp(&b.name));
    made.path_specifier = Some(match &condition.uri {
        Some(StringMatch::Exact(path)) => PathSpecifier::Path(path.clone()),
        // A prefix of an Ingress ends where an element of the path does.
        Some(StringMatch::Prefix(prefix)) if semantics == Semantics::Ingress && prefix != "/" => {
            let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
            PathSpecifier::PathSeparatedPrefix(prefix.to_owned())
        }
        Some(StringMatch::Prefix(prefix)) => PathSpecifier::Prefix(prefix.clone()),
        Some(StringMatch::Regex(pattern)) => PathSpecifier::SafeRegex(regex(pattern)),
        None | Some(StringMatch::Any) => PathSpecifier::Prefix("/".to_owned()),
    });
    made.case_sensitive = flag(!condition.ignore_uri_case);
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
        let specifier = match string(value) {
            Some(matcher) if !is_presence(value) => Specifier::StringMatch(matcher),
            _ => Specifier::PresentMatch(true),
        };
        made.query_parameters.push(wire::QueryParameterMatcher {
            name: name.clone(),
            query_parameter_match_specifier: Some(specifier),
        });
    }
    made
}

fn header(name: &str, value: &StringMatch) -> wire::HeaderMatcher {
    let specifier = match string(value) {
        Some(matcher) if !is_presence(value) => HeaderMatchSpecifier::StringMatch(matcher),
        _ => HeaderMatchSpecifier::PresentMatch(true),
    };
    wire::HeaderMatcher {
        name: name.to_owned(),
        header_match_specifier: Some(specifier),
        ..Default::default()
    }
}

/// `@request.auth.claims.a.b` and `@request.auth.claims[a][b]` are no headers, but claims of the
/// request's token, as the filter that checked it tells them.
fn claim(name: &str, value: &StringMatch) -> Option<MetadataMatcher> {
    const CLAIMS: &str = "@request.auth.claims";
    let start = name.get(..CLAIMS.len())?;
    if !start.eq_ignore_ascii_case(CLAIMS) {
        return None;
    }
    let rest = &name[CLAIMS.len()..];
    let within = |inner: &str, separator: &str| -> Vec<String> {
        inner.split(separator).map(str::to_owned).collect()
    };
    let path = match rest.strip_prefix('.') {
        Some(inner) if !inner.is_empty() => within(inner, "."),
        _ => {
            let inner = rest.strip_prefix('[')?.strip_suffix(']')?;
            if inner.is_empty() {
                return None;
            }
            within(inner, "][")
        }
    };
    let held = ValueMatcher {
        match_pattern: string(value).map(value_matcher::MatchPattern::StringMatch),
    };
    let path = path.iter().map(String::as_str);
    Some(claims::listed(path, held))
}

#[cfg(test)]
mod tests;
