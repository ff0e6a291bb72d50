//! The manifests in `config/deploy` against what the operator really does: it must hold every
//! permission that it grants, and be able to write every kind that is rendered.

use std::collections::BTreeSet;

use api::istio_operator::IstioOperator;
use install::{Manifest, Observed};
use rollout::Kind;
use rollout::kind::{KINDS, Teardown};
use serde_json::Value;

/// API group, resource, verb.
type Permission = (String, String, String);

fn deployed() -> Vec<Value> {
    api::yaml::documents(include_str!("../../config/deploy/operator.yaml")).expect("valid YAML")
}

fn sample() -> Manifest {
    let sample = include_str!("../../config/samples/istiooperator.yaml");
    let documents = api::yaml::documents(sample).expect("valid YAML");
    let parsed = IstioOperator::parse(&documents[0]).expect("a valid resource");
    let seen = Observed {
        hub: "localhost/ferrosail".into(),
        tag: "0.1.0".into(),
        version: "0.1.0".into(),
        kubernetes: Some((1, 35)),
        host: None,
    };
    install::build(&install::resolve(&parsed, &seen).expect("a valid specification"))
}

fn texts<'a>(rule: &'a Value, field: &str) -> Vec<&'a str> {
    let all = rule[field].as_array().into_iter().flatten();
    all.filter_map(Value::as_str).collect()
}

/// What the rules of a role allow. Restrictions to names are dropped: to grant one name it is
/// enough to hold them all, and the operator's own rules name none.
fn permissions(role: &Value) -> BTreeSet<Permission> {
    let mut all = BTreeSet::new();
    for rule in role["rules"].as_array().into_iter().flatten() {
        for group in texts(rule, "apiGroups") {
            for resource in texts(rule, "resources") {
                for verb in texts(rule, "verbs") {
                    all.insert((group.to_owned(), resource.to_owned(), verb.to_owned()));
                }
            }
        }
    }
    all
}

fn covers(held: &BTreeSet<Permission>, wanted: &Permission) -> bool {
    let (group, resource, verb) = wanted;
    held.iter()
        .any(|(g, r, v)| (g == group) && (r == resource || r == "*") && (v == verb || v == "*"))
}

fn held() -> BTreeSet<Permission> {
    let documents = deployed();
    let role = documents
        .iter()
        .find(|document| document["kind"] == "ClusterRole");
    let role = role.expect("a ClusterRole");
    assert!(
        role["rules"]
            .as_array()
            .into_iter()
            .flatten()
            .all(|rule| rule["resourceNames"].is_null()),
        "rules restricted to names would have to be compared by name"
    );
    permissions(role)
}

#[test]
fn the_operator_holds_every_permission_that_it_grants() {
    let held = held();
    let manifest = sample();
    let roles: Vec<_> = manifest
        .objects()
        .filter(|object| ["Role", "ClusterRole"].contains(&object.reference.kind.as_str()))
        .collect();
    assert!(roles.len() >= 4, "the sample renders roles");
    for role in roles {
        for wanted in permissions(&role.body) {
            assert!(
                covers(&held, &wanted),
                "{}: {wanted:?} is not held",
                role.reference
            );
        }
    }
}

#[test]
fn the_operator_may_write_every_kind_of_the_table() {
    let held = held();
    for kind in KINDS {
        let group = kind
            .api_version
            .split_once('/')
            .map_or("", |(group, _)| group);
        let mut verbs = vec!["get", "list", "watch", "create", "patch"];
        if kind.teardown != Teardown::Kept {
            verbs.push("delete");
        }
        for verb in verbs {
            let wanted = (group.to_owned(), kind.plural.to_owned(), verb.to_owned());
            assert!(covers(&held, &wanted), "{wanted:?} is not held");
        }
    }
}

#[test]
fn every_rendered_kind_is_in_the_table() {
    for object in sample().objects() {
        let kind = Kind::of(&object.reference);
        let kind =
            kind.unwrap_or_else(|| panic!("{} {}", object.reference.api_version, object.reference));
        assert_eq!(
            kind.namespaced,
            object.reference.namespace.is_some(),
            "{}",
            object.reference
        );
    }
}

#[test]
fn every_rendered_object_carries_the_labels_by_which_it_is_found() {
    for object in sample().objects() {
        let labels = &object.body["metadata"]["labels"];
        assert_eq!(
            labels[base::labels::MANAGED],
            "Reconcile",
            "{}",
            object.reference
        );
        assert_eq!(
            labels[base::labels::OWNING_RESOURCE],
            "istiocontrolplane",
            "{}",
            object.reference
        );
        assert_eq!(
            labels[base::labels::OWNING_RESOURCE_NAMESPACE],
            "istio-system",
            "{}",
            object.reference
        );
    }
}

#[test]
fn definitions_cannot_be_deleted_by_the_operator() {
    let wanted = (
        "apiextensions.k8s.io".to_owned(),
        "customresourcedefinitions".to_owned(),
        "delete".to_owned(),
    );
    assert!(!covers(&held(), &wanted));
}

#[test]
fn the_manifests_name_this_version() {
    let documents = deployed();
    let deployment = documents
        .iter()
        .find(|document| document["kind"] == "Deployment");
    let container = &deployment.expect("a Deployment")["spec"]["template"]["spec"]["containers"][0];
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        container["image"],
        format!("localhost/ferrosail/pilot:{version}")
    );
    let env = container["env"].as_array().expect("variables");
    let tag = env.iter().find(|variable| variable["name"] == "TAG");
    assert_eq!(tag.expect("TAG")["value"], version);
}
