//! One pass over one IstioOperator: gather → resolve → build → apply → prune, then report, always.
//!
//! A pass never waits for workloads. It applies the components whose dependencies are available,
//! tells what the others wait for, and ends; watches bring the next pass.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::istio_operator::IstioOperator;
use base::{Problem, labels};
use install::{Component, ComponentManifest, Install, Manifest, Owner, Planned};
use kube::ResourceExt;
use kube::api::DynamicObject;
use kube::runtime::controller::Action;
use rollout::{Readiness, blame, ready};

use crate::announce::{News, announce};
use crate::ca_plan::CaPlan;
use crate::context::{Context, owner_of};
use crate::finalize::{add_finalizer, finalize, has_finalizer};
use crate::memory::Memory;
use crate::outcome::{Outcome, Progress, State};
use crate::repair::{backoff, sweep, write};
use crate::report::report;
use crate::status::conditions;

/// Pods are asked what is wrong with them when a component has been waited for this long.
const BLAME_AFTER: Duration = Duration::from_secs(10);

/// One pass. Never an error: what fails is told in status and retried.
pub async fn reconcile(cr: Arc<DynamicObject>, ctx: Arc<Context>) -> Result<Action, Infallible> {
    ctx.metrics.reconcile_requests.inc();
    let owner = owner_of(&cr);
    let mut memory = ctx.recall(&owner);
    let outcome = if cr.metadata.deletion_timestamp.is_some() {
        ctx.plan_ca(&owner, None);
        finalize(&cr, &ctx).await
    } else if paused(&cr) {
        Outcome::Silent
    } else {
        converge(&cr, &ctx, &mut memory).await
    };
    let told = tell(&cr, &ctx, &mut memory, &outcome).await;
    let failed = !told || outcome.failed();
    memory.failures = if failed { memory.failures + 1 } else { 0 };
    let again = requeue_for(&outcome, memory.failures, &ctx);
    ctx.remember(&owner, memory);
    Ok(again)
}

fn paused(cr: &DynamicObject) -> bool {
    cr.annotations()
        .get(labels::IGNORE_RECONCILE)
        .is_some_and(|value| value == "true")
}

async fn converge(cr: &DynamicObject, ctx: &Context, memory: &mut Memory) -> Outcome {
    let install = match parse(cr).and_then(|parsed| install::resolve(&parsed, &ctx.seen)) {
        Ok(install) => install,
        Err(problems) => {
            ctx.metrics.validation_errors.inc();
            return Outcome::Invalid(problems);
        }
    };
    ctx.metrics.renders.inc();
    let manifest = install::build(&install);
    let generation = cr.metadata.generation.unwrap_or_default();
    let status = &cr.data["status"];
    let standing = memory.latest_status(cr.metadata.resource_version.as_deref(), status);
    if standing["observedGeneration"] != generation {
        let begun = progress(&install, &manifest, |_| State::Pending);
        tell(cr, ctx, memory, &Outcome::Converged(begun)).await;
    }
    memory.begin(generation, &ctx.settings.version, status);
    if !has_finalizer(cr)
        && let Err(error) = add_finalizer(cr, ctx).await
    {
        return Outcome::Blocked(format!("the finalizer could not be set: {error}"));
    }
    ctx.plan_ca(&owner_of(cr), CaPlan::of(&install));

    let mut states: Vec<(Component, State)> = Vec::new();
    for planned in &manifest.components {
        let state = advance(cr, ctx, memory, planned, &states).await;
        states.push((planned.component, state));
    }
    let state_of = |component| {
        let found = states.iter().find(|(other, _)| *other == component);
        found.map_or(State::Disabled, |(_, state)| state.clone())
    };
    let rendered: BTreeSet<_> = manifest.objects().map(|object| &object.reference).collect();
    memory
        .ledger
        .retain(|written, _| rendered.contains(written));
    memory
        .refusals
        .retain(|refused, _| rendered.contains(refused));
    let failed = sweep(cr, ctx, &manifest, state_of).await;
    let mut progress = progress(&install, &manifest, |component| {
        failed
            .iter()
            .find(|(other, _)| *other == component)
            .map_or_else(
                || state_of(component),
                |(_, why)| State::Failed(why.clone()),
            )
    });
    if served_by_another(ctx, &install, &owner_of(cr)) {
        progress.unserved_gateways.clear();
    }
    Outcome::Converged(progress)
}

