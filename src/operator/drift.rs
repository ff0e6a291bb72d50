//! Which objects have to be written, and why: a comparison of what is rendered, what was written
//! and what is there. Pure; the cluster's side is an inventory.
//!
//! An edit is recognised by field ownership: whoever changes the value of a field that we applied
//! takes its ownership, so the fingerprint of our fields changes. Fields that others own (replicas
//! under an autoscaler, a caBundle, defaults) never count.

use base::{ObjectRef, labels};
use install::{Component, Object, Owner};
use kube::api::DynamicObject;
use rollout::record::fingerprint;
use rollout::{Live, Written};

use crate::others::Others;

/// Why an object is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It does not exist and never did as far as this process knows.
    Absent,
    /// It existed and was deleted.
    Deleted,
    /// What it should be has changed, or this process has not written it yet.
    Rendered,
    /// Someone changed fields that are ours.
    Edited {
        /// The field manager that wrote last, when known.
        by: Option<String>,
    },
}

/// What is to be done with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is as it should be.
    Keep,
    /// Write it.
    Write(Cause),
    /// It is on its way out; it is written when it is gone.
    Wait,
    /// Another IstioOperator that exists keeps this shared object.
    Shared,
    /// An annotation on it asks that it be left as it is.
    Ignore,
    /// Another IstioOperator that exists owns it.
    Conflict(Owner),
}

/// A write, told apart from others by what is written over what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    body: u64,
    over: Option<(String, u64)>,
}

impl Attempt {
    /// The attempt to remove what stands there.
    pub fn removal(live: &Live) -> Attempt {
        Attempt {
            body: 0,
            over: Some((live.uid.clone(), live.fields)),
        }
    }
}

/// The attempt to write `object` over `live`.
pub fn attempt(object: &Object, live: Option<&Live>) -> Attempt {
    Attempt {
        body: fingerprint(object),
        over: live.map(|live| (live.uid.clone(), live.fields)),
    }
}

/// Why an object that exists, and of which nothing is known, is not ours to write; none when it is
/// what an earlier installation of ours left.
pub fn foreign(existing: &DynamicObject) -> Option<String> {
    let metadata = &existing.metadata;
    let annotation = |key: &str| metadata.annotations.as_ref()?.get(key).cloned();
    if let Some(release) = annotation(labels::HELM_RELEASE) {
        let namespace = annotation(labels::HELM_NAMESPACE).unwrap_or_default();
        return Some(format!("belongs to Helm release {namespace}/{release}"));
    }
    let entries = metadata.managed_fields.iter().flatten();
    let mut managers: Vec<&str> = entries
        .filter(|entry| entry.subresource.is_none())
        .filter_map(|entry| entry.manager.as_deref())
        .collect();
    managers.dedup();
    if managers.contains(&labels::FIELD_MANAGER) {
        return None;
    }
    match managers.as_slice() {
        [] => Some("exists already, and nothing tells who made it".to_owned()),
        managers => Some(format!("was made by {}", managers.join(", "))),
    }
}

/// Whether someone has asked, on the resource or on the object, that it be taken over.
pub fn may_adopt(cr: &DynamicObject, existing: &DynamicObject) -> bool {
    [cr, existing].into_iter().any(asks_to_adopt)
}

/// Whether the annotation stands on this one.
pub fn asks_to_adopt(object: &DynamicObject) -> bool {
    let annotations = object.metadata.annotations.as_ref();
    let adopt = annotations.and_then(|annotations| annotations.get(labels::ADOPT));
    adopt.is_some_and(|value| value == "true")
}

/// Judges one object of `component` of `owner`.
pub fn judge(
    object: &Object,
    component: Component,
    live: Option<&Live>,
    written: Option<&Written>,
    owner: &Owner,
    others: &Others,
) -> Verdict {
    let Some(live) = live else {
        return Verdict::Write(match written {
            Some(_) => Cause::Deleted,
            None => Cause::Absent,
        });
    };
    if live.deleting {
        return Verdict::Wait;
    }
    if live.ignored {
        return Verdict::Ignore;
    }
    if let Some(other) = live.owner.as_ref().filter(|other| *other != owner)
        && others.keeps(other, &object.reference)
    {
        return match shareable(&object.reference, component) {
            true => Verdict::Shared,
            false => Verdict::Conflict(other.clone()),
        };
    }
    match written {
        None => Verdict::Write(Cause::Rendered),
        Some(written) if written.uid != live.uid => Verdict::Write(Cause::Deleted),
        Some(written) if written.body != fingerprint(object) => Verdict::Write(Cause::Rendered),
        Some(written) if written.fields != live.fields => Verdict::Write(Cause::Edited {
            by: live.other_manager.clone(),
        }),
        Some(_) => Verdict::Keep,
    }
}

/// Base renders the same for everyone (CRDs, the reader's account), apart from the webhook that
/// validates by the cluster's default revision.
fn shareable(object: &ObjectRef, component: Component) -> bool {
    component == Component::Base && object.kind != "ValidatingWebhookConfiguration"
}

#[cfg(test)]
mod tests;
