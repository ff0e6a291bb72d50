//! Every object that carries our labels, as last seen. Fed by lists, watches and the answers to
//! our own writes in any order; an older view never replaces a newer one. Asks no cluster itself.

use std::collections::{BTreeMap, BTreeSet};

use base::ObjectRef;
use install::Owner;

use crate::{Kind, Live};

/// What is known of the cluster.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    objects: BTreeMap<ObjectRef, Live>,
    unconfirmed: BTreeSet<ObjectRef>,
}

impl Inventory {
    /// The object, when it exists.
    pub fn get(&self, reference: &ObjectRef) -> Option<&Live> {
        self.objects.get(reference)
    }

    /// Every object, by reference.
    pub fn iter(&self) -> impl Iterator<Item = &Live> {
        self.objects.values()
    }

    /// The objects whose labels name `owner`.
    pub fn owned_by(&self, owner: &Owner) -> impl Iterator<Item = &Live> {
        self.iter()
            .filter(move |live| live.owner.as_ref() == Some(owner))
    }

    /// Takes in a view of an object. Returns the owners for whom something changed.
    pub fn observe(&mut self, live: Live) -> Vec<Owner> {
        self.unconfirmed.remove(&live.reference);
        let known = self.objects.get(&live.reference);
        if known.is_some_and(|known| !live.supersedes(known)) {
            return Vec::new();
        }
        let mut concerned = Vec::new();
        if !known.is_some_and(|known| same_apart_from_version(known, &live)) {
            concerned.extend(live.owner.clone());
            concerned.extend(known.and_then(|known| known.owner.clone()));
            concerned.dedup();
        }
        self.objects.insert(live.reference.clone(), live);
        concerned
    }

    /// Takes in that an object is gone, or carries our labels no longer. Returns its owner.
    pub fn forget(&mut self, gone: &Live) -> Option<Owner> {
        let known = self.objects.get(&gone.reference)?;
        if known.uid != gone.uid {
            return None;
        }
        self.objects
            .remove(&gone.reference)
            .and_then(|live| live.owner)
    }

    /// A full listing of `kind` begins: what it does not name by [`Inventory::finish`] is gone.
    pub fn begin(&mut self, kind: &Kind) {
        let all = self.objects.keys().filter(|key| is_of(key, kind)).cloned();
        self.unconfirmed.extend(all);
    }

    /// The listing of `kind` is complete. Returns the owners of what turned out to be gone.
    pub fn finish(&mut self, kind: &Kind) -> Vec<Owner> {
        let gone: Vec<ObjectRef> = self
            .unconfirmed
            .iter()
            .filter(|key| is_of(key, kind))
            .cloned()
            .collect();
        gone.into_iter()
            .filter_map(|key| {
                self.unconfirmed.remove(&key);
                self.objects.remove(&key).and_then(|live| live.owner)
            })
            .collect()
    }
}

fn is_of(reference: &ObjectRef, kind: &Kind) -> bool {
    reference.kind == kind.kind && reference.api_version == kind.api_version
}

fn same_apart_from_version(known: &Live, live: &Live) -> bool {
    let mut known = known.clone();
    known.resource_version.clone_from(&live.resource_version);
    known == *live
}

#[cfg(test)]
mod tests;
