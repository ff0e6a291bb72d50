//! The patch that gives an object its condition, made from the object as it is stored: others' conditions stay.

use api::finding::Told;
use base::condition::PROGRAMMED;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::verdict::{Due, says};

/// A merge patch of the status, bound to the version of the object that it was made from; `None` when the object
/// says so already, or when it was always well and is.
pub(crate) fn patch(object: &Value, due: &Due, now: Timestamp) -> Option<Value> {
    let told = Told::of(object);
    let stored = object["metadata"]["generation"]
        .as_i64()
        .unwrap_or_default();
    let generation = due.generation.unwrap_or(stored);
    let condition = &due.condition;
    match &told {
        None if condition.status == base::condition::Status::True => return None,
        Some(told) if says(told, condition, Some(generation)) => return None,
        _ => {}
    }
    let mut conditions = object["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let carried = conditions.iter().position(|one| one["type"] == PROGRAMMED);
    // The time of the last change of status, not of words.
    let since = carried.and_then(|place| {
        let before = &conditions[place];
        let same = before["status"] == condition.status.as_str();
        same.then(|| before["lastTransitionTime"].clone())
    });
    let since = since
        .filter(Value::is_string)
        .unwrap_or_else(|| now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into());
    let written = json!({
        "type": PROGRAMMED,
        "status": condition.status.as_str(),
        "reason": condition.reason,
        "message": condition.message,
        "observedGeneration": generation,
        "lastTransitionTime": since,
    });
    match carried {
        Some(place) => conditions[place] = written,
        None => conditions.push(written),
    }
    Some(json!({
        "metadata": {"resourceVersion": object["metadata"]["resourceVersion"]},
        "status": {"conditions": conditions},
    }))
}

#[cfg(test)]
mod tests {
    use base::Condition;
    use base::condition::Status;
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::patch;
    use crate::verdict::Due;

    fn now() -> Timestamp {
        "2026-11-21T10:00:00Z".parse().expect("a time")
    }

    fn object(conditions: Value) -> Value {
        json!({"metadata": {"name": "a", "generation": 7, "resourceVersion": "12"},
            "status": {"conditions": conditions, "addresses": [1]}})
    }

    fn due(status: Status, message: &str) -> Due {
        Due {
            condition: Condition::new("Programmed", status, "R", message),
            generation: None,
        }
    }

    fn ours(status: &str, message: &str, since: &str, generation: i64) -> Value {
        json!({"type": "Programmed", "status": status, "reason": "R", "message": message,
            "observedGeneration": generation, "lastTransitionTime": since})
    }

    #[test]
    fn conditions_of_others_stay() {
        let other = json!({"type": "Healthy", "status": "True"});
        let found = patch(&object(json!([other])), &due(Status::False, "no"), now()).expect("due");
        assert_eq!(found["metadata"], json!({"resourceVersion": "12"}));
        let expected = ours("False", "no", "2026-11-21T10:00:00Z", 7);
        assert_eq!(found["status"], json!({"conditions": [other, expected]}));
    }

    #[test]
    fn other_words_are_no_transition() {
        let before = ours("False", "no", "2026-01-01T00:00:00Z", 6);
        let found = patch(
            &object(json!([before])),
            &due(Status::False, "never"),
            now(),
        );
        let expected = ours("False", "never", "2026-01-01T00:00:00Z", 7);
        assert_eq!(
            found.expect("due")["status"]["conditions"],
            json!([expected])
        );
        let found = patch(&object(json!([before])), &due(Status::True, ""), now());
        let expected = ours("True", "", "2026-11-21T10:00:00Z", 7);
        assert_eq!(
            found.expect("due")["status"]["conditions"],
            json!([expected])
        );
    }

    #[test]
    fn what_is_said_already_is_not_written() {
        let before = ours("False", "no", "2026-01-01T00:00:00Z", 7);
        assert_eq!(
            patch(&object(json!([before])), &due(Status::False, "no"), now()),
            None
        );
        assert_eq!(
            patch(&object(json!([])), &due(Status::True, ""), now()),
            None
        );
        assert_eq!(patch(&json!({}), &due(Status::True, ""), now()), None);
    }

    #[test]
    fn the_generation_is_the_one_that_was_judged() {
        let judged = Due {
            generation: Some(6),
            ..due(Status::False, "no")
        };
        let found = patch(&object(json!([])), &judged, now()).expect("due");
        assert_eq!(found["status"]["conditions"][0]["observedGeneration"], 6);
    }
}
