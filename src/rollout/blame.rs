//! Why the pods of a Deployment are not available, in one sentence from the pods themselves: what
//! a person would find with `kubectl describe`. Asked only when something has been waited for.

use base::ObjectRef;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::ListParams;
use kube::{Api, Client};
use serde_json::Value;

use crate::Error;
use crate::error::bounded;

/// Lists the pods that `deployment`, rendered as `body`, selects and returns the first trouble.
pub async fn blame(
    client: &Client,
    deployment: &ObjectRef,
    body: &Value,
) -> Result<Option<String>, Error> {
    let Some(selector) = selector(body) else {
        return Ok(None);
    };
    let api: Api<Pod> = Api::namespaced(
        client.clone(),
        deployment.namespace.as_deref().unwrap_or_default(),
    );
    let what = || format!("the pods of {deployment}");
    let params = ListParams::default().labels(&selector);
    let pods = bounded(what, api.list(&params), |source| Error::Read {
        what: what(),
        source,
    })
    .await?;
    Ok(pods.items.iter().find_map(trouble))
}

/// `matchLabels` as a label selector.
fn selector(body: &Value) -> Option<String> {
    let labels = body.pointer("/spec/selector/matchLabels")?.as_object()?;
    let terms: Vec<String> = labels
        .iter()
        .filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)))
        .collect();
    (!terms.is_empty()).then(|| terms.join(","))
}

/// What keeps a pod from being ready, when it says so.
pub fn trouble(pod: &Pod) -> Option<String> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let status = pod.status.as_ref()?;
    if pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let unscheduled = status.conditions.iter().flatten().find_map(|condition| {
        (condition.type_ == "PodScheduled" && condition.status == "False")
            .then(|| condition.message.clone())
            .flatten()
            .map(|message| format!("pod {name} is not scheduled: {message}"))
    });
    let containers = status
        .init_container_statuses
        .iter()
        .chain(&status.container_statuses)
        .flatten();
    unscheduled.or_else(|| {
        containers
            .filter(|container| !container.ready)
            .find_map(complaint)
            .map(|complaint| format!("pod {name}: {complaint}"))
    })
}

fn complaint(container: &ContainerStatus) -> Option<String> {
    let name = &container.name;
    let state = container.state.as_ref()?;
    let last = container.last_state.as_ref();
    if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.as_deref().unwrap_or_default();
        // These two are the ordinary course of a start.
        if ["PodInitializing", "ContainerCreating", ""].contains(&reason) {
            return None;
        }
        let message = waiting.message.as_deref().unwrap_or_default();
        return Some(
            format!("container {name}: {reason} {message}")
                .trim_end()
                .to_owned(),
        );
    }
    let ended = state
        .terminated
        .as_ref()
        .or_else(|| last.and_then(|last| last.terminated.as_ref()));
    match ended {
        Some(ended) if ended.exit_code != 0 => Some(format!(
            "container {name} ended with exit code {} ({} restarts)",
            ended.exit_code, container.restart_count
        )),
        _ if state.running.is_some() => Some(format!("container {name} runs and is not ready yet")),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
