//! What pruning and teardown select. The deletion itself is seen against a mocked API server.

use base::ObjectRef;
use install::{Component, ComponentManifest, Object, Owner};
use kube::Client;
use serde_json::json;

use super::{deletable, delete, remains, superfluous};
use crate::{Inventory, Live, State};

fn owner() -> Owner {
    Owner {
        name: "mesh".into(),
        namespace: "istio-system".into(),
    }
}

fn reference(api_version: &str, kind: &str, name: &str) -> ObjectRef {
    ObjectRef {
        api_version: api_version.into(),
        kind: kind.into(),
        namespace: Some("istio-system".into()),
        name: name.into(),
    }
}

fn live(reference: ObjectRef, component: Component) -> Live {
    Live {
        reference,
        uid: "u".into(),
        resource_version: "1".into(),
        owner: Some(owner()),
        component: Some(component.as_str().into()),
        not_pruned: false,
        ignored: false,
        applied: true,
        deleting: false,
        fields: 0,
        other_manager: None,
        state: State::Exists,
    }
}

fn config_map(name: &str) -> ObjectRef {
    reference("v1", "ConfigMap", name)
}

fn inventory(all: &[Live]) -> Inventory {
    let mut inventory = Inventory::default();
    for live in all {
        inventory.observe(live.clone());
    }
    inventory
}

fn pilot(rendered: &[&str]) -> Vec<ComponentManifest> {
    let object = |name: &&str| {
        Object::from_value(json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": "istio-system"}}))
    };
    vec![ComponentManifest {
        component: Component::Pilot,
        enabled: true,
        objects: rendered.iter().map(object).collect(),
    }]
}

fn pruned(all: &[Live], rendered: &[&str], settled: bool) -> Vec<String> {
    let inventory = inventory(all);
    superfluous(&inventory, &owner(), &pilot(rendered), |_| settled)
        .into_iter()
        .map(|live| live.reference.name.clone())
        .collect()
}

#[test]
fn what_is_rendered_no_longer_goes_once_its_component_is_settled() {
    let all = [
        live(config_map("istio"), Component::Pilot),
        live(config_map("old"), Component::Pilot),
    ];
    assert_eq!(pruned(&all, &["istio"], true), ["old"]);
    assert!(pruned(&all, &["istio"], false).is_empty());
}

#[test]
fn objects_of_others_and_objects_that_are_exempt_stay() {
    let other = Owner {
        name: "other".into(),
        namespace: "istio-system".into(),
    };
    let all = [
        Live {
            owner: Some(other),
            ..live(config_map("theirs"), Component::Pilot)
        },
        Live {
            not_pruned: true,
            ..live(config_map("tag"), Component::Pilot)
        },
        Live {
            deleting: true,
            ..live(config_map("going"), Component::Pilot)
        },
    ];
    assert!(pruned(&all, &[], true).is_empty());
}

#[test]
fn definitions_and_the_objects_of_the_ca_are_never_deleted() {
    for kept in [
        reference(
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            "gateways",
        ),
        reference("v1", "Secret", "istio-ca-secret"),
        config_map("istio-ca-root-cert"),
        reference("v1", "Namespace", "istio-system"),
    ] {
        assert!(!deletable(&kept), "{kept}");
        let all = [live(kept, Component::Base)];
        assert!(pruned(&all, &[], true).is_empty());
        let inventory = inventory(&all);
        let remains = remains(&inventory, &owner());
        assert!(remains.first.is_empty() && remains.last.is_empty());
    }
    assert!(deletable(&config_map("istio")));
}

#[test]
fn webhooks_and_workloads_go_before_what_their_pods_need() {
    let webhook = "admissionregistration.k8s.io/v1";
    let all = [
        live(
            reference("v1", "ServiceAccount", "istiod"),
            Component::Pilot,
        ),
        live(
            reference("apps/v1", "Deployment", "istiod"),
            Component::Pilot,
        ),
        live(
            reference(webhook, "MutatingWebhookConfiguration", "injector"),
            Component::Pilot,
        ),
        live(config_map("istio"), Component::Pilot),
    ];
    let inventory = inventory(&all);
    let remains = remains(&inventory, &owner());
    let kinds = |all: &[&Live]| -> Vec<String> {
        all.iter().map(|live| live.reference.kind.clone()).collect()
    };
    assert_eq!(
        kinds(&remains.first),
        ["MutatingWebhookConfiguration", "Deployment"]
    );
    assert_eq!(kinds(&remains.last), ["ConfigMap", "ServiceAccount"]);
}

/// Deletes against an API server that answers with `code`; returns what it was asked.
async fn asked(code: u16) -> (Result<(), crate::Error>, String, serde_json::Value) {
    let (service, handle) = tower_test::mock::pair::<
        http::Request<kube::client::Body>,
        http::Response<kube::client::Body>,
    >();
    let client = Client::new(service, "default");
    let server = tokio::spawn(async move {
        let mut handle = std::pin::pin!(handle);
        let (request, send) = handle.next_request().await.expect("a request");
        let path = format!("{} {}", request.method(), request.uri().path());
        let body = request.into_body().collect_bytes().await.expect("a body");
        let status = json!({"kind": "Status", "apiVersion": "v1", "code": code,
            "status": if code == 200 { "Success" } else { "Failure" }, "message": "said so"});
        let answer = http::Response::builder()
            .status(code)
            .body(kube::client::Body::from(status.to_string().into_bytes()))
            .expect("a response");
        send.send_response(answer);
        (path, serde_json::from_slice(&body).expect("JSON"))
    });
    let result = delete(&client, &live(config_map("old"), Component::Pilot)).await;
    let (path, body) = server.await.expect("the server ran");
    (result, path, body)
}

#[tokio::test]
async fn deletion_is_in_the_foreground_and_of_this_very_object() {
    let (result, path, body) = asked(200).await;
    assert!(result.is_ok());
    assert_eq!(
        path,
        "DELETE /api/v1/namespaces/istio-system/configmaps/old"
    );
    assert_eq!(body["propagationPolicy"], "Foreground");
    assert_eq!(body["preconditions"]["uid"], "u");
}

#[tokio::test]
async fn what_is_gone_or_was_replaced_counts_as_deleted() {
    for code in [404, 409] {
        assert!(asked(code).await.0.is_ok(), "{code}");
    }
}

#[tokio::test]
async fn a_refusal_names_the_object_and_the_reason() {
    let error = asked(403).await.0.expect_err("refused");
    assert_eq!(
        error.to_string(),
        "configmap istio-system/old could not be deleted: said so"
    );
}
