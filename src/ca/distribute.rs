//! Brings the root certificate into every namespace and keeps it there.
//! Level-triggered: what the watches know is compared with what should be, and a failed write is tried again
//! until it succeeds or is no longer needed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base::names;
use futures::stream::FuturesUnordered;
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::Client;
use kube::api::{Api, PartialObjectMeta, PostParams};
use kube::core::Resource;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use serve::Shutdown;
use serve::leader::Leadership;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info, warn};

use crate::Root;
use crate::root_cert::{Write, next_write, wanted};

/// Writes under way at one moment; the rest waits in the table.
const CONCURRENT: usize = 16;
/// For one write.
const CALL: Duration = Duration::from_secs(15);
/// First and longest pause after a failed write of one namespace.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// Runs until `shutdown`; writes only while this process leads.
pub async fn distribute(
    client: Client,
    mut root: watch::Receiver<Option<Arc<Root>>>,
    mut leadership: Leadership,
    shutdown: Shutdown,
) {
    let names_only = Api::<PartialObjectMeta<Namespace>>::all(client.clone());
    let mut namespaces = watcher(names_only, watcher::Config::default())
        .default_backoff()
        .boxed();
    let mut config_maps = config_maps(client.clone());
    let mut table = Table::default();
    let mut writes = FuturesUnordered::new();
    loop {
        let leads = *leadership.borrow_and_update();
        let current = root.borrow_and_update().clone();
        if let (true, Some(root)) = (leads, &current) {
            while writes.len() < CONCURRENT
                && let Some((namespace, write)) = table.next(root.roots_pem(), Instant::now())
            {
                writes.push(perform(client.clone(), namespace, write));
            }
        }
        let retry = table.next_retry();
        let retry = async {
            match retry {
                Some(at) if leads && current.is_some() => sleep_until(at).await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(event) = namespaces.next() => table.namespace(event),
            Some(event) = config_maps.next() => table.config_map(event),
            Some((namespace, written)) = writes.next() => {
                table.written(namespace, written, Instant::now());
            }
            Ok(()) = leadership.changed() => table.recheck_all(),
            Ok(()) = root.changed() => table.recheck_all(),
            () = retry => {}
        }
    }
}

fn config_maps(
    client: Client,
) -> impl Stream<Item = watcher::Result<Event<ConfigMap>>> + Send + Unpin {
    let name = format!("metadata.name={}", names::ROOT_CERT_CONFIG_MAP);
    let config = watcher::Config::default().fields(&name);
    watcher(Api::all(client), config).default_backoff().boxed()
}

/// Carries out `write` and returns what is stored after it.
async fn perform(client: Client, namespace: String, write: Write) -> (String, Written) {
    let api = Api::namespaced(client, &namespace);
    let written = match timeout(CALL, stored_by(&api, write)).await {
        Ok(written) => written,
        Err(_) => Err(kube::Error::Service("no answer in time".into())),
    };
    (namespace, written)
}

async fn stored_by(api: &Api<ConfigMap>, write: Write) -> Written {
    let params = PostParams::default();
    let name = names::ROOT_CERT_CONFIG_MAP;
    let written = match &write {
        Write::Nothing => return api.get_opt(name).await,
        Write::Create(config_map) => api.create(&params, config_map).await,
        Write::Replace(config_map) => api.replace(name, &params, config_map).await,
    };
    match (written, write) {
        // Someone else was first and the watch is late: compare with what is there.
        (Err(kube::Error::Api(status)), _) if status.code == 409 => api.get_opt(name).await,
        (Err(kube::Error::Api(status)), Write::Replace(_)) if status.code == 404 => Ok(None),
        (written, _) => written.map(Some),
    }
}

/// What a namespace holds after a write.
type Written = kube::Result<Option<ConfigMap>>;

/// What the watches know, and what is still to be looked at.
#[derive(Default)]
struct Table {
    /// Namespace → whether it is terminating. `None` until listed once.
    namespaces: Listed<bool>,
    /// Namespace → its ConfigMap.
    config_maps: Listed<ConfigMap>,
    /// To be compared.
    dirty: BTreeSet<String>,
    /// Being written; looked at again when that ends.
    writing: BTreeSet<String>,
    /// Failed: when to try again, and the pause after that.
    failed: BTreeMap<String, (Instant, Duration)>,
}

/// The result of a watch: complete since its first list, replaced as a whole by later ones.
struct Listed<T> {
    current: Option<BTreeMap<String, T>>,
    coming: BTreeMap<String, T>,
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Listed {
            current: None,
            coming: BTreeMap::new(),
        }
    }
}

