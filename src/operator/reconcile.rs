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
use install::{Component, ComponentManifest, Install, Manifest, Owner};
use kube::ResourceExt;
use kube::api::DynamicObject;
use kube::runtime::controller::Action;
use rollout::{Plan, Readiness, apply, blame, ready, record};

use crate::announce::{News, announce};
use crate::ca_plan::CaPlan;
use crate::context::{Context, owner_of};
use crate::finalize::{add_finalizer, finalize, has_finalizer};
use crate::held::{Held, held_of, plan_held};
use crate::memory::Memory;
use crate::metrics::ComponentLabels;
use crate::outcome::{Outcome, Progress, State};
use crate::removal::{failed, sweep};
use crate::repair::{backoff, write};
use crate::report::report;
use crate::status::conditions;
use crate::watch::serves;

/// Pods are asked what is wrong with them when a component has been waited for this long.
const BLAME_AFTER: Duration = Duration::from_secs(10);

/// One pass. Never an error: what fails is told in status and retried.
pub async fn reconcile(cr: Arc<DynamicObject>, ctx: Arc<Context>) -> Result<Action, Infallible> {
    ctx.metrics.reconcile_requests.inc();
    let owner = owner_of(&cr);
    let mut memory = ctx.recall(&owner);
    let outcome = if cr.metadata.deletion_timestamp.is_some() {
        ctx.plan_ca(&owner, None);
        finalize(&cr, &ctx, &mut memory).await
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

/// Whether the user asked that nothing be touched.
pub(crate) fn paused(cr: &DynamicObject) -> bool {
    cr.annotations()
        .get(labels::IGNORE_RECONCILE)
        .is_some_and(|value| value == "true")
}

async fn converge(cr: &DynamicObject, ctx: &Context, memory: &mut Memory) -> Outcome {
    let seen = ctx.seen_of(cr).await;
    let install = match parse(cr).and_then(|parsed| install::resolve(&parsed, &seen)) {
        Ok(install) => install,
        Err(problems) => {
            ctx.metrics.refused(&problems);
            return Outcome::Invalid(problems);
        }
    };
    let owner = owner_of(cr);
    if let Err(error) = ctx.recall_record(&owner, memory).await {
        return Outcome::Blocked(failed(ctx, &error));
    }
    let install = match is_default(ctx, &install, &owner).await {
        Ok(true) => install.with_default_tag(),
        Ok(false) => install,
        Err(error) => return Outcome::Blocked(failed(ctx, &error)),
    };
    let manifest = install::build(&install);
    for planned in manifest.components.iter().filter(|planned| planned.enabled) {
        let component = planned.component.as_str();
        let renders = &ctx.metrics.renders;
        renders.get_or_create(&ComponentLabels { component }).inc();
    }
    let needs = manifest.objects().map(|object| object.reference.clone());
    ctx.need(&owner, needs.collect());
    let generation = cr.metadata.generation.unwrap_or_default();
    let status = &cr.data["status"];
    let progress = match paused(cr) {
        true => {
            memory.begin(generation, &ctx.settings.version, status);
            look(cr, ctx, memory, &install, &manifest).await
        }
        false => {
            if !has_finalizer(cr) {
                match add_finalizer(cr, ctx).await {
                    Ok(()) => {}
                    // Someone changed the resource meanwhile: its next version is on its way.
                    Err(kube::Error::Api(status)) if status.code == 409 => return Outcome::Silent,
                    Err(error) => {
                        let why = format!("the finalizer could not be set: {error}");
                        return Outcome::Blocked(why);
                    }
                }
            }
            let standing = memory.latest_status(cr.metadata.resource_version.as_deref(), status);
            if standing["observedGeneration"] != generation {
                let begun = progress(&install, &manifest, |_| State::Pending);
                tell(cr, ctx, memory, &Outcome::Converged(begun)).await;
            }
            memory.begin(generation, &ctx.settings.version, status);
            memory.plan = None;
            act(cr, ctx, memory, &install, &manifest).await
        }
    };
    // A pause holds back what is installed; certificates of what runs are renewed all the same.
    if !progress.paused || has_finalizer(cr) {
        ctx.plan_ca(&owner, CaPlan::of(&install));
    }
    let mut progress = progress;
    if served_by_another(ctx, &install, &owner) {
        progress.unserved_gateways.clear();
    }
    progress.ca = ctx.ca_health(&owner);
    Outcome::Converged(progress)
}

/// Whether this installation is to be the cluster's default revision: the one without a name is,
/// another one where nobody else is.
async fn is_default(
    ctx: &Context,
    install: &Install,
    owner: &Owner,
) -> Result<bool, rollout::Error> {
    let Some(tag) = install.default_tag() else {
        return Ok(false);
    };
    if install.revision.is_empty() {
        return Ok(true);
    }
    if ctx.others(owner).need(&tag) {
        return Ok(false);
    }
    let known = ctx.inventory().get(&tag).cloned();
    match known {
        Some(live) => Ok(live.owner.as_ref() == Some(owner)),
        // Whoever made one that bears no labels of ours has decided.
        None => Ok(apply::read(&ctx.client, &tag).await?.is_none()),
    }
}

/// Keeps the record in the cluster, when it has changed.
async fn keep_record(cr: &DynamicObject, ctx: &Context, memory: &mut Memory) -> Option<String> {
    if memory.kept.as_ref() == Some(&memory.record) {
        return None;
    }
    let uid = cr.metadata.uid.as_deref().unwrap_or_default();
    match record::write(&ctx.client, &owner_of(cr), uid, &memory.record).await {
        Ok(()) => {
            memory.kept = Some(memory.record.clone());
            None
        }
        Err(error) => Some(failed(ctx, &error)),
    }
}

/// Applies what may be applied, in order, and deletes what is not rendered any more.
async fn act(
    cr: &DynamicObject,
    ctx: &Context,
    memory: &mut Memory,
    install: &Install,
    manifest: &Manifest,
) -> Progress {
    let mut states: Vec<(Component, State)> = Vec::new();
    let mut ignored = Vec::new();
    for planned in &manifest.components {
        let (state, exempt) = advance(cr, ctx, memory, planned, &states).await;
        states.push((planned.component, state));
        ignored.extend(exempt.into_iter().map(|object| (planned.component, object)));
    }
    let state_of = |component| state_of(&states, component);
    let mut failed = sweep(cr, ctx, memory, manifest, state_of).await;
    let rendered: BTreeSet<_> = manifest.objects().map(|object| &object.reference).collect();
    memory
        .refusals
        .retain(|refused, _| rendered.contains(refused));
    memory
        .contests
        .retain(|contested, _| rendered.contains(contested));
    let shared = &mut memory.record.shared;
    shared.retain(|object| rendered.contains(object));
    if let Some(why) = keep_record(cr, ctx, memory).await {
        failed.push((Component::Base, why));
    }
    let mut progress = progress(install, manifest, |component| {
        failed
            .iter()
            .find(|(other, _)| *other == component)
            .map_or_else(
                || state_of(component),
                |(_, why)| State::Failed(why.clone()),
            )
    });
    progress.ignored = ignored;
    progress
}

fn state_of(states: &[(Component, State)], component: Component) -> State {
    let found = states.iter().find(|(other, _)| *other == component);
    found.map_or(State::Disabled, |(_, state)| state.clone())
}

/// Judges everything and touches nothing.
async fn look(
    cr: &DynamicObject,
    ctx: &Context,
    memory: &mut Memory,
    install: &Install,
    manifest: &Manifest,
) -> Progress {
    let mut held = Vec::new();
    for planned in manifest.components.iter().filter(|planned| planned.enabled) {
        held.extend(held_of(cr, ctx, memory, planned));
    }
    plan_held(cr, ctx, memory, manifest, &held).await;
    let mut states: Vec<(Component, State)> = Vec::new();
    for planned in manifest.components.iter().filter(|planned| planned.enabled) {
        let of_it = |held: &&Held<'_>| {
            planned
                .objects
                .iter()
                .any(|one| std::ptr::eq(one, held.object))
        };
        let told = held
            .iter()
            .filter(of_it)
            .map(|held| held.told(memory.plan.as_ref()));
        let told: Vec<String> = told.collect();
        let state = match told.is_empty() {
            true => settle(cr, ctx, memory, planned).await,
            false => State::Held(told),
        };
        states.push((planned.component, state));
    }
    let state_of = |component| state_of(&states, component);
    Progress {
        paused: true,
        plan: memory
            .plan
            .as_ref()
            .map_or_else(Plan::default, |held| held.plan.clone()),
        ..progress(install, manifest, state_of)
    }
}

fn parse(cr: &DynamicObject) -> Result<IstioOperator, Vec<Problem>> {
    let value = serde_json::to_value(cr).expect("a dynamic object came from JSON");
    IstioOperator::parse(&value)
}

fn progress(
    install: &Install,
    manifest: &Manifest,
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
        ..Progress::default()
    }
}

