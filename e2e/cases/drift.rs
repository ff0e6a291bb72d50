//! What someone changes of the installation comes back, named with the field and whoever changed it; what others own,
//! or an annotation exempts, is left alone.

use std::time::Duration;

use e2e::{argocd, cluster, eventually::eventually, mesh};
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

/// What is promised of the time until something is as before. Two cores that are busy with pods may hold one of the
/// repairs up, though not for so many seconds as [`LIMIT`].
const PROMISED: Duration = Duration::from_secs(2);
const LIMIT: u64 = 15;

fn assert_promised(times: &[Duration]) {
    let late = times.iter().filter(|took| **took >= PROMISED).count();
    assert!(late <= 1, "{times:?}");
}

/// One object of each kind that an installation owns, and a field of ours in it with what someone sets it to.
fn owned() -> Vec<(
    &'static str,
    &'static str,
    Option<&'static str>,
    &'static str,
    Value,
)> {
    const ADMISSION: &str = "admissionregistration.k8s.io/v1";
    const RBAC: &str = "rbac.authorization.k8s.io/v1";
    let here = Some(mesh::NAMESPACE);
    let label = || json!({"metadata": {"labels": {"app.kubernetes.io/part-of": "else"}}});
    let reader = "istio-reader-clusterrole-istio-system";
    vec![
        (
            "apps/v1",
            "Deployment",
            here,
            "istio-egressgateway",
            json!({"spec": {"template": {"metadata": {"labels": {"chart": "else"}}}}}),
        ),
        (
            "v1",
            "Service",
            here,
            "istio-egressgateway",
            json!({"spec": {"type": "NodePort"}}),
        ),
        (
            "v1",
            "ConfigMap",
            here,
            "istio",
            json!({"data": {"mesh": "{}"}}),
        ),
        (
            "v1",
            "ServiceAccount",
            here,
            // Nobody runs as it: whoever does is refused until the kubelet renews its token, hours after the deletion.
            "istio-reader-service-account",
            label(),
        ),
        (
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            here,
            "istio-egressgateway",
            json!({"spec": {"maxReplicas": 9}}),
        ),
        (
            "policy/v1",
            "PodDisruptionBudget",
            here,
            "istio-egressgateway",
            json!({"spec": {"minAvailable": 0}}),
        ),
        (RBAC, "Role", here, "istiod", json!({"rules": []})),
        (
            RBAC,
            "RoleBinding",
            here,
            "istiod",
            json!({"subjects": [{"kind": "ServiceAccount", "name": "else", "namespace": "istio-system"}]}),
        ),
        (RBAC, "ClusterRole", None, reader, json!({"rules": []})),
        (
            RBAC,
            "ClusterRoleBinding",
            None,
            reader,
            json!({"subjects": [{"kind": "ServiceAccount", "name": "else", "namespace": "istio-system"}]}),
        ),
        (
            ADMISSION,
            "MutatingWebhookConfiguration",
            None,
            "istio-revision-tag-default",
            label(),
        ),
        (
            ADMISSION,
            "ValidatingWebhookConfiguration",
            None,
            "istiod-default-validator",
            label(),
        ),
        (
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            None,
            "sidecars.networking.istio.io",
            label(),
        ),
    ]
}

/// Notes of Events about the sample that have this reason and name this object.
async fn told(client: &Client, reason: &str, object: &str) -> Vec<String> {
    let events: Api<Event> = Api::namespaced(client.clone(), mesh::NAMESPACE);
    let all = events
        .list(&ListParams::default())
        .await
        .expect("events can be listed");
    all.items
        .into_iter()
        .filter(|event| event.reason.as_deref() == Some(reason))
        .filter_map(|event| event.note)
        .filter(|note| note.contains(object))
        .collect()
}

