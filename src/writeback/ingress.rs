//! Writes the addresses of the gateway that serves Ingresses into their status, while this process leads: those of
//! the Service that the mesh configuration names, as upstream. Without that Service nothing is written, and what is
//! written stays.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use api::snapshot::{Key, Snapshot};
use base::names::ISTIO_SYSTEM;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::ApiResource;
use mesh::{Mesh, serves_ingress};
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

/// The addresses that each Ingress of ours is to have, in order; `None` while it is not known where the gateway is.
pub(crate) fn addresses(snapshot: &Snapshot) -> Option<BTreeMap<Key, Arc<[String]>>> {
    let name = match snapshot.mesh.ingress_service.as_str() {
        "" => return None,
        name => name,
    };
    let service = snapshot.services.get(&Key::new(ISTIO_SYSTEM, name))?;
    let mut found = match &service.external_name {
        Some(name) => vec![name.clone()],
        None => service.external_addresses.clone(),
    };
    found.sort();
    found.dedup();
    let found: Arc<[String]> = found.into();
    let ingresses = snapshot.ingresses.values();
    let ours = ingresses.filter(|one| serves_ingress(snapshot, one));
    Some(ours.map(|one| (one.meta.key(), found.clone())).collect())
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
pub async fn keep(access: Access, meshes: watch::Receiver<Option<Arc<Mesh>>>, shutdown: Shutdown) {
    let work = work(access, meshes);
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = work => {}
    }
}

async fn work(mut access: Access, mut meshes: watch::Receiver<Option<Arc<Mesh>>>) {
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
        let wanted = mesh.and_then(|mesh| addresses(mesh.snapshot()));
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
            info!("ingress {name} is reached at {}", addresses.join(", "));
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
