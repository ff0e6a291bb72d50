//! What an installation looks like whose control plane is hosted.

use std::collections::BTreeMap;

use api::istio_operator::IstioOperator;
use base::Severity;
use serde_json::{Value, json};

use super::{Command, Host, command};
use crate::{Install, Object, Observed, build, resolve};

fn host() -> Host {
    Host {
        labels: BTreeMap::from([("app.kubernetes.io/name".into(), "istio-operator".into())]),
    }
}

fn resolved(spec: Value, host: Option<Host>) -> Result<Install, Vec<base::Problem>> {
    let document = json!({
        "apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator",
        "metadata": {"name": "mesh", "namespace": "istio-system"}, "spec": spec});
    let parsed = IstioOperator::parse(&document).expect("the case is well formed");
    let seen = Observed {
        hub: "registry.example/mesh".to_owned(),
        tag: "v0".to_owned(),
        version: "0.0.0".to_owned(),
        kubernetes: None,
        host,
    };
    resolve(&parsed, &seen)
}

fn hosted(spec: Value) -> Install {
    resolved(spec, Some(host())).expect("the case is valid")
}

fn names(objects: &[Object]) -> Vec<String> {
    let name = |object: &Object| format!("{} {}", object.reference.kind, object.reference.name);
    objects.iter().map(name).collect()
}

fn all(install: &Install) -> Vec<Object> {
    build(install).objects().cloned().collect()
}

#[test]
fn only_what_istiods_pods_need_is_left_out() {
    let spec = json!({"profile": "default", "components": {"pilot": {"k8s": {"hpaSpec": {"minReplicas": 2}}}}});
    let deployed = names(&all(&resolved(spec.clone(), None).expect("valid")));
    let hosted = names(&all(&hosted(spec)));
    let missing: Vec<&String> = deployed
        .iter()
        .filter(|name| !hosted.contains(name))
        .collect();
    assert_eq!(
        missing,
        [
            "Deployment istiod",
            "PodDisruptionBudget istiod",
            "HorizontalPodAutoscaler istiod"
        ]
    );
    assert_eq!(hosted.len() + missing.len(), deployed.len());
}

#[test]
fn services_and_policies_of_every_revision_select_the_host() {
    for revision in ["", "canary"] {
        let install = hosted(json!({"revision": revision, "values": {
            "global": {"networkPolicy": {"enabled": true}}, "revisionTags": ["prod"]}}));
        let selected: Vec<(String, Value)> = all(&install)
            .iter()
            .filter(|object| object.reference.name.starts_with("istiod"))
            .filter_map(|object| {
                let pointer = match object.reference.kind.as_str() {
                    "Service" => "/spec/selector",
                    "NetworkPolicy" => "/spec/podSelector/matchLabels",
                    _ => return None,
                };
                let selector = object.body.pointer(pointer)?.clone();
                Some((object.reference.name.clone(), selector))
            })
            .collect();
        assert_eq!(selected.len(), 3, "{selected:?}");
        for (name, selector) in selected {
            assert_eq!(
                selector,
                json!({"app.kubernetes.io/name": "istio-operator"}),
                "{name}"
            );
        }
    }
}

#[test]
fn gateways_keep_what_they_have() {
    let install = hosted(json!({"profile": "default"}));
    let gateway = names(&all(&install));
    assert!(gateway.contains(&"Deployment istio-ingressgateway".to_owned()));
    let service = all(&install)
        .into_iter()
        .find(|object| {
            object.reference.name == "istio-ingressgateway" && object.reference.kind == "Service"
        })
        .expect("the gateway's Service");
    assert_eq!(service.body["spec"]["selector"]["istio"], "ingressgateway");
}

#[test]
fn the_command_is_what_the_deployment_would_have_run() {
    let install = hosted(json!({
        "revision": "canary",
        "values": {"pilot": {"env": {"DEFAULT_WORKLOAD_CERT_TTL": "1m"}}},
        "components": {"pilot": {"k8s": {
            "env": [{"name": "ISTIOD_CUSTOM_HOST", "value": "mesh.example.com"}],
            "overlays": [{"kind": "Deployment", "name": "istiod-canary", "patches": [
                {"path": "spec.template.spec.containers.[name:discovery].args.[-1]", "value": "--keepaliveInterval=5s"}]}],
        }}},
    }));
    let Command {
        namespace,
        arguments,
        environment,
    } = command(&install).expect("a control plane");
    assert_eq!(namespace, "istio-system");
    assert_eq!(
        arguments.first().map(String::as_str),
        Some("--monitoringAddr=:15014")
    );
    assert!(
        arguments.contains(&"--keepaliveInterval=5s".to_owned()),
        "{arguments:?}"
    );
    for (name, value) in [
        ("REVISION", "canary"),
        ("DEFAULT_WORKLOAD_CERT_TTL", "1m"),
        ("ISTIOD_CUSTOM_HOST", "mesh.example.com"),
    ] {
        assert_eq!(
            environment.get(name).map(String::as_str),
            Some(value),
            "{name}"
        );
    }
    // Those of a pod come from the process itself.
    assert!(!environment.contains_key("POD_NAME"));
}

#[test]
fn without_a_control_plane_there_is_no_command() {
    let install = hosted(json!({"profile": "empty"}));
    assert_eq!(command(&install), None);
}

#[test]
fn settings_of_pods_that_do_not_exist_are_named() {
    let spec = json!({"components": {"pilot": {"k8s": {"replicaCount": 3, "env": []}}}});
    let install = hosted(spec);
    let warned: Vec<&str> = install
        .warnings
        .iter()
        .filter(|problem| problem.severity == Severity::Warning)
        .map(|problem| problem.field.as_str())
        .collect();
    assert_eq!(warned, ["spec.components.pilot.k8s.replicaCount"]);
}
