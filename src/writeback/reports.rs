//! What every replica knows, for the one that writes conditions: a replica that does not lead keeps its report in a
//! ConfigMap of its own while there is something in it, and each reads those of the others. The ConfigMap belongs to
//! the replica's pod and goes with it. What a report says is not known here.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, DeleteParams, ObjectMeta, PostParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use serve::Shutdown;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::{Access, CALL};

/// Marks the ConfigMaps: `istio.io/report: refusals`.
const LABEL: (&str, &str) = ("istio.io/report", "refusals");
/// Their one key.
const KEY: &str = "refusals.json";
/// Between two writes: proxies that refuse one after the other are told of together.
const REST: Duration = Duration::from_secs(5);
/// Before what failed is tried again, and what is forbidden.
const AGAIN: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(300));

/// This replica.
#[derive(Clone, Debug)]
pub struct Replica {
    /// Namespace of the control plane.
    pub namespace: String,
    /// Name of its pod.
    pub pod: String,
}

/// What each replica that has something to say says, by the name of its ConfigMap.
pub type Reports = BTreeMap<String, Arc<str>>;

/// Tells `own` (empty: nothing to say) while this process does not lead, and hears what others say, until `shutdown`.
/// The value holds the own report as well, without a detour over the API server.
pub fn share(
    access: Access,
    replica: Replica,
    own: watch::Receiver<Arc<str>>,
    shutdown: Shutdown,
) -> (watch::Receiver<Reports>, impl Future<Output = ()>) {
    let (sender, reports) = watch::channel(Reports::new());
    let sharing = async move {
        let lost = Notify::new();
        let hearing = hear(&access, &replica, own.clone(), sender, &lost);
        let telling = tell(&access, &replica, own, &lost);
        tokio::select! {
            () = shutdown.cancelled() => {}
            ((), ()) = async { tokio::join!(hearing, telling) } => {}
        }
    };
    (reports, sharing)
}

impl Replica {
    fn report(&self) -> String {
        format!("istio-refusals-{}", self.pod)
    }

    fn config_maps(&self, access: &Access) -> Api<ConfigMap> {
        Api::namespaced(access.client.clone(), &self.namespace)
    }
}

/// Keeps the own report and those of others together. `lost` hears that the own one is stored no longer.
async fn hear(
    access: &Access,
    replica: &Replica,
    mut own: watch::Receiver<Arc<str>>,
    reports: watch::Sender<Reports>,
    lost: &Notify,
) {
    let (key, value) = LABEL;
    let config = watcher::Config::default().labels(&format!("{key}={value}"));
    let events = watcher(replica.config_maps(access), config).default_backoff();
    let mut events = events.boxed();
    let mut heard = Heard::default();
    let mut followed = true;
    let name = replica.report();
    loop {
        let text = own.borrow_and_update().clone();
        let all = heard.with(&name, text);
        reports.send_if_modified(|known| {
            let differs = *known != all;
            *known = all;
            differs
        });
        tokio::select! {
            changed = own.changed(), if followed => followed = changed.is_ok(),
            Some(event) = events.next() => {
                let stored = heard.current.contains_key(&name);
                heard.event(event);
                if stored && !heard.current.contains_key(&name) {
                    lost.notify_one();
                }
            }
        }
    }
}

/// What the watch knows: complete since its first list, replaced as a whole by later ones.
#[derive(Debug, Default)]
struct Heard {
    current: Reports,
    coming: Reports,
}

impl Heard {
    fn event(&mut self, event: watcher::Result<Event<ConfigMap>>) {
        match event {
            Ok(Event::Init) => self.coming.clear(),
            Ok(Event::InitApply(map)) => self.coming.extend(said(map)),
            Ok(Event::InitDone) => self.current = std::mem::take(&mut self.coming),
            Ok(Event::Apply(map)) => self.current.extend(said(map)),
            Ok(Event::Delete(map)) => {
                self.current.remove(&map.metadata.name.unwrap_or_default());
            }
            Err(error) => warn!(%error, "reports of other replicas cannot be read, trying again"),
        }
    }

    /// All reports, the own one as it is now.
    fn with(&self, own: &str, text: Arc<str>) -> Reports {
        let mut all = self.current.clone();
        all.remove(own);
        if !text.is_empty() {
            all.insert(own.to_owned(), text);
        }
        all
    }
}

