//! Namespaces that do not say whether they are injected, pods that lack their proxy, images left to injection.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::message::{
    AUTO_IMAGE_OF_DEPLOYMENT, AUTO_IMAGE_OF_POD, INJECTED_BY_DEFAULT, NAMESPACE_NOT_INJECTED,
    POD_WITHOUT_PROXY, SEVERAL_INJECTION_LABELS,
};
use crate::world::{INJECTION, Object, PROXY, REVISION, Report, World, items, selected};

const MODE: &str = "istio.io/dataplane-mode";

pub fn check(world: &World, report: &mut Report) {
    let mut injected = Vec::new();
    for namespace in world
        .core("Namespace")
        .iter()
        .filter(|namespace| namespace.name != "istio-system")
    {
        labels(report, namespace);
        if namespace.label(MODE) == Some("ambient") {
            continue;
        }
        let asks = namespace.label(INJECTION).unwrap_or_default();
        let revision = namespace.label(REVISION);
        if asks.is_empty() && revision.is_none() {
            undecided(world, report, namespace);
        } else if asks == "enabled" {
            injected.push(namespace.name);
        }
    }
    for pod in world
        .core("Pod")
        .iter()
        .filter(|pod| injected.contains(&pod.namespace))
    {
        proxy(report, pod);
    }
    auto_images(world, report);
}

fn labels(report: &mut Report, namespace: &Object) {
    let asks = namespace.label(INJECTION);
    let others = [REVISION, MODE].map(|name| (name, namespace.label(name)));
    let mut found: Vec<String> = asks
        .iter()
        .map(|value| format!("{INJECTION}={value}"))
        .collect();
    if asks.is_none_or(|asks| asks == "enabled") {
        found.extend(
            others
                .iter()
                .filter_map(|(name, value)| Some(format!("{name}={}", (*value)?))),
        );
    }
    if found.len() > 1 {
        let text = format!(
            "labels {} contradict each other, expected one of them",
            found.join(" and ")
        );
        report.add(SEVERAL_INJECTION_LABELS, namespace, text);
    }
}

fn undecided(world: &World, report: &mut Report, namespace: &Object) {
    let by_default = world
        .core("ConfigMap")
        .iter()
        .filter(|map| map.name == "istio-sidecar-injector");
    let by_default = by_default.into_iter().any(|map| {
        let values: Value = map.value["data"]["values"]
            .as_str()
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default();
        values["sidecarInjectorWebhook"]["enableNamespacesByDefault"] == true
    });
    let name = namespace.name;
    if by_default {
        report.add(
            INJECTED_BY_DEFAULT,
            namespace,
            "is injected, as the installation does it for namespaces without a label",
        );
    } else {
        let text = format!(
            "is not injected: label it {INJECTION}=enabled (kubectl label namespace {name} {INJECTION}=enabled) or {INJECTION}=disabled"
        );
        report.add(NAMESPACE_NOT_INJECTED, namespace, text);
    }
}

fn proxy(report: &mut Report, pod: &Object) {
    let inject = "sidecar.istio.io/inject";
    let refuses = pod.label(inject).or_else(|| pod.annotation(inject));
    let refuses = refuses.is_some_and(|inject| inject.eq_ignore_ascii_case("false"));
    let spec = pod.spec();
    let containers = items(&spec["containers"]).chain(items(&spec["initContainers"]));
    let has = containers
        .into_iter()
        .any(|container| container["name"] == PROXY);
    if !refuses && !has && spec["hostNetwork"] != true {
        report.add(
            POD_WITHOUT_PROXY,
            pod,
            "has no proxy although its namespace is injected; restart the workload",
        );
    }
}

fn auto_images(world: &World, report: &mut Report) {
    let auto = |pod: &Value| {
        items(&pod["containers"])
            .any(|container| container["name"] == PROXY && container["image"] == "auto")
    };
    let text = "has the image auto, which injection replaces, but is not injected";
    for pod in world.core("Pod").iter().filter(|pod| auto(pod.spec())) {
        report.add(AUTO_IMAGE_OF_POD, pod, text);
    }
    for deployment in world.all("apps", "Deployment") {
        let template = &deployment.spec()["template"];
        if auto(&template["spec"])
            && !webhook_takes(world, deployment.namespace, &template["metadata"]["labels"])
        {
            report.add(AUTO_IMAGE_OF_DEPLOYMENT, deployment, text);
        }
    }
}

fn webhook_takes(world: &World, namespace: &str, labels: &Value) -> bool {
    let map = |labels: &Value| -> BTreeMap<String, String> {
        let labels = labels.as_object().into_iter().flatten();
        labels
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect()
    };
    let name = if namespace.is_empty() {
        "default"
    } else {
        namespace
    };
    let of_namespace = world
        .namespace(name)
        .map(|namespace| map(&namespace.value["metadata"]["labels"]));
    let (of_namespace, of_pod) = (of_namespace.unwrap_or_default(), map(labels));
    let hooks = world.all(
        "admissionregistration.k8s.io",
        "MutatingWebhookConfiguration",
    );
    let mut hooks = hooks
        .iter()
        .flat_map(|configuration| items(&configuration.value["webhooks"]));
    hooks.any(|hook| {
        let ours = hook["name"]
            .as_str()
            .is_some_and(|name| name.ends_with("istio.io"));
        ours && selected(&hook["namespaceSelector"], &of_namespace)
            && selected(&hook["objectSelector"], &of_pod)
    })
}
