//! The IstioOperator's status tells the truth, in the forms that kubectl and ArgoCD read.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use e2e::argocd::Health;
use e2e::installation::{Installation, condition};
use e2e::namespace::Namespace;
use e2e::{cluster, eventually::eventually, mesh, namespace, statuses};
use futures::FutureExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

#[tokio::test]
async fn a_healthy_mesh_says_so_for_each_component() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    let (status, _) = mesh::wait_until_healthy(&client).await;
    // Each version of it passes through what all statuses are held against.
    eventually(&client, "this status was looked at", 20, || async {
        let sample = mesh::operators(&client).get(mesh::NAME).await;
        let now = sample
            .map_err(|error| error.to_string())?
            .resource_version();
        let last = statuses::last(mesh::NAMESPACE, mesh::NAME);
        (last == now)
            .then_some(())
            .ok_or(format!("{last:?}, not {now:?}"))
    })
    .await;
    for component in ["Base", "Pilot", "IngressGateways", "EgressGateways"] {
        assert_eq!(
            status["componentStatus"][component]["status"], "HEALTHY",
            "{component}: {status}"
        );
    }
    for (type_, expected) in [
        ("Ready", "True"),
        ("Reconciling", "False"),
        ("Stalled", "False"),
    ] {
        let condition = condition(&status, type_);
        assert_eq!(condition["status"], expected, "{condition}");
        assert_eq!(
            condition["observedGeneration"], status["observedGeneration"],
            "{condition}"
        );
    }
}

/// Whether the node takes new pods.
async fn schedulable(client: &Client, yes: bool) {
    let nodes = cluster::dynamic(client, "v1", "Node", None);
    let patch = Patch::Merge(json!({"spec": {"unschedulable": !yes}}));
    for node in nodes.list(&ListParams::default()).await.expect("nodes") {
        nodes
            .patch(&node.name_any(), &PatchParams::default(), &patch)
            .await
            .expect("a node takes a patch");
    }
}

#[tokio::test]
async fn a_component_that_loses_its_pods_is_an_error_until_they_are_back() {
    let client = cluster::client().await;
    let _mesh = mesh::exclusive(&client).await;
    let sample = Installation::sample(&client);
    sample.until(30, Health::Healthy, |_| true).await;
    schedulable(&client, false).await;
    let lost = AssertUnwindSafe(async {
        let place = Namespace::existing(&client, mesh::NAMESPACE);
        for pod in place.pods_of("istio-egressgateway").await {
            place
                .pods()
                .delete(&pod.name_any(), &DeleteParams::default())
                .await
                .expect("a pod can be deleted");
        }
        let lost = |status: &Value| {
            condition(status, "EgressGatewaysReady")["status"] == "False"
                && status["componentStatus"]["EgressGateways"]["status"] == "ERROR"
        };
        sample.until(40, Health::Degraded, lost).await
    });
    let lost = lost.catch_unwind().await;
    schedulable(&client, true).await;
    let status = lost.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    println!("{}", status["message"]);
    assert!(
        status["message"]
            .to_string()
            .contains("istio-egressgateway"),
        "{status}"
    );
    assert_eq!(
        condition(&status, "PilotReady")["status"],
        "True",
        "{status}"
    );
    sample.until(60, Health::Healthy, |_| true).await;
}

#[tokio::test]
async fn an_unknown_field_is_an_error_that_names_it_and_never_blocks_deletion() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    namespace::plain(&client, "status-typo", async |place| {
        let installation = Installation::new(&client, &place.name, "separate");
        installation
            .apply(json!({"profile": "empty", "componets": {}}))
            .await;
        let status = installation.until(20, Health::Degraded, |_| true).await;
        let message = status["message"].as_str().unwrap_or_default();
        assert!(
            message.contains("componets") && message.contains("components"),
            "{message}"
        );
        assert_eq!(condition(&status, "Stalled")["status"], "True", "{status}");
        installation.delete(30).await;
    })
    .await;
}

#[tokio::test]
async fn gateways_without_a_control_plane_say_why_at_once() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    namespace::plain(&client, "status-lonely", async |place| {
        let installation = Installation::new(&client, &place.name, "separate");
        let begin = Instant::now();
        installation
            .apply(json!({
                "profile": "empty",
                "values": {"global": {"istioNamespace": place.name}},
                "components": {"ingressGateways": [{"name": "lonely", "enabled": true, "namespace": place.name}]},
            }))
            .await;
        let status = installation
            .until(20, Health::Degraded, |status| {
                condition(status, "IngressGatewaysReady")["reason"] == "ControlPlaneDisabled"
            })
            .await;
        assert_eq!(condition(&status, "IngressGatewaysReady")["status"], "False", "{status}");
        assert!(begin.elapsed().as_secs() < 10, "{:?}", begin.elapsed());
        installation.delete(30).await;
    })
    .await;
}
