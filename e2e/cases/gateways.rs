//! Gateways are ready when Envoy really runs with what istiod sent, and only then.

use std::time::Duration;

use e2e::{cluster, diagnose, eventually::eventually, mesh};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The status line of `GET path` at an address of the cluster; every step has a deadline.
async fn get(address: &str, path: &str) -> Result<String, String> {
    let exchange = async {
        let mut stream = tokio::net::TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: e2e\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer.lines().next().unwrap_or_default().to_owned())
    };
    match tokio::time::timeout(Duration::from_secs(3), exchange).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err("no answer within 3 s".to_owned()),
    }
}

#[tokio::test]
async fn the_ingress_gateway_answers_at_its_load_balancer_address() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    let services: Api<Service> = Api::namespaced(client.clone(), mesh::NAMESPACE);
    let (address, _) = eventually(&client, "an address", 30, || async {
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
    eventually(&client, "200 from the gateway", 30, || async {
        let answer = get(&format!("{address}:15021"), "/healthz/ready").await?;
        if answer.contains(" 200 ") {
            Ok(())
        } else {
            Err(answer)
        }
    })
    .await;
}

/// Sets or removes the annotation that pauses the operator.
async fn pause(client: &Client, paused: Value) {
    let patch = json!({"metadata": {"annotations": {base::labels::IGNORE_RECONCILE: paused}}});
    mesh::operators(client)
        .patch(mesh::NAME, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .expect("an annotation");
}

#[tokio::test]
async fn a_gateway_without_istiod_is_not_ready() {
    let client = cluster::client().await;
    let _mesh = mesh::exclusive(&client).await;
    let pods: Api<Pod> = Api::namespaced(client.clone(), mesh::NAMESPACE);
    let egress = ListParams::default().labels("app=istio-egressgateway");
    let istiods = ListParams::default().labels("app=istiod");

    pause(&client, json!("true")).await;
    let deployments = cluster::dynamic(&client, "apps/v1", "Deployment", Some(mesh::NAMESPACE));
    deployments
        .delete("istiod", &DeleteParams::default())
        .await
        .expect("istiod can be deleted");
    eventually(&client, "istiod's pods are gone", 60, || async {
        let left = pods
            .list(&istiods)
            .await
            .map_err(|error| error.to_string())?
            .items
            .len();
        if left == 0 {
            Ok(())
        } else {
            Err(format!("{left} left"))
        }
    })
    .await;
    let old = pods
        .list(&egress)
        .await
        .expect("pods can be listed")
        .items
        .remove(0)
        .name_any();
    pods.delete(&old, &DeleteParams::default())
        .await
        .expect("a gateway pod can be deleted");
    let (fresh, _) = eventually(&client, "a fresh gateway pod runs", 60, || async {
        let items = pods
            .list(&egress)
            .await
            .map_err(|error| error.to_string())?
            .items;
        let fresh = items.iter().find(|pod| {
            let containers = pod
                .status
                .iter()
                .flat_map(|status| status.container_statuses.iter().flatten());
            let running = containers
                .filter(|container| {
                    container
                        .state
                        .as_ref()
                        .is_some_and(|state| state.running.is_some())
                })
                .count()
                == 1;
            running && !diagnose::ready(pod) && pod.metadata.deletion_timestamp.is_none()
        });
        fresh
            .map(|pod| pod.name_any())
            .ok_or_else(|| "every pod is ready, or none runs yet".to_owned())
    })
    .await;
    // Longer than a gateway takes to become ready with a control plane.
    tokio::time::sleep(Duration::from_secs(8)).await;
    let pod = pods.get(&fresh).await.expect("the fresh pod still exists");
    assert!(
        !diagnose::ready(&pod),
        "{fresh} is ready without a control plane"
    );

    pause(&client, Value::Null).await;
    eventually(&client, "the same pod becomes ready", 90, || async {
        let pod = pods.get(&fresh).await.map_err(|error| error.to_string())?;
        if diagnose::ready(&pod) {
            Ok(())
        } else {
            Err("not ready".to_owned())
        }
    })
    .await;
    mesh::wait_until_healthy(&client).await;
}
