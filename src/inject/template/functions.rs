//! The functions that Istio adds for its injection templates.

use std::sync::Arc;

use gotmpl::{FuncMap, TemplateError};
use serde_json::{Map, Value, json};

use super::data::{GoValue, json_of, plain, table, text, to_json};
use crate::schema::go_json;

type Answer = Result<GoValue, TemplateError>;
type Function = fn(&[GoValue]) -> Answer;

pub(super) fn register(all: &mut FuncMap) {
    let functions: [(&str, Function); 25] = [
        ("annotation", annotation),
        ("appendMultusNetwork", append_multus_network),
        ("applicationPorts", |a| Ok(text(&ports(arg(a, 0), false)))),
        ("contains", |a| {
            Ok(GoValue::Bool(shown(arg(a, 1)).contains(&shown(arg(a, 0)))))
        }),
        ("directory", directory),
        // The environment is no input of injection: what a template asks for is its default.
        ("env", |a| Ok(arg(a, 1).clone())),
        ("excludeInboundPort", exclude_inbound_port),
        ("excludeInterfaces", |a| Ok(arg(a, 0).clone())),
        ("formatDuration", |a| Ok(arg(a, 0).clone())),
        ("fromJSON", |a| {
            let found = serde_json::from_str(&shown(arg(a, 0)));
            Ok(found.map_or_else(|_| text("{}"), |value: Value| plain(&value)))
        }),
        ("includeInboundPorts", |a| Ok(text(&ports(arg(a, 0), true)))),
        ("indent", indent),
        ("isset", isset),
        ("kubevirtInterfaces", |a| Ok(arg(a, 0).clone())),
        ("mergeMaps", |a| Ok(merged(a))),
        ("omit", omit),
        ("omitNil", |a| Ok(plain(&without_nil(&to_json(arg(a, 0)))))),
        ("otelResourceAttributes", otel_resource_attributes),
        ("protoToJSON", |a| Ok(text(&printed(arg(a, 0))))),
        ("strdict", strdict),
        ("structToJSON", |a| Ok(text(&printed(arg(a, 0))))),
        ("toJSON", |a| Ok(text(&printed(arg(a, 0))))),
        ("toJsonMap", |a| Ok(text(&printed(&merged(a))))),
        ("toYaml", |a| {
            Ok(text(&api::yaml::print(&to_json(arg(a, 0)))))
        }),
        ("valueOrDefault", |a| {
            Ok(match arg(a, 0) {
                GoValue::Nil => arg(a, 1).clone(),
                GoValue::String(found) if found.is_empty() => arg(a, 1).clone(),
                found => found.clone(),
            })
        }),
    ];
    for (name, function) in functions {
        all.insert(name.to_owned(), Arc::new(function));
    }
    all.insert(
        "toLower".to_owned(),
        Arc::new(|a: &[GoValue]| Ok(text(&shown(arg(a, 0)).to_lowercase()))),
    );
    // In Go a missing string of a map of strings is empty and not nothing.
    all.insert(
        "eq".to_owned(),
        Arc::new(|a: &[GoValue]| equal(a).map(GoValue::Bool)),
    );
    all.insert(
        "ne".to_owned(),
        Arc::new(|a: &[GoValue]| equal(a).map(|same| GoValue::Bool(!same))),
    );
}

pub(super) fn arg(arguments: &[GoValue], index: usize) -> &GoValue {
    arguments.get(index).unwrap_or(&GoValue::Nil)
}

/// As Go prints a value where a string is wanted; nothing is empty.
pub(super) fn shown(value: &GoValue) -> String {
    match value {
        GoValue::Nil => String::new(),
        other => other.to_string(),
    }
}

pub(super) fn refused(message: String) -> TemplateError {
    TemplateError::Exec(message)
}

