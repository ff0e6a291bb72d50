//! What an IstioOperator's status says after a pass. Pure; times are added when it is written.
//!
//! The overall string follows what health checks read from it: RECONCILING while work goes on,
//! HEALTHY, or ERROR; never NONE (shown as unknown) and never ACTION_REQUIRED (shown as eternal
//! progress). Conditions Ready, Reconciling and Stalled have the meanings of kstatus.

use base::condition::{self, Status as Truth, reason};
use base::{Condition, Problem};
use install::Component;
use rollout::Plan;

use crate::ca_health;
use crate::outcome::{Outcome, Progress, State, Waiting};

/// A status, decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// `status.status`.
    pub overall: Health,
    /// `status.message`: the reason for the overall state, in one line.
    pub message: String,
    /// `status.componentStatus`; absent when nothing new is known about components.
    pub components: Option<Vec<ComponentStatus>>,
    /// All conditions, except those of components where nothing new is known about them.
    pub conditions: Vec<Condition>,
    /// What a pause holds back.
    pub plan: Plan,
}

/// One entry of `status.componentStatus`.
#[derive(Clone, Debug, PartialEq)]
pub struct ComponentStatus {
    /// Its key.
    pub component: Component,
    /// Its `status`.
    pub health: Health,
    /// Its `error`; empty unless `health` is [`Health::Error`].
    pub error: String,
}

/// The strings of upstream's InstallStatus that are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// `HEALTHY`
    Healthy,
    /// `RECONCILING`
    Reconciling,
    /// `ERROR`
    Error,
}

impl Health {
    /// As it stands in the resource.
    pub fn as_str(self) -> &'static str {
        match self {
            Health::Healthy => "HEALTHY",
            Health::Reconciling => "RECONCILING",
            Health::Error => "ERROR",
        }
    }
}

/// Decides the status after `outcome`; none when there is nothing to tell.
pub fn conditions(outcome: &Outcome) -> Option<Status> {
    match outcome {
        Outcome::Silent => None,
        Outcome::Invalid(problems) => Some(invalid(problems)),
        Outcome::Blocked(error) => Some(blocked(error)),
        Outcome::Deleting(left) => Some(deleting(left)),
        Outcome::Converged(progress) => Some(converged(progress)),
    }
}

fn invalid(problems: &[Problem]) -> Status {
    let message = sentences(problems.iter().map(about));
    let false_ = |type_| Condition::new(type_, Truth::False, reason::INVALID_SPEC, &message);
    Status {
        overall: Health::Error,
        message: message.clone(),
        components: None,
        conditions: vec![
            false_(condition::READY),
            Condition::new(
                condition::RECONCILING,
                Truth::False,
                reason::INVALID_SPEC,
                "nothing is done until the specification is corrected",
            ),
            Condition::new(
                condition::STALLED,
                Truth::True,
                reason::INVALID_SPEC,
                &message,
            ),
            false_(condition::SPEC_VALID),
        ],
        plan: Plan::default(),
    }
}

fn blocked(error: &str) -> Status {
    Status {
        overall: Health::Error,
        message: error.to_owned(),
        components: None,
        conditions: vec![
            Condition::new(condition::READY, Truth::False, reason::APPLY_FAILED, error),
            Condition::new(
                condition::RECONCILING,
                Truth::True,
                reason::COMPONENT_FAILED,
                "retrying",
            ),
            Condition::new(condition::STALLED, Truth::False, reason::PROGRESSING, ""),
        ],
        plan: Plan::default(),
    }
}

fn deleting(waiting: &Waiting) -> Status {
    let mut message = format!("deleting: {}", sentences(waiting.left.iter().cloned()));
    if waiting.told {
        let force = base::labels::FORCE_DELETE;
        message.push_str(&format!("; annotation {force}: \"true\" ends the waiting"));
    }
    Status {
        overall: Health::Reconciling,
        message: message.clone(),
        components: None,
        conditions: vec![
            Condition::new(condition::READY, Truth::False, reason::DELETING, &message),
            Condition::new(
                condition::RECONCILING,
                Truth::True,
                reason::DELETING,
                &message,
            ),
            Condition::new(condition::STALLED, Truth::False, reason::DELETING, ""),
        ],
        plan: Plan::default(),
    }
}

