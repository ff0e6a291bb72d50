//! The objects of a cluster that decide about calls. Secrets are not among them.

use kube::Api;
use kube::api::DynamicObject;
use serde_json::Value;

use crate::analyze::cluster::{listed, located, resource};
use crate::cluster::{Cluster, told};

/// Kinds of Kubernetes.
const KUBERNETES: [(&str, &str, &str); 10] = [
    ("", "v1", "Namespace"),
    ("", "v1", "Node"),
    ("", "v1", "Pod"),
    ("", "v1", "Service"),
    ("discovery.k8s.io", "v1", "EndpointSlice"),
    ("apps", "v1", "Deployment"),
    ("apps", "v1", "StatefulSet"),
    ("apps", "v1", "DaemonSet"),
    ("networking.k8s.io", "v1", "Ingress"),
    ("networking.k8s.io", "v1", "IngressClass"),
];
/// The ConfigMap of the control plane.
const CONFIG: &str = "istio";

/// All objects, and the namespace that names without one are of.
pub(super) async fn objects(cluster: Cluster) -> Result<(Vec<Value>, String), String> {
    let ours = crate::analyze::cluster::ours();
    let kinds = KUBERNETES.into_iter().chain(ours);
    let found = listed(&cluster, kinds).await?;
    let mut objects: Vec<Value> = found.into_iter().map(|located| located.object).collect();
    let maps = resource("", "v1", "ConfigMap");
    let api: Api<DynamicObject> =
        Api::namespaced_with(cluster.client.clone(), &cluster.istio_namespace, &maps);
    match api.get_opt(CONFIG).await {
        Ok(map) => objects.extend(map.map(|map| located(map, &maps).object)),
        Err(error) => eprintln!(
            "configmap {}/{CONFIG} is left out, the mesh's defaults hold: {}",
            cluster.istio_namespace,
            told(&error)
        ),
    }
    Ok((objects, cluster.namespace.clone()))
}
