use proto::envoy::config::core::v3::CidrRange;
use proto::envoy::config::route::v3 as wire;
use proto::envoy::r#type::matcher::v3::{
    RegexMatcher, StringMatcher, string_matcher::MatchPattern,
};
use wire::header_matcher::HeaderMatchSpecifier;
use wire::route_match::PathSpecifier;

use super::{header, route, within};
use crate::parts::{flag, number};
use crate::simulate::call::Request;

fn request(path: &str) -> Request {
    Request {
        method: "GET".to_owned(),
        scheme: "http".to_owned(),
        authority: "shop".to_owned(),
        path: path.to_owned(),
        headers: vec![("user".to_owned(), "ada".to_owned())],
        http2: false,
    }
}

fn regex(pattern: &str) -> RegexMatcher {
    RegexMatcher {
        regex: pattern.to_owned(),
        ..Default::default()
    }
}

fn matches(specifier: PathSpecifier, path: &str) -> bool {
    let matched = wire::RouteMatch {
        path_specifier: Some(specifier),
        ..Default::default()
    };
    route(&matched, &request(path))
}

#[test]
fn paths_match_without_their_query() {
    use PathSpecifier::{Path, PathSeparatedPrefix, Prefix, SafeRegex};
    for (specifier, path, expected) in [
        (Prefix("/a".to_owned()), "/ab?x", true),
        (Prefix("/a".to_owned()), "/b", false),
        (Path("/a".to_owned()), "/a?x=1", true),
        (Path("/a".to_owned()), "/a/", false),
        (PathSeparatedPrefix("/a".to_owned()), "/a/b", true),
        (PathSeparatedPrefix("/a".to_owned()), "/a", true),
        (PathSeparatedPrefix("/a".to_owned()), "/ab", false),
        (SafeRegex(regex("/[a-c]+")), "/abc?d", true),
        (SafeRegex(regex("/a|/b")), "/ab", false),
        (SafeRegex(regex(r"/\d+")), "/٣", false),
        (SafeRegex(regex("(")), "(", false),
    ] {
        assert_eq!(
            matches(specifier.clone(), path),
            expected,
            "{specifier:?} {path}"
        );
    }
    let loose = wire::RouteMatch {
        path_specifier: Some(PathSpecifier::Path("/A".to_owned())),
        case_sensitive: flag(false),
        ..Default::default()
    };
    assert!(route(&loose, &request("/a")));
}

#[test]
fn a_header_that_is_absent_matches_only_where_that_is_said() {
    let exact = |text: &str| {
        HeaderMatchSpecifier::StringMatch(StringMatcher {
            match_pattern: Some(MatchPattern::Exact(text.to_owned())),
            ..Default::default()
        })
    };
    let held = |name: &str, specifier, invert_match, treat_missing_header_as_empty| {
        let matcher = wire::HeaderMatcher {
            name: name.to_owned(),
            header_match_specifier: Some(specifier),
            invert_match,
            treat_missing_header_as_empty,
        };
        header(&matcher, &request("/"))
    };
    assert!(held("user", exact("ada"), false, false));
    assert!(!held("user", exact("bob"), false, false));
    assert!(held("user", exact("bob"), true, true));
    assert!(
        !held("other", exact("bob"), true, false),
        "absent is not unequal"
    );
    assert!(held("other", exact("bob"), true, true));
    assert!(held(
        "other",
        HeaderMatchSpecifier::PresentMatch(true),
        true,
        false
    ));
    assert!(held(":authority", exact("shop"), false, false));
}

#[test]
fn ranges_hold_their_addresses() {
    let range = |address: &str, length| CidrRange {
        address_prefix: address.to_owned(),
        prefix_len: number(length),
    };
    let ip = |text: &str| text.parse().expect("an address");
    assert!(within(&range("10.0.0.0", 8), ip("10.1.2.3")));
    assert!(!within(&range("10.0.0.0", 8), ip("11.0.0.0")));
    assert!(within(&range("0.0.0.0", 0), ip("11.0.0.0")));
    assert!(within(&range("fd00::", 8), ip("fd01::1")));
    assert!(!within(&range("10.0.0.0", 8), ip("fd01::1")));
}