impl<T> Listed<T> {
    /// Takes in an event and returns the keys that may have changed.
    fn apply<K>(
        &mut self,
        event: Event<K>,
        part: impl Fn(&K) -> Option<(String, T)>,
    ) -> BTreeSet<String> {
        let mut changed = BTreeSet::new();
        match event {
            Event::Init => self.coming = BTreeMap::new(),
            Event::InitApply(object) => self.coming.extend(part(&object)),
            Event::InitDone => {
                let old = self.current.replace(std::mem::take(&mut self.coming));
                changed.extend(old.into_iter().flat_map(BTreeMap::into_keys));
                changed.extend(self.current.iter().flat_map(BTreeMap::keys).cloned());
            }
            Event::Apply(object) => {
                if let Some((key, value)) = part(&object) {
                    self.current
                        .get_or_insert_default()
                        .insert(key.clone(), value);
                    changed.insert(key);
                }
            }
            Event::Delete(object) => {
                if let Some((key, _)) = part(&object) {
                    self.current.get_or_insert_default().remove(&key);
                    changed.insert(key);
                }
            }
        }
        changed
    }
}

impl Table {
    fn namespace(&mut self, event: watcher::Result<Event<PartialObjectMeta<Namespace>>>) {
        match event {
            Ok(event) => {
                let changed = self.namespaces.apply(event, |namespace| {
                    let terminating = namespace.metadata.deletion_timestamp.is_some();
                    Some((namespace.metadata.name.clone()?, terminating))
                });
                self.dirty.extend(changed);
            }
            Err(error) => warn!(%error, "watching namespaces failed, trying again"),
        }
    }

    fn config_map(&mut self, event: watcher::Result<Event<ConfigMap>>) {
        match event {
            Ok(event) => {
                let changed = self.config_maps.apply(event, |config_map| {
                    Some((config_map.meta().namespace.clone()?, config_map.clone()))
                });
                self.dirty.extend(changed);
            }
            Err(error) => {
                warn!(%error, "watching configmaps {} failed, trying again", names::ROOT_CERT_CONFIG_MAP);
            }
        }
    }

    fn recheck_all(&mut self) {
        self.failed.clear();
        if let Some(namespaces) = &self.namespaces.current {
            self.dirty.extend(namespaces.keys().cloned());
        }
    }

    /// The next namespace that needs a write; nothing until both watches have listed.
    fn next(&mut self, root: &str, now: Instant) -> Option<(String, Write)> {
        let namespaces = self.namespaces.current.as_ref()?;
        let config_maps = self.config_maps.current.as_ref()?;
        let due = self.failed.iter().filter(|(_, (at, _))| *at <= now);
        self.dirty
            .extend(due.map(|(namespace, _)| namespace.clone()));

        let candidates: Vec<String> = self
            .dirty
            .iter()
            .filter(|namespace| !self.writing.contains(*namespace))
            .filter(|namespace| self.failed.get(*namespace).is_none_or(|(at, _)| *at <= now))
            .cloned()
            .collect();
        for namespace in candidates {
            self.dirty.remove(&namespace);
            let terminating = namespaces.get(&namespace).copied();
            if terminating.is_none_or(|terminating| !wanted(&namespace, terminating)) {
                self.failed.remove(&namespace);
                continue;
            }
            match next_write(&namespace, config_maps.get(&namespace), root) {
                Write::Nothing => {
                    self.failed.remove(&namespace);
                }
                write => {
                    self.writing.insert(namespace.clone());
                    return Some((namespace, write));
                }
            }
        }
        None
    }

    fn next_retry(&self) -> Option<Instant> {
        let failed = self.failed.iter();
        let idle = failed.filter(|(namespace, _)| !self.writing.contains(*namespace));
        idle.map(|(_, (at, _))| *at).min()
    }

    fn written(&mut self, namespace: String, written: Written, now: Instant) {
        self.writing.remove(&namespace);
        match written {
            Ok(stored) => {
                debug!(namespace, "root certificate written");
                if let Some(current) = &mut self.config_maps.current {
                    // The watch will say the same; until then do not write twice.
                    match stored {
                        Some(stored) => current.insert(namespace.clone(), stored),
                        None => current.remove(&namespace),
                    };
                }
                if self.failed.remove(&namespace).is_some() {
                    info!(namespace, "root certificate written after failures");
                }
                self.dirty.insert(namespace);
            }
            Err(error) => {
                let pause = self
                    .failed
                    .get(&namespace)
                    .map_or(PAUSES.0, |(_, pause)| *pause);
                warn!(namespace, %error, ?pause, "root certificate could not be written, trying again");
                self.failed
                    .insert(namespace, (now + pause, (pause * 2).min(PAUSES.1)));
            }
        }
    }
}

#[cfg(test)]
mod tests;
