//! What one pass writes: objects that differ from what is rendered. Each write is noted in memory
//! and counted; restorations, repairs and adoptions are announced.

use std::time::{Duration, Instant};

use install::{ComponentManifest, Object, Owner};
use kube::api::DynamicObject;
use rollout::{FieldChange, Live, Written, apply};

use crate::announce::{News, announce};
use crate::context::{Context, owner_of};
use crate::drift::{self, Cause, Verdict};
use crate::memory::{Memory, Refusal};
use crate::metrics::KindLabels;
use crate::outcome::State;
use crate::removal::failed;

/// What came of writing a component's objects.
#[derive(Debug, Default)]
pub struct Wrote {
    /// What the API server refused or could not do.
    failures: Vec<String>,
    /// What belongs to someone else.
    conflicts: Vec<String>,
    /// What an annotation exempts.
    pub ignored: Vec<String>,
}

impl Wrote {
    /// The state of a component whose objects do not all stand; none when they do.
    pub fn trouble(&self) -> Option<State> {
        let told = |all: &[String]| {
            let first = all.first()?;
            Some(match all.len() - 1 {
                0 => first.clone(),
                more => format!("{first} (and {more} more)"),
            })
        };
        told(&self.failures)
            .map(State::Failed)
            .or_else(|| told(&self.conflicts).map(State::Contended))
    }
}

/// Writes what differs, in the order given. Objects that do not depend on one that failed are
/// written all the same.
pub async fn write(
    cr: &DynamicObject,
    ctx: &Context,
    memory: &mut Memory,
    planned: &ComponentManifest,
) -> Wrote {
    let owner = owner_of(cr);
    let others = ctx.others(&owner);
    let mut wrote = Wrote::default();
    let mut applied: Vec<String> = Vec::new();
    for object in &planned.objects {
        let reference = &object.reference;
        let known = ctx.inventory().get(reference).cloned();
        let before = memory.record.written.get(reference);
        let component = planned.component;
        let verdict = drift::judge(object, component, known.as_ref(), before, &owner, &others);
        if verdict != Verdict::Shared {
            memory.record.shared.remove(reference);
        }
        let cause = match verdict {
            Verdict::Keep | Verdict::Wait => continue,
            Verdict::Ignore => {
                wrote.ignored.push(reference.to_string());
                continue;
            }
            Verdict::Shared => {
                memory.record.written.remove(reference);
                memory.record.shared.insert(reference.clone());
                continue;
            }
            Verdict::Conflict(Owner { name, namespace }) => {
                wrote.conflicts.push(format!(
                    "{reference} belongs to istiooperator {namespace}/{name}; give one of the two \
                     a revision of its own, or other names and namespaces"
                ));
                continue;
            }
            Verdict::Write(cause) => cause,
        };
        let now = Instant::now();
        let attempt = drift::attempt(object, known.as_ref());
        if let Some(refusal) = memory.refused(reference, &attempt, now) {
            match refusal.conflict {
                true => wrote.conflicts.push(refusal.error.clone()),
                false => wrote.failures.push(refusal.error.clone()),
            }
            continue;
        }
        if let (Cause::Edited { by }, Some(repairs)) = (&cause, memory.contested(reference, now)) {
            let by = by.as_deref().unwrap_or("someone");
            wrote.failures.push(format!(
                "{reference} is changed by {by} again and again, {repairs} repairs so far; stop \
                 it, or annotate the object with {}: \"true\"",
                base::labels::IGNORE_RECONCILE
            ));
            continue;
        }
        let existed = known.is_some() || before.is_some();
        let (error, conflict) = match put(cr, ctx, object, &cause).await {
            Ok(answer) => {
                memory.refusals.remove(reference);
                let changed = !known
                    .as_ref()
                    .is_some_and(|known| unchanged(known, &answer.live));
                if changed {
                    count(ctx, &answer.live, existed);
                    match &answer.happened {
                        Happened::Applied => applied.push(reference.to_string()),
                        Happened::Nothing => {}
                        happened => announce_repair(cr, ctx, object, happened).await,
                    }
                    if let Happened::Repaired(_) = answer.happened {
                        memory.repaired(reference, now);
                    }
                    if answer.happened != Happened::Nothing {
                        memory.changed(component);
                    }
                }
                let written = Written::of(object, &answer.live);
                memory.record.written.insert(reference.clone(), written);
                ctx.inventory().observe(answer.live);
                if answer.created && reference.kind == "ServiceAccount" {
                    wrote
                        .failures
                        .extend(renew_tokens(ctx, planned, object).await);
                }
                continue;
            }
            Err(Refused::Conflict(why)) => (why, true),
            Err(Refused::Error(error)) => {
                let last = matches!(error, rollout::Error::NoAnswer { .. });
                let told = failed(ctx, &error);
                if last {
                    wrote.failures.push(told);
                    break;
                }
                (told, false)
            }
        };
        match conflict {
            true => wrote.conflicts.push(error.clone()),
            false => wrote.failures.push(error.clone()),
        }
        let refusal = Refusal {
            attempt,
            // The pass that follows this one is due at about that time.
            until: now + backoff(memory.failures + 1) / 2,
            error,
            conflict,
        };
        memory.refusals.insert(reference.clone(), refusal);
    }
    if !applied.is_empty() {
        let note = format!("{}: {}", planned.component.as_str(), applied.join(", "));
        announce(ctx, cr, News::Applied(planned.component), None, note).await;
    }
    wrote
}

