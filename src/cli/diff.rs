//! `manifest diff`: two lists of objects compared, or what an IstioOperator would change in a cluster.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::Value;

#[cfg(feature = "cluster")]
use crate::cluster::Flags;
use crate::file;
use crate::inputs::Inputs;

/// Arguments of `manifest diff`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    inputs: Inputs,
    #[cfg(feature = "cluster")]
    #[command(flatten)]
    flags: Flags,
    /// Two files with objects to compare; or one more file with an IstioOperator
    #[arg(value_name = "FILE", num_args = 0..=2)]
    files: Vec<String>,
    /// Print whole objects, changed lines marked
    #[arg(long, short)]
    verbose: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<String, String> {
    if let [one, other] = &arguments.files[..] {
        let given = &arguments.inputs;
        if !given.filenames.is_empty() || !given.set.is_empty() || given.revision.is_some() {
            return Err(
                "two files with objects are compared as they are, without --filename, --set and \
                        --revision"
                    .to_owned(),
            );
        }
        return compared(one, other);
    }
    in_cluster(arguments)
}

#[cfg(feature = "cluster")]
fn in_cluster(arguments: &Arguments) -> Result<String, String> {
    let document = arguments.inputs.document(&arguments.files)?;
    arguments.flags.run(async |cluster| {
        let wanted = crate::installation::Installation::of(&cluster, document).await?;
        let plan = wanted.plan(&cluster).await?;
        crate::plan_text::outcome(&plan, arguments.verbose)
    })
}

#[cfg(not(feature = "cluster"))]
fn in_cluster(arguments: &Arguments) -> Result<String, String> {
    let _ = (&arguments.inputs, arguments.verbose);
    Err(
        "this build of the command line reaches no cluster: expected two files with objects"
            .to_owned(),
    )
}

/// Compares files; objects that differ are an error, as for other programs that compare.
fn compared(one: &str, other: &str) -> Result<String, String> {
    let text = difference(&objects(one)?, &objects(other)?);
    if text.is_empty() {
        return Ok("Manifests are identical\n".to_owned());
    }
    crate::print(&text);
    Err(format!("{one} and {other} differ"))
}

/// Objects by kind, namespace and name.
fn objects(name: &str) -> Result<BTreeMap<String, Value>, String> {
    let text = file::read(name)?;
    let found = api::yaml::documents(&text).map_err(|error| format!("{name}: {error}"))?;
    let found = found.into_iter().filter(|object| !object.is_null());
    Ok(found.map(|object| (key(&object), object)).collect())
}

fn key(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let metadata = &object["metadata"];
    format!(
        "{}:{}:{}",
        text(&object["kind"]),
        text(&metadata["namespace"]),
        text(&metadata["name"])
    )
}

fn difference(one: &BTreeMap<String, Value>, other: &BTreeMap<String, Value>) -> String {
    let mut text = String::new();
    let keys: std::collections::BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    for key in keys {
        match (one.get(key), other.get(key)) {
            (Some(_), None) => text += &format!("Object {key} is missing in B\n\n"),
            (None, Some(_)) => text += &format!("Object {key} is missing in A\n\n"),
            (Some(one), Some(other)) if one != other => {
                let mut lines = Vec::new();
                fields("", one, other, &mut lines);
                text += &format!("Object {key} has diffs:\n{}\n\n", lines.join("\n"));
            }
            _ => {}
        }
    }
    text
}

/// Every field whose value differs: `path: from -> to`.
fn fields(path: &str, one: &Value, other: &Value, lines: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let below = match path {
                    "" => key.clone(),
                    _ => format!("{path}.{key}"),
                };
                fields(&below, &one[key], &other[key], lines);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                fields(&format!("{path}.[{index}]"), a, b, lines);
            }
        }
        _ if one == other => {}
        _ => lines.push(format!("{path}: {} -> {}", said(one), said(other))),
    }
}

fn said(value: &Value) -> String {
    match value {
        Value::Null => "<empty>".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::{difference, key};

    fn of(objects: &[Value]) -> BTreeMap<String, Value> {
        objects
            .iter()
            .map(|object| (key(object), object.clone()))
            .collect()
    }

    fn object(name: &str, data: Value) -> Value {
        json!({"kind": "ConfigMap", "metadata": {"name": name, "namespace": "shop"}, "data": data})
    }

    #[test]
    fn equal_objects_are_silent() {
        let one = of(&[object("a", json!({"x": 1})), object("b", json!({}))]);
        let other = of(&[object("b", json!({})), object("a", json!({"x": 1}))]);
        assert_eq!(difference(&one, &other), "");
    }

    #[test]
    fn fields_are_told_with_both_values() {
        let one = of(&[object("a", json!({"x": 1, "l": [1, 2], "gone": "z"}))]);
        let other = of(&[
            object("a", json!({"x": 2, "l": [1, 3]})),
            object("b", json!({})),
        ]);
        assert_eq!(
            difference(&one, &other),
            "Object ConfigMap:shop:a has diffs:\ndata.gone: \"z\" -> <empty>\ndata.l.[1]: 2 -> 3\ndata.x: 1 -> 2\n\n\
             Object ConfigMap:shop:b is missing in A\n\n"
        );
    }
}
