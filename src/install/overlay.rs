//! `k8s.overlays`: changes to rendered objects by path, for what no setting covers. Strict where
//! upstream drops what it cannot apply: an overlay without its object and a path that leads
//! nowhere are faults.

use regex::Regex;
use serde_json::{Map, Value};

use crate::Object;

/// An overlay, or a patch of one, that cannot be applied.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fault {
    /// Where the specification has it.
    pub(crate) field: String,
    /// What is wrong.
    pub(crate) message: String,
}

/// One step of a path.
#[derive(Debug)]
enum Step {
    Field(String),
    /// An item by its place; past the end or -1 adds one.
    Index(i64),
    /// The first item whose field has that value.
    Item(String, String),
    /// The first item that is a text which matches.
    Text(Regex),
}

/// Applies the overlays among a component's settings, which stand at `field`.
pub(crate) fn apply(objects: &mut [Object], k8s: &Map<String, Value>, field: &str) -> Vec<Fault> {
    let overlays = k8s.get("overlays").and_then(Value::as_array);
    let mut faults = Vec::new();
    for (index, overlay) in overlays.into_iter().flatten().enumerate() {
        let field = format!("{field}.k8s.overlays[{index}]");
        let text = |key: &str| overlay[key].as_str().unwrap_or_default();
        let (kind, name) = (text("kind"), text("name"));
        let found = objects
            .iter_mut()
            .find(|object| object.reference.kind == kind && object.reference.name == name);
        let Some(object) = found else {
            let message = nothing_to_change(objects, kind, name);
            faults.push(Fault { field, message });
            continue;
        };
        let mut body = object.body.clone();
        for (index, patch) in overlay["patches"]
            .as_array()
            .into_iter()
            .flatten()
            .enumerate()
        {
            let path = patch["path"].as_str().unwrap_or_default();
            if let Err(why) = change(&mut body, path, &patch["value"]) {
                let field = format!("{field}.patches[{index}].path");
                let message = format!("{path:?} does not fit {}: {why}", object.reference);
                faults.push(Fault { field, message });
            }
        }
        let changed = Object::from_value(body);
        let reference = &changed.reference;
        if [&reference.api_version, &reference.kind, &reference.name].contains(&&String::new()) {
            let message = "takes apiVersion, kind or name from the object, which needs them".into();
            faults.push(Fault { field, message });
        } else {
            *object = changed;
        }
    }
    faults
}

fn nothing_to_change(objects: &[Object], kind: &str, name: &str) -> String {
    let names: Vec<&str> = objects
        .iter()
        .filter(|object| object.reference.kind == kind)
        .map(|object| object.reference.name.as_str())
        .collect();
    match names.as_slice() {
        [] => format!("the component has no {kind}, expected a kind that it renders"),
        names => {
            let names = names.join(", ");
            format!("the component has no {kind} {name:?}, expected one of {names}")
        }
    }
}

/// Changes one place of a document; a `null` value removes it.
fn change(document: &mut Value, path: &str, value: &Value) -> Result<(), String> {
    let steps = steps(path)?;
    if value.is_null() {
        remove(document, &steps)
    } else {
        put(document, &steps, &read(value))
    }
}

fn put(target: &mut Value, steps: &[Step], value: &Value) -> Result<(), String> {
    let Some((step, rest)) = steps.split_first() else {
        match target {
            // One more item, unless the whole list is given.
            Value::Array(items) if !value.is_array() => items.push(value.clone()),
            target => *target = value.clone(),
        }
        return Ok(());
    };
    if target.is_null() {
        *target = match step {
            Step::Field(_) => Value::Object(Map::new()),
            _ => Value::Array(Vec::new()),
        };
    }
    match (step, target) {
        (Step::Field(name), Value::Object(map)) => {
            put(map.entry(name.as_str()).or_insert(Value::Null), rest, value)
        }
        (step, Value::Array(items)) => {
            let index = match step {
                Step::Index(_) => place(items, step).unwrap_or(items.len()),
                step => place(items, step).ok_or_else(|| missing(step))?,
            };
            if index == items.len() {
                items.push(Value::Null);
            }
            put(&mut items[index], rest, value)
        }
        (step, _) => Err(missing(step)),
    }
}