#[tokio::test]
async fn an_edit_of_each_owned_kind_is_undone_within_two_seconds_and_named() {
    let client = cluster::client().await;
    let _mesh = mesh::exclusive(&client).await;
    let vandal = PatchParams {
        field_manager: Some("vandal".to_owned()),
        ..PatchParams::default()
    };
    let mut times = Vec::new();
    for (api_version, kind, namespace, name, edit) in owned() {
        let api = cluster::dynamic(&client, api_version, kind, namespace);
        let before = api
            .get(name)
            .await
            .unwrap_or_else(|error| panic!("{kind} {name}: {error}"));
        let edited = api
            .patch(name, &vandal, &Patch::Merge(&edit))
            .await
            .expect("an edit");
        let content = |object: &DynamicObject| {
            let mut data = object.data.clone();
            if let Some(data) = data.as_object_mut() {
                data.remove("status");
            }
            (object.metadata.labels.clone(), data)
        };
        assert_ne!(
            content(&before),
            content(&edited),
            "{kind} {name} was not edited"
        );
        let (_, took) = eventually(
            &client,
            &format!("{kind} {name} is as before"),
            LIMIT,
            || async {
                let now = api.get(name).await.map_err(|error| error.to_string())?;
                match content(&now) == content(&before) {
                    true => Ok(()),
                    false => Err(now.data.to_string()),
                }
            },
        )
        .await;
        let object = format!(
            "{} {}",
            kind.to_lowercase(),
            namespace.map_or_else(
                || name.to_owned(),
                |namespace| format!("{namespace}/{name}")
            )
        );
        times.push(took);
        let what = format!("an Event about {object}");
        // Other cases have edited some of them too.
        let (note, _) = eventually(&client, &what, 20, || async {
            let notes = told(&client, "Repaired", &object).await;
            let mut ours = notes
                .iter()
                .filter(|note| note.contains("changed by vandal"));
            ours.next().cloned().ok_or_else(|| format!("{notes:?}"))
        })
        .await;
        println!("{object} back after {took:?}: {note}");
    }
    assert_promised(&times);
    mesh::wait_until_healthy(&client).await;
}

#[tokio::test]
async fn a_deleted_object_of_each_owned_kind_is_back_within_two_seconds() {
    let client = cluster::client().await;
    let _mesh = mesh::exclusive(&client).await;
    // Deleting a definition deletes what it defines.
    let all = owned()
        .into_iter()
        .filter(|(_, kind, ..)| *kind != "CustomResourceDefinition");
    let mut times = Vec::new();
    for (api_version, kind, namespace, name, _) in all {
        let api = cluster::dynamic(&client, api_version, kind, namespace);
        let before = api.get(name).await.expect("it is installed").metadata.uid;
        api.delete(name, &DeleteParams::default())
            .await
            .expect("it can be deleted");
        let what = format!("{kind} {name} is back");
        let (_, took) = eventually(&client, &what, LIMIT, || async {
            let now = api.get_opt(name).await.map_err(|error| error.to_string())?;
            match now {
                Some(now) if now.metadata.uid != before => Ok(()),
                _ => Err("it is not".to_owned()),
            }
        })
        .await;
        println!("{kind} {name} back after {took:?}");
        times.push(took);
    }
    assert_promised(&times);
    mesh::wait_until_healthy(&client).await;
}

#[tokio::test]
async fn replicas_that_an_autoscaler_sets_are_left_alone() {
    let client = cluster::client().await;
    let _mesh = mesh::exclusive(&client).await;
    let deployments = cluster::dynamic(&client, "apps/v1", "Deployment", Some(mesh::NAMESPACE));
    let scale = json!({"spec": {"replicas": 3}});
    let autoscaler = PatchParams {
        field_manager: Some("kube-controller-manager".to_owned()),
        ..PatchParams::default()
    };
    let before = told(
        &client,
        "Repaired",
        "deployment istio-system/istio-egressgateway",
    )
    .await;
    deployments
        .patch_scale("istio-egressgateway", &autoscaler, &Patch::Merge(&scale))
        .await
        .expect("a scale");
    eventually(
        &client,
        "three replicas are desired and observed",
        20,
        || async {
            let now = deployments
                .get("istio-egressgateway")
                .await
                .map_err(|error| error.to_string())?;
            let wanted = now.data["spec"]["replicas"] == 3;
            let observed =
                now.data["status"]["observedGeneration"] == json!(now.metadata.generation);
            match wanted && observed {
                true => Ok(()),
                false => Err(now.data["status"].to_string()),
            }
        },
    )
    .await;
    // Anything that the operator would do about it, it would have done by then.
    mesh::wait_until_healthy(&client).await;
    let now = deployments
        .get("istio-egressgateway")
        .await
        .expect("a Deployment");
    assert_eq!(now.data["spec"]["replicas"], 3);
    let after = told(
        &client,
        "Repaired",
        "deployment istio-system/istio-egressgateway",
    )
    .await;
    // Without metrics nobody else would scale it down again.
    let fewer = json!({"spec": {"replicas": 2}});
    deployments
        .patch_scale("istio-egressgateway", &autoscaler, &Patch::Merge(&fewer))
        .await
        .expect("a scale");
    assert_eq!(before, after, "a scale is no edit");
}

