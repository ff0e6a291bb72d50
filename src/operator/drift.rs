//! Which objects have to be written, and why: a comparison of what is rendered, what was written
//! and what is there. Pure; the cluster's side is an inventory.
//!
//! An edit is recognised by field ownership: whoever changes the value of a field that we applied
//! takes its ownership, so the fingerprint of our fields changes. Fields that others own (replicas
//! under an autoscaler, a caBundle, defaults) never count.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use base::ObjectRef;
use install::{Component, Object, Owner};
use rollout::Live;

/// What was written of one object, and what the cluster made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    body: u64,
    uid: String,
    fields: u64,
}

/// What this process wrote, by object.
pub type Ledger = BTreeMap<ObjectRef, Written>;

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
    /// Another IstioOperator that exists owns it.
    Conflict(Owner),
}

/// A write, told apart from others by what is written over what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    body: u64,
    over: Option<(String, u64)>,
}

/// The attempt to write `object` over `live`.
pub fn attempt(object: &Object, live: Option<&Live>) -> Attempt {
    Attempt {
        body: fingerprint(object),
        over: live.map(|live| (live.uid.clone(), live.fields)),
    }
}

/// What really happened, known from the answer: an object that only lost the labels by which it
/// is watched was edited, not deleted.
pub fn in_hindsight(cause: Cause, before: Option<&Written>, answer: &Live) -> Cause {
    match cause {
        Cause::Deleted if before.is_some_and(|before| before.uid == answer.uid) => Cause::Edited {
            by: answer.other_manager.clone(),
        },
        cause => cause,
    }
}

/// Notes what the answer to a write says.
pub fn written(object: &Object, answer: &Live) -> Written {
    Written {
        body: fingerprint(object),
        uid: answer.uid.clone(),
        fields: answer.fields,
    }
}

/// Judges one object of `component` of `owner`; `others` are the IstioOperators that exist beside
/// it, as (namespace, name).
pub fn judge(
    object: &Object,
    component: Component,
    live: Option<&Live>,
    written: Option<&Written>,
    owner: &Owner,
    others: &BTreeSet<(String, String)>,
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
    if let Some(other) = live.owner.as_ref().filter(|other| *other != owner)
        && others.contains(&(other.namespace.clone(), other.name.clone()))
    {
        // Base renders the same for everyone (CRDs, reader roles).
        return match component {
            Component::Base => Verdict::Shared,
            _ => Verdict::Conflict(other.clone()),
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

fn fingerprint(object: &Object) -> u64 {
    let mut hasher = DefaultHasher::new();
    object.body.to_string().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