fn remove(target: &mut Value, steps: &[Step]) -> Result<(), String> {
    let (step, rest) = steps.split_first().ok_or("the path is empty")?;
    match (step, target) {
        (Step::Field(name), Value::Object(map)) if rest.is_empty() => map
            .shift_remove(name)
            .map(drop)
            .ok_or_else(|| missing(step)),
        (Step::Field(name), Value::Object(map)) => {
            remove(map.get_mut(name).ok_or_else(|| missing(step))?, rest)
        }
        (step, Value::Array(items)) => {
            let index = place(items, step).ok_or_else(|| missing(step))?;
            if rest.is_empty() {
                items.remove(index);
                return Ok(());
            }
            remove(&mut items[index], rest)
        }
        (step, _) => Err(missing(step)),
    }
}

/// Which item a step means.
fn place(items: &[Value], step: &Step) -> Option<usize> {
    match step {
        Step::Field(_) => None,
        Step::Index(index) => usize::try_from(*index)
            .ok()
            .filter(|index| *index < items.len()),
        Step::Item(key, wanted) => items.iter().position(|item| match item.get(key) {
            Some(Value::String(text)) => text == wanted,
            Some(Value::Null) | None => false,
            Some(other) => crate::values::text(other) == wanted.as_str(),
        }),
        Step::Text(pattern) => items
            .iter()
            .position(|item| item.as_str().is_some_and(|text| pattern.is_match(text))),
    }
}

fn missing(step: &Step) -> String {
    match step {
        Step::Field(name) => format!("there is no field {name}"),
        Step::Index(index) => format!("there is no item {index}"),
        Step::Item(key, value) => format!("there is no item with {key} {value}"),
        Step::Text(pattern) => format!("there is no item that matches {pattern}"),
    }
}

/// A text that is a map in YAML stands for the map; one that is JSON stays a text.
fn read(value: &Value) -> Value {
    let Value::String(text) = value else {
        return value.clone();
    };
    let looks_like_map = text.contains(": ") || (text.contains('\n') && text.contains(':'));
    if !looks_like_map || serde_json::from_str::<Map<String, Value>>(text).is_ok() {
        return value.clone();
    }
    match api::yaml::documents(text).as_deref() {
        Ok([Value::Object(map)]) => Value::Object(map.clone()),
        _ => value.clone(),
    }
}

/// `a.b.[key:value].c`, `[3]`, `[:text]` or `[text]`; `\.` and `\:` are no separators.
fn steps(path: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    for part in split(path, '.') {
        let bracket = part.find('[').unwrap_or(part.len());
        let (name, item) = part.split_at(bracket);
        if !name.is_empty() {
            steps.push(Step::Field(name.to_owned()));
        }
        if item.is_empty() {
            continue;
        }
        let inside = item
            .strip_prefix('[')
            .and_then(|item| item.strip_suffix(']'))
            .ok_or_else(|| format!("{item} has no closing bracket"))?;
        steps.push(self::item(inside)?);
    }
    if steps.is_empty() {
        return Err("the path is empty".to_owned());
    }
    Ok(steps)
}

fn item(inside: &str) -> Result<Step, String> {
    if let Ok(index) = inside.parse() {
        return Ok(Step::Index(index));
    }
    match split(inside, ':').as_slice() {
        [key, value] if !key.is_empty() && !value.is_empty() => {
            Ok(Step::Item(key.clone(), value.clone()))
        }
        _ => {
            let pattern = inside.strip_prefix(':').unwrap_or(inside);
            Regex::new(pattern)
                .map(Step::Text)
                .map_err(|_| format!("[{inside}] is no item and no regular expression"))
        }
    }
}

/// Splits where the separator is neither escaped nor inside brackets, and takes the escapes away.
fn split(text: &str, separator: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0_u32;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let part = parts.last_mut().expect("there is a part from the start");
        match c {
            '\\' if chars.peek() == Some(&separator) => {
                part.extend(chars.next());
            }
            _ if c == separator && depth == 0 => parts.push(String::new()),
            _ => {
                match c {
                    '[' => depth += 1,
                    ']' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                part.push(c);
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests;
