//! Forms that are refused, with the path and the hint that a person gets.

use serde_json::{Value, json};

use super::shape::{SHAPES, Shape};
use super::{IstioOperator, kubernetes};
use crate::yaml;

fn parse(spec: &str) -> Result<IstioOperator, Vec<String>> {
    let spec = yaml::documents(spec).expect("the case is YAML").remove(0);
    let value = json!({"apiVersion": super::API_VERSION, "kind": super::KIND,
        "metadata": {"name": "mesh", "namespace": "istio-system"}, "spec": spec});
    IstioOperator::parse(&value).map_err(|problems| {
        problems
            .iter()
            .map(|problem| format!("{} {}", problem.field, problem.message))
            .collect()
    })
}

fn check(spec: &str, expected: &[&str]) {
    let found = parse(spec).err().unwrap_or_default();
    assert_eq!(found, expected, "{spec}");
}

#[test]
fn unknown_fields_name_the_nearest_known_one() {
    check(
        "{profil: default}",
        &["spec.profil is not a known field, did you mean profile"],
    );
    check(
        "{components: {pilot: {k8s: {hpaSpec: {minReplica: 2}}}}}",
        &[
            "spec.components.pilot.k8s.hpaSpec.minReplica is not a known field, did you mean minReplicas",
        ],
    );
    check(
        "{components: {ingressGateways: [{name: a}, {nam: b}]}}",
        &["spec.components.ingressGateways[1].nam is not a known field, did you mean name"],
    );
    check(
        "{values: {global: {proxy: {logLevels: debug}}}}",
        &["spec.values.global.proxy.logLevels is not a known field, did you mean logLevel"],
    );
}

#[test]
fn a_mesh_configuration_has_a_form_too_wherever_it_is_given() {
    check(
        "{meshConfig: {acessLogFile: /dev/stdout, defaultConfig: {tracing: {zipkn: {}}}}}",
        &[
            "spec.meshConfig.acessLogFile is not a known field, did you mean accessLogFile",
            "spec.meshConfig.defaultConfig.tracing.zipkn is not a known field, did you mean zipkin",
        ],
    );
    check(
        "{values: {meshConfig: {accessLogEncoding: XML, enableTracing: 'no'}}}",
        &[
            "spec.values.meshConfig.accessLogEncoding is \"XML\", expected one of TEXT, JSON",
            "spec.values.meshConfig.enableTracing is the text \"no\", expected true or false",
        ],
    );
    check(
        "{meshConfig: {defaultConfig: {proxyMetadata: {A: true}}}}",
        &["spec.meshConfig.defaultConfig.proxyMetadata.A is true, expected a text"],
    );
}

#[test]
fn a_name_far_from_all_lists_what_is_accepted() {
    check(
        "{values: {telemetry: {v2: {zzzzzzzz: true}}}}",
        &[
            "spec.values.telemetry.v2.zzzzzzzz is not a known field, expected one of enabled, prometheus, stackdriver",
        ],
    );
}

#[test]
fn wrong_types_say_what_is_expected() {
    check("{profile: 3}", &["spec.profile is 3, expected a text"]);
    check(
        "{components: {pilot: {enabled: 'yes'}}}",
        &["spec.components.pilot.enabled is the text \"yes\", expected true or false"],
    );
    check(
        "{components: {pilot: {k8s: {replicaCount: 1.5}}}}",
        &["spec.components.pilot.k8s.replicaCount is 1.5, expected a whole number"],
    );
    check(
        "{components: {ingressGateways: {name: a}}}",
        &["spec.components.ingressGateways is an object, expected a list"],
    );
}

#[test]
fn every_problem_is_reported_at_once() {
    check(
        "{hubb: a, components: {pilott: {}}}",
        &[
            "spec.hubb is not a known field, did you mean hub",
            "spec.components.pilott is not a known field, did you mean pilot",
        ],
    );
}

#[test]
fn partial_kubernetes_settings_and_numbers_for_texts_are_accepted() {
    for spec in [
        "{tag: 2}",
        "{tag: '1.1.4'}",
        "{components: {pilot: {k8s: {hpaSpec: {minReplicas: 2}}}}}",
        "{components: {pilot: {k8s: {resources: {requests: {cpu: 1}}}}}}",
        "{components: {pilot: {k8s: {strategy: {rollingUpdate: {maxSurge: 1}}}}}}",
        "{components: {pilot: {k8s: {podDisruptionBudget: {maxUnavailable: 30%}}}}}",
        "{components: {pilot: {enabled: null}}, values: null}",
        "{meshConfig: {accessLogFile: /dev/stdout}, unvalidatedValues: {meshConfig: {my: own}}}",
        "{meshConfig: {defaultConfig: {concurrency: '2', tracing: {sampling: 0.5}, proxyMetadata: {A: 'true'}}}}",
        "{meshConfig: {extensionProviders: [{name: otel, opentelemetry: {service: a, port: 4317}}]}}",
    ] {
        assert_eq!(parse(spec).err(), None, "{spec}");
    }
}

#[test]
fn an_absent_spec_is_an_empty_one() {
    let value = json!({"apiVersion": super::API_VERSION, "kind": super::KIND, "spec": null});
    let found = IstioOperator::parse(&value).expect("well formed");
    assert!(found.spec.fields.is_empty());
}

#[test]
fn other_kinds_and_stray_top_level_fields_are_refused() {
    let value = json!({"apiVersion": "v1", "kind": "IstioOperator", "components": {}});
    let problems = IstioOperator::parse(&value).expect_err("two problems");
    let fields: Vec<&str> = problems.iter().map(|p| p.field.as_str()).collect();
    assert_eq!(fields, ["apiVersion", "components"]);
}

#[test]
fn metadata_is_taken_over() {
    let value = json!({"apiVersion": super::API_VERSION, "kind": super::KIND,
        "metadata": {"name": "mesh", "namespace": "ns", "generation": 7,
            "deletionTimestamp": "2026-01-01T00:00:00Z", "annotations": {"a": "b"}}});
    let found = IstioOperator::parse(&value).expect("well formed");
    assert_eq!((found.generation, found.deleting), (7, true));
    assert_eq!(found.annotations.get("a").map(String::as_str), Some("b"));
    assert_eq!(found.reference().to_string(), "istiooperator ns/mesh");
}

#[test]
fn every_name_in_the_table_is_defined() {
    fn walk(shape: &Shape) {
        match shape {
            Shape::Use(name) => {
                SHAPES.named(name);
            }
            Shape::Kubernetes(name) => {
                assert!(
                    kubernetes::referenced(name).is_some_and(Value::is_object),
                    "{name}"
                );
            }
            Shape::Fields(fields) => fields.values().for_each(walk),
            Shape::List(item) => walk(item),
            _ => {}
        }
    }
    SHAPES.all().for_each(walk);
}