/// Whether a control plane that belongs to another IstioOperator serves the same root namespace:
/// gateways may be kept apart from it (`profile: empty`).
fn served_by_another(ctx: &Context, install: &Install, owner: &Owner) -> bool {
    ctx.inventory().iter().any(|live| {
        serves(live)
            && live.reference.namespace.as_deref() == Some(&install.istio_namespace)
            && live.owner.as_ref() != Some(owner)
            && !live.deleting
    })
}

/// Brings one component forward: applies what has to be written, and judges how far it is. The
/// second value names the objects that an annotation exempts.
async fn advance(
    cr: &DynamicObject,
    ctx: &Context,
    memory: &mut Memory,
    planned: &ComponentManifest,
    before: &[(Component, State)],
) -> (State, Vec<String>) {
    let component = planned.component;
    if !planned.enabled {
        return (State::Disabled, Vec::new());
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
        return (State::Blocked(*lacking), Vec::new());
    }
    let wrote = write(cr, ctx, memory, planned).await;
    let state = match wrote.trouble() {
        Some(trouble) => trouble,
        None => settle(cr, ctx, memory, planned).await,
    };
    (state, wrote.ignored)
}

/// Judges how far an applied component is.
async fn settle(
    cr: &DynamicObject,
    ctx: &Context,
    memory: &mut Memory,
    planned: &ComponentManifest,
) -> State {
    let component = planned.component;
    let mut readiness = ready::ready(&planned.objects, &ctx.inventory());
    if component == Component::Pilot
        && let Some(hosted) = ctx.hosted_by().and_then(|host| host.waiting(&owner_of(cr)))
    {
        readiness.down |= !hosted.is_empty();
        readiness.waiting.extend(hosted);
    }
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
                let news = match outcome {
                    Outcome::Invalid(_) => Some(News::InvalidSpec),
                    Outcome::Deleting(waiting) if waiting.told => Some(News::Waiting),
                    _ => None,
                };
                if let Some(news) = news {
                    announce(ctx, cr, news, None, status.message).await;
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