/// An answer to a write, and what really happened, which only the answer tells.
struct Answer {
    live: Live,
    happened: Happened,
    /// Whether it did not exist before.
    created: bool,
}

#[derive(Debug, PartialEq)]
enum Happened {
    /// It is new, or was changed because the specification was.
    Applied,
    /// It had been deleted.
    Restored,
    /// These fields had been changed.
    Repaired(Vec<FieldChange>),
    /// It was someone else's and is ours now.
    Adopted(String),
    /// It stood as it should.
    Nothing,
}

enum Refused {
    Conflict(String),
    Error(rollout::Error),
}

impl From<rollout::Error> for Refused {
    fn from(error: rollout::Error) -> Refused {
        Refused::Error(error)
    }
}

async fn put(
    cr: &DynamicObject,
    ctx: &Context,
    object: &Object,
    cause: &Cause,
) -> Result<Answer, Refused> {
    let client = &ctx.client;
    let reference = &object.reference;
    let (live, happened, created) = match cause {
        Cause::Rendered => {
            let live = apply::apply(client, object).await?;
            (live, Happened::Applied, false)
        }
        Cause::Absent => {
            // The inventory shows what bears our labels; what someone else made does not.
            let existing = apply::read(client, reference).await?;
            let foreign = existing
                .as_ref()
                .and_then(|existing| Some((existing, drift::foreign(existing)?)));
            if let Some((existing, why)) = &foreign
                && !drift::may_adopt(cr, existing)
            {
                return Err(Refused::Conflict(format!(
                    "{reference} {why}; annotate this resource or the object with {}: \"true\" to \
                     take it over",
                    base::labels::ADOPT
                )));
            }
            let live = apply::apply(client, object).await?;
            match foreign {
                None => (live, Happened::Applied, existing.is_none()),
                Some((_, why)) => {
                    apply::take_from_helm(client, reference).await?;
                    (live, Happened::Adopted(why), false)
                }
            }
        }
        Cause::Deleted | Cause::Edited { .. } => {
            let repaired = apply::repair(client, object).await?;
            let happened = match repaired.existed {
                false => Happened::Restored,
                true if repaired.edits.is_empty() => Happened::Nothing,
                true => Happened::Repaired(repaired.edits),
            };
            (repaired.live, happened, !repaired.existed)
        }
    };
    Ok(Answer {
        live,
        happened,
        created,
    })
}

/// The tokens of pods die with their account, and one of the same name does not revive them: pods
/// that run under a new account have to be replaced. Returns what failed.
async fn renew_tokens(ctx: &Context, planned: &ComponentManifest, account: &Object) -> Vec<String> {
    let uses = |object: &&Object| {
        let name = object
            .body
            .pointer("/spec/template/spec/serviceAccountName");
        object.reference.kind == "Deployment"
            && object.reference.namespace == account.reference.namespace
            && name.and_then(|name| name.as_str()) == Some(&account.reference.name)
    };
    let now = k8s_openapi::jiff::Timestamp::now().to_string();
    let mut failures = Vec::new();
    for deployment in planned.objects.iter().filter(uses) {
        let reference = &deployment.reference;
        let stands = ctx
            .inventory()
            .get(reference)
            .is_some_and(|live| !live.deleting);
        if !stands {
            continue;
        }
        tracing::info!("{reference}: its pods are replaced, their account is a new one");
        if let Err(error) = apply::replace_pods(&ctx.client, reference, &now).await {
            failures.push(failed(ctx, &error));
        }
    }
    failures
}

/// Whether a write changed nothing.
fn unchanged(known: &Live, answer: &Live) -> bool {
    known.uid == answer.uid && known.resource_version == answer.resource_version
}

fn count(ctx: &Context, answer: &Live, existed: bool) {
    let kind = answer.reference.kind.clone();
    let family = match existed {
        true => &ctx.metrics.updates,
        false => &ctx.metrics.creations,
    };
    family.get_or_create(&KindLabels { kind }).inc();
}

async fn announce_repair(cr: &DynamicObject, ctx: &Context, object: &Object, happened: &Happened) {
    let reference = &object.reference;
    let (news, note) = match happened {
        Happened::Repaired(edits) => (News::Repaired, told(&reference.to_string(), edits)),
        Happened::Adopted(why) => (
            News::Adopted,
            format!(
                "{reference} {why} and was taken over, as annotation {} asks",
                base::labels::ADOPT
            ),
        ),
        _ => (
            News::Restored,
            format!("{reference} had been deleted and was created again"),
        ),
    };
    announce(ctx, cr, news, Some(reference), note).await;
}

/// `deployment a/b: spec.x was changed by kubectl-edit, put back from 1 to 2`, three fields at most.
fn told(object: &str, edits: &[FieldChange]) -> String {
    const SHOWN: usize = 3;
    let mut parts: Vec<String> = edits
        .iter()
        .take(SHOWN)
        .map(|edit| {
            let by = edit.by.as_deref().unwrap_or("someone");
            format!("changed by {by}, put back: {edit}")
        })
        .collect();
    if edits.len() > SHOWN {
        parts.push(format!("and {} fields more", edits.len() - SHOWN));
    }
    format!("{object} was {}", parts.join("; "))
}

/// How long to wait after so many failures in a row: 1, 2, 4 … 60 s.
pub fn backoff(failures: u32) -> Duration {
    Duration::from_secs(1 << failures.saturating_sub(1).min(6)).min(Duration::from_secs(60))
}
