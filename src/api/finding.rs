//! What is known of a user's object beside what the mesh makes of it: what is wrong with it, and what its status
//! says of that already.

use base::condition::PROGRAMMED;
use base::{ObjectRef, Problem};
use serde_json::Value;

/// What is known of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The object.
    pub subject: ObjectRef,
    /// `metadata.generation`; 0 where there is none, as in files.
    pub generation: i64,
    /// Errors of the object by itself.
    pub problems: Vec<Problem>,
    /// What it carries as condition `Programmed`.
    pub told: Option<Told>,
}

/// A condition as an object carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// One word.
    pub reason: String,
    /// For people.
    pub message: String,
    /// The generation that it speaks of.
    pub observed: i64,
}

impl Finding {
    /// What an object says of itself, with the problems that others found.
    pub fn of(object: &Value, subject: ObjectRef, problems: Vec<Problem>) -> Self {
        Finding {
            subject,
            generation: integer(&object["metadata"]["generation"]),
            problems,
            told: Told::of(object),
        }
    }

    /// Whether there is anything to say.
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty() && self.told.is_none()
    }
}

impl Told {
    /// The condition that an object carries.
    pub fn of(object: &Value) -> Option<Self> {
        let conditions = object["status"]["conditions"].as_array()?;
        let carried = conditions.iter().find(|one| one["type"] == PROGRAMMED)?;
        let text = |field: &str| carried[field].as_str().unwrap_or_default().to_owned();
        Some(Told {
            status: text("status"),
            reason: text("reason"),
            message: text("message"),
            observed: integer(&carried["observedGeneration"]),
        })
    }
}

/// The definitions allow for an integer as a string.
fn integer(value: &Value) -> i64 {
    let text = value.as_str().and_then(|text| text.parse().ok());
    value.as_i64().or(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Told;

    #[test]
    fn only_our_condition_is_read() {
        let other = json!({"type": "Healthy", "status": "True"});
        let ours = json!({"type": "Programmed", "status": "False", "reason": "Invalid",
            "message": "no", "observedGeneration": "4"});
        let object = |conditions: Value| json!({"status": {"conditions": conditions}});
        assert_eq!(Told::of(&object(json!([other]))), None);
        assert_eq!(Told::of(&json!({"status": null})), None);
        let told = Told::of(&object(json!([other, ours]))).expect("carried");
        let found = (&*told.status, &*told.reason, &*told.message, told.observed);
        assert_eq!(found, ("False", "Invalid", "no", 4));
    }
}
