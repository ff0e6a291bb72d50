//! What one pass writes and deletes: objects that differ from what is rendered, and objects that
//! are rendered no longer. Each write is noted in memory and counted; restorations are announced.

use std::time::{Duration, Instant};

use install::{Component, ComponentManifest, Manifest, Object, Owner, Planned};
use kube::api::DynamicObject;
use rollout::apply::apply;
use rollout::{Live, prune};

use crate::announce::{News, announce};
use crate::context::{Context, owner_of};
use crate::drift::{self, Cause, Verdict};
use crate::memory::{Memory, Refusal};
use crate::metrics::{ActionLabels, KindLabels};
use crate::outcome::State;

/// Writes what differs, in the order given. Returns what failed; objects that do not depend on a
/// failed one are written all the same.
pub async fn write(
    cr: &DynamicObject,
    ctx: &Context,
    memory: &mut Memory,
    planned: &ComponentManifest,
) -> Vec<String> {
    let owner = owner_of(cr);
    let others = ctx.others(&owner);
    let mut failures = Vec::new();
    let mut applied: Vec<String> = Vec::new();
    for object in &planned.objects {
        let reference = &object.reference;
        let known = ctx.inventory().get(reference).cloned();
        let verdict = drift::judge(
            object,
            planned.component,
            known.as_ref(),
            memory.ledger.get(reference),
            &owner,
            &others,
        );
        let cause = match verdict {
            Verdict::Keep | Verdict::Wait | Verdict::Shared => continue,
            Verdict::Conflict(Owner { name, namespace }) => {
                failures.push(format!(
                    "{reference} belongs to istiooperator {namespace}/{name}; give one of the two \
                     a revision of its own, or other names and namespaces"
                ));
                continue;
            }
            Verdict::Write(cause) => cause,
        };
        let attempt = drift::attempt(object, known.as_ref());
        if let Some(error) = memory.refused(reference, &attempt, Instant::now()) {
            failures.push(error.to_owned());
            continue;
        }
        match apply(&ctx.client, object).await {
            Ok(answer) => {
                memory.refusals.remove(reference);
                let before = memory.ledger.get(reference);
                let cause = drift::in_hindsight(cause, before, &answer);
                if !known
                    .as_ref()
                    .is_some_and(|known| unchanged(known, &answer))
                {
                    memory.changed(planned.component);
                    count(ctx, &answer, known.as_ref());
                    match cause {
                        Cause::Absent | Cause::Rendered => applied.push(reference.to_string()),
                        Cause::Deleted | Cause::Edited { .. } => {
                            restored(cr, ctx, object, &cause).await;
                        }
                    }
                }
                let written = drift::written(object, &answer);
                memory.ledger.insert(reference.clone(), written);
                ctx.inventory().observe(answer);
            }
            Err(error) => {
                let action = error.label();
                ctx.metrics
                    .failures
                    .get_or_create(&ActionLabels { action })
                    .inc();
                tracing::warn!(%error, "applying");
                failures.push(error.to_string());
                let refusal = Refusal {
                    attempt,
                    // The pass that follows this one is due at about that time.
                    until: Instant::now() + backoff(memory.failures + 1) / 2,
                    error: error.to_string(),
                };
                memory.refusals.insert(reference.clone(), refusal);
                if matches!(error, rollout::Error::NoAnswer { .. }) {
                    break;
                }
            }
        }
    }
    if !applied.is_empty() {
        let note = format!("{}: {}", planned.component.as_str(), applied.join(", "));
        announce(ctx, cr, News::Applied(planned.component), None, note).await;
    }
    failures
}

/// Whether a write changed nothing.
fn unchanged(known: &Live, answer: &Live) -> bool {
    known.uid == answer.uid && known.resource_version == answer.resource_version
}

fn count(ctx: &Context, answer: &Live, known: Option<&Live>) {
    let kind = answer.reference.kind.clone();
    let family = match known {
        Some(_) => &ctx.metrics.updates,
        None => &ctx.metrics.creations,
    };
    family.get_or_create(&KindLabels { kind }).inc();
}

async fn restored(cr: &DynamicObject, ctx: &Context, object: &Object, cause: &Cause) {
    let reference = &object.reference;
    let (news, note) = match cause {
        Cause::Edited { by: Some(by) } => (
            News::Repaired,
            format!("{reference} was changed by {by}; its fields are back as specified"),
        ),
        Cause::Edited { by: None } => (
            News::Repaired,
            format!("{reference} was changed; its fields are back as specified"),
        ),
        _ => (
            News::Restored,
            format!("{reference} had been deleted and was created again"),
        ),
    };
    announce(ctx, cr, news, Some(reference), note).await;
}

/// Deletes what is rendered no longer, of components that are applied in full or disabled.
pub async fn sweep(
    cr: &DynamicObject,
    ctx: &Context,
    manifest: &Manifest<Planned>,
    state_of: impl Fn(Component) -> State,
) -> Vec<(Component, String)> {
    let settled = |planned: &ComponentManifest| {
        !planned.enabled
            || !matches!(
                state_of(planned.component),
                State::Blocked(_) | State::Failed(_) | State::Pending
            )
    };
    let superfluous: Vec<Live> = prune::superfluous(
        &ctx.inventory(),
        &owner_of(cr),
        &manifest.components,
        settled,
    )
    .into_iter()
    .cloned()
    .collect();
    let mut failed = Vec::new();
    let mut pruned: Vec<String> = Vec::new();
    for live in superfluous {
        let reference = &live.reference;
        match prune::delete(&ctx.client, &live).await {
            Ok(()) => {
                let kind = reference.kind.clone();
                ctx.metrics.prunes.get_or_create(&KindLabels { kind }).inc();
                pruned.push(reference.to_string());
            }
            Err(error) => {
                let action = error.label();
                ctx.metrics
                    .failures
                    .get_or_create(&ActionLabels { action })
                    .inc();
                tracing::warn!(%error, "pruning");
                let component = Component::ALL
                    .into_iter()
                    .find(|known| live.component.as_deref() == Some(known.as_str()));
                failed.push((component.unwrap_or(Component::Base), error.to_string()));
            }
        }
    }
    if !pruned.is_empty() {
        let note = format!("no longer part of the specification: {}", pruned.join(", "));
        announce(ctx, cr, News::Pruned, None, note).await;
    }
    failed
}

/// How long to wait after so many failures in a row: 1, 2, 4 … 60 s.
pub fn backoff(failures: u32) -> Duration {
    Duration::from_secs(1 << failures.saturating_sub(1).min(6)).min(Duration::from_secs(60))
}
