//! What was applied for one IstioOperator, kept in a ConfigMap beside it: so that a restart writes
//! nothing that stands already, and so that an object that has lost its labels is still known.
//! The ConfigMap is owned by the resource and goes with it. Losing it costs writes, no truth.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use base::{ObjectRef, labels};
use install::{Object, Owner};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use xxhash_rust::xxh3::xxh3_64;

use crate::error::bounded;
use crate::{Error, Live};

/// What was written of one object, and what the cluster made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// [`fingerprint`] of what was written.
    pub body: u64,
    /// `metadata.uid` of the object that came of it.
    pub uid: String,
    /// [`Live::fields`] of the answer.
    pub fields: u64,
}

impl Written {
    /// Notes what the answer to a write says.
    pub fn of(object: &Object, answer: &Live) -> Written {
        Written {
            body: fingerprint(object),
            uid: answer.uid.clone(),
            fields: answer.fields,
        }
    }
}

/// Everything that was written, and what is rendered alike by another IstioOperator that wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// By object.
    pub written: BTreeMap<ObjectRef, Written>,
    /// Objects that this installation needs as much as the one that keeps them.
    pub shared: BTreeSet<ObjectRef>,
}

/// A number that changes with the content of a rendered object; the same in every process.
pub fn fingerprint(object: &Object) -> u64 {
    xxh3_64(object.body.to_string().as_bytes())
}

/// Name of the ConfigMap of an IstioOperator.
pub fn name(owner: &Owner) -> String {
    format!("istio-operator-inventory-{}", owner.name)
}

const KEY: &str = "objects";
/// Field manager of the ConfigMap.
const MANAGER: &str = labels::FIELD_MANAGER;

impl Record {
    /// Every object of the installation, its own and shared.
    pub fn objects(&self) -> BTreeSet<ObjectRef> {
        self.written.keys().chain(&self.shared).cloned().collect()
    }

    /// One line per object, for people too.
    fn to_text(&self) -> String {
        let mut text = String::new();
        for (object, written) in &self.written {
            let Written { body, uid, fields } = written;
            let _ = writeln!(text, "{} {uid} {body:016x} {fields:016x}", target(object));
        }
        for object in &self.shared {
            let _ = writeln!(text, "{} shared", target(object));
        }
        text
    }

    /// What [`Record::to_text`] wrote; lines that are none of its are passed over.
    fn from_text(text: &str) -> Record {
        let mut record = Record::default();
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let [api_version, kind, target, rest @ ..] = words.as_slice() else {
                continue;
            };
            let (namespace, name) = match target.split_once('/') {
                Some((namespace, name)) => (Some(namespace.to_owned()), name),
                None => (None, *target),
            };
            let object = ObjectRef {
                api_version: (*api_version).to_owned(),
                kind: (*kind).to_owned(),
                namespace,
                name: name.to_owned(),
            };
            let number = |text: &str| u64::from_str_radix(text, 16).ok();
            match rest {
                ["shared"] => {
                    record.shared.insert(object);
                }
                [uid, body, fields] => {
                    if let Some((body, fields)) = number(body).zip(number(fields)) {
                        let uid = (*uid).to_owned();
                        let written = Written { body, uid, fields };
                        record.written.insert(object, written);
                    }
                }
                _ => {}
            }
        }
        record
    }
}

fn target(object: &ObjectRef) -> String {
    let ObjectRef {
        api_version,
        kind,
        namespace,
        name,
    } = object;
    match namespace {
        Some(namespace) => format!("{api_version} {kind} {namespace}/{name}"),
        None => format!("{api_version} {kind} {name}"),
    }
}

fn api(client: &Client, owner: &Owner) -> Api<ConfigMap> {
    Api::namespaced(client.clone(), &owner.namespace)
}

/// Reads the record of an IstioOperator; an empty one where there is none.
///
/// # Errors
/// When the API server cannot be asked.
pub async fn read(client: &Client, owner: &Owner) -> Result<Record, Error> {
    let what = || format!("the inventory {}/{}", owner.namespace, name(owner));
    let found = bounded(what, api(client, owner).get_opt(&name(owner)), |source| {
        Error::Read {
            what: what(),
            source,
        }
    })
    .await?;
    let text = found.and_then(|map| map.data?.remove(KEY));
    Ok(text.map_or_else(Record::default, |text| Record::from_text(&text)))
}

/// Keeps the record of the IstioOperator `owner`, whose uid is `uid`.
///
/// # Errors
/// When the API server cannot be asked, or refuses.
pub async fn write(
    client: &Client,
    owner: &Owner,
    uid: &str,
    record: &Record,
) -> Result<(), Error> {
    let map = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name(owner),
            "namespace": owner.namespace,
            "ownerReferences": [{
                "apiVersion": "install.istio.io/v1alpha1",
                "kind": "IstioOperator",
                "name": owner.name,
                "uid": uid,
            }],
        },
        "data": {KEY: record.to_text()},
    });
    let params = PatchParams::apply(MANAGER).force();
    let patch = Patch::Apply(&map);
    bounded(
        || "writing the inventory".to_owned(),
        api(client, owner).patch(&name(owner), &params, &patch),
        |source| Error::Record {
            record: format!("{}/{}", owner.namespace, name(owner)),
            source,
        },
    )
    .await
    .map(|_| ())
}

/// Removes the record; one that is gone is no error.
///
/// # Errors
/// When the API server cannot be asked, or refuses.
pub async fn forget(client: &Client, owner: &Owner) -> Result<(), Error> {
    let answer = bounded(
        || "removing the inventory".to_owned(),
        api(client, owner).delete(&name(owner), &DeleteParams::default()),
        |source| Error::Record {
            record: format!("{}/{}", owner.namespace, name(owner)),
            source,
        },
    )
    .await;
    match answer {
        Ok(_) => Ok(()),
        Err(Error::Record { source, .. }) if matches!(&*source, kube::Error::Api(status) if status.code == 404) => {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
