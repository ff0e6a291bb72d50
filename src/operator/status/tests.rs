//! The whole table: outcome in, status out.

use std::time::Duration;

use base::condition::Status as Truth;
use base::{ObjectRef, Problem};
use install::Component::{Base, EgressGateways, IngressGateways, Pilot};

use super::{Health, Status, conditions};
use crate::outcome::{Outcome, Progress, State, Waiting};

fn subject() -> ObjectRef {
    ObjectRef {
        api_version: "install.istio.io/v1alpha1".into(),
        kind: "IstioOperator".into(),
        namespace: Some("istio-system".into()),
        name: "mesh".into(),
    }
}

fn progress(base: State, pilot: State, ingress: State) -> Progress {
    Progress {
        components: vec![
            (Base, base),
            (Pilot, pilot),
            (IngressGateways, ingress),
            (EgressGateways, State::Disabled),
        ],
        ..Progress::default()
    }
}

fn decided(outcome: Outcome) -> Status {
    conditions(&outcome).expect("something to tell")
}

fn after(base: State, pilot: State, ingress: State) -> Status {
    decided(Outcome::Converged(progress(base, pilot, ingress)))
}

/// Status and reason of a condition.
fn condition(status: &Status, type_: &str) -> (Truth, String) {
    let found = status.conditions.iter().find(|found| found.type_ == type_);
    let found = found.unwrap_or_else(|| panic!("no condition {type_}"));
    (found.status, found.reason.clone())
}

fn message(status: &Status, type_: &str) -> String {
    let found = status.conditions.iter().find(|found| found.type_ == type_);
    found.map(|found| found.message.clone()).unwrap_or_default()
}

fn healths(status: &Status) -> Vec<(&'static str, Health)> {
    let components = status.components.iter().flatten();
    components
        .map(|told| (told.component.as_str(), told.health))
        .collect()
}

/// Overall health and the three conditions of kstatus, with their reasons.
#[track_caller]
fn check(status: &Status, overall: Health, expected: [(Truth, &str); 3]) {
    assert_eq!(status.overall, overall);
    for (type_, (truth, reason)) in ["Ready", "Reconciling", "Stalled"].iter().zip(expected) {
        assert_eq!(
            condition(status, type_),
            (truth, reason.to_owned()),
            "{type_}"
        );
    }
}

fn pods() -> Vec<String> {
    vec!["deployment istio-system/istiod: 1 of 2 pods available".into()]
}

#[test]
fn everything_available_is_healthy() {
    let status = after(State::Available, State::Available, State::Available);
    check(
        &status,
        Health::Healthy,
        [
            (Truth::True, "AllComponentsHealthy"),
            (Truth::False, "Done"),
            (Truth::False, "Done"),
        ],
    );
    assert_eq!(
        condition(&status, "PilotReady"),
        (Truth::True, "Available".into())
    );
    assert_eq!(
        condition(&status, "SpecValid"),
        (Truth::True, "Valid".into())
    );
    assert_eq!(status.message, "all enabled components are available");
}

#[test]
fn disabled_components_are_not_told_about() {
    let status = after(State::Available, State::Available, State::Disabled);
    assert_eq!(
        healths(&status),
        [("Base", Health::Healthy), ("Pilot", Health::Healthy)]
    );
    assert!(
        !status
            .conditions
            .iter()
            .any(|found| found.type_ == "IngressGatewaysReady")
    );
}

#[test]
fn nothing_enabled_is_healthy_and_says_so() {
    let status = after(State::Disabled, State::Disabled, State::Disabled);
    assert_eq!(status.overall, Health::Healthy);
    assert_eq!(status.message, "no component is enabled");
}

#[test]
fn waiting_says_for_what_and_who_waits_for_whom() {
    let status = after(
        State::Available,
        State::Settling(pods()),
        State::Blocked(Pilot),
    );
    check(
        &status,
        Health::Reconciling,
        [
            (Truth::False, "Progressing"),
            (Truth::True, "Progressing"),
            (Truth::False, "Progressing"),
        ],
    );
    assert_eq!(
        condition(&status, "IngressGatewaysReady"),
        (Truth::False, "WaitingForDependency".into())
    );
    assert_eq!(
        message(&status, "IngressGatewaysReady"),
        "waiting for Pilot to be available"
    );
    assert_eq!(
        status.message,
        "Pilot: waiting for deployment istio-system/istiod: 1 of 2 pods available"
    );
}

