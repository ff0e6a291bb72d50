//! Which entries get the bundle, and that nothing else changes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::{Kind, wanted};

fn configuration(webhooks: Value) -> DynamicObject {
    let object = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "istio-sidecar-injector", "resourceVersion": "7"},
        "webhooks": webhooks,
    });
    serde_json::from_value(object).expect("an object")
}

fn entry(name: &str) -> Value {
    json!({
        "name": name,
        "clientConfig": {"service": {"name": "istiod", "namespace": "istio-system"}},
        "failurePolicy": "Fail",
        "fieldOfALaterVersion": {"kept": true},
    })
}

#[test]
fn our_entries_get_the_bundle_and_keep_everything_else() {
    let ours = entry("rev.namespace.sidecar-injector.istio.io");
    let object = configuration(json!([ours, entry("other.example.com")]));
    let patched = wanted(&object, "ROOT", Kind::Mutating, true).expect("a change");
    assert_eq!(patched.metadata, object.metadata);

    let mut expected = object.data.clone();
    expected["webhooks"][0]["clientConfig"]["caBundle"] = json!(STANDARD.encode("ROOT"));
    assert_eq!(patched.data, expected);
}

#[test]
fn an_object_that_is_right_is_not_written() {
    let object = configuration(json!([entry("rev.validation.istio.io")]));
    let of = |object, pem| wanted(object, pem, Kind::Validating, false);
    let patched = of(&object, "ROOT").expect("a change");
    assert_eq!(of(&patched, "ROOT"), None);
    assert!(of(&patched, "NEW").is_some());
}

#[test]
fn objects_without_entries_of_ours_are_left_alone() {
    for webhooks in [
        json!([]),
        json!(null),
        json!([entry("other.example.com")]),
        json!([{"name": "validation.istio.io"}]),
        json!([{"clientConfig": {}}]),
    ] {
        let object = configuration(webhooks);
        assert_eq!(
            wanted(&object, "ROOT", Kind::Validating, true),
            None,
            "{object:?}"
        );
    }
}

#[test]
fn all_of_upstreams_entries_are_ours() {
    for name in [
        "rev.namespace.sidecar-injector.istio.io",
        "rev.object.sidecar-injector.istio.io",
        "namespace.sidecar-injector.istio.io",
        "object.sidecar-injector.istio.io",
    ] {
        assert!(name.ends_with(Kind::Mutating.suffix()), "{name}");
    }
    for name in ["rev.validation.istio.io", "validation.istio.io"] {
        assert!(name.ends_with(Kind::Validating.suffix()), "{name}");
    }
}

#[test]
fn validation_closes_once_it_was_seen_to_work_and_never_opens() {
    let of = |policy: &str, kind: Kind, name: &str, closes: bool| {
        let mut entry = entry(name);
        entry["failurePolicy"] = json!(policy);
        let object = configuration(json!([entry, self::entry("other.example.com")]));
        let written = wanted(&object, "ROOT", kind, closes).expect("a bundle");
        written.data["webhooks"][0]["failurePolicy"].clone()
    };
    let validator = "rev.validation.istio.io";
    assert_eq!(of("Ignore", Kind::Validating, validator, false), "Ignore");
    assert_eq!(of("Ignore", Kind::Validating, validator, true), "Fail");
    assert_eq!(of("Fail", Kind::Validating, validator, false), "Fail");
    let injector = "rev.namespace.sidecar-injector.istio.io";
    assert_eq!(of("Ignore", Kind::Mutating, injector, true), "Ignore");
}
