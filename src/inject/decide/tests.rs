//! Who is injected.

use serde_json::{Value, json};

use super::{Policy, Reason, Selector, Unasked, Verdict, decide};

fn pod(labels: &Value, annotations: &Value) -> Value {
    json!({"metadata": {"labels": labels, "annotations": annotations}, "spec": {}})
}

fn selector(value: Value) -> Vec<Selector> {
    vec![serde_json::from_value(value).expect("a selector")]
}

fn policy(unasked: Unasked) -> Policy {
    Policy {
        unasked,
        ..Policy::default()
    }
}

#[test]
fn label_before_annotation_before_the_default() {
    let (yes, no) = (
        json!({"sidecar.istio.io/inject": "true"}),
        json!({"sidecar.istio.io/inject": "false"}),
    );
    let other = json!({"sidecar.istio.io/inject": "maybe"});
    for (labels, annotations, enabled, disabled) in [
        (
            json!({}),
            json!({}),
            Verdict::Inject,
            Verdict::Skip(Reason::Disabled),
        ),
        (yes.clone(), no.clone(), Verdict::Inject, Verdict::Inject),
        (
            no.clone(),
            yes.clone(),
            Verdict::Skip(Reason::Refused),
            Verdict::Skip(Reason::Refused),
        ),
        (json!({}), yes, Verdict::Inject, Verdict::Inject),
        (
            json!({}),
            no,
            Verdict::Skip(Reason::Refused),
            Verdict::Skip(Reason::Refused),
        ),
        (
            other,
            json!({}),
            Verdict::Inject,
            Verdict::Skip(Reason::Disabled),
        ),
    ] {
        let pod = pod(&labels, &annotations);
        assert_eq!(
            decide(&pod, "shop", &policy(Unasked::Enabled)),
            enabled,
            "{pod}"
        );
        assert_eq!(
            decide(&pod, "shop", &policy(Unasked::Disabled)),
            disabled,
            "{pod}"
        );
    }
}

#[test]
fn the_host_network_and_the_clusters_namespaces_are_left_alone() {
    let asks = json!({"metadata": {"labels": {"sidecar.istio.io/inject": "true"}}, "spec": {"hostNetwork": true}});
    assert_eq!(
        decide(&asks, "shop", &Policy::default()),
        Verdict::Skip(Reason::HostNetwork)
    );
    let plain = pod(&json!({"sidecar.istio.io/inject": "true"}), &json!({}));
    assert_eq!(
        decide(&plain, "kube-system", &Policy::default()),
        Verdict::Skip(Reason::IgnoredNamespace)
    );
}

#[test]
fn never_comes_before_always_and_empty_selectors_match_nothing() {
    let pod = pod(&json!({"app": "web", "tier": "a"}), &json!({}));
    let check = |never: Value, always: Value, unasked: Unasked| {
        let policy = Policy {
            unasked,
            never: selector(never),
            always: selector(always),
        };
        decide(&pod, "shop", &policy)
    };
    let web = json!({"matchLabels": {"app": "web"}});
    assert_eq!(
        check(web.clone(), web.clone(), Unasked::Enabled),
        Verdict::Skip(Reason::NeverSelected)
    );
    assert_eq!(check(json!({}), web, Unasked::Disabled), Verdict::Inject);
    assert_eq!(
        check(json!({}), json!({}), Unasked::Enabled),
        Verdict::Inject
    );
    for (expression, matches) in [
        (
            json!({"key": "tier", "operator": "In", "values": ["a", "b"]}),
            true,
        ),
        (
            json!({"key": "tier", "operator": "NotIn", "values": ["a"]}),
            false,
        ),
        (
            json!({"key": "other", "operator": "NotIn", "values": ["a"]}),
            true,
        ),
        (json!({"key": "app", "operator": "Exists"}), true),
        (json!({"key": "app", "operator": "DoesNotExist"}), false),
    ] {
        let found = check(
            json!({}),
            json!({"matchExpressions": [expression]}),
            Unasked::Disabled,
        );
        assert_eq!(found == Verdict::Inject, matches, "{expression}");
    }
}
