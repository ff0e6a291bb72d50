//! Objects from the YAML files of a folder, followed by polling: no cluster is needed.
//!
//! Every `.yaml`, `.yml` and `.json` file below the folder counts; hidden ones do not, so that mounted ConfigMaps,
//! which swap a hidden link, work. A file that is not YAML leaves what it said before in force. Of an object that
//! stands in several files, the last in the order of paths counts.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use api::snapshot::Kind;
use serde_json::Value;
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::change::{Id, is_cluster_scoped};
use crate::{Change, MeshMap};

/// Between two looks at the folder.
const INTERVAL: Duration = Duration::from_millis(500);

/// The folder cannot be read at all.
#[derive(Debug, thiserror::Error)]
#[error("{folder}: {source}")]
pub struct Error {
    /// The folder.
    pub folder: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// Tells `changes` what the files of `folder` say, now and whenever they change, until nobody listens.
pub async fn follow(folder: PathBuf, mesh_map: MeshMap, changes: mpsc::Sender<Vec<Change>>) {
    let mut files = Files::new(folder, mesh_map);
    let mut complete = false;
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = changes.closed() => return,
            _ = ticks.tick() => {}
        }
        let looked = tokio::task::spawn_blocking(move || {
            let found = files.look();
            (files, found)
        });
        let (back, found) = looked.await.expect("looking at files does not panic");
        files = back;
        let mut batch = match found {
            Ok(batch) => batch,
            Err(error) => {
                warn!(%error, "the configuration folder could not be read, what it said stays in force");
                continue;
            }
        };
        if !complete {
            batch.push(Change::Complete);
            complete = true;
        }
        if !batch.is_empty() && changes.send(batch).await.is_err() {
            return;
        }
    }
}

/// Everything that the files of `folder` say, read once.
///
/// # Errors
/// [`Error`]; files that are not YAML are left out and named in the log.
pub fn read_once(folder: &Path, mesh_map: MeshMap) -> Result<Vec<Change>, Error> {
    Files::new(folder.to_owned(), mesh_map).look()
}

/// The changes that the objects of one YAML text make, in their order.
///
/// # Errors
/// The first place that is not YAML.
pub fn read_text(text: &str, mesh_map: &MeshMap) -> Result<Vec<Change>, api::yaml::YamlError> {
    let objects = objects_in(text)?.into_iter();
    let told = objects.filter_map(|object| Some(Id::of(&object, mesh_map)?.told(&object)));
    Ok(told.flatten().collect())
}

/// A folder, as it was seen last.
struct Files {
    folder: PathBuf,
    mesh_map: MeshMap,
    seen: BTreeMap<PathBuf, File>,
}

/// One file, as it was seen last.
struct File {
    stamp: Stamp,
    objects: BTreeMap<Id, Value>,
}

/// Differs when a file was written or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
}

impl Files {
    fn new(folder: PathBuf, mesh_map: MeshMap) -> Self {
        Files {
            folder,
            mesh_map,
            seen: BTreeMap::new(),
        }
    }

    /// What changed since the last look.
    fn look(&mut self) -> Result<Vec<Change>, Error> {
        let mut present = BTreeMap::new();
        find(&self.folder, &mut present).map_err(|source| Error {
            folder: self.folder.clone(),
            source,
        })?;
        let mut touched = BTreeSet::new();
        for (path, stamp) in &present {
            if self.seen.get(path).map(|file| file.stamp) == Some(*stamp) {
                continue;
            }
            let objects = match self.objects_of(path) {
                Ok(objects) => objects,
                Err(reason) => {
                    warn!(file = %path.display(), reason, "not readable, what it said before stays in force");
                    let before = self.seen.remove(path).map(|file| file.objects);
                    before.unwrap_or_default()
                }
            };
            touched.extend(objects.keys().cloned());
            let file = File {
                stamp: *stamp,
                objects,
            };
            if let Some(before) = self.seen.insert(path.clone(), file) {
                touched.extend(before.objects.into_keys());
            }
        }
        self.seen.retain(|path, file| {
            let stays = present.contains_key(path);
            if !stays {
                touched.extend(file.objects.keys().cloned());
            }
            stays
        });
        let touched = touched.into_iter();
        Ok(touched.flat_map(|id| self.state_of(id)).collect())
    }

    fn state_of(&self, id: Id) -> Vec<Change> {
        // The last in the order of paths counts.
        let told = self.seen.values().rev();
        match told.filter_map(|file| file.objects.get(&id)).next() {
            Some(object) => id.told(object),
            None => vec![id.gone()],
        }
    }

    fn objects_of(&self, path: &Path) -> Result<BTreeMap<Id, Value>, String> {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        let mut objects = BTreeMap::new();
        for object in objects_in(&text).map_err(|error| error.to_string())? {
            match Id::of(&object, &self.mesh_map) {
                Some(id) => {
                    objects.insert(id, object);
                }
                None => info!(file = %path.display(), kind = object["kind"].as_str(),
                    name = object["metadata"]["name"].as_str(), "an object that the mesh does not read"),
            }
        }
        Ok(objects)
    }
}

/// Every file that counts, below `folder`.
fn find(folder: &Path, found: &mut BTreeMap<PathBuf, Stamp>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') {
            continue;
        }
        // A file may go between being listed and being looked at.
        let Ok(metadata) = std::fs::metadata(&path) else {
            continue;
        };
        let extension = path.extension().unwrap_or_default();
        if metadata.is_dir() {
            find(&path, found)?;
        } else if ["yaml", "yml", "json"]
            .iter()
            .any(|known| extension == *known)
        {
            let stamp = Stamp {
                modified: metadata.modified().ok(),
                length: metadata.len(),
            };
            found.insert(path, stamp);
        }
    }
    Ok(())
}

/// The objects of a YAML text: members of lists singly, and those without a namespace in `default`, as
/// kubectl would have it.
fn objects_in(text: &str) -> Result<Vec<Value>, api::yaml::YamlError> {
    let mut objects = Vec::new();
    for mut document in api::yaml::documents(text)? {
        let is_list = document["kind"]
            .as_str()
            .is_some_and(|kind| kind.ends_with("List"));
        match document.get_mut("items").and_then(Value::as_array_mut) {
            Some(items) if is_list => objects.append(items),
            _ => objects.push(document),
        }
    }
    for object in &mut objects {
        let text = |field: &str| object[field].as_str().unwrap_or_default();
        let kind = Kind::of(text("apiVersion"), text("kind"));
        if kind.is_some_and(is_cluster_scoped) {
            continue;
        }
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            let default = || Value::String("default".to_owned());
            metadata.entry("namespace").or_insert_with(default);
        }
    }
    Ok(objects)
}

#[cfg(test)]
mod tests;
