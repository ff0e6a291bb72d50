//! The mesh under test: the sample IstioOperator, installed when first needed. Cases that only look
//! at it share it; a case that disturbs it has it alone. Whatever one that failed made of it, the next
//! begins with the sample.

use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client, ResourceExt};
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;

use crate::argocd::{self, Health};
use crate::eventually::eventually;
use crate::{cluster, gate};

/// Namespace of the control plane.
pub const NAMESPACE: &str = "istio-system";
/// Name of the sample.
pub const NAME: &str = "istiocontrolplane";
const SAMPLE: &str = "config/samples/istiooperator.yaml";

/// Where the control plane runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// In the Deployment istiod, which the operator keeps.
    Istiod,
    /// In the operator itself, which is installed in [`NAMESPACE`] then.
    Operator,
}

/// Where the control plane of this cluster runs, by the operator that is installed.
///
/// # Panics
/// When the API server does not answer.
pub async fn host(client: &Client) -> Host {
    let deployments = cluster::dynamic(client, "apps/v1", "Deployment", Some(NAMESPACE));
    match deployments.get_opt("istio-operator").await {
        Ok(Some(_)) => Host::Operator,
        Ok(None) => Host::Istiod,
        Err(error) => panic!("{error}"),
    }
}

/// The Deployment whose pods are the control plane.
pub async fn control_plane(client: &Client) -> &'static str {
    match host(client).await {
        Host::Istiod => "istiod",
        Host::Operator => "istio-operator",
    }
}

/// The IstioOperators of [`NAMESPACE`].
pub fn operators(client: &Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("install.istio.io", "v1alpha1", "IstioOperator");
    Api::namespaced_with(client.clone(), NAMESPACE, &ApiResource::from_gvk(&kind))
}

/// Holds the installed mesh while a few others use it too.
pub async fn shared(client: &Client) -> gate::Shared {
    let guard = gate::shared().await;
    installed(client).await;
    guard
}

/// As [`shared`], for a case that takes minutes and little else.
pub async fn beside(client: &Client) -> gate::Shared {
    let guard = gate::beside().await;
    installed(client).await;
    guard
}

/// Holds the installed mesh alone. The case that takes it leaves it healthy, or deleted; one that fails may leave it
/// paused, with another specification, or with other IstioOperators of its own in [`NAMESPACE`].
pub async fn exclusive(client: &Client) -> gate::Alone {
    let guard = gate::alone().await;
    installed(client).await;
    guard
}

/// Holds the place of the mesh alone, installed or not.
pub async fn bare(client: &Client) -> gate::Alone {
    let guard = gate::alone().await;
    remove_others(client).await;
    delete(client).await;
    guard
}

/// Of several cases that find no mesh, or not that of the sample, one installs it and the others wait.
async fn installed(client: &Client) {
    static ONE: Mutex<()> = Mutex::const_new(());
    let _one = ONE.lock().await;
    remove_others(client).await;
    restore(client).await;
}

/// The specification of the sample.
pub fn sample() -> Value {
    cluster::documents(SAMPLE)[0]["spec"].clone()
}

/// Makes of the mesh that of the sample, whatever a case made of it, and waits until it is healthy; writes nothing when
/// it is.
pub async fn restore(client: &Client) {
    let (found, _) = eventually(client, "an answer about the sample", 30, || async {
        let found = operators(client).get_opt(NAME).await;
        found.map_err(|error| error.to_string())
    })
    .await;
    if let Some(found) = found {
        if found.metadata.deletion_timestamp.is_some() {
            delete(client).await;
        } else {
            if is_paused(&found) {
                pause(client, false).await;
            }
            put_back(client, &found.data["spec"]).await;
        }
    }
    if healthy(client).await.is_err() {
        install(client).await;
        wait_until_healthy(client).await;
    }
}

