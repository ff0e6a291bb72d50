//! Pods in trouble, as the kubelet reports them.

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::{selector, trouble};

fn pod(status: Value) -> Option<String> {
    let pod: Pod =
        serde_json::from_value(json!({"metadata": {"name": "istiod-1"}, "status": status}))
            .expect("a pod");
    trouble(&pod)
}

fn container(state: Value, last: Value) -> Option<String> {
    pod(json!({"containerStatuses": [{
        "name": "discovery", "image": "", "imageID": "", "ready": false, "restartCount": 3,
        "state": state, "lastState": last,
    }]}))
}

#[test]
fn an_image_that_cannot_be_pulled() {
    let waiting = json!({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}});
    assert_eq!(
        container(waiting, json!({})).as_deref(),
        Some("pod istiod-1: container discovery: ImagePullBackOff no such image")
    );
}

#[test]
fn a_container_that_crashed() {
    let last = json!({"terminated": {"exitCode": 2}});
    assert_eq!(
        container(json!({"running": {}}), last).as_deref(),
        Some("pod istiod-1: container discovery ended with exit code 2 (3 restarts)")
    );
}

#[test]
fn a_container_whose_probe_fails() {
    assert_eq!(
        container(json!({"running": {}}), json!({})).as_deref(),
        Some("pod istiod-1: container discovery runs and is not ready yet")
    );
}

#[test]
fn an_ordinary_start_is_no_trouble() {
    let waiting = json!({"waiting": {"reason": "ContainerCreating"}});
    assert_eq!(container(waiting, json!({})), None);
}

#[test]
fn a_pod_that_no_node_takes() {
    let status = json!({"conditions": [
        {"type": "PodScheduled", "status": "False", "message": "insufficient cpu"}]});
    assert_eq!(
        pod(status).as_deref(),
        Some("pod istiod-1 is not scheduled: insufficient cpu")
    );
}

#[test]
fn pods_are_found_by_the_selector_of_their_deployment() {
    let body = json!({"spec": {"selector": {"matchLabels": {"app": "istiod", "istio": "pilot"}}}});
    assert_eq!(selector(&body).as_deref(), Some("app=istiod,istio=pilot"));
    assert_eq!(selector(&json!({"spec": {"selector": {}}})), None);
}
