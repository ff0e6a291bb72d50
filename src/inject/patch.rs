//! The difference between two pods as a JSON patch (RFC 6902), which is what a webhook answers.

use serde_json::Value;

/// What makes `after` of `before`, as the API server reads it; an empty list when they are equal.
pub fn between(before: &Value, after: &Value) -> Value {
    serde_json::to_value(json_patch::diff(before, after)).expect("a patch is made of JSON values")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::between;

    #[test]
    fn applying_the_difference_gives_the_other() {
        for (before, after) in [
            (json!({"a": 1}), json!({"a": 1})),
            (
                json!({"a": {"b/c~d": "x", "gone": 1}}),
                json!({"a": {"b/c~d": "y", "new": [1]}}),
            ),
            (
                json!({"list": [{"name": "a"}]}),
                json!({"list": [{"name": "b"}, {"name": "a"}]}),
            ),
            (json!({"list": [1, 2, 3]}), json!({"list": [3]})),
            (json!({}), json!({"metadata": {"labels": {"x/y": "z"}}})),
        ] {
            let mut found: Value = before.clone();
            let patch: json_patch::Patch =
                serde_json::from_value(between(&before, &after)).expect("a patch");
            json_patch::patch(&mut found, &patch).expect("it applies");
            assert_eq!(found, after);
        }
    }

    #[test]
    fn what_is_equal_is_not_spoken_of() {
        assert_eq!(
            between(&json!({"a": [1], "b": 2}), &json!({"a": [1], "b": 2})),
            json!([])
        );
    }
}
