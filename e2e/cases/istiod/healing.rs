//! The control plane, deleted, comes back by itself and serves.

use e2e::{cluster, eventually::eventually, mesh};
use kube::api::{DeleteParams, DynamicObject};
use kube::{Api, Client};

/// Deletes an object and waits until another of its name stands in its place.
async fn delete_and_wait(client: &Client, api: &Api<DynamicObject>, name: &str, seconds: u64) {
    let before = api.get(name).await.expect("it is installed").metadata.uid;
    api.delete(name, &DeleteParams::default())
        .await
        .expect("it can be deleted");
    let (_, took) = eventually(client, &format!("{name} is back"), seconds, || async {
        match api.get_opt(name).await {
            Ok(Some(object))
                if object.metadata.uid != before
                    && object.metadata.deletion_timestamp.is_none() =>
            {
                Ok(())
            }
            Ok(_) => Err("it is not".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    })
    .await;
    println!("{name} back after {took:?}");
}

#[tokio::test]
async fn a_deleted_control_plane_comes_back_and_serves() {
    let client = cluster::client().await;
    let _mesh = mesh::exclusive(&client).await;
    let deployments = cluster::dynamic(&client, "apps/v1", "Deployment", Some(mesh::NAMESPACE));
    delete_and_wait(&client, &deployments, "istiod", 20).await;
    eventually(&client, "istiod is available", 90, || async {
        let istiod = deployments
            .get("istiod")
            .await
            .map_err(|error| error.to_string())?;
        match istiod.data["status"]["availableReplicas"].as_i64() {
            Some(2) => Ok(()),
            _ => Err(istiod.data["status"].to_string()),
        }
    })
    .await;
    let (_, took) = mesh::wait_until_healthy(&client).await;
    println!("HEALTHY again after {took:?}");
}
