//! What a pause holds back: which objects are not as specified, and, by a dry run, what would
//! happen without the pause. Writes nothing.

use std::time::Instant;

use base::{ObjectRef, labels};
use install::{ComponentManifest, Manifest, Object};
use kube::api::DynamicObject;
use rollout::{Action, Live, Plan, plan};

use crate::context::{Context, owner_of};
use crate::drift::{self, Attempt, Cause, Verdict};
use crate::memory::Memory;
use crate::removal::{failed, superfluous};

/// An object that a pass would write.
pub struct Held<'a> {
    /// As it should be.
    pub object: &'a Object,
    /// What is the matter with it, as far as watches show.
    why: String,
    /// Whether no watch shows it: it bears no label of ours, or does not exist.
    unseen: bool,
    attempt: Attempt,
}

impl Held<'_> {
    /// What is the matter with it. What no watch shows is told as the plan found it.
    pub fn told(&self, plan: Option<&HeldPlan>) -> String {
        let reference = &self.object.reference;
        let found = plan.and_then(|known| {
            let mut changes = known.plan.objects.iter();
            changes.find(|change| change.object == *reference)
        });
        match found.map(|change| &change.action) {
            Some(Action::Refuse(why)) => format!("{reference} {why}"),
            Some(Action::Change(_)) if self.unseen => format!("{reference} is not as specified"),
            _ => self.why.clone(),
        }
    }
}

/// What would happen without the pause.
#[derive(Debug)]
pub struct HeldPlan {
    /// As the API server answered.
    pub plan: Plan,
    basis: Basis,
    since: Instant,
}

/// The state of affairs that a plan is made for.
#[derive(Debug, PartialEq)]
struct Basis {
    adopts: bool,
    attempts: Vec<(ObjectRef, Attempt)>,
}

/// The objects of a component that are not as specified.
pub fn held_of<'a>(
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
            unseen: live.is_none(),
            attempt: drift::attempt(object, live),
        })
    };
    planned.objects.iter().filter_map(matter).collect()
}

/// Brings `memory.plan` up to date with what is held back; asks the API server only when that has
/// changed, and once per resync for the sake of what no watch shows.
pub async fn plan_held(
    cr: &DynamicObject,
    ctx: &Context,
    memory: &mut Memory,
    manifest: &Manifest,
    held: &[Held<'_>],
) {
    let surplus: Vec<Live> = superfluous(cr, ctx, manifest, |_| true);
    let attempts: Vec<(ObjectRef, Attempt)> = held
        .iter()
        .map(|held| (held.object.reference.clone(), held.attempt.clone()))
        .chain(surplus.iter().map(|live| {
            let gone = Attempt::removal(live);
            (live.reference.clone(), gone)
        }))
        .collect();
    let basis = Basis {
        adopts: drift::asks_to_adopt(cr),
        attempts,
    };
    let fresh =
        |known: &HeldPlan| known.basis == basis && known.since.elapsed() < ctx.settings.resync / 2;
    if memory.plan.as_ref().is_some_and(fresh) {
        return;
    }
    let objects: Vec<&Object> = held.iter().map(|held| held.object).collect();
    let unseen = |object: &ObjectRef| {
        let mut held = held.iter();
        held.any(|held| held.unseen && held.object.reference == *object)
    };
    let spared = |object: &ObjectRef, standing: &DynamicObject| {
        let why = drift::foreign(standing).filter(|_| unseen(object))?;
        (!drift::may_adopt(cr, standing)).then(|| {
            format!(
                "{why}; annotate this resource or the object with {}: \"true\" to take it over",
                labels::ADOPT
            )
        })
    };
    match plan::plan(&ctx.client, objects, &surplus, spared).await {
        Ok(plan) => {
            memory.plan = Some(HeldPlan {
                plan,
                basis,
                since: Instant::now(),
            });
        }
        Err(error) => {
            failed(ctx, &error);
            memory.plan = None;
        }
    }
}