fn converged(progress: &Progress) -> Status {
    let told: Vec<Told> = progress
        .components
        .iter()
        .filter(|(_, state)| *state != State::Disabled)
        .map(|(component, state)| told(*component, state, progress))
        .collect();
    let overall = told
        .iter()
        .map(|told| told.health)
        .max()
        .unwrap_or(Health::Healthy);
    let worst = told.iter().find(|told| told.health == overall);
    let message = match (overall, worst) {
        (Health::Healthy, None) => "no component is enabled".to_owned(),
        (Health::Healthy, _) => "all enabled components are available".to_owned(),
        (_, Some(worst)) => format!("{}: {}", worst.component.as_str(), worst.message),
        (_, None) => String::new(),
    };
    let message = match progress.paused {
        true => format!("{PAUSE}; {message}"),
        false => message,
    };
    // Without a change by someone, these stay as they are.
    let stuck = told.iter().find(|told| {
        [
            reason::CONTROL_PLANE_DISABLED,
            reason::OWNERSHIP_CONFLICT,
            reason::PAUSED,
        ]
        .contains(&told.reason)
    });
    let ready = match (overall, stuck) {
        (Health::Healthy, _) => (Truth::True, reason::ALL_COMPONENTS_HEALTHY),
        (Health::Reconciling, _) => (Truth::False, reason::PROGRESSING),
        (Health::Error, Some(stuck)) => (Truth::False, stuck.reason),
        (Health::Error, None) => (Truth::False, reason::COMPONENT_FAILED),
    };
    // What failed is retried, so work goes on; what is stuck or paused is not worked on.
    let (reconciling, doing) = match (overall, stuck) {
        _ if progress.paused => ((Truth::False, reason::PAUSED), PAUSE),
        (Health::Healthy, _) => ((Truth::False, reason::DONE), message.as_str()),
        (Health::Reconciling, _) => ((Truth::True, reason::PROGRESSING), message.as_str()),
        (Health::Error, Some(stuck)) => ((Truth::False, stuck.reason), message.as_str()),
        (Health::Error, None) => ((Truth::True, reason::COMPONENT_FAILED), message.as_str()),
    };
    let stalled = match stuck {
        Some(stuck) => (Truth::True, stuck.reason, stuck.message.as_str()),
        None if overall == Health::Healthy => (Truth::False, reason::DONE, ""),
        None => (Truth::False, reason::PROGRESSING, ""),
    };
    let (unsupported, remarks): (Vec<&Problem>, Vec<&Problem>) = progress
        .warnings
        .iter()
        .partition(|problem| problem.reason == condition::UNSUPPORTED);
    let mut conditions = vec![
        Condition::new(condition::READY, ready.0, ready.1, &message),
        Condition::new(condition::RECONCILING, reconciling.0, reconciling.1, doing),
        Condition::new(condition::STALLED, stalled.0, stalled.1, stalled.2),
        Condition::new(
            condition::SPEC_VALID,
            Truth::True,
            reason::VALID,
            sentences(remarks.into_iter().map(about)),
        ),
    ];
    if !unsupported.is_empty() {
        conditions.push(Condition::new(
            condition::UNSUPPORTED,
            Truth::True,
            condition::UNSUPPORTED,
            sentences(unsupported.into_iter().map(about)),
        ));
    }
    conditions.extend(told.iter().map(Told::condition));
    conditions.extend(progress.ca.iter().flat_map(ca_health::conditions));
    Status {
        overall,
        message,
        components: Some(told.into_iter().map(Told::component_status).collect()),
        conditions,
        plan: progress.plan.clone(),
    }
}

const PAUSE: &str = "paused by annotation install.istio.io/ignoreReconcile: nothing is applied, \
                     repaired or removed until it is taken away";

/// What is told about one component.
struct Told {
    component: Component,
    health: Health,
    reason: &'static str,
    message: String,
}

impl Told {
    fn condition(&self) -> Condition {
        let truth = match self.health {
            Health::Healthy => Truth::True,
            Health::Reconciling | Health::Error => Truth::False,
        };
        Condition::new(
            self.component.condition_type(),
            truth,
            self.reason,
            &self.message,
        )
    }

