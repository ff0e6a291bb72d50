//! What the API server holds of one installation, object by object, without what differs from one run to the next
//! though the same was asked for, and without what other controllers write.

use std::collections::BTreeMap;

use base::labels;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::discovery::{Discovery, verbs};
use kube::{Api, Client};
use serde_json::{Map, Value};

use crate::cluster;

/// Objects that controllers make of ours, and label as ours are.
const DERIVED: [&str; 4] = ["Endpoints", "EndpointSlice", "Pod", "ReplicaSet"];

/// By `Kind namespace/name`.
pub type Contents = BTreeMap<String, Value>;

/// Every kind that can be listed.
///
/// # Panics
/// When discovery fails: contents that lack a kind compare equal by accident.
pub async fn kinds(client: &Client) -> Vec<ApiResource> {
    let discovery = Discovery::new(client.clone()).run().await;
    let discovery = discovery.expect("API discovery");
    let all = discovery
        .groups()
        .flat_map(|group| group.recommended_resources());
    all.filter(|(_, capabilities)| capabilities.supports_operation(verbs::LIST))
        .map(|(resource, _)| resource)
        .filter(|resource| !DERIVED.contains(&resource.kind.as_str()))
        .collect()
}

/// The objects that bear the labels of the IstioOperator `namespace/name`, that itself and its inventory.
///
/// # Errors
/// When an object cannot be had: what is incomplete compares equal by accident.
pub async fn of(
    client: &Client,
    kinds: &[ApiResource],
    namespace: &str,
    name: &str,
) -> Result<Contents, String> {
    let selector = format!(
        "{}={name},{}={namespace}",
        labels::OWNING_RESOURCE,
        labels::OWNING_RESOURCE_NAMESPACE
    );
    let mut contents = Contents::new();
    for kind in kinds {
        let api: Api<DynamicObject> = Api::all_with(client.clone(), kind);
        let list = api.list(&ListParams::default().labels(&selector)).await;
        let list = list.map_err(|error| format!("{}: {error}", kind.plural))?;
        for object in list {
            contents.extend(entry(&kind.kind, object));
        }
    }
    let inventory = format!("istio-operator-inventory-{name}");
    for (api_version, kind, name) in [
        ("install.istio.io/v1alpha1", "IstioOperator", name),
        ("v1", "ConfigMap", inventory.as_str()),
    ] {
        let api = cluster::dynamic(client, api_version, kind, Some(namespace));
        let found = api.get_opt(name).await.map_err(|error| error.to_string())?;
        contents.extend(found.and_then(|object| entry(kind, object)));
    }
    Ok(contents)
}

fn entry(kind: &str, object: DynamicObject) -> Option<(String, Value)> {
    let namespace = object.metadata.namespace.clone();
    let name = object.metadata.name.clone()?;
    let place = namespace.map_or_else(String::new, |namespace| namespace + "/");
    let value = serde_json::to_value(object).expect("an object came from JSON");
    Some((format!("{kind} {place}{name}"), lasting(kind, value)))
}

/// Without uids, times and versions, addresses that are allotted by chance, and status where it is somebody else's.
fn lasting(kind: &str, mut object: Value) -> Value {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        // The generation counts the writes of everyone.
        for key in ["uid", "resourceVersion", "creationTimestamp", "generation"] {
            metadata.remove(key);
        }
        let mut owners = Vec::new();
        for owner in list(metadata, "ownerReferences") {
            owners.extend(owner["uid"].as_str().map(str::to_owned));
            remove(owner, &["uid"]);
        }
        // Fields of an owner are named after its uid.
        if let Some(managers) = metadata.get_mut("managedFields") {
            let text = owners
                .iter()
                .fold(managers.to_string(), |text, uid| text.replace(uid, "owner"));
            *managers = serde_json::from_str(&text).expect("it was JSON before");
        }
        for manager in list(metadata, "managedFields") {
            remove(manager, &["time"]);
        }
        if let Some(managers) = metadata
            .get_mut("managedFields")
            .and_then(Value::as_array_mut)
        {
            managers.retain(|manager| {
                let name = manager["manager"].as_str().unwrap_or_default();
                name == labels::FIELD_MANAGER || name == "e2e"
            });
            // They stand in the order of their times.
            managers.sort_by_key(Value::to_string);
        }
        if let Some(annotations) = metadata.get_mut("annotations") {
            remove(annotations, &["deployment.kubernetes.io/revision"]);
        }
    }
    match kind {
        "IstioOperator" => {
            let status = object.get_mut("status").and_then(Value::as_object_mut);
            for condition in status
                .into_iter()
                .flat_map(|status| list(status, "conditions"))
            {
                remove(condition, &["lastTransitionTime"]);
            }
        }
        _ => remove(&mut object, &["status"]),
    }
    match kind {
        "Service" => {
            let spec = &mut object["spec"];
            remove(spec, &["clusterIP", "clusterIPs", "healthCheckNodePort"]);
            for port in spec
                .as_object_mut()
                .into_iter()
                .flat_map(|spec| list(spec, "ports"))
            {
                remove(port, &["nodePort"]);
            }
        }
        "ConfigMap" => {
            if let Some(Value::String(text)) = object.pointer_mut("/data/objects") {
                *text = without_uids(text);
            }
        }
        _ => {}
    }
    object
}

/// Lines of the inventory, `apiVersion kind object uid body fields`, without the uid.
fn without_uids(inventory: &str) -> String {
    let lines = inventory.lines().map(|line| {
        let words = line.split(' ').enumerate();
        let kept = words.filter(|(index, _)| *index != 3).map(|(_, word)| word);
        kept.collect::<Vec<_>>().join(" ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn list<'a>(object: &'a mut Map<String, Value>, key: &str) -> impl Iterator<Item = &'a mut Value> {
    object
        .get_mut(key)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
}

fn remove(value: &mut Value, keys: &[&str]) {
    if let Some(object) = value.as_object_mut() {
        keys.iter().for_each(|key| drop(object.remove(*key)));
    }
}

/// Where two differ: the objects, and of one that both have the first field that is not the same.
pub fn differences(one: &Contents, other: &Contents) -> Vec<String> {
    let mut names: Vec<_> = one.keys().chain(other.keys()).collect();
    names.sort();
    names.dedup();
    let told = names
        .into_iter()
        .filter_map(|name| match (one.get(name), other.get(name)) {
            (Some(one), Some(other)) => first(one, other).map(|what| format!("{name}: {what}")),
            (Some(_), None) => Some(format!("{name} is missing")),
            (None, _) => Some(format!("{name} is too much")),
        });
    told.collect()
}

fn first(one: &Value, other: &Value) -> Option<String> {
    if one == other {
        return None;
    }
    let (Value::Object(left), Value::Object(right)) = (one, other) else {
        return Some(format!("{one}, and {other}"));
    };
    let mut keys = left.keys().chain(right.keys());
    keys.find_map(|key| {
        let of = |map: &Map<String, Value>| map.get(key).cloned().unwrap_or(Value::Null);
        first(&of(left), &of(right)).map(|what| format!("{key}: {what}"))
    })
}

#[cfg(test)]
mod tests;
