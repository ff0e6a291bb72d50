//! Readiness of a component from what the cluster shows.

use base::ObjectRef;
use install::Object;
use serde_json::{Value, json};

use super::{Readiness, ready};
use crate::{Inventory, Live, State, Workload};

fn deployment() -> Object {
    Object::from_value(json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "istiod", "namespace": "istio-system"}}))
}

fn autoscaler(minimum: i64) -> Object {
    Object::from_value(
        json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "istiod", "namespace": "istio-system"},
        "spec": {"minReplicas": minimum, "scaleTargetRef":
            {"apiVersion": "apps/v1", "kind": "Deployment", "name": "istiod"}}}),
    )
}

fn crd() -> Object {
    Object::from_value(json!({"apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition", "metadata": {"name": "gateways.networking.istio.io"}}))
}

fn live(reference: &ObjectRef, state: State) -> Live {
    Live {
        reference: reference.clone(),
        uid: "u".into(),
        resource_version: "1".into(),
        owner: None,
        component: None,
        not_pruned: false,
        ignored: false,
        applied: true,
        deleting: false,
        fields: 0,
        other_manager: None,
        state,
    }
}

fn check(objects: &[Object], states: &[(&Object, State)]) -> Readiness {
    let mut inventory = Inventory::default();
    for (object, state) in states {
        inventory.observe(live(&object.reference, state.clone()));
    }
    ready(objects, &inventory)
}

fn running(replicas: i64) -> Workload {
    Workload {
        observed: true,
        desired: replicas,
        updated: replicas,
        total: replicas,
        available: replicas,
        minimum_available: true,
        complaints: Vec::new(),
    }
}

/// What is waited for with one Deployment in this state, and whether it is down.
fn workload(workload: Workload) -> (String, bool) {
    let found = check(
        &[deployment()],
        &[(&deployment(), State::Workload(workload))],
    );
    (found.waiting.join(" | "), found.down)
}

#[test]
fn a_rolled_out_deployment_is_available() {
    assert_eq!(workload(running(2)), (String::new(), false));
}

#[test]
fn an_absent_object_is_waited_for() {
    let found = check(&[deployment()], &[]);
    assert_eq!(
        found.waiting,
        ["deployment istio-system/istiod does not exist yet"]
    );
    assert!(found.down);
}

#[test]
fn each_stage_of_a_rollout_is_told_in_numbers() {
    let stages = [
        (
            Workload {
                observed: false,
                ..running(2)
            },
            "its change has not been taken up by the deployment controller yet",
        ),
        (
            Workload {
                updated: 1,
                ..running(2)
            },
            "1 of 2 pods updated",
        ),
        (
            Workload {
                available: 1,
                ..running(2)
            },
            "1 of 2 pods available",
        ),
        (
            Workload {
                total: 3,
                ..running(2)
            },
            "1 pods of the previous revision still to end",
        ),
    ];
    for (stage, told) in stages {
        let expected = format!("deployment istio-system/istiod: {told}");
        assert_eq!(workload(stage), (expected, false));
    }
}

#[test]
fn too_few_pods_to_serve_is_down_and_says_why() {
    let stage = Workload {
        available: 0,
        minimum_available: false,
        complaints: vec!["exceeded quota".into()],
        ..running(1)
    };
    let told = "deployment istio-system/istiod: 0 of 1 pods available; exceeded quota";
    assert_eq!(workload(stage), (told.into(), true));
}

#[test]
fn the_minimum_of_its_autoscaler_is_waited_for() {
    let objects = [deployment(), autoscaler(2)];
    let states = |replicas| {
        [
            (&objects[0], State::Workload(running(replicas))),
            (&objects[1], State::Exists),
        ]
    };
    let one = check(&objects, &states(1));
    assert_eq!(
        one.waiting,
        ["deployment istio-system/istiod: 1 of 2 pods updated"]
    );
    assert!(!one.down);
    assert!(check(&objects, &states(2)).available());
}

#[test]
fn a_definition_has_to_be_established() {
    let state = |established, refused: Option<&str>| State::Crd {
        established,
        refused: refused.map(Into::into),
    };
    let told = |state| check(&[crd()], &[(&crd(), state)]).waiting;
    let name = "customresourcedefinition gateways.networking.istio.io";
    assert!(told(state(true, None)).is_empty());
    assert_eq!(
        told(state(false, None)),
        [format!("{name} is not established yet")]
    );
    assert_eq!(
        told(state(false, Some("plural in use"))),
        [format!("{name} is not established: plural in use")]
    );
}

#[test]
fn what_is_being_deleted_is_not_there() {
    let mut inventory = Inventory::default();
    inventory.observe(Live {
        deleting: true,
        ..live(&deployment().reference, State::Workload(running(1)))
    });
    let found = ready(&[deployment()], &inventory);
    assert_eq!(
        found.waiting,
        ["deployment istio-system/istiod is being deleted"]
    );
}

#[test]
fn objects_without_a_state_are_ready_when_they_exist() {
    let config = Object::from_value(json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "istio", "namespace": "istio-system"}, "data": Value::Null}));
    assert!(check(std::slice::from_ref(&config), &[(&config, State::Exists)]).available());
}
