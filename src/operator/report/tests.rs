//! Status as it stands in the resource, and the smallest patch that gets there.

use base::Condition;
use base::condition::Status as Truth;
use install::Component;
use rollout::{Action, FieldChange, Plan, PlannedChange};
use serde_json::{Value, json};

use super::{merge_patch, render};
use crate::status::{ComponentStatus, Health, Status};

fn status(ready: Truth, components: Option<Vec<ComponentStatus>>) -> Status {
    Status {
        overall: Health::Healthy,
        message: "fine".into(),
        components,
        conditions: vec![Condition::new("Ready", ready, "R", "m")],
        plan: Plan::default(),
    }
}

fn rendered(status: &Status, previous: &Value) -> Value {
    render(status, previous, 4, "0.1.0", &json!("now"))
}

#[test]
fn the_time_of_a_transition_is_kept_until_the_next() {
    let previous = json!({"conditions": [
        {"type": "Ready", "status": "True", "lastTransitionTime": "before"}]});
    let time = |truth| {
        rendered(&status(truth, None), &previous)["conditions"][0]["lastTransitionTime"].clone()
    };
    assert_eq!(time(Truth::True), "before");
    assert_eq!(time(Truth::False), "now");
}

#[test]
fn every_condition_names_the_generation_that_it_is_about() {
    let status = rendered(&status(Truth::True, None), &Value::Null);
    assert_eq!(status["observedGeneration"], 4);
    assert_eq!(status["conditions"][0]["observedGeneration"], 4);
}

#[test]
fn components_that_nothing_is_known_about_stay_as_they_are() {
    let previous = json!({
        "componentStatus": {"Pilot": {"status": "HEALTHY", "version": "0.1.0"}},
        "conditions": [
            {"type": "PilotReady", "status": "True"},
            {"type": "Unsupported", "status": "True"},
        ],
    });
    let next = rendered(&status(Truth::False, None), &previous);
    assert_eq!(next["componentStatus"], previous["componentStatus"]);
    let types: Vec<_> = next["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|condition| condition["type"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(types, ["Ready", "PilotReady"]);
}

#[test]
fn components_carry_the_version_and_only_failed_ones_an_error() {
    let told = |component, health, error: &str| ComponentStatus {
        component,
        health,
        error: error.into(),
    };
    let components = vec![
        told(Component::Base, Health::Healthy, ""),
        told(Component::Pilot, Health::Error, "broken"),
    ];
    let next = rendered(&status(Truth::True, Some(components)), &Value::Null);
    assert_eq!(
        next["componentStatus"],
        json!({
            "Base": {"status": "HEALTHY", "version": "0.1.0"},
            "Pilot": {"status": "ERROR", "version": "0.1.0", "error": "broken"},
        })
    );
}

#[test]
fn an_unchanged_status_needs_no_patch() {
    let standing = rendered(&status(Truth::True, None), &Value::Null);
    let again = render(
        &status(Truth::True, None),
        &standing,
        4,
        "0.1.0",
        &json!("later"),
    );
    assert_eq!(merge_patch(&standing, &again), None);
}

#[test]
fn a_patch_names_what_changed_and_removes_what_is_gone() {
    let from = json!({"a": 1, "b": {"c": 1, "d": 2}, "e": [1]});
    let to = json!({"a": 1, "b": {"c": 3}, "e": [1, 2], "f": null});
    assert_eq!(
        merge_patch(&from, &to),
        Some(json!({"b": {"d": null, "c": 3}, "e": [1, 2]}))
    );
}

#[test]
fn a_plan_lists_what_is_created_changed_and_removed() {
    let change = |name: &str, action| PlannedChange {
        object: base::ObjectRef {
            api_version: "v1".into(),
            kind: "Service".into(),
            namespace: Some("mesh".into()),
            name: name.into(),
        },
        action,
        before: None,
        after: None,
    };
    let fields = vec![FieldChange {
        field: "spec.type".into(),
        from: Some("NodePort".into()),
        to: Some("ClusterIP".into()),
        by: None,
    }];
    let planned = Status {
        plan: Plan {
            objects: vec![
                change("a", Action::Create),
                change("b", Action::Change(fields)),
                change("c", Action::Remove),
                change("d", Action::Refuse("was made by kubectl".into())),
            ],
        },
        ..status(Truth::True, None)
    };
    let expected = json!({
        "create": ["service mesh/a"],
        "change": [{"object": "service mesh/b",
            "fields": ["spec.type from \"NodePort\" to \"ClusterIP\""]}],
        "remove": ["service mesh/c"],
        "refuse": [{"object": "service mesh/d", "reason": "was made by kubectl"}],
    });
    assert_eq!(rendered(&planned, &Value::Null)["plan"], expected);
    assert_eq!(
        rendered(&status(Truth::True, None), &Value::Null)["plan"],
        Value::Null
    );
}

#[test]
fn not_to_know_yet_leaves_what_was_known() {
    let known = json!({"conditions": [{"type": "Ready", "status": "True", "reason": "R"}]});
    let unknown = status(Truth::Unknown, None);
    assert_eq!(
        rendered(&unknown, &known)["conditions"],
        known["conditions"]
    );
    let first = rendered(&unknown, &Value::Null);
    assert_eq!(first["conditions"][0]["status"], "Unknown");
}
