//! Walks a spec beside the table of fields: every key that is not in it and every value of the
//! wrong type becomes a Problem with its path. Meaning is judged elsewhere.

use base::{ObjectRef, Problem};
use serde_json::{Map, Value};

use super::kubernetes;
use super::shape::{SHAPES, Shape};

/// All that is wrong with the form of `spec`.
pub(super) fn check(subject: &ObjectRef, spec: &Value) -> Vec<Problem> {
    let mut walk = Walk {
        subject,
        problems: Vec::new(),
    };
    walk.shape("spec", spec, SHAPES.spec());
    walk.problems
}

/// All that is wrong with the form of a mesh configuration that stands at `path`.
pub(super) fn check_mesh(subject: &ObjectRef, path: &str, mesh: &Value) -> Vec<Problem> {
    let mut walk = Walk {
        subject,
        problems: Vec::new(),
    };
    walk.shape(path, mesh, SHAPES.named("meshConfig"));
    walk.problems
}

struct Walk<'a> {
    subject: &'a ObjectRef,
    problems: Vec<Problem>,
}

impl Walk<'_> {
    fn shape(&mut self, path: &str, value: &Value, shape: &Shape) {
        if value.is_null() {
            return;
        }
        match shape {
            Shape::Any => {}
            Shape::Use(name) => self.shape(path, value, SHAPES.named(name)),
            Shape::Kubernetes(name) => match kubernetes::referenced(name) {
                Some(schema) => self.schema(path, value, schema),
                None => unreachable!("a test checks that {name} is a known type"),
            },
            Shape::Fields(fields) => match value {
                Value::Object(map) => {
                    let known: Vec<&str> = fields.keys().map(String::as_str).collect();
                    for (key, value) in map {
                        match fields.get(key) {
                            Some(shape) => self.shape(&join(path, key), value, shape),
                            None => self.unknown(&join(path, key), key, &known),
                        }
                    }
                }
                _ => self.wrong(path, value, "an object"),
            },
            Shape::List(item) => match value {
                Value::Array(items) => {
                    for (index, value) in items.iter().enumerate() {
                        self.shape(&format!("{path}[{index}]"), value, item);
                    }
                }
                _ => self.wrong(path, value, "a list"),
            },
            Shape::Texts => self.each(path, value, "a text", Value::is_string),
            Shape::TextsOrNumbers => self.each(path, value, "a text or a number", |value| {
                value.is_string() || value.is_number()
            }),
            Shape::Object => self.expect(path, value, "an object", Value::is_object),
            Shape::Text => self.expect(path, value, "a text", Value::is_string),
            Shape::Flag => self.expect(path, value, "true or false", Value::is_boolean),
            Shape::Whole => self.expect(path, value, "a whole number", is_whole),
            Shape::Number => self.expect(path, value, "a number", Value::is_number),
            Shape::TextOrNumber => self.expect(path, value, "a text or a number", |value| {
                value.is_string() || value.is_number()
            }),
            Shape::OneOf(words) => {
                if !value
                    .as_str()
                    .is_some_and(|text| words.iter().any(|word| word == text))
                {
                    let message = format!("is {value}, expected one of {}", words.join(", "));
                    let problem = Problem::error(self.subject, path, "InvalidValue", message);
                    self.problems.push(problem);
                }
            }
            Shape::WholeOrText => {
                self.expect(path, value, "a whole number or a text", |value| {
                    is_whole(value) || value.is_string()
                });
            }
        }
    }

    /// A value against a JSON schema of a Kubernetes type.
    fn schema(&mut self, path: &str, value: &Value, schema: &Value) {
        if value.is_null() {
            return;
        }
        if let Some(reference) = reference(schema) {
            if reference.ends_with(".Quantity") {
                return self.expect(path, value, "a quantity such as 100m or 128Mi", |value| {
                    value.is_string() || value.is_number()
                });
            }
            return match kubernetes::referenced(reference) {
                Some(schema) => self.schema(path, value, schema),
                None => unreachable!("the generator defines what it refers to: {reference}"),
            };
        }
        if schema.get("x-kubernetes-int-or-string").is_some() {
            return self.expect(path, value, "a whole number or a text", |value| {
                is_whole(value) || value.is_string()
            });
        }
        match schema.get("type").and_then(Value::as_str) {
            Some("object") => self.schema_of_object(path, value, schema),
            Some("array") => match value {
                Value::Array(items) => {
                    for (index, value) in items.iter().enumerate() {
                        self.schema(&format!("{path}[{index}]"), value, &schema["items"]);
                    }
                }
                _ => self.wrong(path, value, "a list"),
            },
            Some("string") => self.expect(path, value, "a text", Value::is_string),
            Some("integer") => self.expect(path, value, "a whole number", is_whole),
            Some("boolean") => self.expect(path, value, "true or false", Value::is_boolean),
            _ => {}
        }
    }

    fn schema_of_object(&mut self, path: &str, value: &Value, schema: &Value) {
        let Value::Object(map) = value else {
            return self.wrong(path, value, "an object");
        };
        let none = Map::new();
        let fields = schema
            .get("properties")
            .and_then(Value::as_object)
            .unwrap_or(&none);
        let rest = schema
            .get("additionalProperties")
            .filter(|rest| rest.is_object());
        let known: Vec<&str> = fields.keys().map(String::as_str).collect();
        for (key, value) in map {
            match fields.get(key).or(rest) {
                Some(schema) => self.schema(&join(path, key), value, schema),
                // `$patch` and `$retainKeys` steer the merge, as in any strategic merge patch.
                None if key.starts_with('$') => {}
                None => self.unknown(&join(path, key), key, &known),
            }
        }
    }

    fn each(&mut self, path: &str, value: &Value, expected: &str, holds: fn(&Value) -> bool) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    if !value.is_null() {
                        self.expect(&join(path, key), value, expected, holds);
                    }
                }
            }
            _ => self.wrong(path, value, "an object"),
        }
    }

    fn expect(&mut self, path: &str, value: &Value, expected: &str, holds: fn(&Value) -> bool) {
        if !holds(value) {
            self.wrong(path, value, expected);
        }
    }

    fn wrong(&mut self, path: &str, value: &Value, expected: &str) {
        let message = format!("is {}, expected {expected}", describe(value));
        self.problems
            .push(Problem::error(self.subject, path, "WrongType", message));
    }

    fn unknown(&mut self, path: &str, key: &str, known: &[&str]) {
        let message = match nearest(key, known) {
            Some(name) => format!("is not a known field, did you mean {name}"),
            None => format!("is not a known field, expected one of {}", known.join(", ")),
        };
        self.problems
            .push(Problem::error(self.subject, path, "UnknownField", message));
    }
}

/// The schema that this one only points to: a bare `$ref`, or one that carries a description.
fn reference(schema: &Value) -> Option<&str> {
    schema.get("$ref").and_then(Value::as_str)
}

fn is_whole(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

fn join(path: &str, key: &str) -> String {
    if key.contains(['.', '/']) {
        format!("{path}[{key}]")
    } else {
        format!("{path}.{key}")
    }
}

fn describe(value: &Value) -> String {
    match value {
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::String(text) => format!("the text {text:?}"),
        other => other.to_string(),
    }
}

/// The known name that a typo most likely meant: at most a third of its letters differ.
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|candidate| {
            (
                distance(&name.to_lowercase(), &candidate.to_lowercase()),
                *candidate,
            )
        })
        .filter(|(distance, candidate)| *distance <= candidate.len().max(3) / 3)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}
