use api::networking::virtual_service::HttpMatch;
use mesh::Semantics;
use serde_json::json;

use super::{PathSpecifier, claim, of, takes_everything};

fn made(value: serde_json::Value, semantics: Semantics) -> super::wire::RouteMatch {
    let condition: HttpMatch = serde_json::from_value(value).expect("a condition");
    of(&condition, semantics)
}

#[test]
fn a_star_is_any_value() {
    let found = made(
        json!({"headers": {"a": {"regex": "*"}}, "withoutHeaders": {"b": {"regex": "*"}, "c": {"exact": "x"}}}),
        Semantics::VirtualService,
    );
    let inverted: Vec<(bool, bool)> = found
        .headers
        .iter()
        .map(|header| (header.invert_match, header.treat_missing_header_as_empty))
        .collect();
    assert_eq!(inverted, [(false, false), (true, false), (true, true)]);
}

#[test]
fn only_a_match_without_conditions_takes_everything() {
    let whole = |value| takes_everything(&made(value, Semantics::VirtualService));
    assert!(whole(json!({})));
    assert!(whole(json!({"uri": {"prefix": "/"}, "port": 80})));
    assert!(whole(json!({"uri": {"regex": ".*"}})));
    assert!(!whole(json!({"uri": {"regex": "*"}})));
    assert!(!whole(json!({"method": {"exact": "GET"}})));
    assert!(!whole(
        json!({"headers": {"@request.auth.claims.a": {"exact": "b"}}})
    ));
}

#[test]
fn a_prefix_of_an_ingress_is_made_of_whole_elements() {
    let found = made(json!({"uri": {"prefix": "/a/"}}), Semantics::Ingress);
    let wanted = PathSpecifier::PathSeparatedPrefix("/a".to_owned());
    assert_eq!(found.path_specifier, Some(wanted));
}

#[test]
fn claims_are_named_with_dots_or_brackets() {
    let value = api::networking::matching::StringMatch::Exact("x".to_owned());
    let path = |name: &str| claim(name, &value).map(|found| found.path.len());
    assert_eq!(path("@request.auth.claims.a.b"), Some(3));
    assert_eq!(path("@request.auth.claims[a][b.c]"), Some(3));
    assert_eq!(path("@request.auth.claims"), None);
    assert_eq!(path("@request.auth.claims."), None);
    assert_eq!(path("@request.auth.claims-a"), None);
    assert_eq!(path("x-a"), None);
}
