//! The operator as it runs in the cluster: its pods, which of them leads, and the cluster without it.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use kube::Client;
use kube::api::ListParams;

use crate::eventually::eventually;
use crate::namespace::Namespace;
use crate::{cluster, mesh};

/// The Deployment, and the value of the label by which its pods are found.
pub const NAME: &str = "istio-operator";

/// The namespace that it runs in.
pub async fn place(client: &Client) -> Namespace {
    let name = match mesh::host(client).await {
        mesh::Host::Istiod => "istio-operator",
        mesh::Host::Operator => mesh::NAMESPACE,
    };
    Namespace::existing(client, name)
}

/// The user that its pods are to the API server, and the groups of that.
pub fn identity(place: &Namespace) -> (String, [String; 3]) {
    let groups = [
        "system:serviceaccounts".to_owned(),
        format!("system:serviceaccounts:{}", place.name),
        "system:authenticated".to_owned(),
    ];
    (
        format!("system:serviceaccount:{}:{NAME}", place.name),
        groups,
    )
}

/// What one of its pods wrote; where it hosts the control plane, its container bears that one's name.
pub async fn log(place: &Namespace, pod: &str) -> String {
    let object = place.pods().get(pod).await;
    let spec = object.ok().and_then(|object| object.spec);
    let container = spec.and_then(|spec| spec.containers.into_iter().next());
    match container {
        Some(container) => place.log(pod, &container.name).await,
        None => format!("there is no pod {pod}"),
    }
}

/// The pod that holds the Lease.
///
/// # Errors
/// When nobody does, or the API server does not answer.
pub async fn leader(place: &Namespace) -> Result<String, String> {
    let leases = cluster::dynamic(
        &place.client,
        "coordination.k8s.io/v1",
        "Lease",
        Some(&place.name),
    );
    let lease = leases
        .get(base::names::OPERATOR_LEASE)
        .await
        .map_err(|error| error.to_string())?;
    let holder = lease.data["spec"]["holderIdentity"].as_str();
    match holder.filter(|holder| !holder.is_empty()) {
        Some(holder) => Ok(holder.to_owned()),
        None => Err(format!("nobody leads: {}", lease.data["spec"])),
    }
}

/// Waits for the end of those that are too many as well: until then they write.
async fn scale(place: &Namespace, replicas: u32) {
    place.scale(NAME, replicas).await;
    place.rolled_out(NAME).await;
    eventually(&place.client, "no other operator runs", 60, || async {
        let label = format!("app.kubernetes.io/name={NAME}");
        let pods = place
            .pods()
            .list(&ListParams::default().labels(&label))
            .await;
        let count = pods.map_err(|error| error.to_string())?.items.len();
        (count == replicas as usize)
            .then_some(())
            .ok_or_else(|| format!("{count} pods, expected {replicas}"))
    })
    .await;
}

/// Runs `body` with that many replicas; afterwards there are as many as before, whatever became of it.
pub async fn with_replicas(client: &Client, replicas: u32, body: impl AsyncFnOnce(&Namespace)) {
    let place = place(client).await;
    let deployments = cluster::dynamic(client, "apps/v1", "Deployment", Some(&place.name));
    let before = deployments
        .get(NAME)
        .await
        .expect("the operator's Deployment");
    let before = before.data["spec"]["replicas"].as_u64().unwrap_or(1);
    let before = u32::try_from(before).expect("a few replicas");
    scale(&place, replicas).await;
    let outcome = AssertUnwindSafe(body(&place)).catch_unwind().await;
    scale(&place, before).await;
    eventually(client, "an operator leads", 60, || async {
        let leader = leader(&place).await?;
        let pods = place.pods_by("app.kubernetes.io/name", NAME).await;
        let names = pods.iter().filter_map(|pod| pod.metadata.name.clone());
        let names: Vec<_> = names.collect();
        names
            .contains(&leader)
            .then_some(())
            .ok_or_else(|| format!("{leader} leads, not {names:?}"))
    })
    .await;
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}
