//! What becomes of an installation when its specification changes, for the worse and for the better.

use e2e::argocd::Health;
use e2e::installation::{Installation, condition};
use e2e::{cluster, eventually::eventually, mesh};
use kube::Client;
use serde_json::json;

/// Generation of an object: the same as long as nobody changes what it asks for; nothing when it is not there.
async fn generation(client: &Client, kind: (&str, &str), name: &str) -> Option<i64> {
    let api = cluster::dynamic(client, kind.0, kind.1, Some(mesh::NAMESPACE));
    let found = api.get_opt(name).await.expect("an answer");
    found.and_then(|object| object.metadata.generation)
}

const DEPLOYMENT: (&str, &str) = ("apps/v1", "Deployment");
const AUTOSCALER: (&str, &str) = ("autoscaling/v2", "HorizontalPodAutoscaler");

#[tokio::test]
async fn an_invalid_specification_changes_nothing_and_clears_when_it_is_fixed() {
    let client = cluster::client().await;
    let _mesh = mesh::exclusive(&client).await;
    let installation = Installation::sample(&client);
    let before = generation(&client, DEPLOYMENT, "istio-egressgateway").await;
    assert!(before.is_some());

    let mut spec = mesh::sample();
    spec["meshConfig"]["outboundTrafficPolicy"]["mode"] = json!("REGISTRY");
    spec["components"]["egressGateways"] = json!([]);
    installation.apply(spec).await;
    let status = installation.until(30, Health::Degraded, |_| true).await;
    let message = status["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("outboundTrafficPolicy.mode") && message.contains("REGISTRY_ONLY"),
        "{status}"
    );
    for (type_, expected) in [
        ("SpecValid", "False"),
        ("Stalled", "True"),
        ("Ready", "False"),
    ] {
        assert_eq!(
            condition(&status, type_)["status"],
            expected,
            "{type_}: {status}"
        );
    }
    assert_eq!(
        generation(&client, DEPLOYMENT, "istio-egressgateway").await,
        before,
        "it was changed"
    );

    installation.apply(mesh::sample()).await;
    let status = installation.until(30, Health::Healthy, |_| true).await;
    assert_eq!(
        condition(&status, "SpecValid")["status"],
        "True",
        "{status}"
    );
    assert_eq!(
        generation(&client, DEPLOYMENT, "istio-egressgateway").await,
        before,
        "it was changed"
    );
}

#[tokio::test]
async fn a_disabled_control_plane_is_removed_and_comes_back() {
    let client = cluster::client().await;
    let _mesh = mesh::exclusive(&client).await;
    let installation = Installation::sample(&client);
    let mut spec = mesh::sample();
    spec["components"]["pilot"]["enabled"] = json!(false);
    installation.apply(spec).await;
    let status = installation
        .until(20, Health::Degraded, |status| {
            condition(status, "IngressGatewaysReady")["reason"] == "ControlPlaneDisabled"
        })
        .await;
    let message = condition(&status, "IngressGatewaysReady")["message"]
        .as_str()
        .unwrap_or_default();
    assert!(message.contains("pilot"), "{message}");
    assert!(status["componentStatus"].get("Pilot").is_none(), "{status}");
    for kind in [("v1", "Service"), DEPLOYMENT] {
        eventually(
            &client,
            &format!("{} istiod is gone", kind.1),
            30,
            || async {
                let api = cluster::dynamic(&client, kind.0, kind.1, Some(mesh::NAMESPACE));
                match api.get_opt("istiod").await {
                    Ok(None) => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            },
        )
        .await;
    }

    installation.apply(mesh::sample()).await;
    let (_, took) = mesh::wait_until_healthy(&client).await;
    println!("HEALTHY {took:?} after the control plane was enabled");
}

#[tokio::test]
async fn a_profile_with_less_removes_what_it_does_not_have() {
    let client = cluster::client().await;
    let _mesh = mesh::exclusive(&client).await;
    let installation = Installation::sample(&client);
    let istiod = generation(&client, DEPLOYMENT, "istiod").await;
    let mut spec = mesh::sample();
    spec["profile"] = json!("minimal");
    let components = spec["components"].as_object_mut().expect("components");
    components.remove("egressGateways");
    components.remove("ingressGateways");
    installation.apply(spec).await;
    let status = installation
        .until(30, Health::Healthy, |status| {
            status["componentStatus"].get("EgressGateways").is_none()
        })
        .await;
    assert!(
        status["componentStatus"].get("IngressGateways").is_none(),
        "{status}"
    );
    for name in ["istio-ingressgateway", "istio-egressgateway"] {
        for kind in [DEPLOYMENT, AUTOSCALER] {
            eventually(
                &client,
                &format!("{} {name} is gone", kind.1),
                30,
                || async {
                    match generation(&client, kind, name).await {
                        None => Ok(()),
                        Some(_) => Err("it is there".to_owned()),
                    }
                },
            )
            .await;
        }
    }
    assert_eq!(
        generation(&client, DEPLOYMENT, "istiod").await,
        istiod,
        "istiod was changed"
    );

    installation.apply(mesh::sample()).await;
    mesh::wait_until_healthy(&client).await;
}
