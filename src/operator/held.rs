//! What a pause holds back: which objects are not as specified, and, by a dry run, what would
//! happen without the pause. Writes nothing.

use base::ObjectRef;
use install::{ComponentManifest, Manifest, Object};
use kube::api::DynamicObject;
use rollout::{Live, plan};

use crate::context::{Context, owner_of};
use crate::drift::{self, Attempt, Cause, Verdict};
use crate::memory::Memory;
use crate::removal::{failed, superfluous};

/// An object that a pass would write.
pub struct Held<'a> {
    /// As it should be.
    pub object: &'a Object,
    /// What is the matter with it.
    pub why: String,
    attempt: Attempt,
}

/// The objects of a component that are not as specified.
pub fn held<'a>(
    cr: &DynamicObject,
    ctx: &Context,
    memory: &Memory,
    planned: &'a ComponentManifest,
) -> Vec<Held<'a>> {
    let owner = owner_of(cr);
    let others = ctx.others(&owner);
    let inventory = ctx.inventory();
    let matter = |object: &'a Object| {
        let reference = &object.reference;
        let live = inventory.get(reference);
        let written = memory.record.written.get(reference);
        let why = match drift::judge(object, planned.component, live, written, &owner, &others) {
            Verdict::Keep | Verdict::Shared | Verdict::Ignore => return None,
            Verdict::Wait => format!("{reference} is being deleted"),
            Verdict::Conflict(other) => {
                let (name, namespace) = (other.name, other.namespace);
                format!("{reference} belongs to istiooperator {namespace}/{name}")
            }
            Verdict::Write(Cause::Absent | Cause::Deleted) if live.is_none() => {
                format!("{reference} does not exist")
            }
            Verdict::Write(Cause::Edited { by: Some(by) }) => {
                format!("{reference} was changed by {by}")
            }
            Verdict::Write(_) => format!("{reference} is not as specified"),
        };
        Some(Held {
            object,
            why,
            attempt: drift::attempt(object, live),
        })
    };
    planned.objects.iter().filter_map(matter).collect()
}

/// Brings `memory.plan` up to date with what is held back; asks the API server only when that has
/// changed.
pub async fn plan_held(
    cr: &DynamicObject,
    ctx: &Context,
    memory: &mut Memory,
    manifest: &Manifest,
    held: &[Held<'_>],
) {
    let surplus: Vec<Live> = superfluous(cr, ctx, manifest, |_| true);
    let basis: Vec<(ObjectRef, Attempt)> = held
        .iter()
        .map(|held| (held.object.reference.clone(), held.attempt.clone()))
        .chain(surplus.iter().map(|live| {
            let gone = Attempt::removal(live);
            (live.reference.clone(), gone)
        }))
        .collect();
    if memory.plan.as_ref().is_some_and(|(of, _)| *of == basis) {
        return;
    }
    let objects: Vec<&Object> = held.iter().map(|held| held.object).collect();
    match plan::plan(&ctx.client, objects, &surplus).await {
        Ok(plan) => memory.plan = Some((basis, plan)),
        Err(error) => {
            failed(ctx, &error);
            memory.plan = None;
        }
    }
}