#[tokio::test]
async fn an_object_with_the_annotation_is_left_as_it_is_until_that_is_taken_away() {
    let client = cluster::client().await;
    let _mesh = mesh::exclusive(&client).await;
    let budgets = cluster::dynamic(
        &client,
        "policy/v1",
        "PodDisruptionBudget",
        Some(mesh::NAMESPACE),
    );
    // One that no other case edits: Events about edits of the same object become one, with the first note.
    let name = "istio-ingressgateway";
    let annotate = |value: Option<&str>, minimum: u32| json!({"metadata": {"annotations": {base::labels::IGNORE_RECONCILE: value}}, "spec": {"minAvailable": minimum}});
    let params = PatchParams::default();
    budgets
        .patch(name, &params, &Patch::Merge(annotate(Some("true"), 0)))
        .await
        .expect("a patch");
    eventually(&client, "status names the object", 20, || async {
        let status = mesh::healthy(&client).await?;
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        let found = conditions.iter().any(|condition| {
            condition["type"] == "IngressGatewaysReady"
                && condition["message"].as_str().is_some_and(|message| {
                    message.contains(
                        "by annotation: poddisruptionbudget istio-system/istio-ingressgateway",
                    )
                })
        });
        match found {
            true => Ok(()),
            false => Err(status.to_string()),
        }
    })
    .await;
    let kept = budgets.get(name).await.expect("a budget");
    assert_eq!(kept.data["spec"]["minAvailable"], 0);
    budgets
        .patch(name, &params, &Patch::Merge(annotate(None, 0)))
        .await
        .expect("a patch");
    eventually(&client, "the budget is as specified", LIMIT, || async {
        let now = budgets.get(name).await.map_err(|error| error.to_string())?;
        match now.data["spec"]["minAvailable"] == 1 {
            true => Ok(()),
            false => Err(now.data["spec"].to_string()),
        }
    })
    .await;
}

#[tokio::test]
async fn a_pause_holds_everything_back_and_tells_the_truth() {
    let client = cluster::client().await;
    let _mesh = mesh::exclusive(&client).await;
    let services = cluster::dynamic(&client, "v1", "Service", Some(mesh::NAMESPACE));
    let operators = mesh::operators(&client);
    mesh::pause(&client, true).await;
    let status = async |what: &str, wanted: argocd::Health| {
        let (status, _) = eventually(&client, what, 20, || async {
            let operator = operators
                .get(mesh::NAME)
                .await
                .map_err(|error| error.to_string())?;
            let paused = operator.data["status"]["message"]
                .as_str()
                .is_some_and(|message| message.starts_with("paused by annotation"));
            match paused && argocd::health(&operator.data) == wanted {
                true => Ok(operator.data["status"].clone()),
                false => Err(operator.data["status"].to_string()),
            }
        })
        .await;
        status
    };
    status("paused and healthy", argocd::Health::Healthy).await;
    services
        .delete("istio-egressgateway", &DeleteParams::default())
        .await
        .expect("it can be deleted");
    let held = status("paused and degraded", argocd::Health::Degraded).await;
    let error = held["componentStatus"]["EgressGateways"]["error"]
        .as_str()
        .unwrap_or_default();
    assert!(
        error.contains("service istio-system/istio-egressgateway does not exist"),
        "{held}"
    );
    assert_eq!(
        held["plan"]["create"],
        json!(["service istio-system/istio-egressgateway"]),
        "{held}"
    );
    tokio::time::sleep(Duration::from_secs(3)).await;
    let gone = services
        .get_opt("istio-egressgateway")
        .await
        .expect("an answer");
    assert!(gone.is_none(), "a pause heals nothing");
    mesh::pause(&client, false).await;
    eventually(&client, "the Service is back", LIMIT, || async {
        match services.get_opt("istio-egressgateway").await {
            Ok(Some(_)) => Ok(()),
            other => Err(format!("{:?}", other.map(|found| found.is_some()))),
        }
    })
    .await;
    let (status, _) = mesh::wait_until_healthy(&client).await;
    assert_eq!(status["plan"], Value::Null);
}
