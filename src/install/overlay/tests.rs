//! Paths and what they change; what fits nothing.

use serde_json::{Value, json};

use super::{apply, change};
use crate::Object;

fn check(document: Value, path: &str, value: Value, expected: Value) {
    let mut found = document;
    change(&mut found, path, &value).expect(path);
    assert_eq!(found, expected, "{path}");
}

fn refuse(document: Value, path: &str, value: Value, expected: &str) {
    let mut found = document;
    assert_eq!(
        change(&mut found, path, &value),
        Err(expected.to_owned()),
        "{path}"
    );
}

#[test]
fn fields_are_set_and_made() {
    check(json!({"a": 1}), "a", json!(2), json!({"a": 2}));
    check(json!({}), "a.b.c", json!(2), json!({"a": {"b": {"c": 2}}}));
    check(
        json!({"m": {}}),
        "m.x\\.y/z",
        json!("v"),
        json!({"m": {"x.y/z": "v"}}),
    );
}

#[test]
fn items_are_found_by_field_place_or_text() {
    let document =
        json!({"l": [{"name": "a", "n": 1}, {"name": "b", "n": 2}], "args": ["x", "30m"]});
    let mut expected = document.clone();
    expected["l"][1]["n"] = json!(3);
    check(document.clone(), "l.[name:b].n", json!(3), expected.clone());
    check(document.clone(), "l[name:b].n", json!(3), expected.clone());
    check(document.clone(), "l.[n:2].n", json!(3), expected.clone());
    check(document.clone(), "l.[1].n", json!(3), expected);
    let mut expected = document.clone();
    expected["args"][1] = json!("60m");
    check(
        document.clone(),
        "args.[30m]",
        json!("60m"),
        expected.clone(),
    );
    check(document, "args.[:^3.*]", json!("60m"), expected);
}

#[test]
fn names_with_dots_and_colons_are_escaped() {
    let document = json!({"w": [{"name": "a.b", "x": 1}, {"name": "c:d", "x": 1}]});
    let mut expected = document.clone();
    expected["w"][0]["x"] = json!(2);
    check(
        document.clone(),
        "w.[name:a\\.b].x",
        json!(2),
        expected.clone(),
    );
    check(document.clone(), "w.[name:a.b].x", json!(2), expected);
    let mut expected = document.clone();
    expected["w"][1]["x"] = json!(2);
    check(document, "w.[name:c\\:d].x", json!(2), expected);
}

#[test]
fn places_past_the_end_add_items() {
    for path in ["l.[-1]", "l.[1]", "l.[9]"] {
        check(json!({"l": [1]}), path, json!(2), json!({"l": [1, 2]}));
    }
    check(json!({"l": [1]}), "l", json!(2), json!({"l": [1, 2]}));
    check(json!({"l": [1]}), "l", json!([3]), json!({"l": [3]}));
}

#[test]
fn no_value_removes() {
    check(json!({"a": 1, "b": 2}), "a", json!(null), json!({"b": 2}));
    check(
        json!({"l": [{"name": "a"}, {"name": "b"}]}),
        "l.[name:a]",
        json!(null),
        json!({"l": [{"name": "b"}]}),
    );
}

#[test]
fn text_that_is_a_map_in_yaml_is_the_map_and_json_is_text() {
    check(
        json!({"a": {"old": 1}}),
        "a",
        json!("x: 1\ny:\n  z: 2\n"),
        json!({"a": {"x": 1, "y": {"z": 2}}}),
    );
    check(
        json!({}),
        "a",
        json!("{\"x\": 1}"),
        json!({"a": "{\"x\": 1}"}),
    );
    check(json!({}), "a", json!("host:80"), json!({"a": "host:80"}));
}

#[test]
fn paths_that_lead_nowhere_are_faults() {
    refuse(
        json!({"l": []}),
        "l.[name:a].x",
        json!(1),
        "there is no item with name a",
    );
    refuse(
        json!({"l": []}),
        "l.[x]",
        json!(1),
        "there is no item that matches x",
    );
    refuse(json!({"a": 1}), "a.b", json!(1), "there is no field b");
    refuse(json!({}), "a", json!(null), "there is no field a");
    refuse(json!({}), "a.[b", json!(1), "[b has no closing bracket");
    refuse(json!({}), "", json!(1), "the path is empty");
}

#[test]
fn an_overlay_without_its_object_names_what_there_is() {
    let mut objects = [Object::from_value(
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "istiod"}}),
    )];
    let k8s = json!({"overlays": [{"kind": "Service", "name": "istio", "patches": []}]});
    let faults = apply(
        &mut objects,
        k8s.as_object().expect("a map"),
        "spec.components.pilot",
    );
    assert_eq!(faults.len(), 1);
    assert_eq!(faults[0].field, "spec.components.pilot.k8s.overlays[0]");
    assert_eq!(
        faults[0].message,
        "the component has no Service \"istio\", expected one of istiod"
    );
}
