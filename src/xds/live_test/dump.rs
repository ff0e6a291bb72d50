//! What of a proxy's resources does not show in its config_dump, and in the version that it is to have.

use std::collections::{BTreeMap, BTreeSet};

use proto::codec::{self, type_url};
use proto::envoy::config::route::v3::VirtualHost;
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
                // The version of a route configuration is that of the virtual hosts that came last.
                Some((version, _))
                    if *version != resource.version_text() && type_url != type_url::ROUTE =>
                {
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

/// Virtual hosts that are not in their route configurations, with their domains and as many routes; and
/// configurations that have others.
fn missing_hosts(expected: &Resources, shown: &Shown) -> Vec<String> {
    let mut wanted: BTreeMap<String, Vec<VirtualHost>> = BTreeMap::new();
    for resource in expected.of_type(type_url::ROUTE) {
        let inline = codec::decode_route(&resource.bytes()).expect("a route configuration");
        wanted.insert(resource.name.to_string(), inline.virtual_hosts);
    }
    for resource in expected.of_type(type_url::VIRTUAL_HOST) {
        let host = codec::decode_virtual_host(&resource.bytes()).expect("a virtual host");
        let (route, _) = resource.name.rsplit_once('/').expect("ROUTE/NAME");
        wanted.entry(route.to_owned()).or_default().push(host);
    }
    let mut missing = Vec::new();
    for (route, hosts) in wanted {
        let config = shown.get(route.as_str());
        let config = config.map_or(&Value::Null, |(_, resource)| *resource);
        let found = config["virtual_hosts"].as_array();
        let found = found.map_or(&[][..], Vec::as_slice);
        if found.len() != hosts.len() {
            let (found, hosts) = (found.len(), hosts.len());
            missing.push(format!(
                "route {route} has {found} of {hosts} virtual hosts"
            ));
        }
        let lost = hosts
            .iter()
            .filter(|host| !found.iter().any(|found| is(found, host)));
        missing.extend(lost.map(|host| format!("virtual host {} of route {route}", host.name)));
    }
    missing
}

/// Whether a virtual host of the dump is this one.
fn is(found: &Value, host: &VirtualHost) -> bool {
    let list = |key: &str| found[key].as_array().into_iter().flatten();
    let domains: BTreeSet<&str> = list("domains").map(text).collect();
    let wanted: BTreeSet<&str> = host.domains.iter().map(String::as_str).collect();
    found["name"] == host.name && domains == wanted && list("routes").count() == host.routes.len()
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
