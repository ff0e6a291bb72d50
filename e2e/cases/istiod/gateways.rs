//! A gateway is ready when its Envoy has what istiod sent, and only then.

use std::time::Duration;

use e2e::{cluster, diagnose, eventually::eventually, mesh};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt};

#[tokio::test]
async fn a_gateway_without_istiod_is_not_ready() {
    let client = cluster::client().await;
    let _mesh = mesh::exclusive(&client).await;
    let pods: Api<Pod> = Api::namespaced(client.clone(), mesh::NAMESPACE);
    let egress = ListParams::default().labels("app=istio-egressgateway");
    let istiods = ListParams::default().labels("app=istiod");

    mesh::pause(&client, true).await;
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

    mesh::pause(&client, false).await;
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