#[test]
fn a_new_generation_is_reconciling_before_anything_is_applied() {
    let status = after(State::Pending, State::Pending, State::Pending);
    assert_eq!(status.overall, Health::Reconciling);
    assert_eq!(condition(&status, "Ready").0, Truth::False);
    assert_eq!(condition(&status, "Reconciling").0, Truth::True);
}

#[test]
fn one_failure_is_an_error_that_is_retried() {
    let refused = "service istio-system/istiod could not be applied: denied";
    let status = after(
        State::Available,
        State::Failed(refused.into()),
        State::Blocked(Pilot),
    );
    check(
        &status,
        Health::Error,
        [
            (Truth::False, "ComponentFailed"),
            (Truth::True, "ComponentFailed"),
            (Truth::False, "Progressing"),
        ],
    );
    assert_eq!(
        condition(&status, "PilotReady"),
        (Truth::False, "ApplyFailed".into())
    );
    let components = status.components.expect("told");
    assert_eq!(components[1].error, refused);
    assert_eq!(
        components[2].error, "",
        "what waits has no error of its own"
    );
}

#[test]
fn a_timeout_and_a_loss_are_errors_with_reasons_of_their_own() {
    let late = State::NotInTime(Duration::from_secs(300), pods());
    let status = after(State::Available, late, State::Blocked(Pilot));
    assert_eq!(status.overall, Health::Error);
    assert_eq!(
        condition(&status, "PilotReady"),
        (Truth::False, "NotReadyInTime".into())
    );
    assert!(message(&status, "PilotReady").starts_with("not available after 300 s"));

    let status = after(State::Available, State::Lost(pods()), State::Available);
    assert_eq!(status.overall, Health::Error);
    assert!(message(&status, "PilotReady").starts_with("no longer available"));
    assert_eq!(condition(&status, "IngressGatewaysReady").0, Truth::True);
}

fn unserved(ingress: State) -> Status {
    decided(Outcome::Converged(Progress {
        unserved_gateways: vec!["istio-system/istio-ingressgateway".into()],
        ..progress(State::Available, State::Disabled, ingress)
    }))
}

#[test]
fn a_new_generation_is_reconciling_whoever_serves_its_gateways() {
    let status = unserved(State::Pending);
    assert_eq!(status.overall, Health::Reconciling);
    let told = condition(&status, "IngressGatewaysReady");
    assert_eq!(told, (Truth::False, "Progressing".to_owned()));
}

#[test]
fn a_conflict_comes_before_a_missing_control_plane_and_both_are_told() {
    let status = unserved(State::Contended("service a/b belongs to Helm".into()));
    let told = condition(&status, "IngressGatewaysReady");
    assert_eq!(told, (Truth::False, "OwnershipConflict".to_owned()));
    assert_eq!(condition(&status, "Stalled").1, "OwnershipConflict");
    let told = message(&status, "IngressGatewaysReady");
    assert!(told.starts_with("service a/b belongs to Helm"), "{told}");
    assert!(told.contains("besides, no control plane"), "{told}");
}

#[test]
fn gateways_without_a_control_plane_are_told_how_to_get_one_at_once() {
    for ingress in [State::Settling(pods()), State::Available] {
        let status = unserved(ingress);
        check(
            &status,
            Health::Error,
            [
                (Truth::False, "ControlPlaneDisabled"),
                (Truth::False, "ControlPlaneDisabled"),
                (Truth::True, "ControlPlaneDisabled"),
            ],
        );
        let told = message(&status, "IngressGatewaysReady");
        assert!(told.contains("istio-system/istio-ingressgateway"), "{told}");
        assert!(told.contains("enable components.pilot"), "{told}");
    }
}

#[test]
fn an_invalid_specification_is_stalled_and_lists_its_problems() {
    let problem = |field: &str| Problem::error(&subject(), field, "UnknownField", "is not known");
    let problems = vec![problem("spec.profil"), problem("spec.hubb")];
    let status = decided(Outcome::Invalid(problems));
    check(
        &status,
        Health::Error,
        [
            (Truth::False, "InvalidSpec"),
            (Truth::False, "InvalidSpec"),
            (Truth::True, "InvalidSpec"),
        ],
    );
    assert_eq!(
        condition(&status, "SpecValid"),
        (Truth::False, "InvalidSpec".into())
    );
    assert_eq!(
        status.message,
        "spec.profil is not known; spec.hubb is not known"
    );
    assert_eq!(status.components, None, "what runs goes on running");
}

