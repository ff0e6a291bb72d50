//! Sidecars and Telemetries: two for one workload or namespace, or one for no workload.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::message::{
    CONFLICTING_SIDECARS, CONFLICTING_TELEMETRIES, Code, INEFFECTIVE_POLICY, NOT_FOUND,
    SIDECARS_WITHOUT_SELECTOR, TELEMETRIES_WITHOUT_SELECTOR,
};
use crate::world::{
    INJECTION, Object, REVISION, Report, World, is_ambient, labels, printed, selects,
};

pub fn check(world: &World, report: &mut Report) {
    let labels_of_sidecar = |sidecar: &Object| -> Option<Value> {
        let labels = &sidecar.value["spec"]["workloadSelector"]["labels"];
        labels
            .as_object()
            .is_some_and(|labels| !labels.is_empty())
            .then(|| labels.clone())
    };
    let codes = (CONFLICTING_SIDECARS, SIDECARS_WITHOUT_SELECTOR);
    of_kind(
        world,
        report,
        world.networking("Sidecar"),
        codes,
        labels_of_sidecar,
    );

    let telemetries = world.all("telemetry.istio.io", "Telemetry");
    let labels_of_telemetry = |telemetry: &Object| -> Option<Value> {
        let selector = &telemetry.value["spec"]["selector"];
        (!selector.is_null()).then(|| selector["matchLabels"].clone())
    };
    let codes = (CONFLICTING_TELEMETRIES, TELEMETRIES_WITHOUT_SELECTOR);
    of_kind(world, report, telemetries, codes, labels_of_telemetry);
}

fn of_kind(
    world: &World,
    report: &mut Report,
    objects: &[Object],
    (conflict, whole): (Code, Code),
    selector: impl Fn(&Object) -> Option<Value>,
) {
    let mut by_namespace: BTreeMap<&str, Vec<&Object>> = BTreeMap::new();
    let mut by_pod: BTreeMap<(&str, &str), Vec<&Object>> = BTreeMap::new();
    for object in objects {
        let Some(selector) = selector(object) else {
            by_namespace
                .entry(object.namespace)
                .or_default()
                .push(object);
            continue;
        };
        let pods = world
            .core("Pod")
            .iter()
            .filter(|pod| pod.namespace == object.namespace && selects(&selector, labels(pod)));
        let mut found = false;
        for pod in pods {
            found = true;
            by_pod
                .entry((pod.namespace, pod.name))
                .or_default()
                .push(object);
        }
        if !found
            && selector
                .as_object()
                .is_some_and(|selector| !selector.is_empty())
        {
            report.add(
                NOT_FOUND,
                object,
                format!("selector {:?} selects no pod", printed(&selector)),
            );
        }
    }
    for ((namespace, name), rivals) in by_pod {
        let pod = world.find("", "Pod", namespace, name);
        if pod.is_some_and(is_ambient) && conflict == CONFLICTING_SIDECARS {
            for object in rivals {
                report.add(
                    INEFFECTIVE_POLICY,
                    object,
                    "selects a workload of the ambient mesh, where it has no effect",
                );
            }
        } else if rivals.len() > 1 {
            for object in &rivals {
                let text = format!(
                    "{} all select pod {namespace}/{name}, and only one of them can apply",
                    names(&rivals)
                );
                report.add(conflict, object, text);
            }
        }
    }
    for (namespace, rivals) in by_namespace {
        if conflict == CONFLICTING_SIDECARS
            && world.namespace(namespace).is_some_and(is_ambient_namespace)
        {
            for object in rivals {
                report.add(
                    INEFFECTIVE_POLICY,
                    object,
                    "is in a namespace of the ambient mesh, where it has no effect",
                );
            }
        } else if rivals.len() > 1 {
            for object in &rivals {
                let text = format!(
                    "{} are all for the whole namespace {namespace}, and only one of them can apply",
                    names(&rivals)
                );
                report.add(whole, object, text);
            }
        }
    }
}

fn names(objects: &[&Object]) -> String {
    let mut names: Vec<&str> = objects.iter().map(|object| object.name).collect();
    names.sort_unstable();
    names.join(", ")
}

fn is_ambient_namespace(namespace: &Object) -> bool {
    let injected = namespace.label(INJECTION) == Some("enabled");
    let revision = namespace
        .label(REVISION)
        .is_some_and(|revision| !revision.is_empty());
    !injected && !revision && namespace.label("istio.io/dataplane-mode") == Some("ambient")
}
