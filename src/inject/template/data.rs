//! JSON as the data of a template. Objects of Go types get Go's field names (`serviceAccountName` is
//! `.ServiceAccountName`) and Go's zero values; maps keep their keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Number, Value};

use crate::schema::{Kind, encode, item_kind};

/// A value that a template sees.
pub type GoValue = gotmpl::Value;

/// Beside the fields of an object stands its JSON, for functions that print it. No field name and no
/// key can be this.
const JSON: &str = "\0json";

/// Letters that Go writes in capitals.
const INITIALS: [(&str, &str); 22] = [
    ("apiVersion", "APIVersion"),
    ("dnsConfig", "DNSConfig"),
    ("dnsPolicy", "DNSPolicy"),
    ("fsGroup", "FSGroup"),
    ("fsGroupChangePolicy", "FSGroupChangePolicy"),
    ("grpc", "GRPC"),
    ("hostIP", "HostIP"),
    ("hostIPC", "HostIPC"),
    ("hostPID", "HostPID"),
    ("httpGet", "HTTPGet"),
    ("httpHeaders", "HTTPHeaders"),
    ("ip", "IP"),
    ("os", "OS"),
    ("podIP", "PodIP"),
    ("selfLink", "SelfLink"),
    ("tcpSocket", "TCPSocket"),
    ("tty", "TTY"),
    ("uid", "UID"),
    ("nfs", "NFS"),
    ("csi", "CSI"),
    ("iscsi", "ISCSI"),
    ("rbd", "RBD"),
];

/// A string.
pub fn text(text: &str) -> GoValue {
    GoValue::String(text.into())
}

/// JSON as maps with their keys, as Go reads it into `any`.
pub fn plain(value: &Value) -> GoValue {
    match value {
        Value::Null => GoValue::Nil,
        Value::Bool(flag) => GoValue::Bool(*flag),
        Value::Number(number) => plain_number(number),
        Value::String(found) => text(found),
        Value::Array(items) => GoValue::List(items.iter().map(plain).collect()),
        Value::Object(map) => table(map.iter().map(|(key, value)| (key.as_str(), plain(value)))),
    }
}

/// JSON as an object of a Go type: Go's field names, zero values for what is absent.
pub fn structure(value: &Value, kind: &Kind) -> GoValue {
    let absent = value.is_null();
    match kind {
        Kind::Text if absent => text(""),
        Kind::Number if absent => GoValue::Int(0),
        Kind::Flag if absent => GoValue::Bool(false),
        Kind::Map | Kind::Quantities if absent => table([]),
        Kind::Texts | Kind::Set | Kind::List(..) if absent => GoValue::List(Arc::new([])),
        Kind::Map | Kind::Quantities => plain(value),
        Kind::Object(_) if absent => structure(&Value::Object(Map::new()), kind),
        Kind::Optional(_) if absent => GoValue::Nil,
        _ => match value {
            Value::Object(map) => object(map, kind),
            Value::Array(items) => {
                let item = item_kind(kind);
                GoValue::List(items.iter().map(|value| structure(value, &item)).collect())
            }
            other => plain(other),
        },
    }
}

fn object(map: &Map<String, Value>, kind: &Kind) -> GoValue {
    let mut fields: BTreeMap<Arc<str>, GoValue> = BTreeMap::new();
    if let Some(shape) = kind.shape() {
        for (name, kind) in shape.fields {
            let value = map.get(*name).unwrap_or(&Value::Null);
            fields.insert(go_name(name).into(), structure(value, kind));
        }
    }
    for (name, value) in map {
        fields
            .entry(go_name(name).into())
            .or_insert_with(|| structure(value, &Kind::Any));
    }
    let json = encode(&Value::Object(map.clone()), kind);
    fields.insert(JSON.into(), GoValue::String(json.into()));
    GoValue::Map(Arc::new(fields))
}

/// A map of a template.
pub fn table<'a>(entries: impl IntoIterator<Item = (&'a str, GoValue)>) -> GoValue {
    GoValue::Map(Arc::new(
        entries
            .into_iter()
            .map(|(key, value)| (key.into(), value))
            .collect(),
    ))
}

/// What a template holds, as JSON again.
pub fn to_json(value: &GoValue) -> Value {
    match value {
        GoValue::Bool(flag) => Value::Bool(*flag),
        GoValue::Int(number) => Value::from(*number),
        GoValue::Uint(number) => Value::from(*number),
        GoValue::Float(number) => Number::from_f64(*number).map_or(Value::Null, Value::Number),
        GoValue::String(found) => Value::String(found.to_string()),
        GoValue::List(items) => Value::Array(items.iter().map(to_json).collect()),
        GoValue::Map(map) => match map.get(JSON) {
            Some(GoValue::String(json)) => serde_json::from_str(json).unwrap_or(Value::Null),
            _ => Value::Object(
                map.iter()
                    .map(|(key, value)| (key.to_string(), to_json(value)))
                    .collect(),
            ),
        },
        _ => Value::Null,
    }
}

/// The JSON text of an object of a Go type, in the order of its type.
pub fn json_of(value: &GoValue) -> Option<&str> {
    match value {
        GoValue::Map(map) => map.get(JSON)?.as_str(),
        _ => None,
    }
}

/// An object whose JSON is already known, for types that print themselves in their own way.
pub fn with_json(value: &GoValue, json: &str) -> GoValue {
    match value {
        GoValue::Map(map) => {
            let mut map = BTreeMap::clone(map);
            map.insert(JSON.into(), text(json));
            GoValue::Map(Arc::new(map))
        }
        other => other.clone(),
    }
}

fn plain_number(number: &Number) -> GoValue {
    match (number.as_i64(), number.as_f64()) {
        (Some(whole), _) => GoValue::Int(whole),
        (None, Some(float)) => GoValue::Float(float),
        (None, None) => GoValue::Nil,
    }
}

fn go_name(name: &str) -> String {
    if let Some((_, found)) = INITIALS.iter().find(|(json, _)| *json == name) {
        return (*found).to_owned();
    }
    let mut letters = name.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}
