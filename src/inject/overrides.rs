//! Containers that a user writes although the template makes them (`istio-proxy` above all): the user's
//! fields win. An annotation remembers them, so that injecting an injected pod gives the same pod.

use serde_json::{Map, Value, json};

use crate::PROXY;
use crate::error::Error;
use crate::merge::merge;
use crate::pod::{
    annotation, as_object, container, container_mut, find, list, list_mut, metadata_map, name,
};
use crate::schema::{CONTAINER, Kind, POD, encode};

/// Annotation with what was injected.
pub const STATUS: &str = "sidecar.istio.io/status";
/// Annotation with the user's own containers.
const OVERRIDES: &str = "proxy.istio.io/overrides";
/// An image that stands for the injected one, since Kubernetes wants every container to have one.
const AUTO: &str = "auto";
const LISTS: [&str; 2] = ["containers", "initContainers"];

/// The pod before an earlier injection: without the containers that it added, with those that it changed
/// as the user wrote them.
///
/// # Errors
/// The annotation with the user's containers can't be read.
pub fn stripped(pod: &Value, status_port: i64) -> Result<Value, Error> {
    let mut pod = pod.clone();
    if let Some(status) = status(&pod) {
        for from in LISTS {
            let injected = names(&status, from);
            if !injected.is_empty() {
                list_mut(&mut pod, from).retain(|item| !injected.contains(&name(item)));
            }
        }
        crate::prometheus::forget(&mut pod, status_port);
        metadata_map(&mut pod, "annotations").shift_remove(STATUS);
    }
    let remembered = remembered(&pod)?;
    for from in LISTS {
        for container in entries(&remembered, from) {
            if find(list(&pod, from), name(container)).is_none() {
                list_mut(&mut pod, from).push(container.clone());
            }
        }
    }
    Ok(pod)
}

/// Merges the user's containers over what the template made of them, and remembers them.
///
/// # Errors
/// The annotation with the user's containers can't be read, or they do not merge.
pub fn reapply(pod: &mut Value, original: &Value, template: &Value) -> Result<(), Error> {
    let remembered = remembered(original)?;
    let status = status(original);
    let injected = status.clone().unwrap_or_default();
    let mut kept = Map::new();
    for from in LISTS {
        let before = names(&injected, from);
        for made in list(template, from) {
            let made = name(made);
            let found = find(entries(&remembered, from), made);
            let found = found.or_else(|| match from {
                // An earlier injection wrote it, and no user.
                _ if before.contains(&made) => None,
                "containers" => find(list(original, from), made),
                _ => container(original, made),
            });
            let Some(found) = found else { continue };
            let mut over = found.clone();
            if over.get("image").and_then(Value::as_str) == Some(AUTO) {
                as_object(&mut over).shift_remove("image");
            }
            // Printed for every container that is remembered, and says nothing.
            if over.get("resources") == Some(&json!({})) {
                as_object(&mut over).shift_remove("resources");
            }
            let patch = json!({"spec": {from: [over.clone()]}});
            merge(as_object(pod), as_object(&mut patch.clone()), Some(&POD))?;
            let list = kept.entry(from).or_insert_with(|| json!([]));
            if let Value::Array(list) = list {
                list.push(over);
            }
        }
    }
    if status.is_none() && !kept.is_empty() {
        metadata_map(pod, "annotations")
            .insert(OVERRIDES.to_owned(), Value::String(printed(&kept)));
    }
    Ok(())
}

/// The init container captures traffic of every user but the proxy's: where a user runs the proxy as
/// another (`runAsUser`), the rules and the validation follow. With TPROXY the proxy is root.
pub fn follow_user(pod: &mut Value, original: &Value, tproxy: bool) {
    // What the user wrote; after an earlier injection the pod itself has the template's.
    let remembered = remembered(original).unwrap_or_default();
    let written = LISTS
        .into_iter()
        .find_map(|from| find(entries(&remembered, from), PROXY))
        .or_else(|| container(original, PROXY));
    let written = written.and_then(|proxy| proxy.get("securityContext"));
    let given = |field: &str| {
        let given = written.and_then(|written| written.get(field)).cloned();
        given.filter(|id| !id.is_null())
    };
    let (user, group) = (given("runAsUser"), given("runAsGroup"));
    if user.is_none() && group.is_none() {
        return;
    }
    let rules = ["istio-init", "istio-validation"];
    let Some(rules) = rules
        .into_iter()
        .find(|rules| find(list(pod, "initContainers"), rules).is_some())
    else {
        return;
    };
    if tproxy
        && user.is_some()
        && let Some(proxy) = container_mut(pod, PROXY)
    {
        set_user(proxy, Some(json!(0)), None);
    }
    let Some(rules) = list_mut(pod, "initContainers")
        .iter_mut()
        .find(|item| name(item) == rules)
    else {
        return;
    };
    if !tproxy && name(rules) == "istio-validation" {
        set_user(rules, user.clone(), group);
    }
    let Some(user) = user
        .and_then(|user| user.as_i64())
        .filter(|user| *user != 0)
    else {
        return;
    };
    if let Some(Value::Array(arguments)) = rules.get_mut("args") {
        let flag = arguments.iter().position(|argument| argument == "-u");
        if let Some(value) = flag.and_then(|flag| arguments.get_mut(flag + 1)) {
            *value = Value::String(user.to_string());
        }
    }
}

fn set_user(container: &mut Value, user: Option<Value>, group: Option<Value>) {
    let context = as_object(container)
        .entry("securityContext")
        .or_insert(Value::Null);
    let context = as_object(context);
    context.extend(user.map(|user| ("runAsUser".to_owned(), user)));
    context.extend(group.map(|group| ("runAsGroup".to_owned(), group)));
}

/// What the annotation says was injected, if there is one that can be read.
fn status(pod: &Value) -> Option<Value> {
    let status = serde_json::from_str::<Value>(annotation(pod, STATUS)?).ok()?;
    status.is_object().then_some(status)
}

fn names<'a>(status: &'a Value, from: &str) -> Vec<&'a str> {
    let names = status.get(from).and_then(Value::as_array);
    names
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

fn remembered(pod: &Value) -> Result<Value, Error> {
    match annotation(pod, OVERRIDES) {
        None => Ok(Value::Null),
        Some(text) => serde_json::from_str(text).map_err(|error| Error::Remembered {
            annotation: OVERRIDES,
            reason: error.to_string(),
        }),
    }
}

fn entries<'a>(remembered: &'a Value, from: &str) -> &'a [Value] {
    let found = remembered.get(from).and_then(Value::as_array);
    found.map_or(&[], Vec::as_slice)
}

fn printed(kept: &Map<String, Value>) -> String {
    let lists: Vec<String> = LISTS
        .into_iter()
        .filter_map(|from| {
            let items = kept.get(from)?.as_array()?;
            let items: Vec<String> = items
                .iter()
                .map(|item| encode(item, &Kind::Object(&CONTAINER)))
                .collect();
            Some(format!("\"{from}\":[{}]", items.join(",")))
        })
        .collect();
    format!("{{{}}}", lists.join(","))
}
