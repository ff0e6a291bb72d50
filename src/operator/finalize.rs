//! Deletion of an installation. What runs, scales and intercepts goes first; what running pods
//! still need (their RBAC, accounts, configuration) when that is gone, so that nothing is left
//! half-alive or written again by a dying control plane. The specification is not read: an
//! invalid one never blocks deletion. Bounded: see [`PATIENCE`] and [`LIMIT`].

use std::time::Duration;

use base::labels;
use install::Owner;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::{Api, ResourceExt};
use rollout::{Live, prune};
use serde_json::json;

use crate::announce::{News, announce};
use crate::context::{Context, owner_of};
use crate::metrics::{ActionLabels, KindLabels};
use crate::outcome::Outcome;
use crate::watch::operator_resource;

/// How long pods may take to end before the rest is deleted all the same.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long a deletion may take before the resource is let go, whatever is left.
const LIMIT: Duration = Duration::from_secs(600);

/// One step of the deletion of `cr`.
pub async fn finalize(cr: &DynamicObject, ctx: &Context) -> Outcome {
    if !has_finalizer(cr) {
        return Outcome::Silent;
    }
    let owner = owner_of(cr);
    let age = age_of_deletion(cr);
    let mut failures = Vec::new();
    for live in to_delete(ctx, &owner, age) {
        match prune::delete(&ctx.client, &live).await {
            Ok(()) => {
                let kind = live.reference.kind.clone();
                ctx.metrics
                    .deletions
                    .get_or_create(&KindLabels { kind })
                    .inc();
            }
            Err(error) => {
                let action = error.label();
                ctx.metrics
                    .failures
                    .get_or_create(&ActionLabels { action })
                    .inc();
                tracing::warn!(%error, "deleting an installation");
                failures.push(error.to_string());
            }
        }
    }
    let left: Vec<String> = {
        let inventory = ctx.inventory();
        let remains = prune::remains(&inventory, &owner);
        let all = remains.first.iter().chain(&remains.last);
        all.map(|live| live.reference.to_string()).collect()
    };
    if !left.is_empty() && age < LIMIT {
        failures.extend(
            left.iter()
                .map(|object| format!("waiting for {object} to end")),
        );
        return Outcome::Deleting(failures);
    }
    if let Err(error) = remove_finalizer(cr, ctx).await {
        return Outcome::Deleting(vec![format!("the finalizer could not be removed: {error}")]);
    }
    if left.is_empty() {
        let note = "every object of this installation is gone".to_owned();
        announce(ctx, cr, News::Deleted, None, note).await;
    } else {
        let note = format!(
            "gave up after {} s with these left: {}",
            LIMIT.as_secs(),
            left.join(", ")
        );
        announce(ctx, cr, News::LeftBehind, None, note).await;
    }
    Outcome::Silent
}

/// What is to be deleted in this step.
fn to_delete(ctx: &Context, owner: &Owner, age: Duration) -> Vec<Live> {
    let inventory = ctx.inventory();
    let remains = prune::remains(&inventory, owner);
    let last = match remains.first.is_empty() || age >= PATIENCE {
        true => remains.last.as_slice(),
        false => &[],
    };
    let now = remains.first.iter().chain(last);
    now.filter(|live| !live.deleting)
        .map(|live| (*live).clone())
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
