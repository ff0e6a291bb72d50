//! What a person would look at next after a failed case: the IstioOperators, pods that are not
//! ready, recent events, the last lines of the operator's and istiod's logs.

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{ListParams, LogParams};
use kube::{Api, Client, ResourceExt};

use crate::cluster;

/// Prints to standard error; what cannot be had is said and skipped.
pub async fn print(client: &Client) {
    eprintln!("--- istiooperators");
    let operators = cluster::dynamic(client, "install.istio.io/v1alpha1", "IstioOperator", None);
    match operators.list(&ListParams::default()).await {
        Ok(list) => list.iter().for_each(|operator| {
            eprintln!(
                "{}: {}",
                operator.name_any(),
                serde_json::to_string_pretty(&operator.data["status"]).unwrap_or_default()
            );
        }),
        Err(error) => eprintln!("{error}"),
    }
    eprintln!("--- pods");
    let pods: Api<Pod> = Api::all(client.clone());
    let pods = pods
        .list(&ListParams::default())
        .await
        .map(|list| list.items)
        .unwrap_or_default();
    for pod in &pods {
        eprintln!(
            "{} {} {}",
            pod.namespace().unwrap_or_default(),
            pod.name_any(),
            state(pod)
        );
    }
    eprintln!("--- events that warn");
    let events: Api<Event> = Api::all(client.clone());
    if let Ok(list) = events
        .list(&ListParams::default().fields("type=Warning"))
        .await
    {
        for event in list.items.iter().rev().take(20) {
            let object = &event.involved_object;
            eprintln!(
                "{} {}: {}",
                object.kind.as_deref().unwrap_or(""),
                object.name.as_deref().unwrap_or(""),
                event.message.as_deref().unwrap_or("")
            );
        }
    }
    for pod in pods.iter().filter(|pod| {
        ["istio-operator", "istiod"]
            .iter()
            .any(|app| pod.name_any().starts_with(app))
            || !ready(pod)
    }) {
        let namespace = pod.namespace().unwrap_or_default();
        eprintln!("--- log of {namespace}/{}", pod.name_any());
        let api: Api<Pod> = Api::namespaced(client.clone(), &namespace);
        let lines = LogParams {
            tail_lines: Some(25),
            ..LogParams::default()
        };
        match api.logs(&pod.name_any(), &lines).await {
            Ok(text) => eprintln!("{text}"),
            Err(error) => eprintln!("{error}"),
        }
    }
}

/// Pods of a namespace, its warnings, and the last lines of every container there.
pub async fn namespace(client: &Client, name: &str) {
    eprintln!("--- pods of {name}");
    let api: Api<Pod> = Api::namespaced(client.clone(), name);
    let pods = api
        .list(&ListParams::default())
        .await
        .map(|list| list.items)
        .unwrap_or_default();
    for pod in &pods {
        eprintln!("{} {}", pod.name_any(), state(pod));
    }
    let events: Api<Event> = Api::namespaced(client.clone(), name);
    if let Ok(list) = events
        .list(&ListParams::default().fields("type=Warning"))
        .await
    {
        for event in list.items.iter().rev().take(10) {
            let object = event.involved_object.name.as_deref();
            let message = event.message.as_deref();
            eprintln!("{}: {}", object.unwrap_or(""), message.unwrap_or(""));
        }
    }
    for pod in &pods {
        let Some(spec) = &pod.spec else { continue };
        let first = spec.init_containers.iter().flatten();
        for container in first.chain(&spec.containers) {
            let lines = LogParams {
                container: Some(container.name.clone()),
                tail_lines: Some(12),
                ..LogParams::default()
            };
            if let Ok(text) = api.logs(&pod.name_any(), &lines).await {
                eprintln!("--- log of {} {}\n{text}", pod.name_any(), container.name);
            }
        }
    }
}

/// Whether the pod's Ready condition is True.
pub fn ready(pod: &Pod) -> bool {
    pod.status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn state(pod: &Pod) -> String {
    let status = pod.status.clone().unwrap_or_default();
    let containers: Vec<_> = status
        .container_statuses
        .unwrap_or_default()
        .into_iter()
        .map(|container| {
            let waiting = container
                .state
                .and_then(|state| state.waiting)
                .map(|waiting| {
                    format!(
                        "{}: {}",
                        waiting.reason.unwrap_or_default(),
                        waiting.message.unwrap_or_default()
                    )
                });
            format!(
                "{} restarts={} {}",
                container.name,
                container.restart_count,
                waiting.unwrap_or_default()
            )
        })
        .collect();
    format!(
        "{} ready={} {}",
        status.phase.unwrap_or_default(),
        ready(pod),
        containers.join(", ")
    )
}
