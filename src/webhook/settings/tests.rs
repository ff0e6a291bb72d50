//! What is followed, event by event.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::runtime::watcher::Event;
use serde_json::json;

use super::{Injection, Seen, is_native};

fn node(version: &str) -> Node {
    let node = json!({"metadata": {"name": version}, "status": {"nodeInfo": {
        "kubeletVersion": version, "architecture": "", "bootID": "", "containerRuntimeVersion": "", "kernelVersion": "",
        "kubeProxyVersion": "", "machineID": "", "operatingSystem": "", "osImage": "", "systemUUID": ""}}});
    serde_json::from_value(node).expect("a node")
}

fn config_map(data: &[(&str, &str)]) -> ConfigMap {
    let data: BTreeMap<String, String> = data
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    ConfigMap {
        data: Some(data),
        ..Default::default()
    }
}

#[test]
fn native_sidecars_need_a_new_kubelet() {
    for (version, native) in [
        ("v1.33.0", true),
        ("v1.32.9", false),
        ("v1.35.1+k3s1", true),
        ("", false),
        ("v2.0.0", true),
    ] {
        assert_eq!(is_native(&node(version)), native, "{version}");
    }
}

#[test]
fn what_does_not_parse_leaves_in_force_what_was() {
    let mut seen = Seen::default();
    let policy = |seen: &Seen| {
        seen.settings
            .as_ref()
            .map(|settings| settings.policy.unasked)
    };
    seen.injector(Ok(Event::Apply(config_map(&[
        ("config", "policy: wrong"),
        ("values", "{}"),
    ]))));
    assert_eq!(policy(&seen), None);
    seen.injector(Ok(Event::Apply(config_map(&[
        ("config", "policy: disabled"),
        ("values", "{}"),
    ]))));
    assert_eq!(policy(&seen), Some(::inject::Unasked::Disabled));
    seen.injector(Ok(Event::Apply(config_map(&[
        ("config", "{{"),
        ("values", "{}"),
    ]))));
    seen.injector(Ok(Event::Delete(config_map(&[]))));
    assert_eq!(policy(&seen), Some(::inject::Unasked::Disabled));
}

#[test]
fn without_a_mesh_configuration_the_defaults_hold() {
    let mut seen = Seen::default();
    seen.mesh(Ok(Event::Init));
    assert_eq!(seen.mesh, None);
    seen.mesh(Ok(Event::InitDone));
    assert_eq!(seen.mesh, Some(::inject::MeshConfig::default()));
}

#[test]
fn a_pod_without_a_node_needs_every_node() {
    let injection = |nodes: &[&str]| Injection {
        settings: None,
        mesh: ::inject::MeshConfig::default(),
        nodes: nodes
            .iter()
            .map(|version| ((*version).to_owned(), is_native(&node(version))))
            .collect(),
    };
    let mixed = injection(&["v1.33.0", "v1.30.0"]);
    assert!(!mixed.native_sidecars(""));
    assert!(mixed.native_sidecars("v1.33.0"));
    assert!(injection(&["v1.33.0", "v1.34.0"]).native_sidecars(""));
}