fn parse(cr: &DynamicObject) -> Result<IstioOperator, Vec<Problem>> {
    let value = serde_json::to_value(cr).expect("a dynamic object came from JSON");
    IstioOperator::parse(&value)
}

fn progress(
    install: &Install,
    manifest: &Manifest<Planned>,
    state: impl Fn(Component) -> State,
) -> Progress {
    let state = |planned: &ComponentManifest| match planned.enabled {
        true => (planned.component, state(planned.component)),
        false => (planned.component, State::Disabled),
    };
    Progress {
        components: manifest.components.iter().map(state).collect(),
        warnings: install.warnings.clone(),
        unserved_gateways: install.gateways_without_control_plane(),
    }
}

/// Whether a control plane that belongs to another IstioOperator serves the same root namespace:
/// gateways may be kept apart from it (`profile: empty`).
fn served_by_another(ctx: &Context, install: &Install, owner: &Owner) -> bool {
    ctx.inventory().iter().any(|live| {
        live.reference.kind == "Deployment"
            && live.reference.namespace.as_deref() == Some(&install.istio_namespace)
            && live.component.as_deref() == Some(Component::Pilot.as_str())
            && live.owner.as_ref() != Some(owner)
            && !live.deleting
    })
}

/// Brings one component forward: applies what has to be written, and judges how far it is.
async fn advance(
    cr: &DynamicObject,
    ctx: &Context,
    memory: &mut Memory,
    planned: &ComponentManifest,
    before: &[(Component, State)],
) -> State {
    let component = planned.component;
    if !planned.enabled {
        return State::Disabled;
    }
    let lacking = component.needs().iter().find(|needed| {
        before
            .iter()
            .any(|(other, state)| other == *needed && !state.lets_others_go_on())
    });
    // What was available once is kept whole even while its dependency is not.
    if let Some(lacking) = lacking
        && !memory.reached.contains(&component)
    {
        return State::Blocked(*lacking);
    }
    let failures = write(cr, ctx, memory, planned).await;
    if let Some(first) = failures.first() {
        let more = failures.len() - 1;
        return State::Failed(match more {
            0 => first.clone(),
            _ => format!("{first} (and {more} more)"),
        });
    }
    let readiness = ready::ready(&planned.objects, &ctx.inventory());
    if readiness.available() {
        memory.reached.insert(component);
        memory.waiting_since.remove(&component);
        return State::Available;
    }
    let waited = memory.waited(component, Instant::now());
    let readiness = match waited >= BLAME_AFTER {
        true => with_blame(ctx, planned, readiness).await,
        false => readiness,
    };
    State::judge(
        &readiness,
        memory.reached.contains(&component),
        waited,
        ctx.settings.readiness_timeout,
    )
}

async fn with_blame(ctx: &Context, planned: &ComponentManifest, readiness: Readiness) -> Readiness {
    let mut waiting = readiness.waiting.clone();
    for workload in &readiness.workloads {
        let object = planned
            .objects
            .iter()
            .find(|object| object.reference == *workload);
        let Some(object) = object else { continue };
        match blame::blame(&ctx.client, workload, &object.body).await {
            Ok(trouble) => waiting.extend(trouble),
            Err(error) => tracing::debug!(%error, "asking pods what is wrong"),
        }
    }
    Readiness {
        waiting,
        ..readiness
    }
}

/// Reports; whether that worked.
async fn tell(cr: &DynamicObject, ctx: &Context, memory: &mut Memory, outcome: &Outcome) -> bool {
    let Some(status) = conditions(outcome) else {
        return true;
    };
    match report(&ctx.client, cr, memory, &ctx.settings.version, &status).await {
        Ok(wrote) => {
            if wrote {
                ctx.metrics.status_writes.inc();
                if let Outcome::Invalid(_) = outcome {
                    announce(ctx, cr, News::InvalidSpec, None, status.message).await;
                }
            }
            true
        }
        Err(error) => {
            tracing::warn!(%error, "writing status");
            false
        }
    }
}

fn requeue_for(outcome: &Outcome, failures: u32, ctx: &Context) -> Action {
    let next = match failures {
        0 => outcome.look_again(ctx.settings.resync),
        _ => backoff(failures),
    };
    Action::requeue(next)
}

#[cfg(test)]
mod tests;
