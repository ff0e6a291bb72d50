//! One IstioOperator becomes a control plane and gateways that really run.

use std::collections::BTreeMap;

use e2e::{cluster, diagnose, eventually::eventually, mesh};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

const GATEWAYS: [&str; 2] = ["istio-ingressgateway", "istio-egressgateway"];

/// Deployments of the installation: the gateways, and istiod unless the operator hosts the control plane.
async fn deployments(client: &Client) -> Vec<&'static str> {
    match mesh::host(client).await {
        mesh::Host::Istiod => [&GATEWAYS[..], &["istiod"]].concat(),
        mesh::Host::Operator => GATEWAYS.to_vec(),
    }
}

/// Running and Ready pods by the value of their label `app`.
async fn ready_pods(client: &Client) -> BTreeMap<String, usize> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), mesh::NAMESPACE);
    let mut count = BTreeMap::new();
    for pod in pods
        .list(&ListParams::default())
        .await
        .expect("pods can be listed")
    {
        let running = pod
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref())
            == Some("Running");
        if running && diagnose::ready(&pod) && pod.metadata.deletion_timestamp.is_none() {
            *count
                .entry(pod.labels().get("app").cloned().unwrap_or_default())
                .or_default() += 1;
        }
    }
    count
}

#[tokio::test]
async fn two_pods_of_each_workload_are_ready() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    eventually(&client, "two ready pods each", 60, || async {
        let ready = ready_pods(&client).await;
        // The control plane's pods have this label wherever it runs.
        let mut apps = GATEWAYS.iter().chain(&["istiod"]);
        match apps.all(|app| ready.get(*app) == Some(&2)) {
            true => Ok(()),
            false => Err(format!("{ready:?}")),
        }
    })
    .await;
}

#[tokio::test]
async fn each_workload_has_an_autoscaler_and_a_disruption_budget() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    let autoscalers: Api<HorizontalPodAutoscaler> =
        Api::namespaced(client.clone(), mesh::NAMESPACE);
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(client.clone(), mesh::NAMESPACE);
    for name in deployments(&client).await {
        let autoscaler = autoscalers
            .get(name)
            .await
            .expect("a HorizontalPodAutoscaler")
            .spec
            .expect("a spec");
        assert_eq!(
            (autoscaler.min_replicas, autoscaler.max_replicas),
            (Some(2), 5),
            "{name}"
        );
        assert_eq!(autoscaler.scale_target_ref.name, name);
        let budget = budgets
            .get(name)
            .await
            .expect("a PodDisruptionBudget")
            .spec
            .expect("a spec");
        let minimum = budget.min_available.map(|least| serde_json::json!(least));
        assert_eq!(minimum, Some(serde_json::json!(1)), "{name}");
    }
}

#[tokio::test]
async fn every_object_carries_its_owner() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    for (api_version, kind, name) in [
        ("apps/v1", "Deployment", "istio-ingressgateway"),
        ("v1", "Service", "istiod"),
        ("v1", "ConfigMap", "istio"),
        (
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            "istio-egressgateway",
        ),
    ] {
        let object = cluster::dynamic(&client, api_version, kind, Some(mesh::NAMESPACE))
            .get(name)
            .await
            .unwrap_or_else(|error| panic!("{kind} {name}: {error}"));
        let labels = object.labels();
        assert_eq!(
            labels
                .get(base::labels::OWNING_RESOURCE)
                .map(String::as_str),
            Some(mesh::NAME),
            "{kind} {name}"
        );
        assert_eq!(
            labels.get(base::labels::MANAGED).map(String::as_str),
            Some("Reconcile"),
            "{kind} {name}"
        );
    }
}

#[tokio::test]
async fn replicas_are_left_to_the_autoscaler() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    for name in deployments(&client).await {
        let deployment = cluster::dynamic(&client, "apps/v1", "Deployment", Some(mesh::NAMESPACE))
            .get(name)
            .await
            .expect("a Deployment");
        let ours = deployment
            .managed_fields()
            .iter()
            .find(|entry| entry.manager.as_deref() == Some(base::labels::FIELD_MANAGER))
            .unwrap_or_else(|| panic!("{name}: the operator manages no field"));
        let fields = serde_json::json!(ours.fields_v1);
        assert!(
            fields["f:spec"].get("f:template").is_some(),
            "{name}: {fields}"
        );
        assert!(
            fields["f:spec"].get("f:replicas").is_none(),
            "{name}: {fields}"
        );
    }
}
