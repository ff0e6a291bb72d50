//! Merges settings: maps key by key, everything else (lists too) replaced whole. Later wins.
//! Lists of Kubernetes objects merge differently: see `patch`.

use serde_json::{Map, Value};

/// Puts `over` on top of `below`. `null` replaces like any other value.
pub fn merge(below: &mut Map<String, Value>, over: &Map<String, Value>) {
    for (key, value) in over {
        match (below.get_mut(key), value) {
            (Some(Value::Object(below)), Value::Object(over)) => merge(below, over),
            _ => {
                below.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Layers from the lowest to the highest, merged.
pub(crate) fn layered<'a>(
    layers: impl IntoIterator<Item = &'a Map<String, Value>>,
) -> Map<String, Value> {
    let mut merged = Map::new();
    for layer in layers {
        merge(&mut merged, layer);
    }
    merged
}

/// The value at a path, if every step of it is there.
pub(crate) fn at<'a>(map: &'a Map<String, Value>, path: &[&str]) -> Option<&'a Value> {
    let (last, parents) = path.split_last()?;
    let mut map = map;
    for step in parents {
        map = map.get(*step)?.as_object()?;
    }
    map.get(*last)
}

/// The map at a path; an empty one where there is none.
pub(crate) fn map_at<'a>(map: &'a Map<String, Value>, path: &[&str]) -> &'a Map<String, Value> {
    static EMPTY: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    at(map, path).and_then(Value::as_object).unwrap_or(&EMPTY)
}

/// Sets the value at a path, making the maps that lead to it.
pub(crate) fn set(map: &mut Map<String, Value>, path: &[&str], value: Value) {
    match path {
        [] => {}
        [last] => {
            map.insert((*last).to_owned(), value);
        }
        [first, rest @ ..] => {
            let next = map.entry(*first).or_insert(Value::Null);
            if !next.is_object() {
                *next = Value::Object(Map::new());
            }
            if let Value::Object(next) = next {
                set(next, rest, value);
            }
        }
    }
}

/// The same without anything that is `null`.
pub(crate) fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (key, without_nulls(value)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

/// The same with the keys of every map in order.
pub(crate) fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            Value::Object(
                entries
                    .into_iter()
                    .map(|(key, value)| (key.clone(), sorted(value)))
                    .collect(),
            )
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::{layered, set};

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().expect("a map").clone()
    }

    #[test]
    fn maps_merge_and_lists_are_replaced_whole() {
        let below = map(json!({"a": {"b": 1, "c": 2}, "list": [1, 2, 3], "kept": true}));
        let over = map(json!({"a": {"c": 3}, "list": [4]}));
        let expected = json!({"a": {"b": 1, "c": 3}, "list": [4], "kept": true});
        assert_eq!(Value::Object(layered([&below, &over])), expected);
    }

    #[test]
    fn null_takes_a_value_away() {
        let below = map(json!({"a": {"b": 1}}));
        let over = map(json!({"a": null}));
        assert_eq!(Value::Object(layered([&below, &over])), json!({"a": null}));
    }

    #[test]
    fn setting_a_path_makes_the_maps_that_lead_to_it() {
        let mut found = map(json!({"a": 1}));
        set(&mut found, &["b", "c"], json!(2));
        assert_eq!(Value::Object(found), json!({"a": 1, "b": {"c": 2}}));
    }
}