    fn component_status(self) -> ComponentStatus {
        ComponentStatus {
            component: self.component,
            health: self.health,
            error: match self.health {
                Health::Error => self.message,
                Health::Healthy | Health::Reconciling => String::new(),
            },
        }
    }
}

fn told(component: Component, state: &State, progress: &Progress) -> Told {
    let waiting = |what: &[String]| format!("waiting for {}", sentences(what.iter().cloned()));
    let unserved = unserved(component, progress);
    // Whatever hinders an object is told first: it stays true when the control plane comes.
    let besides = |told: &str| match &unserved {
        Some(unserved) => format!("{told}; besides, {unserved}"),
        None => told.to_owned(),
    };
    let (health, reason, message) = match state {
        State::Failed(error) => (Health::Error, reason::APPLY_FAILED, besides(error)),
        State::Contended(why) => (Health::Error, reason::OWNERSHIP_CONFLICT, besides(why)),
        State::Held(what) => (
            Health::Error,
            reason::PAUSED,
            format!(
                "held back by the pause: {}",
                sentences(what.iter().cloned())
            ),
        ),
        State::Pending => (
            Health::Reconciling,
            reason::PROGRESSING,
            "about to be applied".to_owned(),
        ),
        _ if unserved.is_some() => (
            Health::Error,
            reason::CONTROL_PLANE_DISABLED,
            unserved.clone().unwrap_or_default(),
        ),
        State::Available | State::Disabled => (
            Health::Healthy,
            reason::AVAILABLE,
            match exempt(component, progress) {
                Some(exempt) => format!("applied and available, {exempt}"),
                None => "applied and available".to_owned(),
            },
        ),
        State::Blocked(by) => (
            Health::Reconciling,
            reason::WAITING_FOR_DEPENDENCY,
            format!("waiting for {} to be available", by.as_str()),
        ),
        State::Settling(what) => (
            Health::Reconciling,
            reason::WAITING_FOR_WORKLOADS,
            waiting(what),
        ),
        State::Lost(what) => (
            Health::Error,
            reason::WAITING_FOR_WORKLOADS,
            format!("no longer available, {}", waiting(what)),
        ),
        State::NotInTime(timeout, what) => (
            Health::Error,
            reason::NOT_READY_IN_TIME,
            format!(
                "not available after {} s, still {}",
                timeout.as_secs(),
                waiting(what)
            ),
        ),
    };
    Told {
        component,
        health,
        reason,
        message,
    }
}

/// That no control plane serves the gateways of a component, and what to do about it.
fn unserved(component: Component, progress: &Progress) -> Option<String> {
    let gateways = matches!(
        component,
        Component::IngressGateways | Component::EgressGateways
    );
    (gateways && !progress.unserved_gateways.is_empty()).then(|| {
        format!(
            "no control plane serves {}: components.pilot is disabled and no remote one is named; \
             enable components.pilot or set values.global.remotePilotAddress",
            progress.unserved_gateways.join(", ")
        )
    })
}

/// Which objects of a component an annotation leaves as they are.
fn exempt(component: Component, progress: &Progress) -> Option<String> {
    let of_it = progress.ignored.iter().filter(|(of, _)| *of == component);
    let objects: Vec<String> = of_it.map(|(_, object)| object.clone()).collect();
    let all = sentences(objects.iter().cloned());
    (!objects.is_empty()).then(|| format!("left as they are by annotation: {all}"))
}

/// A Problem without its subject, which is the resource that the status belongs to.
fn about(problem: &Problem) -> String {
    format!("{} {}", problem.field, problem.message)
        .trim_start()
        .to_owned()
}

/// Joined, and cut where a status would become unreadable.
fn sentences(all: impl Iterator<Item = String>) -> String {
    const SHOWN: usize = 8;
    let mut all: Vec<String> = all.collect();
    let more = all.len().saturating_sub(SHOWN);
    all.truncate(SHOWN);
    if more > 0 {
        all.push(format!("and {more} more"));
    }
    all.join("; ")
}

#[cfg(test)]
mod argocd;
#[cfg(test)]
mod tests;