/// What a ConfigMap says, by its name.
fn said(map: ConfigMap) -> Option<(String, Arc<str>)> {
    let text = map.data?.remove(KEY)?;
    Some((map.metadata.name?, text.into()))
}

/// Keeps the ConfigMap what it is to be. It is looked at once in the beginning, since another process of the same pod
/// may have left one, and whenever it is `lost`, since somebody may have deleted it.
async fn tell(
    access: &Access,
    replica: &Replica,
    mut own: watch::Receiver<Arc<str>>,
    lost: &Notify,
) {
    let mut leadership = access.leadership.clone();
    let mut told: Option<Arc<str>> = None;
    loop {
        let leads = *leadership.borrow_and_update();
        let text = own.borrow_and_update().clone();
        let text = match leads {
            true => Arc::default(),
            false => text,
        };
        if told.as_ref() == Some(&text) {
            tokio::select! {
                Ok(()) = leadership.changed() => {}
                Ok(()) = own.changed() => {}
                // Without anything to say it was deleted here.
                () = lost.notified() => {
                    if !text.is_empty() {
                        told = None;
                    }
                }
            }
            continue;
        }
        let (result, pause) = match timeout(CALL, try_tell(access, replica, &text)).await {
            Ok(Ok(done)) => {
                told = Some(text);
                match done {
                    Told::Unchanged => continue,
                    Told::Written => ("written", REST),
                    Told::Homeless => {
                        let pod = &replica.pod;
                        info!(
                            pod,
                            "no such pod: what proxies refuse here is told only while this process leads"
                        );
                        continue;
                    }
                }
            }
            Ok(Err(error)) => {
                warn!(%error, "what proxies refuse could not be told to other replicas, trying again");
                match error {
                    kube::Error::Api(status) if status.code == 403 => ("forbidden", AGAIN.1),
                    _ => ("failed", AGAIN.0),
                }
            }
            Err(_) => {
                warn!(
                    limit = ?CALL,
                    "what proxies refuse could not be told to other replicas in time, trying again"
                );
                ("failed", AGAIN.0)
            }
        };
        access.metrics.wrote(result);
        sleep(pause).await;
    }
}

/// What became of a report.
enum Told {
    /// It was as it is to be.
    Unchanged,
    Written,
    /// There is no pod that it could go with, so it is not written.
    Homeless,
}

async fn try_tell(access: &Access, replica: &Replica, text: &str) -> kube::Result<Told> {
    let api = replica.config_maps(access);
    let name = replica.report();
    let stored = api.get_opt(&name).await?;
    if text.is_empty() {
        return match stored {
            None => Ok(Told::Unchanged),
            Some(_) => match api.delete(&name, &DeleteParams::default()).await {
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(Told::Unchanged),
                deleted => deleted.map(|_| Told::Written),
            },
        };
    }
    let pods: Api<Pod> = Api::namespaced(access.client.clone(), &replica.namespace);
    let pod = pods.get_metadata_opt(&replica.pod).await?;
    let Some(uid) = pod.and_then(|pod| pod.metadata.uid) else {
        return Ok(Told::Homeless);
    };
    let wanted = config_map(replica, &uid, text);
    match stored {
        None => api.create(&PostParams::default(), &wanted).await?,
        Some(stored) if is_same(&stored, &wanted) => return Ok(Told::Unchanged),
        Some(stored) => {
            let mut wanted = wanted;
            wanted.metadata.resource_version = stored.metadata.resource_version;
            api.replace(&name, &PostParams::default(), &wanted).await?
        }
    };
    Ok(Told::Written)
}

fn is_same(stored: &ConfigMap, wanted: &ConfigMap) -> bool {
    let parts = |map: &ConfigMap| {
        let metadata = map.metadata.clone();
        (map.data.clone(), metadata.labels, metadata.owner_references)
    };
    parts(stored) == parts(wanted)
}

fn config_map(replica: &Replica, uid: &str, text: &str) -> ConfigMap {
    let (label, value) = LABEL;
    let owner = OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Pod".to_owned(),
        name: replica.pod.clone(),
        uid: uid.to_owned(),
        ..Default::default()
    };
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(replica.report()),
            namespace: Some(replica.namespace.clone()),
            labels: Some([(label.to_owned(), value.to_owned())].into()),
            owner_references: Some(vec![owner]),
            ..Default::default()
        },
        data: Some([(KEY.to_owned(), text.to_owned())].into()),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests;
