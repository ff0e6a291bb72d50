//! The health that ArgoCD derives from our statuses, by the rule that it is shipped with. With
//! CORPORA set, the rule as written here is held against ArgoCD's own cases first.

use std::time::Duration;

use base::{ObjectRef, Problem};
use install::Component::{Base, EgressGateways, IngressGateways, Pilot};
use serde_json::Value;

use super::conditions;
use crate::outcome::{Outcome, Progress, State, Waiting};

/// The rule: `status.status` alone decides, as a word or as its number.
fn health(status: &Value) -> &'static str {
    match (status.as_str(), status.as_u64()) {
        (Some("NONE"), _) | (_, Some(0)) => "Unknown",
        (Some("HEALTHY"), _) | (_, Some(3)) => "Healthy",
        (Some("ERROR"), _) | (_, Some(4)) => "Degraded",
        _ => "Progressing",
    }
}

#[test]
fn the_rule_is_that_of_argocd() {
    let Some(corpora) = std::env::var_os("CORPORA") else {
        eprintln!("CORPORA is not set: the cases of argocd/ were not looked at");
        return;
    };
    let folder = std::path::PathBuf::from(corpora).join("argocd");
    let read = |name: &str| {
        let path = folder.join(name);
        let text = std::fs::read_to_string(&path);
        let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        api::yaml::documents(&text).expect("YAML").remove(0)
    };
    let cases = read("health_test.yaml")["tests"].clone();
    let cases = cases.as_array().expect("a list");
    assert!(cases.len() >= 4, "{} cases", cases.len());
    for case in cases {
        let input = case["inputPath"].as_str().expect("a path");
        let resource = read(input);
        let derived = health(&resource["status"]["status"]);
        assert_eq!(case["healthStatus"]["status"], derived, "{input}");
    }
}

/// The health of an installation whose control plane is in this state.
fn of(pilot: State) -> &'static str {
    let progress = Progress {
        components: vec![
            (Base, State::Available),
            (Pilot, pilot),
            (IngressGateways, State::Available),
            (EgressGateways, State::Disabled),
        ],
        ..Progress::default()
    };
    after(&Outcome::Converged(progress))
}

fn after(outcome: &Outcome) -> &'static str {
    let status = conditions(outcome).expect("something to tell");
    health(&status.overall.as_str().into())
}

#[test]
fn each_state_of_a_component_has_the_right_health() {
    let why = || vec!["pods".to_owned()];
    for (state, expected) in [
        (State::Available, "Healthy"),
        (State::Pending, "Progressing"),
        (State::Blocked(Base), "Progressing"),
        (State::Settling(why()), "Progressing"),
        (State::Lost(why()), "Degraded"),
        (
            State::NotInTime(Duration::from_secs(300), why()),
            "Degraded",
        ),
        (State::Failed("denied".to_owned()), "Degraded"),
        (State::Contended("Helm's".to_owned()), "Degraded"),
        (State::Held(why()), "Degraded"),
    ] {
        assert_eq!(of(state.clone()), expected, "{state:?}");
    }
}

#[test]
fn a_wrong_specification_is_degraded_and_a_deletion_progresses() {
    let subject = ObjectRef {
        api_version: "install.istio.io/v1alpha1".into(),
        kind: "IstioOperator".into(),
        namespace: None,
        name: "mesh".into(),
    };
    let wrong = Problem::error(&subject, "spec.profil", "UnknownField", "is unknown");
    assert_eq!(after(&Outcome::Invalid(vec![wrong])), "Degraded");
    assert_eq!(after(&Outcome::Blocked("no answer".into())), "Degraded");
    assert_eq!(after(&Outcome::Deleting(Waiting::default())), "Progressing");
}

#[test]
fn nothing_to_install_is_healthy() {
    assert_eq!(after(&Outcome::Converged(Progress::default())), "Healthy");
}
