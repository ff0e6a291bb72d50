//! The mesh under test: the sample IstioOperator, installed when first needed. Cases that only look
//! at it share it; a case that disturbs it has it alone.

use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::argocd::{self, Health};
use crate::eventually::eventually;
use crate::{cluster, gate};

/// Namespace of the control plane.
pub const NAMESPACE: &str = "istio-system";
/// Name of the sample.
pub const NAME: &str = "istiocontrolplane";

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

/// Holds the installed mesh alone; the case that takes it leaves it healthy, or deleted.
pub async fn exclusive(client: &Client) -> gate::Alone {
    let guard = gate::alone().await;
    installed(client).await;
    guard
}

/// Holds the place of the mesh alone, installed or not.
pub async fn bare(client: &Client) -> gate::Alone {
    let guard = gate::alone().await;
    delete(client).await;
    guard
}

/// Of several cases that find no mesh one installs it and the others wait.
async fn installed(client: &Client) {
    static ONE: Mutex<()> = Mutex::const_new(());
    let _one = ONE.lock().await;
    // A case that failed may have left the operator paused.
    let operator = operators(client).get_opt(NAME).await;
    if operator.is_ok_and(|found| found.is_some_and(|operator| is_paused(&operator))) {
        pause(client, false).await;
    }
    if healthy(client).await.is_err() {
        install(client).await;
        wait_until_healthy(client).await;
    }
}

/// Applies the sample, unchanged.
pub async fn install(client: &Client) {
    for document in cluster::documents("config/samples/istiooperator.yaml") {
        cluster::apply(client, document)
            .await
            .expect("the sample is accepted");
    }
}

/// Deletes the sample and waits until it is gone.
pub async fn delete(client: &Client) -> Duration {
    let operators = operators(client);
    if let Err(error) = operators.delete(NAME, &DeleteParams::default()).await {
        assert!(is_not_found(&error), "{error}");
    }
    let (_, took) = eventually(client, "the IstioOperator is gone", 120, || async {
        match operators.get_opt(NAME).await {
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
