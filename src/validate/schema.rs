//! The form of an object, judged by the structural schema of its CRD as the API server does: types, ranges,
//! required and unknown fields, alternatives, and the rules in CEL (which `rule` knows in Rust).

use serde_json::Value;

use crate::field::{Field, Findings};
use crate::{rule, text};

/// Checks a whole object; `apiVersion`, `kind` and `metadata` belong to Kubernetes.
pub fn check(findings: &mut Findings, root: &Field, schema: &Value) {
    let Some(members) = root.value().as_object() else {
        findings.error(root, "expected an object");
        return;
    };
    let known = schema["properties"].as_object();
    for name in members.keys() {
        let kubernetes = ["apiVersion", "kind", "metadata"].contains(&name.as_str());
        if !kubernetes && !known.is_some_and(|known| known.contains_key(name)) {
            let message = "is not known, expected apiVersion, kind, metadata, spec or status";
            findings.unknown(&root.get(name), message);
        }
    }
    required(findings, root, schema);
    let spec = root.get("spec");
    if spec.is_set() {
        value(findings, &spec, &schema["properties"]["spec"]);
    }
}

fn value(findings: &mut Findings, field: &Field, schema: &Value) {
    if field.value().is_null() {
        // As protobuf's JSON: null is an absent field. The API server is stricter, and says so itself.
        return;
    }
    if let Err(expected) = has_type(field.value(), schema) {
        findings.error(
            field,
            format!("is {}, expected {expected}", kind_of(field.value())),
        );
        return;
    }
    match field.value() {
        Value::Object(_) => object(findings, field, schema),
        Value::Array(_) => list(findings, field, schema),
        Value::String(_) => string(findings, field, schema),
        Value::Number(_) => number(findings, field, schema),
        _ => {}
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(field.value())
    {
        let allowed: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
        let message = format!("{} is not one of {}", field.value(), allowed.join(", "));
        findings.error(field, message);
    }
    for rule in schema["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let holds = rule::holds(rule["rule"].as_str().unwrap_or_default(), field.value());
        if holds == Some(false) {
            findings.error(field, rule["message"].as_str().unwrap_or_default());
        }
    }
}

fn has_type(value: &Value, schema: &Value) -> Result<(), &'static str> {
    if schema["x-kubernetes-int-or-string"] == true {
        let right = value.is_string() || value.is_i64() || value.is_u64();
        return if right {
            Ok(())
        } else {
            Err("an integer or a string")
        };
    }
    let (right, expected) = match schema["type"].as_str() {
        Some("object") => (value.is_object(), "an object"),
        Some("array") => (value.is_array(), "a list"),
        Some("string") => (value.is_string(), "a string"),
        Some("boolean") => (value.is_boolean(), "true or false"),
        Some("integer") => (value.is_i64() || value.is_u64(), "an integer"),
        Some("number") => (value.is_number(), "a number"),
        _ => (true, ""),
    };
    if right { Ok(()) } else { Err(expected) }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn object(findings: &mut Findings, field: &Field, schema: &Value) {
    required(findings, field, schema);
    size(
        findings,
        field,
        schema,
        ("minProperties", "maxProperties"),
        "members",
    );
    let known = schema["properties"].as_object();
    let others = &schema["additionalProperties"];
    for (name, entry) in field.entries() {
        match known.and_then(|known| known.get(name)) {
            Some(schema) => value(findings, &field.get(name), schema),
            None if others.is_object() => value(findings, &entry, others),
            None if schema["x-kubernetes-preserve-unknown-fields"] == true => {}
            None => {
                let known = known.into_iter().flat_map(|known| known.keys());
                let known: Vec<&str> = known.map(String::as_str).collect();
                findings.unknown(&field.get(name), text::unknown(name, &known));
            }
        }
    }
    alternatives(findings, field, schema);
}

fn required(findings: &mut Findings, field: &Field, schema: &Value) {
    let required = schema["required"].as_array().into_iter().flatten();
    for name in required.filter_map(Value::as_str) {
        if !field.has(name) {
            findings.missing(&field.get(name), "is required");
        }
    }
}

/// `oneOf` and `anyOf` of required fields: which of them exclude each other.
fn alternatives(findings: &mut Findings, field: &Field, schema: &Value) {
    for part in schema["allOf"].as_array().into_iter().flatten() {
        alternatives(findings, field, part);
    }
    let value = field.value();
    if let Some(all) = schema["oneOf"].as_array()
        && all.iter().filter(|one| matches(value, one)).count() != 1
    {
        let set = field.which(&named(&schema["oneOf"]));
        let message = match set.as_slice() {
            [] => format!(
                "has none of {}, expected one",
                named(&schema["oneOf"]).join(", ")
            ),
            _ => format!("has {}, expected one of them", set.join(" and ")),
        };
        findings.error(field, message);
    }
    if let Some(all) = schema["anyOf"].as_array()
        && !all.iter().any(|one| matches(value, one))
    {
        let names = named(&schema["anyOf"]);
        findings.error(
            field,
            format!("has none of {}, expected one", names.join(", ")),
        );
    }
}

/// Fields that a list of alternatives speaks of.
fn named(schemas: &Value) -> Vec<&str> {
    let schemas = schemas.as_array().into_iter().flatten();
    let required = schemas.flat_map(|schema| schema["required"].as_array().into_iter().flatten());
    required.filter_map(Value::as_str).collect()
}

/// Whether a value has the form of a schema made of `required`, `not`, `anyOf` and `oneOf` only.
fn matches(value: &Value, schema: &Value) -> bool {
    let all = |name: &str| schema[name].as_array().into_iter().flatten();
    all("required")
        .filter_map(Value::as_str)
        .all(|name| value.get(name).is_some_and(|value| !value.is_null()))
        && (schema["not"].is_null() || !matches(value, &schema["not"]))
        && (schema["anyOf"].is_null() || all("anyOf").any(|one| matches(value, one)))
        && (schema["oneOf"].is_null()
            || all("oneOf").filter(|one| matches(value, one)).count() == 1)
}

fn list(findings: &mut Findings, field: &Field, schema: &Value) {
    size(
        findings,
        field,
        schema,
        ("minItems", "maxItems"),
        "elements",
    );
    let keys = schema["x-kubernetes-list-map-keys"].as_array();
    let keys: Vec<&str> = keys
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let mut seen = Vec::new();
    for item in field.items() {
        if item.value().is_null() {
            findings.error(&item, "is null, expected a value");
            continue;
        }
        value(findings, &item, &schema["items"]);
        let key: Vec<&Value> = keys.iter().map(|key| &item.value()[*key]).collect();
        if !key.is_empty() && seen.contains(&key) {
            findings.error(
                &item.get(keys[0]),
                "appears in an earlier element, expected each once",
            );
        }
        seen.push(key);
    }
}

fn size(
    findings: &mut Findings,
    field: &Field,
    schema: &Value,
    (least, most): (&str, &str),
    what: &str,
) {
    let count = field.len() as u64;
    if schema[least].as_u64().is_some_and(|least| count < least) {
        findings.error(
            field,
            format!("has {count} {what}, expected at least {}", schema[least]),
        );
    }
    if schema[most].as_u64().is_some_and(|most| count > most) {
        findings.error(
            field,
            format!("has {count} {what}, expected at most {}", schema[most]),
        );
    }
}

fn string(findings: &mut Findings, field: &Field, schema: &Value) {
    let length = field.text().chars().count() as u64;
    if schema["minLength"]
        .as_u64()
        .is_some_and(|least| length < least)
    {
        let message = match length {
            0 => "is empty".to_owned(),
            _ => format!(
                "has {length} characters, expected at least {}",
                schema["minLength"]
            ),
        };
        findings.error(field, message);
    }
    if schema["maxLength"]
        .as_u64()
        .is_some_and(|most| length > most)
    {
        let message = format!(
            "has {length} characters, expected at most {}",
            schema["maxLength"]
        );
        findings.error(field, message);
    }
    if let Some(pattern) = schema["pattern"].as_str() {
        let pattern = regex::Regex::new(pattern);
        if pattern.is_ok_and(|pattern| !pattern.is_match(field.text())) {
            let message = format!("{} does not match {}", field.value(), schema["pattern"]);
            findings.error(field, message);
        }
    }
    if schema["format"] == "byte" {
        // protobuf's JSON takes both alphabets of base64, padded or not.
        let right = |c: u8| c.is_ascii_alphanumeric() || b"+/-_=".contains(&c);
        if !field.text().bytes().all(right) {
            findings.error(field, "is not base64");
        }
    }
}

fn number(findings: &mut Findings, field: &Field, schema: &Value) {
    let Some(number) = field.number() else { return };
    if schema["format"] == "int32" && i32::try_from(field.int()).is_err() {
        findings.error(field, format!("is {number}, expected a number of 32 bits"));
    }
    if schema["minimum"]
        .as_f64()
        .is_some_and(|least| number < least)
    {
        findings.error(
            field,
            format!("is {number}, expected at least {}", schema["minimum"]),
        );
    }
    if schema["maximum"].as_f64().is_some_and(|most| number > most) {
        findings.error(
            field,
            format!("is {number}, expected at most {}", schema["maximum"]),
        );
    }
}
