//! Goldens of whole installations, and what holds of every one of them. `UPDATE_GOLDENS=1`
//! rewrites the goldens.

use std::collections::BTreeSet;
use std::path::Path;

use api::istio_operator::IstioOperator;
use serde_json::Value;

use crate::{Component, Install, Manifest, Observed, build, resolve};

const SAMPLE: &str = include_str!("../../config/samples/istiooperator.yaml");

fn install(text: &str) -> Install {
    let document = api::yaml::documents(text)
        .expect("the case is YAML")
        .remove(0);
    let parsed = IstioOperator::parse(&document).expect("the case is well formed");
    let seen = Observed {
        hub: "registry.example/mesh".to_owned(),
        tag: "v0".to_owned(),
        version: "0.0.0".to_owned(),
        kubernetes: None,
        host: None,
    };
    resolve(&parsed, &seen).expect("the case is valid")
}

/// The objects as YAML, without the CRDs, which are files of their own.
fn printed(manifest: &Manifest) -> String {
    let documents: Vec<String> = manifest
        .objects()
        .filter(|object| object.reference.kind != "CustomResourceDefinition")
        .map(|object| api::yaml::print(&object.body))
        .collect();
    documents.join("---\n")
}

fn same_as_file(file: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        std::fs::write(&path, found).expect("the golden can be written");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    if let Some((number, (expected, found))) = expected
        .lines()
        .zip(found.lines())
        .enumerate()
        .find(|(_, (expected, found))| expected != found)
    {
        panic!(
            "{file}:{}: expected {expected:?}, found {found:?}; UPDATE_GOLDENS=1 rewrites it",
            number + 1
        );
    }
    assert_eq!(expected.lines().count(), found.lines().count(), "{file}");
}

fn golden(case: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("testdata/{case}/in.yaml"));
    let input = std::fs::read_to_string(path).expect("the case has an input");
    let found = printed(&build(&install(&input)));
    same_as_file(&format!("testdata/{case}/out.yaml"), &found);
}

#[test]
fn the_sample_is_rendered_as_the_golden_says() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/sample/in.yaml");
    let input = std::fs::read_to_string(file).expect("the sample is a case");
    assert_eq!(input, SAMPLE, "the case is the sample that users apply");
    golden("sample");
}

#[test]
fn kubernetes_settings_reach_their_objects() {
    golden("settings");
}

#[test]
fn a_revision_is_part_of_names_and_selectors() {
    golden("revision");
}

#[test]
fn the_sample_has_the_objects_of_upstream() {
    let manifest = build(&install(SAMPLE).without_owner());
    let counts: Vec<(Component, usize)> = manifest
        .components
        .iter()
        .map(|component| (component.component, component.objects.len()))
        .collect();
    let expected = [
        (Component::Base, 16),
        (Component::Pilot, 18),
        (Component::IngressGateways, 7),
        (Component::EgressGateways, 7),
    ];
    assert_eq!(counts, expected);
    assert!(
        manifest
            .components
            .iter()
            .all(|component| component.enabled)
    );
}

#[test]
fn every_object_is_marked_as_the_owners() {
    let manifest = build(&install(SAMPLE));
    for component in &manifest.components {
        for object in &component.objects {
            let labels = &object.body["metadata"]["labels"];
            let expected = [
                (
                    "install.operator.istio.io/owning-resource",
                    "istiocontrolplane",
                ),
                (
                    "install.operator.istio.io/owning-resource-namespace",
                    "istio-system",
                ),
                ("operator.istio.io/managed", "Reconcile"),
                ("operator.istio.io/component", component.component.as_str()),
                ("operator.istio.io/version", "0.0.0"),
                ("istio.io/rev", "default"),
            ];
            for (name, value) in expected {
                assert_eq!(labels[name], value, "{} {name}", object.reference);
            }
        }
    }
}

#[test]
fn what_an_operator_installs_may_write_statuses_too() {
    let with = build(&install(SAMPLE));
    let without = build(&install(SAMPLE).without_owner());
    let known: BTreeSet<_> = without.objects().map(|object| &object.reference).collect();
    let added = with
        .objects()
        .filter(|object| !known.contains(&object.reference));
    let added: Vec<String> = added.map(|object| object.reference.to_string()).collect();
    let expected = ["clusterrole", "clusterrolebinding"]
        .map(|kind| format!("{kind} istiod-writeback-istio-system"));
    assert_eq!(added, expected);
}

#[test]
fn without_an_owner_nothing_is_marked_as_managed() {
    let manifest = build(&install(SAMPLE).without_owner());
    let found = printed(&manifest);
    assert!(!found.contains("operator.istio.io/managed"));
    assert!(found.contains("install.operator.istio.io/owning-resource: unknown"));
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let (first, second) = (install(SAMPLE), install(SAMPLE));
    assert_eq!(printed(&build(&first)), printed(&build(&second)));
}

#[test]
fn no_two_objects_have_one_name_and_references_are_those_of_the_bodies() {
    let manifest = build(&install(SAMPLE));
    let mut seen = BTreeSet::new();
    for object in manifest.objects() {
        assert!(
            seen.insert(object.reference.clone()),
            "{}",
            object.reference
        );
        assert_eq!(object.body["kind"], object.reference.kind);
        assert_eq!(object.body["apiVersion"], object.reference.api_version);
        assert_eq!(object.body["metadata"]["name"], object.reference.name);
        let namespace = object.body["metadata"]["namespace"].as_str();
        assert_eq!(namespace, object.reference.namespace.as_deref());
    }
}

#[test]
fn an_autoscaler_owns_the_replicas() {
    let manifest = build(&install(SAMPLE));
    for object in manifest.objects() {
        if object.reference.kind == "Deployment" {
            assert_eq!(
                object.body["spec"]["replicas"],
                Value::Null,
                "{}",
                object.reference
            );
        }
    }
}

#[test]
fn each_file_of_crds_holds_the_definition_that_is_installed() {
    let file = "../../crds/istiooperators.install.istio.io.yaml";
    same_as_file(file, &api::yaml::print(&crate::istio_operator_crd()));
}

#[test]
fn crds_are_well_formed() {
    let crds = crate::istio_crds();
    assert_eq!(crds.len(), 15);
    for crd in &crds {
        let (names, group) = (&crd["spec"]["names"], &crd["spec"]["group"]);
        let name = format!(
            "{}.{}",
            names["plural"].as_str().unwrap_or_default(),
            group.as_str().unwrap_or_default()
        );
        assert_eq!(crd["metadata"]["name"], name);
        assert_eq!(crd["spec"]["scope"], "Namespaced", "{name}");
        let versions = crd["spec"]["versions"].as_array().expect("versions");
        let stored = versions.iter().filter(|version| version["storage"] == true);
        assert_eq!(stored.count(), 1, "{name}");
        for version in versions {
            assert_eq!(version["served"], true, "{name}");
            assert!(version["subresources"]["status"].is_object(), "{name}");
        }
    }
}