fn equal(arguments: &[GoValue]) -> Result<bool, TemplateError> {
    let (first, others) = arguments
        .split_first()
        .ok_or_else(|| refused("eq: missing argument".to_owned()))?;
    if others.is_empty() {
        return Err(refused("eq: missing argument for comparison".to_owned()));
    }
    for other in others {
        let same = match (first, other) {
            (GoValue::Nil, GoValue::String(found)) | (GoValue::String(found), GoValue::Nil) => {
                found.is_empty()
            }
            (GoValue::Nil, GoValue::Nil) => true,
            (GoValue::Nil, _) | (_, GoValue::Nil) => false,
            (GoValue::Bool(one), GoValue::Bool(two)) => one == two,
            (GoValue::String(one), GoValue::String(two)) => one == two,
            (
                GoValue::Int(_) | GoValue::Uint(_) | GoValue::Float(_),
                GoValue::Int(_) | GoValue::Uint(_) | GoValue::Float(_),
            ) => number(first) == number(other),
            _ => {
                return Err(refused(format!(
                    "incompatible types for comparison: {} and {}",
                    first.type_name(),
                    other.type_name()
                )));
            }
        };
        if same {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) fn number(value: &GoValue) -> Option<f64> {
    match value {
        GoValue::Int(found) => Some(*found as f64),
        GoValue::Uint(found) => Some(*found as f64),
        GoValue::Float(found) => Some(*found),
        _ => None,
    }
}

/// `annotation .ObjectMeta name default`: what the pod says, else the default as Go prints it.
fn annotation(arguments: &[GoValue]) -> Answer {
    let name = shown(arg(arguments, 1));
    let annotations = arg(arguments, 0).field("Annotations");
    match annotations.and_then(|annotations| annotations.field(&name)) {
        Some(found) => Ok(text(&shown(found))),
        None => Ok(text(&arg(arguments, 2).to_string())),
    }
}

fn isset(arguments: &[GoValue]) -> Answer {
    let found = arg(arguments, 0).field(&shown(arg(arguments, 1)));
    Ok(GoValue::Bool(found.is_some()))
}

/// The directory of a path, with its slash.
fn directory(arguments: &[GoValue]) -> Answer {
    let path = shown(arg(arguments, 0));
    let end = path.rfind('/').map_or(0, |index| index + 1);
    Ok(text(&path[..end]))
}

/// Adds a port to a list of ports, unless it is there or is 0.
fn exclude_inbound_port(arguments: &[GoValue]) -> Answer {
    let port = shown(arg(arguments, 0)).trim().to_owned();
    let excluded = shown(arg(arguments, 1));
    if port.is_empty() || port == "0" || excluded.split(',').any(|other| other == port) {
        return Ok(text(&excluded));
    }
    let ports: Vec<&str> = excluded
        .split(',')
        .map(str::trim)
        .filter(|other| !other.is_empty())
        .chain([port.as_str()])
        .collect();
    Ok(text(&ports.join(",")))
}

fn ports(containers: &GoValue, with_proxy: bool) -> String {
    let mut found = Vec::new();
    for container in list(containers) {
        let name = container.field("Name").map(shown);
        if !with_proxy && name.as_deref() == Some(crate::PROXY) {
            continue;
        }
        for port in list(container.field("Ports").unwrap_or(&GoValue::Nil)) {
            let protocol = port.field("Protocol").map(shown).unwrap_or_default();
            if protocol != "UDP" && protocol != "SCTP" {
                found.extend(port.field("ContainerPort").map(shown));
            }
        }
    }
    found.join(",")
}

pub(super) fn list(value: &GoValue) -> &[GoValue] {
    match value {
        GoValue::List(items) => items,
        _ => &[],
    }
}

/// Every line but the first, moved to the right.
fn indent(arguments: &[GoValue]) -> Answer {
    let spaces = arg(arguments, 0)
        .as_int()
        .and_then(|count| usize::try_from(count).ok());
    let spaces = " ".repeat(spaces.unwrap_or(0).min(100));
    Ok(text(
        &shown(arg(arguments, 1)).replace('\n', &format!("\n{spaces}")),
    ))
}

/// JSON as Go prints the value: an object of a Go type in the order of that type.
fn printed(value: &GoValue) -> String {
    match (json_of(value), value) {
        (Some(json), _) => json.to_owned(),
        (None, GoValue::Nil) => "{}".to_owned(),
        (None, other) => go_json(&to_json(other)),
    }
}

fn merged(maps: &[GoValue]) -> GoValue {
    let mut found = Map::new();
    for map in maps {
        if let Value::Object(map) = to_json(map) {
            found.extend(map);
        }
    }
    plain(&Value::Object(found))
}

fn omit(arguments: &[GoValue]) -> Answer {
    let keys: Vec<String> = arguments.iter().skip(1).map(shown).collect();
    let mut map = to_json(arg(arguments, 0));
    if let Value::Object(map) = &mut map {
        map.retain(|key, _| !keys.contains(key));
    }
    Ok(plain(&map))
}

fn strdict(arguments: &[GoValue]) -> Answer {
    let pairs: Vec<(String, GoValue)> = arguments
        .chunks(2)
        .map(|pair| (shown(arg(pair, 0)), text(&shown(arg(pair, 1)))))
        .collect();
    Ok(table(
        pairs
            .iter()
            .map(|(key, value)| (key.as_str(), value.clone())),
    ))
}

/// Without nulls, and without what is empty once they are gone.
fn without_nil(value: &Value) -> Value {
    fn filtered(value: &Value) -> (Value, bool) {
        match value {
            Value::Null => (Value::Null, true),
            Value::Object(map) => {
                let parts: Vec<_> = map
                    .iter()
                    .map(|(key, value)| (key, filtered(value)))
                    .collect();
                if !parts.iter().any(|(_, (_, changed))| *changed) {
                    return (value.clone(), false);
                }
                let kept: Map<String, Value> = parts
                    .into_iter()
                    .filter(|(_, (value, _))| !value.is_null())
                    .map(|(key, (value, _))| (key.clone(), value))
                    .collect();
                (
                    if kept.is_empty() {
                        Value::Null
                    } else {
                        Value::Object(kept)
                    },
                    true,
                )
            }
            Value::Array(items) => {
                let parts: Vec<_> = items.iter().map(filtered).collect();
                if !parts.iter().any(|(_, changed)| *changed) {
                    return (value.clone(), false);
                }
                let kept: Vec<Value> = parts
                    .into_iter()
                    .map(|(value, _)| value)
                    .filter(|value| !value.is_null())
                    .collect();
                (
                    if kept.is_empty() {
                        Value::Null
                    } else {
                        Value::Array(kept)
                    },
                    true,
                )
            }
            other => (other.clone(), false),
        }
    }
    filtered(value).0
}

/// Adds a network to the annotation that Multus reads, a list of names or JSON.
fn append_multus_network(arguments: &[GoValue]) -> Answer {
    let (existing, network) = (shown(arg(arguments, 0)), shown(arg(arguments, 1)));
    if existing.is_empty() {
        return Ok(text(&network));
    }
    let Some(end) = existing.rfind(']') else {
        let there = existing.split(',').any(|other| other.trim() == network);
        return Ok(text(&if there {
            existing
        } else {
            format!("{existing}, {network}")
        }));
    };
    let Ok(networks) = serde_json::from_str::<Vec<Map<String, Value>>>(&existing) else {
        return Ok(text(&existing));
    };
    let (namespace, name) = network.split_once('/').unwrap_or(("", &network));
    let field = |map: &Map<String, Value>, key: &str| {
        map.get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    if networks
        .iter()
        .any(|map| field(map, "name") == name && field(map, "namespace") == namespace)
    {
        return Ok(text(&existing));
    }
    let added = match namespace {
        "" => format!(", {{\"name\": \"{name}\"}}"),
        namespace => format!(", {{\"name\": \"{name}\", \"namespace\": \"{namespace}\"}}"),
    };
    Ok(text(&format!(
        "{}{added}{}",
        &existing[..end],
        &existing[end..]
    )))
}

/// Resource attributes by OpenTelemetry's conventions, for meshes with a provider that asks for them:
/// `otelResourceAttributes .MeshConfig annotations labels namespace containers`.
fn otel_resource_attributes(arguments: &[GoValue]) -> Answer {
    let mesh = to_json(arg(arguments, 0));
    let providers = mesh.get("extensionProviders").and_then(Value::as_array);
    let wanted = |provider: &Value| {
        provider.pointer("/opentelemetry/serviceAttributeEnrichment")
            == Some(&json!("OTEL_SEMANTIC_CONVENTIONS"))
    };
    if !providers.is_some_and(|providers| providers.iter().any(wanted)) {
        return Ok(text(""));
    }
    let given = |from: usize, key: &str| {
        let found = arg(arguments, from).field(key).map(shown);
        found.filter(|found| !found.is_empty())
    };
    let namespace = shown(arg(arguments, 3));
    let containers = list(arg(arguments, 4));
    let field =
        |container: &GoValue, name: &str| container.field(name).map(shown).unwrap_or_default();
    let version = match containers {
        [only] => image_version(&field(only, "Image")),
        _ => None,
    };
    let instance = containers
        .first()
        .map(|first| format!("{namespace}.$(POD_NAME).{}", field(first, "Name")));
    let attributes = [
        (
            "service.namespace",
            given(1, "resource.opentelemetry.io/service.namespace")
                .or_else(|| Some(namespace.clone()).filter(|name| !name.is_empty())),
        ),
        (
            "service.version",
            given(1, "resource.opentelemetry.io/service.version")
                .or_else(|| given(2, "app.kubernetes.io/version"))
                .or(version),
        ),
        (
            "service.instance.id",
            given(1, "resource.opentelemetry.io/service.instance.id").or(instance),
        ),
    ];
    let found: Vec<String> = attributes
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", value?)))
        .collect();
    Ok(text(&found.join(",")))
}

/// `1.21`, `sha256:…` or `1.21@sha256:…` of an image.
fn image_version(image: &str) -> Option<String> {
    let (name, digest) = match image.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (image, None),
    };
    let tag = name
        .rsplit('/')
        .next()
        .and_then(|last| last.split_once(':'))
        .map(|(_, tag)| tag);
    match (tag, digest) {
        (Some(tag), Some(digest)) => Some(format!("{tag}@{digest}")),
        (None, None) => None,
        (one, other) => one.or(other).map(str::to_owned),
    }
}
