//! Writes the addresses of the gateway that serves Ingresses into their status, while this process leads, as
//! upstream: those of the Service that the mesh configuration names, none without that Service; or, where it names
//! none, those that the nodes of the gateway's pods have outside of the cluster. What is not ours to serve stays.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use api::snapshot::{Key, Snapshot, World, selects};
use base::names::ISTIO_SYSTEM;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::ApiResource;
use mesh::{Mesh, ingress_selector, serves_ingress};
use serde_json::{Value, json};
use serve::Shutdown;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::{Access, CALL, FIELD_MANAGER};

/// Between two writes.
const PACE: Duration = Duration::from_millis(100);
/// Before what failed is tried again.
const AGAIN: Duration = Duration::from_secs(15);
/// Before everything is compared again with what is stored: others may write, too.
const REVIEW: Duration = Duration::from_secs(60);

/// The addresses that each Ingress of ours is to have, in order.
pub(crate) fn addresses(snapshot: &Snapshot, world: &World) -> BTreeMap<Key, Arc<[String]>> {
    let ingresses = snapshot.ingresses.values();
    let mut ours = ingresses
        .filter(|one| serves_ingress(snapshot, one))
        .peekable();
    if ours.peek().is_none() {
        return BTreeMap::new();
    }
    let mut found = match snapshot.mesh.ingress_service.as_str() {
        "" => of_nodes(snapshot, world),
        name => of_service(snapshot, name),
    };
    found.sort();
    found.dedup();
    let found: Arc<[String]> = found.into();
    ours.map(|one| (one.meta.key(), found.clone())).collect()
}

/// Where the Service of the gateway is reached; nowhere while it is not there.
fn of_service(snapshot: &Snapshot, name: &str) -> Vec<String> {
    let service = snapshot.services.get(&Key::new(ISTIO_SYSTEM, name));
    match service.map(|service| (service, &service.external_name)) {
        Some((_, Some(name))) => vec![name.clone()],
        Some((service, None)) => service.external_addresses.clone(),
        None => Vec::new(),
    }
}

/// Where the nodes are reached on which pods of the gateway run.
fn of_nodes(snapshot: &Snapshot, world: &World) -> Vec<String> {
    let selector = ingress_selector(snapshot);
    let pods = world.pods(ISTIO_SYSTEM);
    // A pod without an address does not run yet.
    let run = pods.filter(|pod| !pod.addresses.is_empty() && selects(&selector, &pod.labels));
    let nodes = run.filter_map(|pod| world.node(&pod.node));
    nodes
        .flat_map(|node| &node.external_addresses)
        .cloned()
        .collect()
}

/// `status.loadBalancer.ingress` with these addresses.
fn status(addresses: &[String]) -> Value {
    let addresses = addresses.iter();
    addresses
        .map(|address| match address.parse::<IpAddr>() {
            Ok(_) => json!({"ip": address}),
            Err(_) => json!({"hostname": address}),
        })
        .collect()
}

/// The patch for an Ingress; `None` when it has these addresses, in whatever order.
fn patch(stored: &Value, addresses: &[String]) -> Option<Value> {
    let carried = stored.pointer("/status/loadBalancer/ingress");
    let carried = carried.and_then(Value::as_array).into_iter().flatten();
    let mut carried: Vec<&str> = carried
        .filter_map(|one| one["ip"].as_str().or(one["hostname"].as_str()))
        .collect();
    carried.sort_unstable();
    if carried == addresses {
        return None;
    }
    Some(json!({
        "metadata": {"resourceVersion": stored["metadata"]["resourceVersion"]},
        "status": {"loadBalancer": {"ingress": status(addresses)}},
    }))
}

/// Runs until `shutdown`.
pub async fn keep(
    access: Access,
    meshes: watch::Receiver<Option<Arc<Mesh>>>,
    worlds: watch::Receiver<Option<World>>,
    shutdown: Shutdown,
) {
    let work = work(access, meshes, worlds);
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = work => {}
    }
}

async fn work(
    mut access: Access,
    mut meshes: watch::Receiver<Option<Arc<Mesh>>>,
    mut worlds: watch::Receiver<Option<World>>,
) {
    // What each was seen to have since this process leads.
    let mut seen: BTreeMap<Key, Arc<[String]>> = BTreeMap::new();
    loop {
        if !*access.leadership.borrow_and_update() {
            seen.clear();
            if access.leadership.changed().await.is_err() {
                // Nobody stands for the Lease any more: the end is near.
                std::future::pending::<()>().await;
            }
            continue;
        }
        let mesh = meshes.borrow_and_update().clone();
        let world = worlds.borrow_and_update().clone();
        let known = mesh.as_ref().zip(world.as_ref());
        let wanted = known.map(|(mesh, world)| addresses(mesh.snapshot(), world));
        // Where pods run follows from no relation; that of the gateway's shows in endpoints, if anywhere.
        let by_nodes = mesh.is_some_and(|mesh| mesh.snapshot().mesh.ingress_service.is_empty());
        let mut pause = REVIEW;
        for (key, addresses) in wanted.iter().flatten() {
            if seen.get(key) == Some(addresses) {
                continue;
            }
            match write(&access, key, addresses).await {
                true => {
                    seen.insert(key.clone(), addresses.clone());
                }
                false => pause = AGAIN,
            }
            sleep(PACE).await;
        }
        tokio::select! {
            Ok(()) = access.leadership.changed() => {}
            Ok(()) = meshes.changed() => {}
            Ok(()) = worlds.changed(), if by_nodes => {}
            () = sleep(pause) => {
                if pause == REVIEW {
                    seen.clear();
                }
            }
        }
    }
}

/// Whether it has these addresses now, or is gone.
async fn write(access: &Access, key: &Key, addresses: &[String]) -> bool {
    let name = format!("{}/{}", key.namespace, key.name);
    match timeout(CALL, try_write(access, key, addresses)).await {
        Ok(Ok(false)) => true,
        Ok(Ok(true)) => {
            access.metrics.wrote("written");
            match addresses {
                [] => info!("ingress {name} is reached nowhere: its gateway has no address"),
                all => info!("ingress {name} is reached at {}", all.join(", ")),
            }
            true
        }
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => true,
        Ok(Err(error)) => {
            access.metrics.wrote("failed");
            warn!(%error, "the status of ingress {name} could not be written, trying again");
            false
        }
        Err(_) => {
            access.metrics.wrote("failed");
            false
        }
    }
}

async fn try_write(access: &Access, key: &Key, addresses: &[String]) -> kube::Result<bool> {
    let resource = ApiResource {
        group: "networking.k8s.io".to_owned(),
        version: "v1".to_owned(),
        api_version: "networking.k8s.io/v1".to_owned(),
        kind: "Ingress".to_owned(),
        plural: "ingresses".to_owned(),
    };
    let api: Api<DynamicObject> =
        Api::namespaced_with(access.client.clone(), &key.namespace, &resource);
    let stored = api.get(&key.name).await?;
    let stored: Value = serde_json::to_value(stored).map_err(kube::Error::SerdeError)?;
    let Some(patch) = patch(&stored, addresses) else {
        return Ok(false);
    };
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(patch);
    api.patch_status(&key.name, &params, &patch).await?;
    Ok(true)
}

#[cfg(test)]
mod tests;
