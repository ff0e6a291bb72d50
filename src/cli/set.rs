//! `--set PATH=VALUE`: writes one field of a spec. Paths are as in istioctl: names separated by
//! dots, `\.` for a dot in a name, `[0]` or `[key:value]` for an item of a list.

use serde_json::{Map, Value};

/// Fields that stay text even when they look like numbers.
const TEXTS: [&str; 6] = [
    "tag",
    "compatibilityVersion",
    "values.global.tag",
    "values.compatibilityVersion",
    "meshConfig.defaultConfig.proxyMetadata.",
    "values.meshConfig.defaultConfig.proxyMetadata.",
];

/// One step of a path.
#[derive(Debug, PartialEq)]
enum Step {
    Field(String),
    /// An item by its place; one past the end, or less than nothing, adds an item.
    Index(i64),
    /// The first item whose field has that value.
    Item(String, String),
}

/// Applies an assignment to the document's `spec`.
///
/// # Errors
/// Text that is no assignment, or a path that leads through something that is neither.
pub(crate) fn apply(document: &mut Map<String, Value>, assignment: &str) -> Result<(), String> {
    let wrong = |why: &str| format!("--set {assignment}: {why}");
    let Some((path, text)) = assignment.split_once('=') else {
        return Err(wrong("expected PATH=VALUE"));
    };
    let steps = steps(path).ok_or_else(|| wrong("the path is not well formed"))?;
    let value = if TEXTS.iter().any(|prefix| path.starts_with(prefix)) {
        Value::String(text.to_owned())
    } else {
        value(text)
    };
    let spec = document.entry("spec").or_insert(Value::Null);
    assign(spec, &steps, value).map_err(|why| wrong(&why))
}

fn assign(target: &mut Value, steps: &[Step], value: Value) -> Result<(), String> {
    let Some((step, rest)) = steps.split_first() else {
        *target = value;
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
            assign(map.entry(name.as_str()).or_insert(Value::Null), rest, value)
        }
        (Step::Index(index), Value::Array(items)) => {
            let index = usize::try_from(*index).unwrap_or(items.len());
            if index >= items.len() {
                items.push(Value::Null);
            }
            let last = items.len() - 1;
            assign(&mut items[index.min(last)], rest, value)
        }
        (Step::Item(key, wanted), Value::Array(items)) => {
            let found = items
                .iter_mut()
                .find(|item| item.get(key).and_then(Value::as_str) == Some(wanted));
            match found {
                Some(item) => assign(item, rest, value),
                None => Err(format!("no item has {key} {wanted:?}")),
            }
        }
        (Step::Field(name), _) => Err(format!("{name} is below something that has no fields")),
        _ => Err("an item is asked of something that is no list".to_owned()),
    }
}

fn steps(path: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    for part in parts(path) {
        let (name, mut rest) = match part.find('[') {
            Some(bracket) => part.split_at(bracket),
            None => (part.as_str(), ""),
        };
        if !name.is_empty() {
            steps.push(Step::Field(name.to_owned()));
        }
        while !rest.is_empty() {
            let (inside, after) = rest.strip_prefix('[')?.split_once(']')?;
            steps.push(match inside.split_once(':') {
                Some((key, value)) => Step::Item(key.to_owned(), value.to_owned()),
                None => Step::Index(inside.parse().ok()?),
            });
            rest = after;
        }
    }
    (!steps.is_empty()).then_some(steps)
}

/// Splits at dots that are neither escaped nor inside brackets.
fn parts(path: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut inside = false;
    let mut chars = path.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.peek() == Some(&'.') => push(&mut parts, chars.next().unwrap_or('.')),
            '.' if !inside => parts.push(String::new()),
            _ => {
                inside = (inside || c == '[') && c != ']';
                push(&mut parts, c);
            }
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

fn push(parts: &mut [String], c: char) {
    if let Some(part) = parts.last_mut() {
        part.push(c);
    }
}

/// A number or a flag where the text is one.
fn value(text: &str) -> Value {
    if let Ok(number) = text.parse::<i64>() {
        return number.into();
    }
    if let Ok(number) = text.parse::<f64>()
        && let Some(number) = serde_json::Number::from_f64(number)
    {
        return Value::Number(number);
    }
    match text {
        "true" | "True" | "TRUE" | "t" | "T" => Value::Bool(true),
        "false" | "False" | "FALSE" | "f" | "F" => Value::Bool(false),
        _ => Value::String(text.replace("\\,", ",")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::apply;

    fn check(spec: Value, assignment: &str, expected: Value) {
        let mut document = json!({ "spec": spec });
        let map = document.as_object_mut().expect("a map");
        apply(map, assignment).expect(assignment);
        assert_eq!(document["spec"], expected, "{assignment}");
    }

    fn refuse(spec: Value, assignment: &str, expected: &str) {
        let mut document = json!({ "spec": spec });
        let map = document.as_object_mut().expect("a map");
        let error = apply(map, assignment).expect_err(assignment);
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn values_take_the_type_that_they_look_like() {
        check(json!(null), "a.b=3", json!({"a": {"b": 3}}));
        check(json!({"a": 1}), "b=true", json!({"a": 1, "b": true}));
        check(json!({}), "b=0.5", json!({"b": 0.5}));
        check(json!({}), "b=a=c", json!({"b": "a=c"}));
        check(json!({}), "tag=1.20", json!({"tag": "1.20"}));
    }

    #[test]
    fn dots_in_names_are_escaped() {
        check(json!({}), "a.x\\.y/z=1", json!({"a": {"x.y/z": 1}}));
    }

    #[test]
    fn items_are_found_by_place_or_by_field() {
        let gateways = json!({"g": [{"name": "a"}, {"name": "b"}]});
        let second = json!({"g": [{"name": "a"}, {"name": "b", "x": 1}]});
        check(gateways.clone(), "g.[1].x=1", second.clone());
        check(gateways.clone(), "g[1].x=1", second.clone());
        check(gateways.clone(), "g.[name:b].x=1", second);
        let third = json!({"g": [{"name": "a"}, {"name": "b"}, {"name": "c"}]});
        check(gateways.clone(), "g[2].name=c", third.clone());
        check(gateways.clone(), "g[-1].name=c", third);
        refuse(gateways, "g.[name:c].x=1", "no item has name \"c\"");
    }

    #[test]
    fn what_is_no_path_is_refused() {
        refuse(json!({}), "a", "expected PATH=VALUE");
        refuse(json!({}), "a[x.b=1", "not well formed");
        refuse(json!({"a": 1}), "a.b=1", "has no fields");
        refuse(json!({"a": {}}), "a[0]=1", "no list");
    }
}
