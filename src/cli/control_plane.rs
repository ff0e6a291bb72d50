//! The instances of the control plane in a cluster, and what they tell on their debug endpoints.

use base::labels;
use http::Method;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde_json::Value;

use crate::cluster::pod::PodName;
use crate::cluster::{Cluster, forward, told};

/// Debug endpoints of a control plane.
const DEBUG_PORT: u16 = 15014;

/// A running pod of the control plane.
pub(crate) struct Instance {
    pub pod: PodName,
    pub revision: String,
}

/// The running pods of the control plane, of a revision or with other labels if told so.
///
/// # Errors
/// When there is none; the text says where was looked.
pub(crate) async fn instances(
    cluster: &Cluster,
    revision: Option<&str>,
    selector: Option<&str>,
) -> Result<Vec<Instance>, String> {
    let namespace = &cluster.istio_namespace;
    let selector = match (selector, revision) {
        (Some(selector), _) => selector.to_owned(),
        (None, Some(revision)) => format!("app=istiod,{}={revision}", labels::REVISION),
        (None, None) => "app=istiod".to_owned(),
    };
    let api: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace);
    let running = ListParams::default()
        .labels(&selector)
        .fields("status.phase=Running");
    let listed = api.list(&running).await.map_err(|error| {
        let why = told(&error);
        format!("pods with {selector} in namespace {namespace} cannot be listed: {why}")
    })?;
    let found: Vec<Instance> = listed
        .iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none())
        .map(|pod| Instance {
            pod: PodName {
                name: pod.name_any(),
                namespace: namespace.clone(),
            },
            revision: pod
                .labels()
                .get(labels::REVISION)
                .cloned()
                .unwrap_or_else(|| "default".to_owned()),
        })
        .collect();
    match found.is_empty() {
        true => Err(format!(
            "no running control plane with {selector} in namespace {namespace}; --istioNamespace and --revision \
             say where to look"
        )),
        false => Ok(found),
    }
}

/// What an instance answers.
///
/// # Errors
/// One line that names it and the path.
pub(crate) async fn ask(cluster: &Cluster, pod: &PodName, path: &str) -> Result<Vec<u8>, String> {
    let answer = forward::request(cluster, pod, DEBUG_PORT, Method::GET, path).await?;
    Ok(answer.to_vec())
}

/// How far each proxy of an instance is: its `syncz`.
///
/// # Errors
/// As [`ask`], or when the answer is not understood.
pub(crate) async fn proxies(cluster: &Cluster, pod: &PodName) -> Result<Vec<Value>, String> {
    let answer = ask(cluster, pod, "debug/syncz").await?;
    serde_json::from_slice(&answer)
        .map_err(|error| format!("what {pod} tells of its proxies is not understood: {error}"))
}