#[test]
fn many_problems_are_cut_and_counted() {
    let problem = |n: usize| Problem::error(&subject(), format!("spec.f{n}"), "X", "is wrong");
    let status = decided(Outcome::Invalid((0..20).map(problem).collect()));
    assert!(
        status.message.ends_with("; and 12 more"),
        "{}",
        status.message
    );
}

#[test]
fn what_is_understood_but_not_built_is_named() {
    let warning =
        |reason: &str, field: &str| Problem::warning(&subject(), field, reason, "has no effect");
    let progress = Progress {
        warnings: vec![
            warning("Unsupported", "spec.components.cni"),
            warning("Deprecated", "spec.addonComponents"),
        ],
        ..progress(State::Available, State::Available, State::Available)
    };
    let status = decided(Outcome::Converged(progress));
    assert_eq!(status.overall, Health::Healthy);
    assert_eq!(
        message(&status, "Unsupported"),
        "spec.components.cni has no effect"
    );
    assert_eq!(
        message(&status, "SpecValid"),
        "spec.addonComponents has no effect"
    );
}

#[test]
fn a_deletion_says_what_it_waits_for() {
    let left = vec!["waiting for deployment istio-system/istiod to end".into()];
    let status = decided(Outcome::Deleting(Waiting { left, told: false }));
    check(
        &status,
        Health::Reconciling,
        [
            (Truth::False, "Deleting"),
            (Truth::True, "Deleting"),
            (Truth::False, "Deleting"),
        ],
    );
    assert_eq!(
        status.message,
        "deleting: waiting for deployment istio-system/istiod to end"
    );
}

#[test]
fn a_paused_resource_is_left_alone() {
    assert_eq!(conditions(&Outcome::Silent), None);
}

#[test]
fn a_long_deletion_says_how_to_end_it() {
    let left = vec!["waiting for deployment istio-system/istiod to end".to_owned()];
    let status = decided(Outcome::Deleting(Waiting { left, told: true }));
    let expected = "annotation install.istio.io/forceDelete: \"true\" ends the waiting";
    assert!(status.message.ends_with(expected), "{}", status.message);
}

#[test]
fn a_conflict_of_ownership_is_stalled_until_someone_decides() {
    let why = "deployment istio-system/istiod belongs to Helm release istio-system/istiod";
    let status = after(
        State::Available,
        State::Contended(why.to_owned()),
        State::Blocked(Pilot),
    );
    check(
        &status,
        Health::Error,
        [
            (Truth::False, "OwnershipConflict"),
            (Truth::False, "OwnershipConflict"),
            (Truth::True, "OwnershipConflict"),
        ],
    );
    assert_eq!(message(&status, "PilotReady"), why);
}

fn paused(pilot: State) -> Status {
    decided(Outcome::Converged(Progress {
        paused: true,
        ..progress(State::Available, pilot, State::Available)
    }))
}

#[test]
fn a_pause_over_a_whole_mesh_is_healthy_and_says_so() {
    let status = paused(State::Available);
    check(
        &status,
        Health::Healthy,
        [
            (Truth::True, "AllComponentsHealthy"),
            (Truth::False, "Paused"),
            (Truth::False, "Done"),
        ],
    );
    assert!(
        status.message.starts_with("paused by annotation"),
        "{}",
        status.message
    );
}

#[test]
fn a_pause_that_holds_repairs_back_is_an_error() {
    let status = paused(State::Held(vec![
        "deployment istio-system/istiod does not exist".to_owned(),
    ]));
    check(
        &status,
        Health::Error,
        [
            (Truth::False, "Paused"),
            (Truth::False, "Paused"),
            (Truth::True, "Paused"),
        ],
    );
    let told = message(&status, "PilotReady");
    assert!(
        told.ends_with("deployment istio-system/istiod does not exist"),
        "{told}"
    );
}

#[test]
fn objects_that_are_exempt_are_named() {
    let status = decided(Outcome::Converged(Progress {
        ignored: vec![(Pilot, "service istio-system/istiod".to_owned())],
        ..progress(State::Available, State::Available, State::Available)
    }));
    let told = message(&status, "PilotReady");
    assert!(
        told.ends_with("by annotation: service istio-system/istiod"),
        "{told}"
    );
}
