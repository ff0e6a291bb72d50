//! The IstioOperator's status tells the truth, in the forms that kubectl and ArgoCD read.

use e2e::{cluster, eventually::eventually, mesh};
use kube::api::{DeleteParams, DynamicObject, PostParams};
use serde_json::{Value, json};

fn condition<'a>(status: &'a Value, type_: &str) -> Option<&'a Value> {
    status["conditions"]
        .as_array()?
        .iter()
        .find(|condition| condition["type"] == type_)
}

#[tokio::test]
async fn a_healthy_mesh_says_so_for_each_component() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    let (status, _) = mesh::wait_until_healthy(&client).await;
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
        let condition =
            condition(&status, type_).unwrap_or_else(|| panic!("no condition {type_}: {status}"));
        assert_eq!(condition["status"], expected, "{condition}");
        assert_eq!(
            condition["observedGeneration"], status["observedGeneration"],
            "{condition}"
        );
    }
}

/// An IstioOperator in a namespace of its own, so that the mesh under test is not touched.
async fn separate(client: &kube::Client, namespace: &str, spec: Value) -> kube::Api<DynamicObject> {
    let namespaced =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
    cluster::apply(client, namespaced)
        .await
        .expect("a namespace");
    let api = cluster::dynamic(
        client,
        "install.istio.io/v1alpha1",
        "IstioOperator",
        Some(namespace),
    );
    let object = json!({
        "apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator",
        "metadata": {"name": "separate", "namespace": namespace}, "spec": spec
    });
    let object: DynamicObject = serde_json::from_value(object).expect("an object");
    api.create(&PostParams::default(), &object)
        .await
        .expect("the API server takes it");
    api
}

async fn remove(client: &kube::Client, api: &kube::Api<DynamicObject>, namespace: &str) {
    api.delete("separate", &DeleteParams::default())
        .await
        .expect("it can be deleted");
    eventually(client, "it is gone", 30, || async {
        match api.get_opt("separate").await {
            Ok(None) => Ok(()),
            other => Err(format!(
                "{:?}",
                other.map(|object| object.map(|object| object.data["status"].clone()))
            )),
        }
    })
    .await;
    let namespaces = cluster::dynamic(client, "v1", "Namespace", None);
    namespaces
        .delete(namespace, &DeleteParams::default())
        .await
        .expect("the namespace can be deleted");
}

#[tokio::test]
async fn an_unknown_field_is_an_error_that_names_it_and_never_blocks_deletion() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    let api = separate(
        &client,
        "status-typo",
        json!({"profile": "empty", "componets": {}}),
    )
    .await;
    let (status, _) = eventually(&client, "ERROR", 20, || async {
        let status = api
            .get("separate")
            .await
            .map_err(|error| error.to_string())?
            .data["status"]
            .clone();
        match status["status"] == "ERROR" {
            true => Ok(status),
            false => Err(status.to_string()),
        }
    })
    .await;
    let message = status["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("componets") && message.contains("components"),
        "{message}"
    );
    assert_eq!(
        condition(&status, "Stalled").map(|stalled| &stalled["status"]),
        Some(&json!("True")),
        "{status}"
    );
    remove(&client, &api, "status-typo").await;
}

#[tokio::test]
async fn gateways_without_a_control_plane_say_why_at_once() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    let spec = json!({
        "profile": "empty",
        "values": {"global": {"istioNamespace": "status-lonely"}},
        "components": {"ingressGateways": [{"name": "lonely", "enabled": true, "namespace": "status-lonely"}]}
    });
    let api = separate(&client, "status-lonely", spec).await;
    let (reason, took) = eventually(&client, "a reason", 20, || async {
        let status = api
            .get("separate")
            .await
            .map_err(|error| error.to_string())?
            .data["status"]
            .clone();
        let found = condition(&status, "IngressGatewaysReady").cloned();
        found
            .filter(|found| found["status"] == "False")
            .ok_or(status.to_string())
    })
    .await;
    assert_eq!(reason["reason"], "ControlPlaneDisabled", "{reason}");
    assert!(took.as_secs() < 5, "{took:?}");
    remove(&client, &api, "status-lonely").await;
}
