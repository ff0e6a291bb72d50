//! The webhooks answer through the API server, over TLS that it trusts.

use e2e::{cluster, eventually::eventually, mesh};
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};

#[tokio::test]
async fn a_pod_in_a_labelled_namespace_gets_its_sidecar() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "webhooks-inject", "labels": {"istio-injection": "enabled"}}
    });
    cluster::apply(&client, namespace)
        .await
        .expect("a namespace");
    let pods = cluster::dynamic(&client, "v1", "Pod", Some("webhooks-inject"));
    let dry_run = PostParams {
        dry_run: true,
        field_manager: None,
    };
    let pod = |annotations: Value| {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "app", "namespace": "webhooks-inject", "annotations": annotations},
            "spec": {"serviceAccountName": "default", "containers": [{"name": "app", "image": "localhost/none:0"}]}
        });
        serde_json::from_value(pod).expect("a pod")
    };
    let names = |list: &Value| -> Vec<String> {
        let items = list.as_array().into_iter().flatten();
        items
            .filter_map(|item| Some(item["name"].as_str()?.to_owned()))
            .collect()
    };
    let (created, _) = eventually(&client, "an injected pod", 20, || async {
        pods.create(&dry_run, &pod(json!({})))
            .await
            .map_err(|error| error.to_string())
    })
    .await;
    let spec = &created.data["spec"];
    assert_eq!(
        names(&spec["initContainers"]),
        ["istio-init", "istio-proxy"]
    );
    assert_eq!(names(&spec["containers"]), ["app"]);
    assert_eq!(spec["initContainers"][1]["restartPolicy"], "Always");
    let labels = created.metadata.labels.unwrap_or_default();
    assert_eq!(labels["security.istio.io/tlsMode"], "istio");

    let classic = pod(json!({"sidecar.istio.io/nativeSidecar": "false"}));
    let created = pods.create(&dry_run, &classic).await.expect("a pod");
    let spec = &created.data["spec"];
    assert_eq!(names(&spec["initContainers"]), ["istio-init"]);
    // The sample holds applications until their proxy is ready.
    assert_eq!(names(&spec["containers"]), ["istio-proxy", "app"]);
    let hook = &spec["containers"][0]["lifecycle"]["postStart"]["exec"]["command"];
    assert_eq!(hook, &json!(["pilot-agent", "wait"]));

    let wrong = pod(json!({"sidecar.istio.io/interceptionMode": "off"}));
    let error = pods.create(&dry_run, &wrong).await.expect_err("refused");
    let message = error.to_string();
    for part in [
        "sidecar.istio.io/interceptionMode",
        "REDIRECT, TPROXY or NONE",
    ] {
        assert!(message.contains(part), "{message}");
    }

    let namespaces = cluster::dynamic(&client, "v1", "Namespace", None);
    namespaces
        .delete("webhooks-inject", &DeleteParams::default())
        .await
        .expect("the namespace can be deleted");
}

/// The validating webhook once it trusts the mesh and fails closed.
async fn closed(client: &kube::Client) -> Value {
    let webhooks = cluster::dynamic(
        client,
        "admissionregistration.k8s.io/v1",
        "ValidatingWebhookConfiguration",
        None,
    );
    let (webhook, _) = eventually(client, "a webhook that fails closed", 60, || async {
        let object = webhooks
            .get("istio-validator-istio-system")
            .await
            .map_err(|error| error.to_string())?;
        let webhook = object.data["webhooks"][0].clone();
        let bundle = webhook["clientConfig"]["caBundle"].as_str();
        match webhook["failurePolicy"] == "Fail" && bundle.is_some_and(|pem| !pem.is_empty()) {
            true => Ok(webhook),
            false => Err(webhook.to_string()),
        }
    })
    .await;
    webhook
}

#[tokio::test]
async fn the_validator_closes_once_it_works_and_tells_what_is_wrong() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    closed(&client).await;
    let gateways = cluster::dynamic(
        &client,
        "networking.istio.io/v1",
        "Gateway",
        Some("default"),
    );
    let gateway = |host: &str| {
        serde_json::from_value(json!({
            "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
            "metadata": {"name": "any", "namespace": "default", "labels": {"istio.io/rev": "default"}},
            "spec": {"selector": {"istio": "ingressgateway"},
                "servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": [host]}]}
        }))
        .expect("a gateway")
    };
    let dry_run = PostParams {
        dry_run: true,
        field_manager: None,
    };
    gateways
        .create(&dry_run, &gateway("*"))
        .await
        .expect("it is admitted");
    let error = gateways
        .create(&dry_run, &gateway("*shop.com"))
        .await
        .expect_err("refused");
    let message = error.to_string();
    for part in [
        "denied the request",
        "gateway default/any",
        "spec.servers[0].hosts[0]",
        "expected *.domain",
    ] {
        assert!(message.contains(part), "{message}");
    }
    // Nothing of ours opens it again.
    assert_eq!(closed(&client).await["failurePolicy"], "Fail");
}
