//! What Kubernetes would add to objects of files: pods of workloads, sidecars, addresses, endpoints of Services.
//! Addresses are made up, of the range that is set apart for tests (RFC 2544). What is there stays as it is.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::workload;

/// When objects without a time of creation count as made.
const CREATED: &str = "2026-01-01T00:00:00Z";
/// Kinds that have pods made from a template.
const OWNERS: [&str; 5] = [
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "ReplicaSet",
    "Job",
];

/// Adds what is missing.
pub(super) fn complete(objects: &mut Vec<Value>) {
    objects.retain(Value::is_object);
    for object in objects.iter_mut() {
        if let Some(metadata) = object["metadata"].as_object_mut() {
            let created = metadata.entry("creationTimestamp").or_insert(Value::Null);
            if created.is_null() {
                *created = CREATED.into();
            }
        }
    }
    let owned: Vec<Value> = objects
        .iter()
        .filter_map(|owner| pod_of(owner, objects))
        .collect();
    objects.extend(owned);
    let namespaces = namespaces(objects);
    let (mut pods, mut services) = (0, 0);
    for object in objects.iter_mut() {
        match object["kind"].as_str() {
            Some("Pod") if object["status"]["podIP"].is_null() => {
                pods += 1;
                start(object, &namespaces, &address(19, pods));
            }
            Some("Service") if lacks_address(object) => {
                services += 1;
                object["spec"]["clusterIP"] = address(18, services).into();
            }
            _ => {}
        }
    }
    let slices: Vec<Value> = objects
        .iter()
        .filter(|object| object["kind"] == "Service")
        .filter_map(|service| slice_of(service, objects))
        .collect();
    objects.extend(slices);
}

fn address(part: u8, number: u32) -> String {
    format!("198.{part}.{}.{}", number / 250, number % 250 + 1)
}

fn lacks_address(service: &Value) -> bool {
    let spec = &service["spec"];
    let said = |key: &str| !matches!(&spec[key], Value::Null) && spec[key] != "";
    !said("clusterIP") && !said("clusterIPs") && spec["type"] != "ExternalName"
}

/// Whether all labels of a selector are those of an object.
pub(super) fn selects(selector: &Value, labels: &Value) -> bool {
    let pairs = selector.as_object().filter(|pairs| !pairs.is_empty());
    pairs.is_some_and(|pairs| pairs.iter().all(|(key, value)| labels[key] == *value))
}

/// A pod of an owner that has none.
fn pod_of(owner: &Value, objects: &[Value]) -> Option<Value> {
    let kind = owner["kind"].as_str()?;
    let spec = &owner["spec"];
    let template = &spec["template"];
    if !OWNERS.contains(&kind) || !template.is_object() || spec["replicas"] == 0 {
        return None;
    }
    let namespace = &owner["metadata"]["namespace"];
    let labels = &template["metadata"]["labels"];
    let selector = match &spec["selector"]["matchLabels"] {
        Value::Null => labels,
        own => own,
    };
    let there = objects.iter().any(|object| {
        object["kind"] == "Pod"
            && object["metadata"]["namespace"] == *namespace
            && selects(selector, &object["metadata"]["labels"])
    });
    if there {
        return None;
    }
    let mut pod = template.clone();
    let fields = pod.as_object_mut()?;
    fields.insert("apiVersion".to_owned(), "v1".into());
    fields.insert("kind".to_owned(), "Pod".into());
    let metadata = fields.entry("metadata").or_insert_with(|| json!({}));
    let name = owner["metadata"]["name"].as_str().unwrap_or_default();
    metadata["name"] = name.into();
    metadata["namespace"] = namespace.clone();
    metadata["creationTimestamp"] = CREATED.into();
    if kind == "StatefulSet" {
        let own = format!("{name}-0");
        pod["metadata"]["name"] = own.clone().into();
        pod["spec"]["hostname"] = own.into();
        pod["spec"]["subdomain"] = spec["serviceName"].clone();
        // So that it is known as one of them.
        pod["metadata"]["generateName"] = format!("{name}-").into();
        pod["metadata"]["ownerReferences"] =
            json!([{"kind": kind, "name": name, "controller": true}]);
    }
    Some(pod)
}

