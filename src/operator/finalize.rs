//! Deletion of an installation. What runs, scales and intercepts goes first; what running pods
//! still need (their RBAC, accounts, configuration) when that is gone, so that nothing is left
//! half-alive or written again by a dying control plane. The specification is not read: an
//! invalid one never blocks deletion. Bounded: see [`PATIENCE`] and [`LIMIT`].

use std::collections::BTreeSet;
use std::time::Duration;

use base::labels;
use install::Owner;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::{Api, ResourceExt};
use rollout::{Live, prune, record};
use serde_json::json;

use crate::announce::{News, announce};
use crate::context::{Context, owner_of};
use crate::memory::Memory;
use crate::outcome::{Outcome, Waiting};
use crate::removal::{failed, remove, unlabelled};
use crate::watch::operator_resource;

/// How long pods may take to end before the rest is deleted all the same.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long it may take before an Event says what it waits for.
const TOLD: Duration = Duration::from_secs(20);
/// How long a deletion may take before the resource is let go, whatever is left.
const LIMIT: Duration = Duration::from_secs(600);

/// One step of the deletion of `cr`.
pub async fn finalize(cr: &DynamicObject, ctx: &Context, memory: &mut Memory) -> Outcome {
    if !has_finalizer(cr) {
        return Outcome::Silent;
    }
    let owner = owner_of(cr);
    let age = age_of_deletion(cr);
    let forced = cr
        .annotations()
        .get(labels::FORCE_DELETE)
        .is_some_and(|value| value == "true");
    let mut failures = Vec::new();
    match to_delete(ctx, &owner, memory, forced || age >= PATIENCE).await {
        Ok(doomed) => {
            for live in doomed {
                match remove(ctx, &live, &ctx.metrics.deletions).await {
                    Ok(()) => drop(memory.record.written.remove(&live.reference)),
                    Err(error) => failures.push(error),
                }
            }
        }
        Err(error) => failures.push(failed(ctx, &error)),
    }
    let left = left(ctx, &owner);
    let done = left.is_empty() && failures.is_empty();
    if !done && age < LIMIT && !forced {
        let waiting = left
            .iter()
            .map(|object| format!("waiting for {object} to end"));
        failures.extend(waiting);
        return waits(age, failures);
    }
    if let Err(error) = record::forget(&ctx.client, &owner).await {
        // Its owner reference takes it away with the resource.
        failed(ctx, &error);
    }
    if let Err(error) = remove_finalizer(cr, ctx).await {
        return waits(
            age,
            vec![format!("the finalizer could not be removed: {error}")],
        );
    }
    // Its end may have been heard of before this pass ends. What is left, others may take over from now on.
    *memory = Memory::default();
    ctx.wake_others(&owner);
    ctx.metrics.deleted.inc();
    if done {
        let note = "every object of this installation is gone".to_owned();
        announce(ctx, cr, News::Deleted, None, note).await;
    } else {
        // The rest was asked to go a moment ago, and nobody is known to hold it.
        failures.extend(held(ctx, &owner));
        let why = match forced {
            true => format!("as annotation {} asks", labels::FORCE_DELETE),
            false => format!("after {} s", LIMIT.as_secs()),
        };
        let left = match failures.is_empty() {
            true => "nothing that is known to be held".to_owned(),
            false => failures.join(", "),
        };
        let note = format!("let go {why} with these left: {left}");
        announce(ctx, cr, News::LeftBehind, None, note).await;
    }
    Outcome::Silent
}

fn waits(age: Duration, left: Vec<String>) -> Outcome {
    let told = age >= TOLD;
    Outcome::Deleting(Waiting { left, told })
}

/// What is to be deleted in this step, all of it where pods are not waited for. What others need as well is theirs
/// from now on.
async fn to_delete(
    ctx: &Context,
    owner: &Owner,
    memory: &mut Memory,
    at_once: bool,
) -> Result<Vec<Live>, rollout::Error> {
    ctx.recall_record(owner, memory).await?;
    let others = ctx.others_for_certain(owner).await?;
    let mut doomed: Vec<Live> = {
        let inventory = ctx.inventory();
        let remains = prune::remains(&inventory, owner);
        let last = match remains.first.is_empty() || at_once {
            true => remains.last.as_slice(),
            false => &[],
        };
        let now = remains.first.iter().chain(last);
        now.map(|live| (*live).clone()).collect()
    };
    if doomed.is_empty() {
        doomed = unlabelled(ctx, memory, &BTreeSet::new()).await?;
    }
    doomed.retain(|live| !live.deleting && !others.need(&live.reference));
    Ok(doomed)
}

/// What is left of an installation, what others need apart.
fn left(ctx: &Context, owner: &Owner) -> Vec<String> {
    remaining(ctx, owner, |_| true)
}

/// What was asked to go and is still there.
fn held(ctx: &Context, owner: &Owner) -> Vec<String> {
    remaining(ctx, owner, |live| live.deleting)
}

fn remaining(ctx: &Context, owner: &Owner, wanted: fn(&Live) -> bool) -> Vec<String> {
    let others = ctx.others(owner);
    let inventory = ctx.inventory();
    let remains = prune::remains(&inventory, owner);
    let all = remains.first.iter().chain(&remains.last);
    all.filter(|live| wanted(live) && !others.need(&live.reference))
        .map(|live| live.reference.to_string())
        .collect()
}

fn age_of_deletion(cr: &DynamicObject) -> Duration {
    let Some(since) = &cr.metadata.deletion_timestamp else {
        return Duration::ZERO;
    };
    let seconds = k8s_openapi::jiff::Timestamp::now().as_second() - since.0.as_second();
    Duration::from_secs(seconds.max(0).unsigned_abs())
}

/// Whether our finalizer is on the resource.
pub fn has_finalizer(cr: &DynamicObject) -> bool {
    cr.finalizers().iter().any(|name| name == labels::FINALIZER)
}

/// Puts our finalizer on the resource. To be done before anything is applied for it.
pub async fn add_finalizer(cr: &DynamicObject, ctx: &Context) -> Result<(), kube::Error> {
    let mut finalizers = cr.finalizers().to_vec();
    finalizers.push(labels::FINALIZER.to_owned());
    set_finalizers(cr, ctx, finalizers).await
}

async fn remove_finalizer(cr: &DynamicObject, ctx: &Context) -> Result<(), kube::Error> {
    let finalizers = cr.finalizers().iter();
    let others = finalizers.filter(|name| *name != labels::FINALIZER);
    match set_finalizers(cr, ctx, others.cloned().collect()).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        answer => answer,
    }
}

async fn set_finalizers(
    cr: &DynamicObject,
    ctx: &Context,
    finalizers: Vec<String>,
) -> Result<(), kube::Error> {
    let api: Api<DynamicObject> = Api::namespaced_with(
        ctx.client.clone(),
        &cr.namespace().unwrap_or_default(),
        &operator_resource(),
    );
    let params = PatchParams {
        field_manager: Some(labels::FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    // The uid guards against a successor of the same name; a finalizer that someone else changes
    // in this moment would be overwritten without the resourceVersion.
    let patch = json!({"metadata": {
        "uid": cr.uid(),
        "resourceVersion": cr.resource_version(),
        "finalizers": finalizers,
    }});
    api.patch(&cr.name_any(), &params, &Patch::Merge(patch))
        .await
        .map(|_| ())
}
