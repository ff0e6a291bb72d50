use api::networking::virtual_service::HttpRoute;
use serde_json::json;

use super::join;

fn rule(value: serde_json::Value) -> HttpRoute {
    serde_json::from_value(value).expect("a rule")
}

fn joined(root: serde_json::Value, delegate: serde_json::Value) -> Option<HttpRoute> {
    join(&rule(root), &rule(delegate))
}

#[test]
fn a_narrower_prefix_stands_under_a_wider_one() {
    let found = joined(
        json!({"match": [{"uri": {"prefix": "/a"}, "port": 80}]}),
        json!({"match": [{"uri": {"exact": "/a/b"}}]}),
    );
    let found = found.expect("they agree");
    assert_eq!(found.r#match.len(), 1);
    assert_eq!(found.r#match[0].port, 80);
}

#[test]
fn every_condition_of_the_delegate_needs_one_of_the_root() {
    let found = joined(
        json!({"match": [{"uri": {"prefix": "/a"}}]}),
        json!({"match": [{"uri": {"prefix": "/a/b"}}, {"uri": {"prefix": "/c"}}]}),
    );
    assert_eq!(found, None);
}

#[test]
fn conditions_stand_in_the_order_of_the_delegate() {
    let found = joined(
        json!({"match": [{"name": "x"}, {"name": "y"}]}),
        json!({"match": [{"name": "1"}, {"name": "2"}]}),
    );
    let names = found.expect("they agree").r#match;
    let names: Vec<&str> = names.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["x-1", "y-1", "x-2", "y-2"]);
}

#[test]
fn regular_expressions_agree_with_nothing() {
    let regex = json!({"match": [{"uri": {"regex": "/a.*"}}]});
    assert_eq!(joined(regex.clone(), regex), None);
}

#[test]
fn another_namespace_of_callers_contradicts() {
    let found = joined(
        json!({"match": [{"sourceNamespace": "shop"}]}),
        json!({"match": [{"uri": {"prefix": "/"}}]}),
    );
    assert_eq!(found, None);
}

#[test]
fn settings_of_the_delegate_go_before_those_of_the_root() {
    let found = joined(
        json!({"name": "r", "timeout": "1s", "retries": {"attempts": 1}}),
        json!({"name": "d", "timeout": "2s"}),
    );
    let found = found.expect("they agree");
    assert_eq!(found.name, "r-d");
    assert_eq!(found.timeout.map(|timeout| timeout.0.as_secs()), Some(2));
    assert_eq!(found.retries.map(|retries| retries.attempts), Some(1));
}