/// Makes a specification that was found that of the sample, if it is another.
async fn put_back(client: &Client, found: &Value) {
    let sample = sample();
    if *found == sample {
        return;
    }
    // An apply takes away only what nobody else wrote.
    if let Some(more) = superfluous(found, &sample) {
        let patch = json!({"spec": more});
        operators(client)
            .patch(NAME, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .expect("a specification with less");
    }
    install(client).await;
}

/// The merge patch (RFC 7396) that takes from `found` what `wanted` does not have, if there is any.
fn superfluous(found: &Value, wanted: &Value) -> Option<Value> {
    let (found, wanted) = (found.as_object()?, wanted.as_object()?);
    let mut patch = Map::new();
    for (key, value) in found {
        match wanted.get(key) {
            None => {
                patch.insert(key.clone(), Value::Null);
            }
            Some(wanted) => {
                let less = superfluous(value, wanted);
                patch.extend(less.map(|less| (key.clone(), less)));
            }
        }
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// Deletes the IstioOperators that cases made beside the sample, and waits until they are gone.
async fn remove_others(client: &Client) {
    let (all, _) = eventually(client, "IstioOperators can be listed", 30, || async {
        let all = operators(client).list(&ListParams::default()).await;
        all.map(|all| all.items).map_err(|error| error.to_string())
    })
    .await;
    for other in &all {
        let name = other.name_any();
        if name != NAME && is_of_a_case(other) {
            remove(client, &name).await;
        }
    }
}

/// Whether it was written by [`cluster::apply`].
fn is_of_a_case(operator: &DynamicObject) -> bool {
    let mut writers = operator.managed_fields().iter();
    writers.any(|entry| entry.manager.as_deref() == Some(cluster::FIELD_MANAGER))
}

/// Applies the sample, unchanged.
pub async fn install(client: &Client) {
    for document in cluster::documents(SAMPLE) {
        cluster::apply(client, document)
            .await
            .expect("the sample is accepted");
    }
}

/// Deletes the sample and waits until it is gone.
pub async fn delete(client: &Client) -> Duration {
    remove(client, NAME).await
}

async fn remove(client: &Client, name: &str) -> Duration {
    let operators = operators(client);
    if let Err(error) = operators.delete(name, &DeleteParams::default()).await {
        assert!(is_not_found(&error), "{error}");
    }
    let what = format!("IstioOperator {name} is gone");
    let (_, took) = eventually(client, &what, 120, || async {
        match operators.get_opt(name).await {
            Ok(None) => Ok(()),
            Ok(Some(left)) => Err(left.data["status"].to_string()),
            Err(error) => Err(error.to_string()),
        }
    })
    .await;
    took
}

/// The status of the sample, when it says HEALTHY for the present generation.
pub async fn healthy(client: &Client) -> Result<Value, String> {
    let operator = operators(client)
        .get_opt(NAME)
        .await
        .map_err(|error| error.to_string())?;
    let operator = operator.ok_or("there is no IstioOperator")?;
    let status = operator.data["status"].clone();
    let generation = operator.metadata.generation;
    let green = argocd::health(&operator.data) == Health::Healthy;
    if green && status["observedGeneration"] == json!(generation) {
        Ok(status)
    } else {
        Err(format!("generation {generation:?}: {status}"))
    }
}

/// Waits for [`healthy`] with the time that a first installation may take.
pub async fn wait_until_healthy(client: &Client) -> (Value, Duration) {
    eventually(client, "the sample is HEALTHY", 180, || healthy(client)).await
}

/// Sets or removes the annotation that pauses the operator.
pub async fn pause(client: &Client, paused: bool) {
    let value = paused.then_some("true");
    let patch = json!({"metadata": {"annotations": {base::labels::IGNORE_RECONCILE: value}}});
    operators(client)
        .patch(NAME, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .expect("an annotation");
}

fn is_paused(operator: &DynamicObject) -> bool {
    operator
        .annotations()
        .contains_key(base::labels::IGNORE_RECONCILE)
}

/// The address of the ingress gateway's load balancer.
pub async fn ingress(client: &Client) -> String {
    let services: Api<Service> = Api::namespaced(client.clone(), NAMESPACE);
    let (address, _) = eventually(client, "an address of the ingress gateway", 30, || async {
        let service = services
            .get("istio-ingressgateway")
            .await
            .map_err(|error| error.to_string())?;
        let ingress = service
            .status
            .and_then(|status| status.load_balancer)
            .and_then(|balancer| balancer.ingress);
        ingress
            .unwrap_or_default()
            .into_iter()
            .find_map(|entry| entry.ip)
            .ok_or("the Service has none".to_owned())
    })
    .await;
    address
}

/// Whether the API server said 404.
pub fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

#[cfg(test)]
mod tests;
