//! What of a proxy's resources does not show in its config_dump, and in the version that it is to have.

use std::collections::{BTreeMap, BTreeSet};

use proto::codec::{self, type_url};
use serde_json::Value;
use xds::Resources;

/// By a resource's name: its version as Envoy has it, and the resource.
type Shown<'a> = BTreeMap<&'a str, (&'a str, &'a Value)>;

/// Every resource that is missing or not active or of another version, and every one that is there and should
/// not be.
pub fn missing(expected: &Resources, dump: &str) -> Vec<String> {
    let Ok(dump) = serde_json::from_str::<Value>(dump) else {
        return vec!["no config_dump".to_owned()];
    };
    let mut missing = Vec::new();
    for (type_url, shown) in [
        (
            type_url::CLUSTER,
            section(&dump, "dynamic_active_clusters", &["cluster", "name"]),
        ),
        (type_url::LISTENER, listeners(&dump)),
        (
            type_url::ROUTE,
            section(&dump, "dynamic_route_configs", &["route_config", "name"]),
        ),
    ] {
        let short = type_url.rsplit('.').next().unwrap_or_default();
        let table = expected.table(type_url);
        for resource in table.iter() {
            match shown.get(&*resource.name) {
                None => missing.push(format!("{short} {} is not active", resource.name)),
                Some((version, _)) if *version != resource.version_text() => {
                    missing.push(format!("{short} {} has another version", resource.name));
                }
                Some(_) => {}
            }
        }
        let others = shown.keys().filter(|name| table.get(name).is_none());
        missing.extend(others.map(|name| format!("{short} {name} is still there")));
        if type_url == type_url::ROUTE {
            missing.extend(missing_hosts(expected, &shown));
        }
    }
    let assigned: BTreeMap<&str, usize> = elements(&dump, "dynamic_endpoint_configs")
        .map(|element| {
            let assignment = &element["endpoint_config"];
            (text(&assignment["cluster_name"]), endpoints(assignment))
        })
        .collect();
    for resource in expected.of_type(type_url::ENDPOINT) {
        let assignment = codec::decode_endpoint(&resource.bytes()).expect("an assignment");
        let localities = assignment.endpoints.iter();
        let count: usize = localities.map(|locality| locality.lb_endpoints.len()).sum();
        match assigned.get(&*resource.name) {
            Some(shown) if *shown == count => {}
            shown => missing.push(format!(
                "endpoints of {}: {shown:?}, expected {count}",
                resource.name
            )),
        }
    }
    let secrets = elements(&dump, "dynamic_active_secrets");
    let secrets: BTreeSet<&str> = secrets.map(|secret| text(&secret["name"])).collect();
    let wanted = expected.of_type(type_url::SECRET);
    let wanted = wanted.filter(|secret| !secrets.contains(&*secret.name));
    missing.extend(wanted.map(|secret| format!("secret {} is not active", secret.name)));
    missing
}

/// Virtual hosts that are not in their route configurations, with their domains.
fn missing_hosts(expected: &Resources, shown: &Shown) -> Vec<String> {
    let mut wanted: Vec<(String, String, BTreeSet<String>)> = Vec::new();
    for resource in expected.of_type(type_url::ROUTE) {
        let inline = codec::decode_route(&resource.bytes()).expect("a route configuration");
        let hosts = inline.virtual_hosts.into_iter();
        let route = resource.name.to_string();
        wanted.extend(
            hosts.map(|host| (route.clone(), host.name, host.domains.into_iter().collect())),
        );
    }
    for resource in expected.of_type(type_url::VIRTUAL_HOST) {
        let host = codec::decode_virtual_host(&resource.bytes()).expect("a virtual host");
        let route = resource
            .name
            .split('/')
            .next()
            .unwrap_or_default()
            .to_owned();
        wanted.push((route, host.name, host.domains.into_iter().collect()));
    }
    let mut missing = Vec::new();
    for (route, name, domains) in wanted {
        let config = shown
            .get(route.as_str())
            .map_or(&Value::Null, |(_, resource)| *resource);
        let mut hosts = config["virtual_hosts"].as_array().into_iter().flatten();
        let there = hosts.any(|host| {
            let found = host["domains"].as_array().into_iter().flatten();
            let found: BTreeSet<String> = found.map(|domain| text(domain).to_owned()).collect();
            host["name"] == name && found == domains
        });
        if !there {
            missing.push(format!("virtual host {name} of route {route}"));
        }
    }
    missing
}

/// The elements of a list with this name, in whichever part of the dump it stands.
fn elements<'a>(dump: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    let parts = dump["configs"].as_array().into_iter().flatten();
    parts
        .filter_map(move |part| part[list].as_array())
        .flatten()
}

fn section<'a>(dump: &'a Value, list: &str, name: &[&str]) -> Shown<'a> {
    let all = elements(dump, list);
    all.map(|element| {
        let resource = &element[name[0]];
        (
            text(&resource[name[1]]),
            (text(&element["version_info"]), resource),
        )
    })
    .collect()
}

/// Listeners that are active; those that warm or drain are not.
fn listeners(dump: &Value) -> Shown<'_> {
    let all = elements(dump, "dynamic_listeners");
    all.filter(|element| element["active_state"].is_object())
        .map(|element| {
            let active = &element["active_state"];
            (
                text(&element["name"]),
                (text(&active["version_info"]), &active["listener"]),
            )
        })
        .collect()
}

fn endpoints(assignment: &Value) -> usize {
    let localities = assignment["endpoints"].as_array().into_iter().flatten();
    localities
        .map(|locality| locality["lb_endpoints"].as_array().map_or(0, Vec::len))
        .sum()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