/// Whether pods of a namespace are injected: by its labels; absent for those that no object tells of.
fn namespaces(objects: &[Value]) -> BTreeMap<String, bool> {
    let all = objects
        .iter()
        .filter(|object| object["kind"] == "Namespace");
    let told = all.filter_map(|object| {
        let labels = &object["metadata"]["labels"];
        let wanted = match labels["istio-injection"].as_str() {
            Some(own) => own == "enabled",
            None => labels["istio.io/rev"].is_string(),
        };
        Some((object["metadata"]["name"].as_str()?.to_owned(), wanted))
    });
    told.collect()
}

/// A pod that runs, with its sidecar where it is to have one.
fn start(pod: &mut Value, namespaces: &BTreeMap<String, bool>, address: &str) {
    let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
    let labels = &pod["metadata"]["labels"];
    let asks = labels[inject::INJECT] == "true" || labels["istio.io/rev"].is_string();
    // Where nothing is told of a namespace, its pods are taken for those of the mesh.
    let wanted = asks || namespaces.get(namespace).copied().unwrap_or(true);
    let decided = inject::decide(pod, namespace, &inject::Policy::default());
    if wanted && decided == inject::Verdict::Inject && workload::container(pod).is_none() {
        let containers = &mut pod["spec"]["containers"];
        if let Some(containers) = containers.as_array_mut() {
            containers.push(json!({"name": inject::PROXY}));
        }
    }
    // Gateways do not say that they accept mTLS, injected or not.
    if workload::container(pod).is_some_and(|own| workload::kind(pod, own) == "sidecar") {
        let metadata = &mut pod["metadata"];
        if !metadata["labels"].is_object() {
            metadata["labels"] = Value::Object(Map::new());
        }
        let labels = metadata["labels"].as_object_mut();
        let labels = labels.expect("it was made an object");
        labels
            .entry(workload::TLS_MODE)
            .or_insert_with(|| "istio".into());
    }
    pod["status"] = json!({
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": [{"type": "Ready", "status": "True"}],
    });
}

/// The endpoints of a Service that selects pods and has none.
fn slice_of(service: &Value, objects: &[Value]) -> Option<Value> {
    const SERVICE: &str = "kubernetes.io/service-name";
    let (name, namespace) = (
        &service["metadata"]["name"],
        &service["metadata"]["namespace"],
    );
    let spec = &service["spec"];
    let there = objects.iter().any(|object| {
        object["kind"] == "EndpointSlice"
            && object["metadata"]["namespace"] == *namespace
            && object["metadata"]["labels"][SERVICE] == *name
    });
    if there || !spec["selector"].is_object() {
        return None;
    }
    let pods = objects.iter().filter(|object| {
        object["kind"] == "Pod"
            && object["metadata"]["namespace"] == *namespace
            && selects(&spec["selector"], &object["metadata"]["labels"])
            && object["status"]["podIP"].is_string()
    });
    let pods: Vec<&Value> = pods.collect();
    let ports = spec["ports"].as_array().into_iter().flatten();
    let ports: Vec<Value> = ports
        .filter_map(|port| {
            let number = target(port, &pods)?;
            Some(json!({"name": port["name"].as_str().unwrap_or_default(), "port": number}))
        })
        .collect();
    let endpoints = pods.iter().map(|pod| {
        let ready = pod["status"]["conditions"].as_array().into_iter().flatten();
        let mut ready = ready.filter(|own| own["type"] == "Ready");
        json!({
            "addresses": [pod["status"]["podIP"]],
            "conditions": {"ready": ready.any(|own| own["status"] == "True")},
            "targetRef": {"kind": "Pod", "name": pod["metadata"]["name"], "namespace": namespace},
        })
    });
    let endpoints: Vec<Value> = endpoints.collect();
    Some(json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{}-made-up", name.as_str().unwrap_or_default()),
            "namespace": namespace,
            "labels": {SERVICE: name},
        },
        "addressType": "IPv4",
        "ports": ports,
        "endpoints": endpoints,
    }))
}

/// The number of a port's target, which may be the name of a container's.
fn target(port: &Value, pods: &[&Value]) -> Option<u64> {
    match &port["targetPort"] {
        Value::Null => port["port"].as_u64(),
        Value::String(name) => {
            let containers = pods
                .iter()
                .flat_map(|pod| pod["spec"]["containers"].as_array().into_iter().flatten());
            let mut ports =
                containers.flat_map(|own| own["ports"].as_array().into_iter().flatten());
            let own = ports.find(|own| own["name"] == name.as_str());
            own.and_then(|own| own["containerPort"].as_u64())
                .or_else(|| name.parse().ok())
        }
        number => number.as_u64(),
    }
}

#[cfg(test)]
mod tests;
