//! What another tool made is not stolen: a condition says whose it is, and adoption is asked for.

use e2e::{argocd, cluster, eventually::eventually, mesh};
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

const NAMESPACE: &str = "adoption";
const OPERATOR: &str = "separate";

fn operators(client: &Client) -> Api<DynamicObject> {
    cluster::dynamic(
        client,
        "install.istio.io/v1alpha1",
        "IstioOperator",
        Some(NAMESPACE),
    )
}

/// The status once `wanted` holds of the whole resource.
async fn status(client: &Client, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let api = operators(client);
    let (status, _) = eventually(client, what, 20, || async {
        let found = api.get(OPERATOR).await.map_err(|error| error.to_string())?;
        let health = argocd::health(&found.data);
        match wanted(&found.data) {
            true => Ok(found.data["status"].clone()),
            false => Err(format!("{health:?}: {}", found.data["status"])),
        }
    })
    .await;
    status
}

#[tokio::test]
async fn what_helm_made_is_a_conflict_until_someone_asks_for_it() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    cluster::apply(&client, namespace)
        .await
        .expect("a namespace");
    let theirs = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "edge", "namespace": NAMESPACE,
            "labels": {"app.kubernetes.io/managed-by": "Helm"},
            "annotations": {"meta.helm.sh/release-name": "edge", "meta.helm.sh/release-namespace": NAMESPACE}},
        "spec": {"ports": [{"name": "theirs", "port": 8080}], "selector": {"app": "theirs"}},
    });
    cluster::apply(&client, theirs).await.expect("a Service");
    let spec = json!({
        "profile": "empty",
        "values": {"gateways": {"istio-ingressgateway": {"autoscaleEnabled": false}}},
        "components": {"ingressGateways": [{"name": "edge", "enabled": true, "namespace": NAMESPACE,
            "k8s": {"replicaCount": 0}}]},
    });
    let object = json!({"apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator",
        "metadata": {"name": OPERATOR, "namespace": NAMESPACE}, "spec": spec});
    let object: DynamicObject = serde_json::from_value(object).expect("an object");
    operators(&client)
        .create(&PostParams::default(), &object)
        .await
        .expect("it is taken");

    let told = status(&client, "a conflict", |found| {
        let conditions = found["status"]["conditions"].as_array();
        let mut reasons = conditions.into_iter().flatten().map(|one| &one["reason"]);
        argocd::health(found) == argocd::Health::Degraded
            && reasons.any(|reason| reason == "OwnershipConflict")
    })
    .await;
    let error = told["componentStatus"]["IngressGateways"]["error"]
        .as_str()
        .unwrap_or_default();
    assert!(
        error.contains("service adoption/edge belongs to Helm release adoption/edge"),
        "{told}"
    );
    let stalled = told["conditions"]
        .as_array()
        .and_then(|all| all.iter().find(|one| one["type"] == "Stalled").cloned());
    assert_eq!(stalled.expect("Stalled")["reason"], "OwnershipConflict");
    let services = cluster::dynamic(&client, "v1", "Service", Some(NAMESPACE));
    let kept = services.get("edge").await.expect("the Service");
    assert_eq!(
        kept.data["spec"]["selector"],
        json!({"app": "theirs"}),
        "nothing was stolen"
    );

    let ask = json!({"metadata": {"annotations": {base::labels::ADOPT: "true"}}});
    operators(&client)
        .patch(OPERATOR, &PatchParams::default(), &Patch::Merge(ask))
        .await
        .expect("an annotation");
    eventually(&client, "the Service was taken over", 20, || async {
        let now = services
            .get("edge")
            .await
            .map_err(|error| error.to_string())?;
        let helm = now.metadata.annotations.clone().unwrap_or_default();
        let ours = now.data["spec"]["selector"]["istio"] == "ingressgateway";
        match ours && !helm.contains_key("meta.helm.sh/release-name") {
            true => Ok(()),
            false => Err(format!("{} {helm:?}", now.data["spec"])),
        }
    })
    .await;

    operators(&client)
        .delete(OPERATOR, &DeleteParams::default())
        .await
        .expect("it can be deleted");
    eventually(&client, "it is gone", 60, || async {
        match operators(&client).get_opt(OPERATOR).await {
            Ok(None) => Ok(()),
            other => Err(format!(
                "{:?}",
                other.map(|found| found.map(|found| found.data["status"].clone()))
            )),
        }
    })
    .await;
    let left = services.get_opt("edge").await.expect("an answer");
    assert!(
        left.is_none(),
        "what was adopted goes with the installation"
    );
    cluster::dynamic(&client, "v1", "Namespace", None)
        .delete(NAMESPACE, &DeleteParams::default())
        .await
        .expect("the namespace can be deleted");
}
