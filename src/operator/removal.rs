//! What passes delete: objects that are rendered no longer, and objects that lost the labels by
//! which they would be found. Each deletion is counted; what others need is handed over instead.

use std::collections::BTreeSet;

use base::ObjectRef;
use install::{Component, ComponentManifest, Manifest};
use kube::api::DynamicObject;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use rollout::{Kind, Live, apply, prune};

use crate::announce::{News, announce};
use crate::context::{Context, owner_of};
use crate::memory::Memory;
use crate::metrics::{ActionLabels, KindLabels};
use crate::outcome::State;

/// Deletes one object, and counts it.
///
/// # Errors
/// What to tell about it.
pub async fn remove(
    ctx: &Context,
    live: &Live,
    counter: &Family<KindLabels, Counter>,
) -> Result<(), String> {
    match prune::delete(&ctx.client, live).await {
        Ok(()) => {
            let kind = live.reference.kind.clone();
            counter.get_or_create(&KindLabels { kind }).inc();
            Ok(())
        }
        Err(error) => Err(failed(ctx, &error)),
    }
}

/// Counts a failure, and returns what to tell about it.
pub fn failed(ctx: &Context, error: &rollout::Error) -> String {
    let action = error.label();
    let failures = &ctx.metrics.failures;
    failures.get_or_create(&ActionLabels { action }).inc();
    tracing::warn!(%error, action, "asking the API server");
    error.to_string()
}

/// The objects that would be pruned: rendered no longer, of components that are settled.
pub fn superfluous(
    cr: &DynamicObject,
    ctx: &Context,
    manifest: &Manifest,
    settled: impl Fn(&ComponentManifest) -> bool,
) -> Vec<Live> {
    let inventory = ctx.inventory();
    prune::superfluous(&inventory, &owner_of(cr), &manifest.components, settled)
        .into_iter()
        .cloned()
        .collect()
}

/// Objects of the record that are among no `wanted`, still stand as they came from us, and that no
/// watch shows any more because someone took their labels. The record forgets all others of them.
///
/// # Errors
/// When the API server cannot be asked.
pub async fn unlabelled(
    ctx: &Context,
    memory: &mut Memory,
    wanted: &BTreeSet<&ObjectRef>,
) -> Result<Vec<Live>, rollout::Error> {
    let unseen: Vec<ObjectRef> = {
        let inventory = ctx.inventory();
        let written = memory.record.written.keys();
        written
            .filter(|object| !wanted.contains(object) && inventory.get(object).is_none())
            .cloned()
            .collect()
    };
    let mut found = Vec::new();
    for object in unseen {
        let standing = apply::read(&ctx.client, &object).await?;
        let uid = memory
            .record
            .written
            .get(&object)
            .map(|written| &written.uid);
        let ours = standing.filter(|standing| standing.metadata.uid.as_ref() == uid);
        match ours.zip(Kind::of(&object)) {
            Some((standing, kind)) if prune::deletable(&object) => {
                found.push(Live::of(kind, &standing.metadata, &standing.data));
            }
            _ => {
                memory.record.written.remove(&object);
            }
        }
    }
    Ok(found)
}

/// Deletes what is rendered no longer, of components that are applied in full or disabled.
pub async fn sweep(
    cr: &DynamicObject,
    ctx: &Context,
    memory: &mut Memory,
    manifest: &Manifest,
    state_of: impl Fn(Component) -> State,
) -> Vec<(Component, String)> {
    let settled = |planned: &ComponentManifest| {
        !planned.enabled
            || !matches!(
                state_of(planned.component),
                State::Blocked(_) | State::Failed(_) | State::Contended(_) | State::Pending
            )
    };
    let rendered: BTreeSet<_> = manifest.objects().map(|object| &object.reference).collect();
    let mut surplus = superfluous(cr, ctx, manifest, settled);
    if manifest.components.iter().all(settled) {
        match unlabelled(ctx, memory, &rendered).await {
            Ok(found) => surplus.extend(found),
            Err(error) => return vec![(Component::Base, failed(ctx, &error))],
        }
    }
    prune_all(cr, ctx, memory, surplus).await
}

async fn prune_all(
    cr: &DynamicObject,
    ctx: &Context,
    memory: &mut Memory,
    surplus: Vec<Live>,
) -> Vec<(Component, String)> {
    if surplus.is_empty() {
        return Vec::new();
    }
    let others = match ctx.others_for_certain(&owner_of(cr)).await {
        Ok(others) => others,
        Err(error) => return vec![(Component::Base, failed(ctx, &error))],
    };
    let mut failures = Vec::new();
    let mut pruned: Vec<String> = Vec::new();
    for live in surplus {
        let reference = &live.reference;
        if others.need(reference) {
            memory.record.written.remove(reference);
            continue;
        }
        match remove(ctx, &live, &ctx.metrics.prunes).await {
            Ok(()) => {
                memory.record.written.remove(reference);
                pruned.push(reference.to_string());
            }
            Err(error) => {
                let component = Component::ALL
                    .into_iter()
                    .find(|known| live.component.as_deref() == Some(known.as_str()));
                failures.push((component.unwrap_or(Component::Base), error));
            }
        }
    }
    if !pruned.is_empty() {
        let note = format!("no longer part of the specification: {}", pruned.join(", "));
        announce(ctx, cr, News::Pruned, None, note).await;
    }
    failures
}
