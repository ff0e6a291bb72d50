//! The workloads of a world: its pods and the machines that WorkloadEntries stand for, each with the proxy that
//! is beside it, as that would say of itself.

use std::net::IpAddr;

use api::snapshot::{Key, Locality, World};
use envoy::simulate::Workload;
use mesh::{Flavour, Proxy};
use serde_json::{Map, Value, json};

/// Label of pods whose proxy accepts the mesh's mTLS; injection puts it there.
pub(super) const TLS_MODE: &str = "security.istio.io/tlsMode";
/// Label with region, zone and subzone, divided by dots.
const LOCALITY: &str = "istio-locality";
/// Environment variables of the proxy that become its metadata.
const TEXT: &str = "ISTIO_META_";
const FIELDS: &str = "ISTIO_METAJSON_";

/// All workloads that have an address.
pub(super) fn all(objects: &[Value], world: &World) -> Vec<Workload> {
    let found = objects
        .iter()
        .filter_map(|object| match object["kind"].as_str()? {
            "Pod" => of_pod(object, world),
            "WorkloadEntry" => of_entry(object),
            _ => None,
        });
    found.collect()
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    let found = value.pointer(pointer);
    found.and_then(Value::as_str).unwrap_or_default()
}

fn of_pod(object: &Value, world: &World) -> Option<Workload> {
    let (namespace, name) = (
        text(object, "/metadata/namespace"),
        text(object, "/metadata/name"),
    );
    let pod = world.pod(&Key::new(namespace, name))?;
    // A pod that has ended keeps an address that another one may have by now.
    if matches!(text(object, "/status/phase"), "Succeeded" | "Failed") {
        return None;
    }
    let addresses = pod.addresses.iter().filter_map(|own| own.parse().ok());
    let addresses: Vec<IpAddr> = addresses.collect();
    let first = addresses.first()?;
    let proxy = container(object).and_then(|container| {
        let kind = kind(object, container);
        let node = format!("{kind}~{first}~{name}.{namespace}~{namespace}.svc.cluster.local");
        let metadata = metadata(object, container, &addresses, &pod.workload);
        let place = match pod.labels.get(LOCALITY) {
            Some(label) => Locality::parse(&label.replace('.', "/")),
            None => world
                .node(&pod.node)
                .map(|node| node.locality.clone())
                .unwrap_or_default(),
        };
        Proxy::of_node(&node, &metadata, place, Flavour::IstioProxy).ok()
    });
    Some(Workload {
        id: format!("{name}.{namespace}"),
        name: pod.workload.clone(),
        namespace: namespace.to_owned(),
        addresses,
        service_account: pod.service_account.clone(),
        proxy,
    })
}

/// The container of the proxy; it may be one of those that begin before all others and stay.
pub(super) fn container(pod: &Value) -> Option<&Value> {
    let lists = ["containers", "initContainers"].map(|list| pod["spec"][list].as_array());
    let mut all = lists.into_iter().flatten().flatten();
    all.find(|container| container["name"] == inject::PROXY)
}

/// `router` for gateways, which say so themselves or through their template.
pub(super) fn kind(pod: &Value, container: &Value) -> &'static str {
    let mut arguments = container["args"].as_array().into_iter().flatten();
    let templates = &pod["metadata"]["annotations"]["inject.istio.io/templates"];
    let templated = templates
        .as_str()
        .is_some_and(|names| names.contains("gateway"));
    match arguments.any(|own| own == "router") || templated {
        true => "router",
        false => "sidecar",
    }
}

fn metadata(pod: &Value, container: &Value, addresses: &[IpAddr], workload: &str) -> Value {
    let addresses: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
    let mut found: Map<String, Value> = Map::new();
    for (key, value) in [
        ("NAME", pod["metadata"]["name"].clone()),
        ("NAMESPACE", pod["metadata"]["namespace"].clone()),
        ("LABELS", pod["metadata"]["labels"].clone()),
        ("NODE_NAME", pod["spec"]["nodeName"].clone()),
        ("INSTANCE_IPS", addresses.join(",").into()),
        ("WORKLOAD_NAME", workload.into()),
        ("CLUSTER_ID", "Kubernetes".into()),
        ("POD_PORTS", ports(pod)),
    ] {
        found.insert(key.to_owned(), value);
    }
    let mode = text(
        pod,
        "/metadata/annotations/sidecar.istio.io~1interceptionMode",
    );
    if !mode.is_empty() {
        found.insert("INTERCEPTION_MODE".to_owned(), mode.into());
    }
    for variable in container["env"].as_array().into_iter().flatten() {
        let (Some(name), Some(value)) = (variable["name"].as_str(), variable["value"].as_str())
        else {
            continue;
        };
        let parsed = || serde_json::from_str::<Value>(value).unwrap_or_default();
        if let Some(key) = name.strip_prefix(TEXT) {
            found.insert(key.to_owned(), value.into());
        } else if name.starts_with(FIELDS) {
            found.extend(parsed().as_object().cloned().unwrap_or_default());
        } else if name == "PROXY_CONFIG" {
            found.insert(name.to_owned(), parsed());
        }
    }
    Value::Object(found)
}

/// Container ports, as the proxy tells them.
fn ports(pod: &Value) -> Value {
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let ports = containers.flat_map(|own| own["ports"].as_array().into_iter().flatten());
    ports.cloned().collect()
}

fn of_entry(object: &Value) -> Option<Workload> {
    let (namespace, name) = (
        text(object, "/metadata/namespace"),
        text(object, "/metadata/name"),
    );
    let spec = &object["spec"];
    let address: IpAddr = spec["address"].as_str()?.parse().ok()?;
    let account = text(spec, "/serviceAccount");
    let labels = &spec["labels"];
    let in_mesh = labels[TLS_MODE] == "istio" || object["metadata"]["labels"][TLS_MODE] == "istio";
    let proxy = in_mesh.then(|| {
        let node = format!("sidecar~{address}~{name}.{namespace}~{namespace}.svc.cluster.local");
        let metadata =
            json!({"NAMESPACE": namespace, "LABELS": labels, "CLUSTER_ID": "Kubernetes"});
        let place = Locality::parse(text(spec, "/locality"));
        Proxy::of_node(&node, &metadata, place, Flavour::IstioProxy).ok()
    });
    Some(Workload {
        id: format!("{name}.{namespace}"),
        name: name.to_owned(),
        namespace: namespace.to_owned(),
        addresses: vec![address],
        service_account: if account.is_empty() {
            "default"
        } else {
            account
        }
        .to_owned(),
        proxy: proxy.flatten(),
    })
}
