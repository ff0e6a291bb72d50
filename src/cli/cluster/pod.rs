//! Which pod is meant: `NAME[.NAMESPACE]`, or `TYPE/NAME[.NAMESPACE]` of something that has pods.

use std::fmt;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::ListParams;
use kube::core::Selector;
use kube::{Api, ResourceExt};

use super::{Cluster, told};

/// A pod by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodName {
    pub name: String,
    pub namespace: String,
}

impl fmt::Display for PodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.name, self.namespace)
    }
}

/// What was written for a pod.
#[derive(Debug, PartialEq)]
struct Written<'a> {
    kind: Option<&'a str>,
    name: &'a str,
    namespace: &'a str,
}

fn read<'a>(text: &'a str, default_namespace: &'a str) -> Written<'a> {
    let (kind, rest) = match text.rsplit_once('/') {
        Some((kind, rest)) if !kind.is_empty() => (Some(kind), rest),
        _ => (None, text),
    };
    let (name, namespace) = rest.rsplit_once('.').unwrap_or((rest, default_namespace));
    Written {
        kind,
        name,
        namespace,
    }
}

/// One pod of those meant, preferably one that is ready.
///
/// # Errors
/// When nothing of that name exists or it has no pods; the text says where was looked.
pub(crate) async fn one(cluster: &Cluster, text: &str) -> Result<PodName, String> {
    let mut all = all(cluster, text).await?;
    Ok(all.swap_remove(0))
}

/// All pods meant, never none; those that are ready come first.
///
/// # Errors
/// As [`one`].
pub(crate) async fn all(cluster: &Cluster, text: &str) -> Result<Vec<PodName>, String> {
    let written = read(text, &cluster.namespace);
    let pod = |name: &str| PodName {
        name: name.to_owned(),
        namespace: written.namespace.to_owned(),
    };
    let Some(kind) = written.kind else {
        return Ok(vec![pod(written.name)]);
    };
    // `deployment.apps` and the like name the group as well.
    let short = kind.split('.').next().unwrap_or(kind).to_ascii_lowercase();
    let selector = match short.as_str() {
        "pod" | "pods" | "po" => return Ok(vec![pod(written.name)]),
        "deployment" | "deployments" | "deploy" => {
            let found = get::<Deployment>(cluster, "deployment", &written).await?;
            found.spec.map(|spec| spec.selector)
        }
        "statefulset" | "statefulsets" | "sts" => {
            let found = get::<StatefulSet>(cluster, "statefulset", &written).await?;
            found.spec.map(|spec| spec.selector)
        }
        "daemonset" | "daemonsets" | "ds" => {
            let found = get::<DaemonSet>(cluster, "daemonset", &written).await?;
            found.spec.map(|spec| spec.selector)
        }
        "replicaset" | "replicasets" | "rs" => {
            let found = get::<ReplicaSet>(cluster, "replicaset", &written).await?;
            found.spec.map(|spec| spec.selector)
        }
        "job" | "jobs" => {
            let found = get::<Job>(cluster, "job", &written).await?;
            found.spec.and_then(|spec| spec.selector)
        }
        "service" | "services" | "svc" => {
            let found = get::<Service>(cluster, "service", &written).await?;
            let labels = found.spec.and_then(|spec| spec.selector);
            labels.map(|labels| LabelSelector {
                match_labels: Some(labels),
                ..LabelSelector::default()
            })
        }
        _ => {
            return Err(format!(
                "{text}: {kind:?} has no pods that are looked for here, expected pod, deployment, statefulset, \
                 daemonset, replicaset, job or service"
            ));
        }
    };
    let selector = selector.filter(|selector| *selector != LabelSelector::default());
    let Some(selector) = selector else {
        return Err(format!("{text}: {short} selects no pods"));
    };
    let selector: Selector = selector
        .try_into()
        .map_err(|error| format!("{text}: its selector is not understood: {error}"))?;
    let found = selected(cluster, written.namespace, &selector.to_string()).await?;
    match found.is_empty() {
        true => Err(format!(
            "{text} has no pods in namespace {}",
            written.namespace
        )),
        false => Ok(found),
    }
}

/// The pods of a namespace that a label selector names; those that are ready come first.
///
/// # Errors
/// What the API server said.
pub(crate) async fn selected(
    cluster: &Cluster,
    namespace: &str,
    selector: &str,
) -> Result<Vec<PodName>, String> {
    let api: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace);
    let listed = api.list(&ListParams::default().labels(selector)).await;
    let mut pods = listed
        .map_err(|error| {
            let why = told(&error);
            format!("pods with {selector} in namespace {namespace} cannot be listed: {why}")
        })?
        .items;
    pods.retain(|pod| phase(pod) != "Succeeded" && phase(pod) != "Failed");
    pods.sort_by_key(|pod| (rank(pod), pod.name_any()));
    let named = pods.iter().map(|pod| PodName {
        name: pod.name_any(),
        namespace: namespace.to_owned(),
    });
    Ok(named.collect())
}

fn phase(pod: &Pod) -> &str {
    let status = pod.status.as_ref();
    status
        .and_then(|status| status.phase.as_deref())
        .unwrap_or_default()
}

/// The lower, the likelier to answer.
fn rank(pod: &Pod) -> u8 {
    let conditions = pod
        .status
        .iter()
        .filter_map(|status| status.conditions.as_ref());
    let ready = conditions
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let leaving = pod.metadata.deletion_timestamp.is_some();
    match (leaving, ready, phase(pod)) {
        (false, true, _) => 0,
        (false, false, "Running") => 1,
        (true, _, "Running") => 2,
        _ => 3,
    }
}

async fn get<K>(cluster: &Cluster, kind: &str, written: &Written<'_>) -> Result<K, String>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
    K::DynamicType: Default,
{
    let api: Api<K> = Api::namespaced(cluster.client.clone(), written.namespace);
    api.get(written.name).await.map_err(|error| {
        format!(
            "{kind} {}/{}: {}",
            written.namespace,
            written.name,
            told(&error)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::{Written, read};

    fn check(text: &str, kind: Option<&str>, name: &str, namespace: &str) {
        let expected = Written {
            kind,
            name,
            namespace,
        };
        assert_eq!(read(text, "default"), expected, "{text}");
    }

    #[test]
    fn a_namespace_follows_the_last_dot() {
        check("web-1", None, "web-1", "default");
        check("web-1.shop", None, "web-1", "shop");
        check("web.v1-1.shop", None, "web.v1-1", "shop");
        check("deploy/web", Some("deploy"), "web", "default");
        check(
            "deployment.apps/web.shop",
            Some("deployment.apps"),
            "web",
            "shop",
        );
    }
}
