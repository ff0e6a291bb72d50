//! The webhooks answer through the API server, over TLS that it trusts.

use e2e::{cluster, eventually::eventually, mesh};
use kube::api::{DeleteParams, PostParams};
use serde_json::json;

#[tokio::test]
async fn injection_is_refused_with_a_sentence_that_says_so() {
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
    let pod = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "app", "namespace": "webhooks-inject"},
        "spec": {"containers": [{"name": "app", "image": "localhost/none:0"}]}
    }))
    .expect("a pod");
    let dry_run = PostParams {
        dry_run: true,
        field_manager: None,
    };
    eventually(&client, "a refusal", 20, || async {
        match pods.create(&dry_run, &pod).await {
            Ok(_) => Err("the pod was admitted".to_owned()),
            Err(kube::Error::Api(status))
                if status.message.contains("injection")
                    && status.message.contains("denied the request") =>
            {
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        }
    })
    .await;
    let namespaces = cluster::dynamic(&client, "v1", "Namespace", None);
    namespaces
        .delete("webhooks-inject", &DeleteParams::default())
        .await
        .expect("the namespace can be deleted");
}

#[tokio::test]
async fn the_validator_admits_what_parses() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    let webhooks = cluster::dynamic(
        &client,
        "admissionregistration.k8s.io/v1",
        "ValidatingWebhookConfiguration",
        None,
    );
    let (webhook, _) = eventually(&client, "the webhook's CA bundle", 20, || async {
        let object = webhooks
            .get("istio-validator-istio-system")
            .await
            .map_err(|error| error.to_string())?;
        let webhook = object.data["webhooks"][0].clone();
        match webhook["clientConfig"]["caBundle"].as_str() {
            Some(bundle) if !bundle.is_empty() => Ok(webhook),
            _ => Err(webhook.to_string()),
        }
    })
    .await;
    assert_eq!(webhook["failurePolicy"], "Ignore");
    let gateways = cluster::dynamic(
        &client,
        "networking.istio.io/v1",
        "Gateway",
        Some("default"),
    );
    let gateway = serde_json::from_value(json!({
        "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
        "metadata": {"name": "any", "namespace": "default", "labels": {"istio.io/rev": "default"}},
        "spec": {"selector": {"istio": "ingressgateway"}, "servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}]}
    }))
    .expect("a gateway");
    let dry_run = PostParams {
        dry_run: true,
        field_manager: None,
    };
    gateways
        .create(&dry_run, &gateway)
        .await
        .expect("it is admitted");
}
