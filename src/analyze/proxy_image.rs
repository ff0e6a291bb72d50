//! Proxies whose image is not the one that injection would give today.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::message::PROXY_IMAGE;
use crate::world::{INJECTION, Object, PROXY, REVISION, Report, World, items, labels, selects};

const INJECTOR: &str = "istio-sidecar-injector";

pub fn check(world: &World, report: &mut Report) {
    let injectors = world
        .core("ConfigMap")
        .iter()
        .filter(|map| map.name.starts_with(INJECTOR));
    let images: BTreeMap<&str, String> = injectors.map(|map| (map.name, image(map))).collect();
    for namespace in world.core("Namespace") {
        let revision = namespace.label(REVISION);
        if revision.is_none() && namespace.label(INJECTION) != Some("enabled") {
            continue;
        }
        let injector = match revision {
            None | Some("" | "default") => INJECTOR.to_owned(),
            Some(revision) => format!("{INJECTOR}-{revision}"),
        };
        let Some(expected) = images.get(injector.as_str()) else {
            continue;
        };
        let pods = world
            .core("Pod")
            .iter()
            .filter(|pod| pod.namespace == namespace.name);
        let mut others: Vec<&str> = pods
            .filter(|pod| is_other(world, pod, expected))
            .map(|pod| pod.name)
            .collect();
        others.sort_unstable();
        if !others.is_empty() {
            let text = format!(
                "pods {} have another proxy than {expected}, which injection gives; restart them",
                others.join(", ")
            );
            report.add(PROXY_IMAGE, namespace, text);
        }
    }
}

/// The image of an injector's values.
fn image(map: &Object) -> String {
    let values: Value = map.value["data"]["values"]
        .as_str()
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    let global = &values["global"];
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    };
    let image = text(&global["proxy"]["image"]);
    match image.contains('/') {
        true => image,
        false => format!("{}/{image}:{}", text(&global["hub"]), text(&global["tag"])),
    }
}

fn is_other(world: &World, pod: &Object, expected: &str) -> bool {
    if pod
        .annotation("sidecar.istio.io/proxyImage")
        .is_some_and(|image| !image.is_empty())
    {
        return false;
    }
    let variant = format!("{expected}-{}", image_type(world, pod));
    let spec = pod.spec();
    let mut proxies = items(&spec["containers"])
        .chain(items(&spec["initContainers"]))
        .filter(|container| container["name"] == PROXY);
    proxies.any(|proxy| proxy["image"] != expected && proxy["image"] != variant.as_str())
}

/// `image.imageType` in force for a pod: its annotation, then the ProxyConfig of the workload, the namespace and the
/// mesh, then MeshConfig.
fn image_type(world: &World, pod: &Object) -> String {
    let annotated = pod
        .annotation("proxy.istio.io/config")
        .and_then(|text| api::yaml::documents(text).ok());
    let annotated = annotated
        .into_iter()
        .flatten()
        .find_map(|config| config["image"]["imageType"].as_str().map(str::to_owned));
    let configs = world.networking("ProxyConfig");
    let typed = |config: &&Object| config.spec()["image"]["imageType"].is_string();
    let in_namespace = |namespace: &'_ str, selected: bool| {
        let namespace = namespace.to_owned();
        configs.iter().filter(typed).find(move |config| {
            let selector = &config.spec()["selector"]["matchLabels"];
            let has_selector = selector
                .as_object()
                .is_some_and(|selector| !selector.is_empty());
            config.namespace == namespace
                && has_selector == selected
                && selects(selector, labels(pod))
        })
    };
    let of_resource = in_namespace(pod.namespace, true)
        .or_else(|| in_namespace(pod.namespace, false))
        .or_else(|| in_namespace(world.root(), false));
    let of_resource = of_resource.and_then(|config| config.spec()["image"]["imageType"].as_str());
    let of_mesh = world.mesh["defaultConfig"]["image"]["imageType"].as_str();
    annotated
        .or(of_resource.or(of_mesh).map(str::to_owned))
        .unwrap_or_default()
}
