//! Which of several IstioOperators is hosted, and what changes that.

use install::{Observed, Owner};
use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::Hosting;

fn cr(namespace: &str, name: &str, generation: i64, spec: Value) -> DynamicObject {
    let object = json!({
        "apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator",
        "metadata": {"name": name, "namespace": namespace, "generation": generation},
        "spec": spec});
    serde_json::from_value(object).expect("an object")
}

fn judge(hosting: &mut Hosting, cr: &DynamicObject) {
    let seen = Observed {
        hub: "hub".into(),
        tag: "tag".into(),
        version: "0.0.0".into(),
        kubernetes: None,
        host: None,
    };
    hosting.judge(cr, &seen, "istio-system");
}

fn listed() -> Hosting {
    Hosting {
        listed: true,
        ..Hosting::default()
    }
}

fn hosted(hosting: &Hosting) -> Option<&str> {
    hosting.plan().map(|plan| plan.owner.name.as_str())
}

#[test]
fn the_first_of_the_hosts_namespace_is_hosted() {
    let mut hosting = listed();
    assert_eq!(hosted(&hosting), None);
    judge(&mut hosting, &cr("other", "a", 1, json!({})));
    let canary = json!({"revision": "canary"});
    judge(&mut hosting, &cr("istio-system", "c", 1, canary));
    assert_eq!(hosted(&hosting), Some("c"));
    let empty = json!({"profile": "empty"});
    judge(&mut hosting, &cr("istio-system", "b", 1, empty));
    assert_eq!(hosted(&hosting), Some("c"), "b has no control plane");
    judge(&mut hosting, &cr("istio-system", "b", 2, json!({})));
    assert_eq!(hosted(&hosting), Some("b"));
    hosting.forget(&Owner {
        namespace: "istio-system".into(),
        name: "b".into(),
    });
    assert_eq!(hosted(&hosting), Some("c"));
}

#[test]
fn nothing_is_hosted_before_all_were_listed() {
    let mut hosting = Hosting::default();
    judge(&mut hosting, &cr("istio-system", "a", 1, json!({})));
    assert_eq!(hosted(&hosting), None);
}

#[test]
fn a_mistake_or_a_pause_leaves_in_force_what_was_asked_for() {
    let mut hosting = listed();
    let ttl = |ttl: &str| json!({"values": {"pilot": {"env": {"DEFAULT_WORKLOAD_CERT_TTL": ttl}}}});
    let in_force = |hosting: &Hosting| {
        let plan = hosting.plan().expect("one is hosted");
        plan.command.environment["DEFAULT_WORKLOAD_CERT_TTL"].clone()
    };
    judge(&mut hosting, &cr("istio-system", "a", 1, ttl("1h")));
    let mut paused = cr("istio-system", "a", 2, ttl("2h"));
    let annotation = (base::labels::IGNORE_RECONCILE.to_owned(), "true".to_owned());
    paused.metadata.annotations = Some([annotation].into());
    judge(&mut hosting, &paused);
    assert_eq!(in_force(&hosting), "1h");
    let wrong = json!({"profile": "nope"});
    judge(&mut hosting, &cr("istio-system", "a", 3, wrong));
    assert_eq!(in_force(&hosting), "1h");
    judge(&mut hosting, &cr("istio-system", "a", 4, ttl("3h")));
    assert_eq!(in_force(&hosting), "3h");
    // After a start of the process a pause says nothing about what was before.
    let mut restarted = listed();
    judge(&mut restarted, &paused);
    assert_eq!(in_force(&restarted), "2h");
}

#[test]
fn one_that_is_being_deleted_is_hosted_no_longer() {
    let mut hosting = listed();
    judge(&mut hosting, &cr("istio-system", "a", 1, json!({})));
    let mut deleted = cr("istio-system", "a", 2, json!({}));
    let now = k8s_openapi::jiff::Timestamp::UNIX_EPOCH;
    let now = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now);
    deleted.metadata.deletion_timestamp = Some(now);
    judge(&mut hosting, &deleted);
    assert_eq!(hosted(&hosting), None);
}
