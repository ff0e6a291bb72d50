//! The mesh under test: the sample IstioOperator, installed when first needed. Cases that only look
//! at it share it; a case that disturbs it has it alone.

use std::time::Duration;

use kube::api::{ApiResource, DeleteParams, DynamicObject};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use crate::cluster;
use crate::eventually::eventually;

/// Namespace of the control plane.
pub const NAMESPACE: &str = "istio-system";
/// Name of the sample.
pub const NAME: &str = "istiocontrolplane";

static MESH: std::sync::LazyLock<std::sync::Arc<RwLock<()>>> =
    std::sync::LazyLock::new(std::sync::Arc::default);

/// The IstioOperators of [`NAMESPACE`].
pub fn operators(client: &Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("install.istio.io", "v1alpha1", "IstioOperator");
    Api::namespaced_with(client.clone(), NAMESPACE, &ApiResource::from_gvk(&kind))
}

/// Holds the installed mesh while others may look at it too.
pub async fn shared(client: &Client) -> OwnedRwLockReadGuard<()> {
    loop {
        let guard = MESH.clone().read_owned().await;
        if healthy(client).await.is_ok() {
            return guard;
        }
        drop(guard);
        drop(exclusive(client).await);
    }
}

/// Holds the installed mesh alone; the case that takes it leaves it healthy, or deleted.
pub async fn exclusive(client: &Client) -> OwnedRwLockWriteGuard<()> {
    let guard = MESH.clone().write_owned().await;
    if healthy(client).await.is_err() {
        install(client).await;
        wait_until_healthy(client).await;
    }
    guard
}

/// Holds the place of the mesh alone, installed or not.
pub async fn bare(client: &Client) -> OwnedRwLockWriteGuard<()> {
    let guard = MESH.clone().write_owned().await;
    delete(client).await;
    guard
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
    if status["status"] == "HEALTHY" && status["observedGeneration"] == json!(generation) {
        Ok(status)
    } else {
        Err(format!("generation {generation:?}: {status}"))
    }
}

/// Waits for [`healthy`] with the time that a first installation may take.
pub async fn wait_until_healthy(client: &Client) -> (Value, Duration) {
    eventually(client, "the sample is HEALTHY", 180, || healthy(client)).await
}

/// Whether the API server said 404.
pub fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}
