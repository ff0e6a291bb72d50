//! Who calls, as people write it: a pod, `TYPE/NAME[.NAMESPACE]` of something that has pods, labels, a gateway.

use envoy::simulate::Workload;
use serde_json::Value;

use super::controllers::selects;

const EXPECTED: &str = "expected POD, TYPE/NAME (deployment, statefulset, daemonset, replicaset, job, service, pod, \
                        workloadentry, gateway) or labels as app=web";

/// The workload that is meant; of several the first.
///
/// # Errors
/// When there is none, with what there is.
pub(super) fn find<'a>(
    text: &str,
    namespace: &str,
    objects: &[Value],
    workloads: &'a [Workload],
) -> Result<&'a Workload, String> {
    let (kind, rest) = match text.split_once('/') {
        Some((kind, rest)) => (Some(kind.to_ascii_lowercase()), rest),
        None => (None, text),
    };
    if kind.is_none() && text.contains('=') {
        let labels = labels(text)?;
        return by_labels(&labels, namespace, objects, workloads).ok_or_else(|| {
            format!(
                "no pod of namespace {namespace} has labels {text}{}",
                among(namespace, workloads)
            )
        });
    }
    let (name, namespace) = rest.rsplit_once('.').unwrap_or((rest, namespace));
    let named = |kinds: &[&str]| {
        objects.iter().find(|object| {
            let kind = object["kind"].as_str().unwrap_or_default();
            kinds.iter().any(|own| own.eq_ignore_ascii_case(kind))
                && object["metadata"]["name"] == name
                && object["metadata"]["namespace"] == namespace
        })
    };
    let pod = || {
        let id = format!("{name}.{namespace}");
        workloads.iter().find(|workload| workload.id == id)
    };
    let of_owner = |owner: &Value| {
        let spec = &owner["spec"];
        let selector = match owner["kind"].as_str() {
            Some("Service" | "Gateway") => &spec["selector"],
            _ => match &spec["selector"]["matchLabels"] {
                Value::Null => &spec["template"]["metadata"]["labels"],
                own => own,
            },
        };
        // A Gateway may select pods of any namespace.
        let anywhere = owner["kind"] == "Gateway";
        let own = by_labels(selector, namespace, objects, workloads);
        own.or_else(|| by_labels(selector, "", objects, workloads).filter(|_| anywhere))
    };
    let kinds: &[&str] = match kind.as_deref() {
        None => &[
            "Deployment",
            "StatefulSet",
            "DaemonSet",
            "ReplicaSet",
            "Job",
            "Gateway",
        ],
        Some("pod" | "pods" | "po" | "workloadentry" | "workloadentries" | "we") => &[],
        Some("deployment" | "deployments" | "deploy" | "deployment.apps") => &["Deployment"],
        Some("statefulset" | "statefulsets" | "sts" | "statefulset.apps") => &["StatefulSet"],
        Some("daemonset" | "daemonsets" | "ds" | "daemonset.apps") => &["DaemonSet"],
        Some("replicaset" | "replicasets" | "rs" | "replicaset.apps") => &["ReplicaSet"],
        Some("job" | "jobs" | "job.batch") => &["Job"],
        Some("service" | "services" | "svc") => &["Service"],
        Some("gateway" | "gateways" | "gw") => &["Gateway"],
        Some(_) => return Err(format!("{text:?}: {EXPECTED}")),
    };
    let by_name = if kind.is_none() || kinds.is_empty() {
        pod()
    } else {
        None
    };
    if let Some(found) = by_name {
        return Ok(found);
    }
    match named(kinds) {
        Some(owner) => of_owner(owner).ok_or_else(|| {
            let kind = owner["kind"]
                .as_str()
                .unwrap_or_default()
                .to_ascii_lowercase();
            format!(
                "{kind} {namespace}/{name} has no pods{}",
                among(namespace, workloads)
            )
        }),
        None => Err(format!(
            "{text:?} is not there in namespace {namespace}{}; {EXPECTED}",
            among(namespace, workloads)
        )),
    }
}

/// What else there is.
fn among(namespace: &str, workloads: &[Workload]) -> String {
    const SHOWN: usize = 8;
    let own = workloads.iter().filter(|own| own.namespace == namespace);
    let names: Vec<&str> = own.map(|own| own.id.as_str()).take(SHOWN).collect();
    if !names.is_empty() {
        return format!(", there are {}", names.join(", "));
    }
    let mut others: Vec<&str> = workloads.iter().map(|own| own.namespace.as_str()).collect();
    others.sort_unstable();
    others.dedup();
    match others.is_empty() {
        true => ", nor is any other pod".to_owned(),
        false => format!(", which has no pods; others have: {}", others.join(", ")),
    }
}

fn labels(text: &str) -> Result<Value, String> {
    let pairs = text.split(',').map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (!key.is_empty()).then(|| (key.trim().to_owned(), value.trim().into()))
    });
    let pairs: Option<serde_json::Map<String, Value>> = pairs.collect();
    pairs
        .map(Value::Object)
        .ok_or_else(|| format!("{text:?}: expected labels as app=web,version=v1"))
}

/// A pod with these labels, in a namespace, or anywhere when that is empty.
fn by_labels<'a>(
    selector: &Value,
    namespace: &str,
    objects: &[Value],
    workloads: &'a [Workload],
) -> Option<&'a Workload> {
    let pods = objects.iter().filter(|object| {
        object["kind"] == "Pod"
            && (namespace.is_empty() || object["metadata"]["namespace"] == namespace)
            && selects(selector, &object["metadata"]["labels"])
    });
    let mut ids = pods.map(|pod| {
        let part = |key: &str| pod["metadata"][key].as_str().unwrap_or_default().to_owned();
        format!("{}.{}", part("name"), part("namespace"))
    });
    ids.find_map(|id| workloads.iter().find(|workload| workload.id == id))
}
