//! Installations of gateways alone: what they are told while they have a control plane, and not.

use std::time::{Duration, Instant};

use rollout::Live;
use serde_json::{Value, json};

use super::{IOP, World, of, rolled_out};

/// A gateway without a control plane of its own.
fn gateways() -> Value {
    json!({
        "apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator",
        "metadata": {"name": "istiocontrolplane", "namespace": "istio-system",
            "generation": 1, "resourceVersion": "1", "uid": "u"},
        "spec": {"profile": "empty", "components": {"ingressGateways": [{"name": "edge", "enabled": true}]}},
    })
}

fn condition(world: &World, type_: &str) -> (String, String) {
    let server = world.server.lock().expect("idle");
    let conditions = server.objects[IOP]["status"]["conditions"].as_array();
    let found = conditions.and_then(|all| all.iter().find(|one| one["type"] == type_));
    let found = found.unwrap_or_else(|| panic!("no condition {type_}"));
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    (text("reason"), text("message"))
}

fn told(world: &World) -> Vec<String> {
    world.server.lock().expect("idle").told.clone()
}

/// The Service of a control plane that another IstioOperator keeps.
fn control_plane() -> Live {
    let service = json!({"metadata": {
        "name": "istiod", "namespace": "istio-system", "uid": "s", "resourceVersion": "9",
        "labels": {
            base::labels::COMPONENT: "Pilot",
            base::labels::OWNING_RESOURCE: "mesh",
            base::labels::OWNING_RESOURCE_NAMESPACE: "istio-system",
        },
    }});
    let metadata = serde_json::from_value(service["metadata"].clone()).expect("metadata");
    Live::of(of("Service"), &metadata, &service)
}

#[tokio::test]
async fn without_a_control_plane_they_are_applied_and_told_what_they_lack() {
    let world = World::new();
    world.pass(&gateways()).await;
    assert_eq!(told(&world), ["RECONCILING", "ERROR"]);
    let (reason, message) = condition(&world, "IngressGatewaysReady");
    assert_eq!(reason, "ControlPlaneDisabled");
    assert!(message.contains("istio-system/edge"), "{message}");
    assert!(message.contains("enable components.pilot"), "{message}");
    let server = world.server.lock().expect("idle");
    let deployment = "/apis/apps/v1/namespaces/istio-system/deployments/edge";
    assert!(
        server.objects.contains_key(deployment),
        "it is there in time"
    );
}

#[tokio::test]
async fn the_control_plane_of_another_serves_them_from_the_first_status_on() {
    let world = World::new();
    world.ctx.inventory().observe(control_plane());
    world.pass(&gateways()).await;
    world.see("Deployment", &rolled_out());
    world.pass(&world.stored(&gateways())).await;
    assert_eq!(told(&world), ["RECONCILING", "HEALTHY"]);

    let gone = control_plane();
    world.ctx.inventory().forget(&gone);
    world.pass(&world.stored(&gateways())).await;
    assert_eq!(told(&world).last().map(String::as_str), Some("ERROR"));
}

#[tokio::test]
async fn what_is_another_tools_is_told_whether_or_not_there_is_a_control_plane() {
    for served in [false, true] {
        let world = World::new();
        if served {
            world.ctx.inventory().observe(control_plane());
        }
        let service = "/api/v1/namespaces/istio-system/services/edge";
        let theirs = json!({"apiVersion": "v1", "kind": "Service", "metadata": {
            "name": "edge", "namespace": "istio-system", "uid": "theirs",
            "annotations": {"meta.helm.sh/release-name": "edge"}}});
        world
            .server
            .lock()
            .expect("idle")
            .objects
            .insert(service.to_owned(), theirs);
        world.pass(&gateways()).await;
        assert_eq!(told(&world), ["RECONCILING", "ERROR"]);
        let (reason, message) = condition(&world, "IngressGatewaysReady");
        assert_eq!(reason, "OwnershipConflict", "served: {served}");
        assert_eq!(
            message.contains("no control plane serves"),
            !served,
            "{message}"
        );
        assert_eq!(condition(&world, "Stalled").0, "OwnershipConflict");
    }
}

#[tokio::test]
async fn what_the_api_server_refuses_clears_when_it_refuses_no_longer() {
    let world = World::new();
    world.ctx.inventory().observe(control_plane());
    let refuse = |what: Option<&str>| {
        world.server.lock().expect("idle").refused = what.map(str::to_owned);
    };
    refuse(Some("/deployments/"));
    world.pass(&gateways()).await;
    let (reason, message) = condition(&world, "IngressGatewaysReady");
    assert_eq!(reason, "ApplyFailed");
    assert!(
        message.contains("deployment istio-system/edge"),
        "{message}"
    );
    assert_eq!(condition(&world, "Reconciling").0, "ComponentFailed");

    refuse(None);
    // The next attempt is due after the backoff, which these passes do not wait for.
    let begin = Instant::now();
    while condition(&world, "IngressGatewaysReady").0 == "ApplyFailed" {
        assert!(
            begin.elapsed() < Duration::from_secs(30),
            "it does not clear"
        );
        world.pass(&world.stored(&gateways())).await;
        tokio::task::yield_now().await;
    }
    world.see("Deployment", &rolled_out());
    world.pass(&world.stored(&gateways())).await;
    assert_eq!(told(&world).last().map(String::as_str), Some("HEALTHY"));
}
