//! What an Envoy was told, in a form that can be compared: its config_dump without times, and without orders that
//! carry no meaning.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::eventually::eventually;
use crate::namespace::Namespace;
use crate::sidecar;

/// Resources by type and name.
pub type Configuration = BTreeMap<String, Value>;

/// Lists of the dump, with the path from an element of theirs to the resource, and its name in that.
const LISTS: [(&str, &str, &str); 4] = [
    ("dynamic_active_clusters", "/cluster", "name"),
    ("dynamic_listeners", "/active_state/listener", "name"),
    ("dynamic_route_configs", "/route_config", "name"),
    (
        "dynamic_endpoint_configs",
        "/endpoint_config",
        "cluster_name",
    ),
];

/// What a pod's Envoy has at this moment.
///
/// # Errors
/// When it cannot be asked.
pub async fn of(namespace: &Namespace, pod: &str) -> Result<Configuration, String> {
    let text = sidecar::admin(namespace, pod, "/config_dump?include_eds").await?;
    let dump: Value = serde_json::from_str(&text).map_err(|error| format!("{pod}: {error}"))?;
    let mut found = Configuration::new();
    for part in dump["configs"].as_array().into_iter().flatten() {
        for (list, path, name) in LISTS {
            for element in part[list].as_array().into_iter().flatten() {
                let Some(resource) = element.pointer(path) else {
                    continue;
                };
                let name = resource[name].as_str().unwrap_or_default();
                // Others get their endpoints from the connections that come.
                if list == "dynamic_endpoint_configs" && !name.starts_with("outbound|") {
                    continue;
                }
                let key = format!("{path} {name}");
                found.insert(key, ordered(resource));
            }
        }
    }
    Ok(found)
}

/// Virtual hosts and endpoints may stand in any order.
fn ordered(resource: &Value) -> Value {
    let mut resource = resource.clone();
    let sort = |list: Option<&mut Value>| {
        if let Some(list) = list.and_then(Value::as_array_mut) {
            list.sort_by_cached_key(Value::to_string);
        }
    };
    sort(resource.get_mut("virtual_hosts"));
    if let Some(Value::Array(localities)) = resource.get_mut("endpoints") {
        for locality in localities {
            sort(locality.get_mut("lb_endpoints"));
        }
    }
    sort(resource.get_mut("endpoints"));
    resource
}

/// What it has when it changes no more.
pub async fn settled(namespace: &Namespace, pod: &str) -> Configuration {
    let what = format!("the configuration of {pod} rests");
    let (settled, _) = eventually(&namespace.client, &what, 30, || async {
        let first = of(namespace, pod).await?;
        // Long enough for what is on its way.
        tokio::time::sleep(Duration::from_millis(700)).await;
        let second = of(namespace, pod).await?;
        match difference(&first, &second) {
            None => Ok(second),
            Some(difference) => Err(difference),
        }
    })
    .await;
    settled
}

/// Waits until a pod's Envoy has what it had before.
pub async fn is_again(namespace: &Namespace, pod: &str, before: &Configuration) {
    let what = format!("{pod} has its first configuration again");
    let (_, took) = eventually(&namespace.client, &what, 20, || async {
        match difference(before, &of(namespace, pod).await?) {
            None => Ok(()),
            Some(difference) => Err(difference),
        }
    })
    .await;
    println!("{pod} has its first configuration after {took:?}");
}

/// The first resource that differs.
fn difference(before: &Configuration, after: &Configuration) -> Option<String> {
    let gone = before.keys().find(|key| !after.contains_key(*key));
    if let Some(key) = gone {
        return Some(format!("{key} is missing"));
    }
    after
        .iter()
        .find_map(|(key, resource)| match before.get(key) {
            None => Some(format!("{key} is new")),
            Some(known) if known != resource => Some(format!("{key} was {known}, is {resource}")),
            Some(_) => None,
        })
}
