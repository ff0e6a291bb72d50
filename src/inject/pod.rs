//! Reading and changing a pod that is JSON, where most parts may be absent.

use serde_json::{Map, Value};

/// An annotation.
pub fn annotation<'a>(pod: &'a Value, name: &str) -> Option<&'a str> {
    pod.get("metadata")?.get("annotations")?.get(name)?.as_str()
}

/// A label.
pub fn label<'a>(pod: &'a Value, name: &str) -> Option<&'a str> {
    pod.get("metadata")?.get("labels")?.get(name)?.as_str()
}

/// A field of the metadata that is a string.
pub fn metadata<'a>(pod: &'a Value, name: &str) -> &'a str {
    let found = pod.get("metadata").and_then(|meta| meta.get(name));
    found.and_then(Value::as_str).unwrap_or_default()
}

/// All annotations.
pub fn annotations(pod: &Value) -> impl Iterator<Item = (&str, &str)> {
    let found = pod.get("metadata").and_then(|meta| meta.get("annotations"));
    found
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
}

/// `metadata.annotations` or `metadata.labels`, made where absent.
pub fn metadata_map<'a>(pod: &'a mut Value, name: &str) -> &'a mut Map<String, Value> {
    object_at(object_at(as_object(pod), "metadata"), name)
}

/// A list of the spec (`containers`, `initContainers` …).
pub fn list<'a>(pod: &'a Value, name: &str) -> &'a [Value] {
    let found = pod.get("spec").and_then(|spec| spec.get(name));
    found.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The same to change, made where absent.
pub fn list_mut<'a>(pod: &'a mut Value, name: &str) -> &'a mut Vec<Value> {
    let spec = object_at(as_object(pod), "spec");
    let list = spec.entry(name).or_insert(Value::Null);
    if !list.is_array() {
        *list = Value::Array(Vec::new());
    }
    match list {
        Value::Array(items) => items,
        _ => unreachable!("it was made an array above"),
    }
}

/// The name of a container, volume or environment variable.
pub fn name(item: &Value) -> &str {
    item.get("name").and_then(Value::as_str).unwrap_or_default()
}

/// The item of that name.
pub fn find<'a>(items: &'a [Value], wanted: &str) -> Option<&'a Value> {
    items.iter().find(|item| name(item) == wanted)
}

/// A container of that name, ordinary ones first.
pub fn container<'a>(pod: &'a Value, wanted: &str) -> Option<&'a Value> {
    find(list(pod, "containers"), wanted).or_else(|| find(list(pod, "initContainers"), wanted))
}

/// The same to change.
pub fn container_mut<'a>(pod: &'a mut Value, wanted: &str) -> Option<&'a mut Value> {
    let from = ["containers", "initContainers"]
        .into_iter()
        .find(|from| find(list(pod, from), wanted).is_some())?;
    let items = pod.get_mut("spec")?.get_mut(from)?.as_array_mut()?;
    items.iter_mut().find(|item| name(item) == wanted)
}

/// Adds an environment variable at the end of a container's.
pub fn add_environment(container: &mut Value, variable: &str, value: &str) {
    let entry = as_object(container).entry("env").or_insert(Value::Null);
    let added = serde_json::json!({"name": variable, "value": value});
    match entry {
        Value::Array(items) => items.push(added),
        other => *other = Value::Array(vec![added]),
    }
}

/// The object that a value is; one that is none becomes an empty one.
pub fn as_object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("it was made an object above"),
    }
}

fn object_at<'a>(map: &'a mut Map<String, Value>, name: &str) -> &'a mut Map<String, Value> {
    as_object(map.entry(name).or_insert(Value::Null))
}

/// Go's `strconv.ParseBool`.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}
