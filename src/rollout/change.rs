//! What differs between two views of an object, field by field: edits of fields that are ours,
//! and the difference between what is there and what would be.

use std::collections::BTreeSet;
use std::fmt;

use kube::api::DynamicObject;
use serde_json::{Map, Value};

use crate::managed::{self, Path};

/// One field that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldChange {
    /// Path as a person writes it: `spec.template.spec.containers[name=discovery].image`.
    pub field: String,
    /// The value before; absent when there was none.
    pub from: Option<Value>,
    /// The value after; absent when there is none.
    pub to: Option<Value>,
    /// The field manager that gave it the value before, where that is asked and known.
    pub by: Option<String>,
}

/// The fields that were taken from us: those that our manager owns in `after`, the answer to an
/// apply of what was applied before, and did not in `before`. Each says who had taken it.
pub fn edits(before: &DynamicObject, after: &DynamicObject) -> Vec<FieldChange> {
    let owned = |object: &DynamicObject| {
        managed::ours(&object.metadata).map_or_else(BTreeSet::new, managed::paths)
    };
    let had = owned(before);
    let taken: BTreeSet<Path> = owned(after).difference(&had).cloned().collect();
    let (old, new) = (plain(before), plain(after));
    let mut changes: Vec<FieldChange> = Vec::new();
    for path in &taken {
        // An entry of a list that is gone as a whole is told once, not field by field.
        let within = |other: &Path| {
            other.last().map(String::as_str) == Some(".")
                && other.len() <= path.len()
                && path.starts_with(&other[..other.len() - 1])
                && other != path
        };
        if taken.iter().any(within) {
            continue;
        }
        let by = managed::other_owner(&before.metadata, path)
            .or_else(|| managed::latest_other(&before.metadata));
        let change = FieldChange {
            field: displayed(path),
            from: at(&old, path).cloned(),
            to: at(&new, path).cloned(),
            by,
        };
        if change.from != change.to {
            changes.push(change);
        }
    }
    changes
}

/// An object with its metadata as one value, without what the API server keeps for itself.
pub fn plain(object: &DynamicObject) -> Value {
    let mut value = serde_json::to_value(object).expect("a dynamic object came from JSON");
    if let Some(metadata) = value["metadata"].as_object_mut() {
        for field in [
            "creationTimestamp",
            "generation",
            "managedFields",
            "resourceVersion",
            "selfLink",
            "uid",
        ] {
            metadata.shift_remove(field);
        }
    }
    if let Some(object) = value.as_object_mut() {
        object.shift_remove("status");
    }
    value
}

/// Every field in which two values differ. Entries of lists are told apart by their name where
/// each has one, else by position; lists that differ in length are told as a whole.
pub fn differences(from: &Value, to: &Value) -> Vec<FieldChange> {
    let mut found = Vec::new();
    compare("", Some(from), Some(to), &mut found);
    found
}

fn compare(path: &str, from: Option<&Value>, to: Option<&Value>, found: &mut Vec<FieldChange>) {
    match (from, to) {
        _ if from == to => {}
        (Some(Value::Object(from)), Some(Value::Object(to))) => {
            let keys: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
            for key in keys {
                compare(&joined(path, key), from.get(key), to.get(key), found);
            }
        }
        (Some(Value::Array(from)), Some(Value::Array(to))) => match (named(from), named(to)) {
            (Some(from), Some(to)) => {
                let names: BTreeSet<&&str> = from.keys().chain(to.keys()).collect();
                for name in names {
                    let path = format!("{path}[name={name}]");
                    let (from, to) = (from.get(*name).copied(), to.get(*name).copied());
                    compare(&path, from, to, found);
                }
            }
            _ if from.len() == to.len() => {
                for (index, (from, to)) in from.iter().zip(to).enumerate() {
                    compare(&format!("{path}[{index}]"), Some(from), Some(to), found);
                }
            }
            _ => found.push(FieldChange {
                field: path.to_owned(),
                from: Some(from.clone().into()),
                to: Some(to.clone().into()),
                by: None,
            }),
        },
        _ => found.push(FieldChange {
            field: path.to_owned(),
            from: from.cloned(),
            to: to.cloned(),
            by: None,
        }),
    }
}

type Named<'a> = std::collections::BTreeMap<&'a str, &'a Value>;

/// The items by name, when each has one of its own.
fn named(items: &[Value]) -> Option<Named<'_>> {
    let named: Named<'_> = items
        .iter()
        .filter_map(|item| Some((item["name"].as_str()?, item)))
        .collect();
    (named.len() == items.len()).then_some(named)
}

fn at<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    let Some((step, rest)) = path.split_first() else {
        return Some(value);
    };
    let below = match step.split_once(':') {
        Some(("f", name)) => value.get(name),
        Some(("k", keys)) => {
            let keys: Map<String, Value> = serde_json::from_str(keys).ok()?;
            let matches = |item: &&Value| keys.iter().all(|(key, wanted)| item[key] == *wanted);
            value.as_array()?.iter().find(matches)
        }
        Some(("v", item)) => {
            let item: Value = serde_json::from_str(item).ok()?;
            value.as_array()?.iter().find(|other| **other == item)
        }
        _ => Some(value),
    };
    at(below?, rest)
}

fn displayed(path: &[String]) -> String {
    let mut text = String::new();
    for step in path {
        match step.split_once(':') {
            Some(("f", name)) => text = joined(&text, name),
            Some(("k", keys)) => {
                let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
                let keys: Vec<String> = keys
                    .iter()
                    .map(|(key, value)| format!("{key}={}", word(value)))
                    .collect();
                text.push_str(&format!("[{}]", keys.join(",")));
            }
            Some((_, item)) => text.push_str(&format!("[{item}]")),
            None => {}
        }
    }
    text
}

fn joined(path: &str, key: &str) -> String {
    match (path, key.contains(['.', '/'])) {
        (_, true) => format!("{path}[{key}]"),
        ("", false) => key.to_owned(),
        (_, false) => format!("{path}.{key}"),
    }
}

fn word(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// `field from A to B`, values cut where they get long.
impl fmt::Display for FieldChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let brief = |value: &Option<Value>| match value {
            None => "nothing".to_owned(),
            Some(value) => shortened(&value.to_string()),
        };
        let (from, to) = (brief(&self.from), brief(&self.to));
        write!(f, "{} from {from} to {to}", self.field)
    }
}

fn shortened(text: &str) -> String {
    const SHOWN: usize = 60;
    if text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    let cut: String = text.chars().take(SHOWN).collect();
    format!("{cut}…")
}

#[cfg(test)]
mod tests;
