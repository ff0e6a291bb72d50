//! Two replicas of the control plane: what only the one sees that does not write is told all the same.

use std::panic::AssertUnwindSafe;

use e2e::namespace::Namespace;
use e2e::{cluster, eventually::eventually, mesh, namespace};
use futures::FutureExt;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use super::condition;
use super::proxy::Proxy;

const WORDS: &str = "Error adding/updating cluster(s) outbound|80||refused.example.com: on purpose";

/// The replica that does not write, when there are two and one of them does.
async fn follower(control_plane: &Namespace) -> Pod {
    let leases: Api<Lease> = Api::namespaced(control_plane.client.clone(), mesh::NAMESPACE);
    let found = eventually(
        &control_plane.client,
        "one of two replicas leads",
        60,
        || async {
            let lease = leases
                .get("istio-status-leader")
                .await
                .map_err(|error| error.to_string())?;
            let holder = lease.spec.and_then(|spec| spec.holder_identity);
            let holder = holder.unwrap_or_default();
            let mut pods = control_plane.pods_of("istiod").await;
            let all: Vec<String> = pods.iter().map(ResourceExt::name_any).collect();
            pods.retain(|pod| pod.name_any() != holder);
            match (all.len(), pods.pop()) {
                (2, Some(other)) if pods.is_empty() => Ok(other),
                _ => Err(format!("{holder:?} leads of {all:?}")),
            }
        },
    );
    found.await.0
}

/// Waits until the entry's condition has this status; the condition.
async fn told(place: &Namespace, status: &str) -> Value {
    let entries = cluster::dynamic(
        &place.client,
        "networking.istio.io/v1",
        "ServiceEntry",
        Some(&place.name),
    );
    let what = format!("condition Programmed={status}");
    let found = eventually(&place.client, &what, 60, || async {
        let entry = entries.get("refused").await;
        let entry = entry.map_err(|error| error.to_string())?;
        match condition(&entry.data) {
            Some(found) if found["status"] == status => Ok(found.clone()),
            other => Err(format!("{other:?}")),
        }
    });
    found.await.0
}

/// The reports of replicas.
async fn reports(client: &Client) -> Result<Vec<ConfigMap>, String> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), mesh::NAMESPACE);
    let labelled = ListParams::default().labels("istio.io/report=refusals");
    let found = maps.list(&labelled).await;
    found
        .map(|found| found.items)
        .map_err(|error| error.to_string())
}

async fn no_report(client: &Client) {
    eventually(client, "no report is left", 60, || async {
        match reports(client).await? {
            none if none.is_empty() => Ok(()),
            left => Err(format!("{left:?}")),
        }
    })
    .await;
}

/// Connects, refuses the one cluster, and waits until that is told.
async fn refuse(place: &Namespace, follower: &Pod) -> Proxy {
    // A replica that has only just started, or heard of the entry later, does not have the cluster yet.
    let ((proxy, response), _) = eventually(&place.client, "the cluster is told", 30, || async {
        let mut proxy = Proxy::connect(follower, &place.name).await?;
        let response = proxy.hear().await;
        let names: Vec<&str> = response.resources.iter().map(|one| &*one.name).collect();
        match names.contains(&"outbound|80||refused.example.com") {
            true => Ok((proxy, response)),
            false => Err(format!("{names:?}")),
        }
    })
    .await;
    proxy.answer(&response, Some(WORDS));
    let found = told(place, "False").await;
    assert_eq!(found["reason"], "RefusedByProxies");
    let message = found["message"].as_str().unwrap_or_default();
    assert!(message.ends_with(WORDS), "{message}");
    let written = reports(&place.client).await.expect("reports");
    let names: Vec<String> = written.iter().map(ResourceExt::name_any).collect();
    assert_eq!(
        names,
        [format!("istio-refusals-{}", follower.name_any())],
        "only of who does not write"
    );
    proxy
}

/// What one proxy of a replica that does not write refuses becomes a condition, which is cleared when the proxy
/// is gone, and when the replica is gone with all that it knew.
#[tokio::test]
async fn a_refusal_that_only_a_follower_sees_is_told() {
    let client = cluster::client().await;
    let _mesh = mesh::exclusive(&client).await;
    let deployment = mesh::control_plane(&client).await;
    let control_plane = Namespace::existing(&client, mesh::NAMESPACE);
    let deployments = cluster::dynamic(&client, "apps/v1", "Deployment", Some(mesh::NAMESPACE));
    let before = deployments
        .get(deployment)
        .await
        .expect("the control plane");
    let before = before.data["spec"]["replicas"].as_u64().unwrap_or(1);
    let before = u32::try_from(before).expect("a few replicas");
    control_plane.scale(deployment, 2).await;
    control_plane.rolled_out(deployment).await;
    let body = namespace::plain(&client, "told-replicas", async |place| {
        let entry = json!({
            "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": {"name": "refused"},
            "spec": {"hosts": ["refused.example.com"], "exportTo": ["."], "resolution": "STATIC",
                "endpoints": [{"address": "192.0.2.1"}],
                "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}]}
        });
        place.apply(entry).await;
        let replica = follower(&control_plane).await;
        let proxy = refuse(place, &replica).await;
        // A proxy that went refuses nothing.
        drop(proxy);
        told(place, "True").await;
        no_report(&client).await;

        let _proxy = refuse(place, &replica).await;
        let at_once = DeleteParams::default().grace_period(0);
        let name = replica.name_any();
        let deleted = control_plane.pods().delete(&name, &at_once).await;
        deleted.expect("deleted");
        told(place, "True").await;
        no_report(&client).await;
    });
    let outcome = AssertUnwindSafe(body).catch_unwind().await;
    control_plane.scale(deployment, before).await;
    control_plane.rolled_out(deployment).await;
    mesh::wait_until_healthy(&client).await;
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}
