//! What may be deleted, in which order, and the deletion itself. Selection goes by owner labels
//! and never by the version label, so that an upgrade leaves nothing behind.

use std::collections::BTreeSet;

use base::{ObjectRef, names};
use install::{ComponentManifest, Owner};
use kube::Client;
use kube::api::{DeleteParams, Preconditions};

use crate::error::bounded;
use crate::kind::Teardown;
use crate::{Error, Inventory, Kind, Live};

/// Whether an object may be deleted by pruning or teardown at all: CRDs, the CA's Secret and the
/// root certificate outlive an installation, and namespaces are not of our kinds.
pub fn deletable(reference: &ObjectRef) -> bool {
    let kept = [names::CA_SECRET, names::ROOT_CERT_CONFIG_MAP].contains(&reference.name.as_str());
    !kept && Kind::of(reference).is_some_and(|kind| kind.teardown != Teardown::Kept)
}

/// The owner's objects that are rendered no longer, of components that are `settled`: applied in
/// full, or disabled. An object without a component that is known goes when all are settled. An
/// object that bears our labels but was never applied by us is a copy that someone made.
pub fn superfluous<'a>(
    inventory: &'a Inventory,
    owner: &Owner,
    components: &[ComponentManifest],
    settled: impl Fn(&ComponentManifest) -> bool,
) -> Vec<&'a Live> {
    let rendered: BTreeSet<&ObjectRef> = components
        .iter()
        .flat_map(|component| &component.objects)
        .map(|object| &object.reference)
        .collect();
    let all_settled = components.iter().all(&settled);
    let of_settled = |live: &Live| {
        components
            .iter()
            .find(|known| Some(known.component.as_str()) == live.component.as_deref())
            .map_or(all_settled, &settled)
    };
    in_order(
        inventory
            .owned_by(owner)
            .filter(|live| !rendered.contains(&live.reference))
            .filter(|live| !live.not_pruned && !live.ignored && !live.deleting)
            .filter(|live| live.applied && deletable(&live.reference))
            .filter(|live| of_settled(live)),
    )
}

/// What is left of an owner that is being deleted, split by when it goes: what is to go now, and
/// how much follows when that is gone. Objects exempt from pruning go too.
pub fn remains<'a>(inventory: &'a Inventory, owner: &Owner) -> Remains<'a> {
    let (first, last): (Vec<_>, Vec<_>) = inventory
        .owned_by(owner)
        .filter(|live| live.applied && deletable(&live.reference))
        .partition(|live| {
            Kind::of(&live.reference).is_some_and(|kind| kind.teardown == Teardown::First)
        });
    Remains {
        first: in_order(first.into_iter()),
        last: in_order(last.into_iter()),
    }
}

/// See [`remains`].
#[derive(Debug, Default)]
pub struct Remains<'a> {
    /// Of [`Teardown::First`].
    pub first: Vec<&'a Live>,
    /// Of [`Teardown::Last`].
    pub last: Vec<&'a Live>,
}

fn in_order<'a>(objects: impl Iterator<Item = &'a Live>) -> Vec<&'a Live> {
    let mut objects: Vec<_> = objects.collect();
    objects.sort_by_key(|live| Kind::of(&live.reference).map_or(usize::MAX, Kind::rank));
    objects
}

/// Deletes exactly this object (by uid): in the foreground, so that it is gone only when its pods
/// are. An object that is gone or was replaced meanwhile is no error.
pub async fn delete(client: &Client, live: &Live) -> Result<(), Error> {
    let reference = &live.reference;
    let kind = Kind::of(reference).ok_or_else(|| Error::UnknownKind {
        object: reference.clone(),
    })?;
    let params = DeleteParams::foreground().preconditions(Preconditions {
        uid: Some(live.uid.clone()),
        resource_version: None,
    });
    let api = kind.api(client, reference);
    let answer = bounded(
        || format!("deleting {reference}"),
        api.delete(&reference.name, &params),
        |source| Error::Delete {
            object: reference.clone(),
            source,
        },
    )
    .await;
    match answer {
        Ok(_) => Ok(()),
        Err(Error::Delete { source, .. }) if gone(&source) => Ok(()),
        Err(error) => Err(error),
    }
}

fn gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404 || status.code == 409)
}

#[cfg(test)]
mod tests;
