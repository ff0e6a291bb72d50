//! What the watches know of namespaces and their ConfigMaps, what is still to be written, and how far that is.
//! No I/O: `distribute` carries out what [`Table::next`] says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base::names;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::PartialObjectMeta;
use kube::core::Resource;
use kube::runtime::watcher::{self, Event};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::Written;
use crate::health::Distribution;
use crate::root_cert::{Write, next_write, wanted};

/// First and longest pause after a failed write of one namespace.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));
/// Namespaces that are named when their write fails, at most.
const NAMED: usize = 8;

/// What the watches know, and what is still to be looked at.
#[derive(Default)]
pub(super) struct Table {
    /// Namespace → whether it is terminating. `None` until listed once.
    namespaces: Listed<bool>,
    /// Namespace → its ConfigMap.
    config_maps: Listed<ConfigMap>,
    /// To be compared.
    dirty: BTreeSet<String>,
    /// Being written; looked at again when that ends.
    writing: BTreeSet<String>,
    /// Failed: when to try again, and the pause after that.
    failed: BTreeMap<String, Failure>,
    /// Namespaces that are to hold the root, and whether they do.
    held: BTreeMap<String, bool>,
    /// To be counted again.
    uncounted: BTreeSet<String>,
}

/// A write that failed.
struct Failure {
    /// When to try again.
    at: Instant,
    /// The pause after that.
    pause: Duration,
    /// What was said.
    error: String,
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
    pub(super) fn namespace(
        &mut self,
        event: watcher::Result<Event<PartialObjectMeta<Namespace>>>,
    ) {
        match event {
            Ok(event) => {
                let changed = self.namespaces.apply(event, |namespace| {
                    let terminating = namespace.metadata.deletion_timestamp.is_some();
                    Some((namespace.metadata.name.clone()?, terminating))
                });
                self.changed(changed);
            }
            Err(error) => warn!(%error, "watching namespaces failed, trying again"),
        }
    }

    pub(super) fn config_map(&mut self, event: watcher::Result<Event<ConfigMap>>) {
        match event {
            Ok(event) => {
                let changed = self.config_maps.apply(event, |config_map| {
                    Some((config_map.meta().namespace.clone()?, config_map.clone()))
                });
                self.changed(changed);
            }
            Err(error) => {
                warn!(%error, "watching configmaps {} failed, trying again", names::ROOT_CERT_CONFIG_MAP);
            }
        }
    }

    pub(super) fn recheck_all(&mut self) {
        self.failed.clear();
        let namespaces = self.namespaces.current.iter().flatten();
        let all: BTreeSet<String> = namespaces.map(|(name, _)| name.clone()).collect();
        self.changed(all);
    }

    fn changed(&mut self, namespaces: BTreeSet<String>) {
        self.uncounted.extend(namespaces.iter().cloned());
        self.dirty.extend(namespaces);
    }

    /// How many namespaces hold `root`; unknown until both watches have listed.
    pub(super) fn distribution(&mut self, root: &str) -> Option<Distribution> {
        let namespaces = self.namespaces.current.as_ref()?;
        let config_maps = self.config_maps.current.as_ref()?;
        for name in std::mem::take(&mut self.uncounted) {
            let terminating = namespaces.get(&name).copied();
            if terminating.is_some_and(|terminating| wanted(&name, terminating)) {
                let write = next_write(&name, config_maps.get(&name), root);
                self.held.insert(name, write == Write::Nothing);
            } else {
                self.held.remove(&name);
            }
        }
        let failing = self.failed.iter().take(NAMED);
        Some(Distribution {
            held: self.held.values().filter(|held| **held).count(),
            wanted: self.held.len(),
            failing: failing
                .map(|(name, failure)| format!("{name}: {}", failure.error))
                .collect(),
        })
    }

    /// The next namespace that needs a write; nothing until both watches have listed.
    pub(super) fn next(&mut self, root: &str, now: Instant) -> Option<(String, Write)> {
        let namespaces = self.namespaces.current.as_ref()?;
        let config_maps = self.config_maps.current.as_ref()?;
        let due = self.failed.iter().filter(|(_, failure)| failure.at <= now);
        self.dirty
            .extend(due.map(|(namespace, _)| namespace.clone()));

        let candidates: Vec<String> = self
            .dirty
            .iter()
            .filter(|namespace| !self.writing.contains(*namespace))
            .filter(|namespace| {
                self.failed
                    .get(*namespace)
                    .is_none_or(|failure| failure.at <= now)
            })
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

    pub(super) fn next_retry(&self) -> Option<Instant> {
        let failed = self.failed.iter();
        let idle = failed.filter(|(namespace, _)| !self.writing.contains(*namespace));
        idle.map(|(_, failure)| failure.at).min()
    }

    pub(super) fn written(&mut self, namespace: String, written: Written, now: Instant) {
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
                self.changed(BTreeSet::from([namespace]));
            }
            Err(error) => {
                let before = self.failed.get(&namespace);
                let pause = before.map_or(PAUSES.0, |failure| failure.pause);
                warn!(namespace, %error, ?pause, "root certificate could not be written, trying again");
                let failure = Failure {
                    at: now + pause,
                    pause: (pause * 2).min(PAUSES.1),
                    error: error.to_string(),
                };
                self.failed.insert(namespace, failure);
            }
        }
    }
}

#[cfg(test)]
mod tests;
