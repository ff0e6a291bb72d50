//! The rule, and what it is held against.

use serde_json::{Value, json};

use super::{Health, health};

fn status(word: Value, ready: &str, reason: &str) -> Value {
    json!({"status": {"status": word, "conditions": [
        {"type": "Ready", "status": ready, "reason": reason},
    ]}})
}

#[test]
fn a_word_and_its_number_mean_the_same() {
    for (word, expected) in [
        (json!("NONE"), Health::Unknown),
        (json!(0), Health::Unknown),
        (json!("UPDATING"), Health::Progressing),
        (json!(2), Health::Progressing),
        (json!("HEALTHY"), Health::Healthy),
        (json!(3), Health::Healthy),
        (json!("ERROR"), Health::Degraded),
        (json!(4), Health::Degraded),
        (json!("ACTION_REQUIRED"), Health::Progressing),
        (Value::Null, Health::Progressing),
    ] {
        assert_eq!(
            health(&json!({"status": {"status": word}})),
            expected,
            "{word}"
        );
    }
}

#[test]
fn conditions_that_agree_are_passed_over() {
    let ready = status(json!("HEALTHY"), "True", "AllComponentsHealthy");
    assert_eq!(health(&ready), Health::Healthy);
    let deleting = status(json!("RECONCILING"), "False", "Deleting");
    assert_eq!(health(&deleting), Health::Progressing);
}

#[test]
#[should_panic(expected = "something else than the conditions say")]
fn green_without_ready_is_a_contradiction() {
    health(&status(json!("HEALTHY"), "False", "Progressing"));
}

#[test]
#[should_panic(expected = "something else than the conditions say")]
fn work_going_on_beside_a_failed_component_is_a_contradiction() {
    let mut resource = status(json!("RECONCILING"), "False", "Progressing");
    resource["status"]["componentStatus"] = json!({"Pilot": {"status": "ERROR"}});
    health(&resource);
}
