//! The shape of a pod as Kubernetes' API declares it: for each object its fields in the order of
//! declaration, what kind of value they hold, and by which field the items of a list merge.
//! Fields that are not listed are kept and treated as plain JSON. The tables are in `pod` and `volume`.

mod pod;
mod volume;

use serde_json::{Map, Value};

pub use pod::{CONTAINER, POD, PROBER};

use crate::quantity;

/// What a field holds.
pub enum Kind {
    /// A string; absent is empty.
    Text,
    /// An integer; absent is zero.
    Number,
    /// A boolean; absent is false.
    Flag,
    /// A scalar that may be absent, and plain JSON of any form.
    Any,
    /// Strings by name.
    Map,
    /// A list of strings, replaced whole.
    Texts,
    /// A list of strings that merges as a set.
    Set,
    /// A quantity such as `100m`.
    Quantity,
    /// Quantities by name.
    Quantities,
    /// An object that is always there.
    Object(&'static Shape),
    /// An object that may be absent.
    Optional(&'static Shape),
    /// Objects; merged by the named field, replaced whole without one.
    List(&'static Shape, Option<&'static str>),
}

/// The fields of an object.
pub struct Shape {
    /// Names as in JSON, in the order of declaration.
    pub fields: &'static [(&'static str, Kind)],
}

impl Shape {
    /// The kind of a field; plain JSON for one that is not listed.
    pub fn kind(&self, field: &str) -> &'static Kind {
        self.fields
            .iter()
            .find(|(name, _)| *name == field)
            .map_or(&Kind::Any, |(_, kind)| kind)
    }
}

impl Kind {
    /// The shape of the object, or of the items of the list.
    pub fn shape(&self) -> Option<&'static Shape> {
        match self {
            Kind::Object(shape) | Kind::Optional(shape) | Kind::List(shape, _) => Some(shape),
            _ => None,
        }
    }
}

/// Brings quantities into their canonical form, anywhere below, and takes nulls away: what remains
/// of a value when it passes through Kubernetes' own types.
pub fn canonical(value: &mut Value, kind: &Kind) {
    match (value, kind) {
        (Value::Object(map), Kind::Quantities) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut()
                .for_each(|value| canonical(value, &Kind::Quantity));
        }
        (value, Kind::Quantity) => {
            let text = match &*value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                _ => return,
            };
            if let Some(found) = quantity::canonical(&text) {
                *value = Value::String(found);
            }
        }
        (Value::Object(map), kind) => {
            map.retain(|_, value| !value.is_null());
            for (name, value) in map {
                let kind = kind.shape().map_or(&Kind::Any, |shape| shape.kind(name));
                canonical(value, kind);
            }
        }
        (Value::Array(items), kind) => {
            let item = item_kind(kind);
            items.iter_mut().for_each(|value| canonical(value, &item));
        }
        _ => {}
    }
}

/// The kind of a list's items.
pub fn item_kind(kind: &Kind) -> Kind {
    match kind {
        Kind::List(shape, _) => Kind::Object(shape),
        Kind::Texts | Kind::Set => Kind::Text,
        _ => Kind::Any,
    }
}

/// JSON as Go's encoder writes it from Kubernetes' types: declared order, without what is empty.
pub fn encode(value: &Value, kind: &Kind) -> String {
    let mut value = ordered(value, kind);
    canonical(&mut value, kind);
    go_json(&value)
}

/// JSON text with `<`, `>` and `&` escaped, as Go does it.
pub fn go_json(value: &Value) -> String {
    // These characters occur only inside strings.
    value
        .to_string()
        .replace('&', "\\u0026")
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
}

fn ordered(value: &Value, kind: &Kind) -> Value {
    match value {
        Value::Object(map) => match kind.shape() {
            Some(shape) => Value::Object(ordered_object(map, shape)),
            None => Value::Object(sorted(map)),
        },
        Value::Array(items) => {
            let item = item_kind(kind);
            Value::Array(items.iter().map(|value| ordered(value, &item)).collect())
        }
        other => other.clone(),
    }
}

fn ordered_object(map: &Map<String, Value>, shape: &'static Shape) -> Map<String, Value> {
    let mut found = Map::new();
    for (name, kind) in shape.fields {
        match (map.get(*name), kind) {
            (None | Some(Value::Null), Kind::Object(_)) => {
                found.insert((*name).to_owned(), Value::Object(Map::new()));
            }
            (Some(value), kind) if !is_zero(value, kind) => {
                found.insert((*name).to_owned(), ordered(value, kind));
            }
            _ => {}
        }
    }
    for (name, value) in map {
        if !found.contains_key(name) && matches!(shape.kind(name), Kind::Any) && !value.is_null() {
            found.insert(name.clone(), ordered(value, &Kind::Any));
        }
    }
    found
}

fn sorted(map: &Map<String, Value>) -> Map<String, Value> {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by_key(|(name, _)| *name);
    entries
        .into_iter()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn is_zero(value: &Value, kind: &Kind) -> bool {
    match (value, kind) {
        (Value::Null, _) => true,
        (Value::String(text), Kind::Text) => text.is_empty(),
        (Value::Number(number), Kind::Number) => number.as_i64() == Some(0),
        (Value::Bool(flag), Kind::Flag) => !flag,
        (Value::Array(items), _) => items.is_empty(),
        (Value::Object(map), Kind::Map | Kind::Quantities) => map.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
