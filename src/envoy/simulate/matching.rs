//! Envoy's matchers: of texts, headers, query parameters, paths, addresses, metadata.

use std::net::IpAddr;

use proto::envoy::config::core::v3::CidrRange;
use proto::envoy::config::route::v3 as wire;
use proto::envoy::r#type::matcher::v3::{
    MetadataMatcher, RegexMatcher, StringMatcher, string_matcher::MatchPattern,
};
use regex::bytes::{Regex, RegexBuilder};
use wire::header_matcher::HeaderMatchSpecifier;
use wire::query_parameter_matcher::QueryParameterMatchSpecifier;
use wire::route_match::PathSpecifier;

use super::call::Request;

/// A pattern of Envoy's RE2, whose classes are those of ASCII; `None` for what is none.
pub(super) fn regex(pattern: &str) -> Option<Regex> {
    let built = RegexBuilder::new(pattern).unicode(false).build();
    built.or_else(|_| Regex::new(pattern)).ok()
}

/// Whether all of a text is of a pattern. One that cannot be read matches nothing.
fn whole(matcher: &RegexMatcher, text: &str) -> bool {
    let anchored = format!("^(?:{})$", matcher.regex);
    regex(&anchored).is_some_and(|regex| regex.is_match(text.as_bytes()))
}

pub(super) fn string(matcher: &StringMatcher, text: &str) -> bool {
    let fold = |text: &str| {
        if matcher.ignore_case {
            text.to_ascii_lowercase()
        } else {
            text.to_owned()
        }
    };
    let held = fold(text);
    match &matcher.match_pattern {
        Some(MatchPattern::Exact(own)) => held == fold(own),
        Some(MatchPattern::Prefix(own)) => held.starts_with(&fold(own)),
        Some(MatchPattern::Suffix(own)) => held.ends_with(&fold(own)),
        Some(MatchPattern::Contains(own)) => held.contains(&fold(own)),
        Some(MatchPattern::SafeRegex(own)) => whole(own, text),
        Some(MatchPattern::Custom(_)) | None => false,
    }
}

#[allow(deprecated, reason = "Envoy still reads these forms")]
pub(super) fn header(matcher: &wire::HeaderMatcher, request: &Request) -> bool {
    let mut value = request.header(&matcher.name);
    let presence = match &matcher.header_match_specifier {
        None => Some(true),
        Some(HeaderMatchSpecifier::PresentMatch(wanted)) => Some(*wanted),
        Some(_) => None,
    };
    if let Some(wanted) = presence {
        return (value.is_some() == wanted) != matcher.invert_match;
    }
    if value.is_none() && matcher.treat_missing_header_as_empty {
        value = Some(String::new());
    }
    // What is absent is neither of a value nor not of it.
    let Some(value) = value else { return false };
    let held = match &matcher.header_match_specifier {
        Some(HeaderMatchSpecifier::ExactMatch(own)) => value == *own,
        Some(HeaderMatchSpecifier::PrefixMatch(own)) => value.starts_with(own.as_str()),
        Some(HeaderMatchSpecifier::SuffixMatch(own)) => value.ends_with(own.as_str()),
        Some(HeaderMatchSpecifier::ContainsMatch(own)) => value.contains(own.as_str()),
        Some(HeaderMatchSpecifier::SafeRegexMatch(own)) => whole(own, &value),
        Some(HeaderMatchSpecifier::StringMatch(own)) => string(own, &value),
        Some(HeaderMatchSpecifier::RangeMatch(range)) => value
            .parse::<i64>()
            .is_ok_and(|number| (range.start..range.end).contains(&number)),
        Some(HeaderMatchSpecifier::PresentMatch(_)) | None => true,
    };
    held != matcher.invert_match
}

fn parameter(matcher: &wire::QueryParameterMatcher, request: &Request) -> bool {
    let value = request.parameter(&matcher.name);
    match &matcher.query_parameter_match_specifier {
        Some(QueryParameterMatchSpecifier::StringMatch(own)) => {
            value.is_some_and(|value| string(own, value))
        }
        Some(QueryParameterMatchSpecifier::PresentMatch(wanted)) => value.is_some() == *wanted,
        None => value.is_some(),
    }
}

/// Whether a request fulfils a route's match, its share left aside.
pub(super) fn route(matched: &wire::RouteMatch, request: &Request) -> bool {
    let sensitive = matched.case_sensitive.is_none_or(|flag| flag.value);
    matched
        .path_specifier
        .as_ref()
        .is_some_and(|specifier| path(specifier, sensitive, request))
        && matched.headers.iter().all(|own| header(own, request))
        && matched
            .query_parameters
            .iter()
            .all(|own| parameter(own, request))
        && matched.dynamic_metadata.iter().all(metadata)
}

fn path(specifier: &PathSpecifier, sensitive: bool, request: &Request) -> bool {
    let own = request.path_only();
    let starts = |prefix: &str| {
        own.get(..prefix.len()).is_some_and(|start| {
            start == prefix || !sensitive && start.eq_ignore_ascii_case(prefix)
        })
    };
    match specifier {
        PathSpecifier::Prefix(prefix) => starts(prefix),
        PathSpecifier::Path(path) => starts(path) && own.len() == path.len(),
        PathSpecifier::PathSeparatedPrefix(prefix) => {
            starts(prefix) && matches!(own.as_bytes().get(prefix.len()), None | Some(b'/'))
        }
        PathSpecifier::SafeRegex(pattern) => whole(pattern, own),
        PathSpecifier::ConnectMatcher(_) => request.method == "CONNECT",
        PathSpecifier::PathMatchPolicy(_) => false,
    }
}

/// Metadata that filters write, as those that read tokens do. Calls here carry no token that was
/// read, so that there is none.
pub(super) fn metadata(matcher: &MetadataMatcher) -> bool {
    matcher.invert
}

/// Whether an address is in a range.
pub(super) fn within(range: &CidrRange, address: IpAddr) -> bool {
    let length = range.prefix_len.as_ref().map_or(0, |length| length.value);
    match (range.address_prefix.parse(), address) {
        (Ok(IpAddr::V4(prefix)), IpAddr::V4(address)) => {
            let mask = u32::MAX.checked_shl(32 - length.min(32)).unwrap_or(0);
            prefix.to_bits() & mask == address.to_bits() & mask
        }
        (Ok(IpAddr::V6(prefix)), IpAddr::V6(address)) => {
            let mask = u128::MAX.checked_shl(128 - length.min(128)).unwrap_or(0);
            prefix.to_bits() & mask == address.to_bits() & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
