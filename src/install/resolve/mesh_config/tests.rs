//! Mesh configurations, and what is said about them.

use base::{ObjectRef, Problem, Severity};

use super::judge;

fn judged(mesh: &str) -> Vec<Problem> {
    let mesh = api::yaml::documents(mesh).expect("YAML").remove(0);
    let subject = ObjectRef {
        api_version: "install.istio.io/v1alpha1".into(),
        kind: "IstioOperator".into(),
        namespace: None,
        name: "mesh".into(),
    };
    judge(&subject, mesh.as_object().expect("a map"))
}

/// What is wrong, apart from what nothing reads yet.
#[track_caller]
fn check(mesh: &str, expected: &[&str]) {
    let found: Vec<String> = judged(mesh)
        .iter()
        .filter(|problem| problem.reason != "Unsupported")
        .map(|problem| {
            let mark = match problem.severity {
                Severity::Error => "",
                Severity::Warning | Severity::Info => "warning: ",
            };
            let field = problem
                .field
                .strip_prefix("spec.meshConfig")
                .unwrap_or(&problem.field);
            format!("{mark}{field} {}", problem.message)
        })
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn what_people_write_is_fine() {
    check(
        "{accessLogFile: /dev/stdout, enableTracing: true, trustDomain: td_1.example,
          outboundTrafficPolicy: {mode: REGISTRY_ONLY}, meshMTLS: {minProtocolVersion: TLSV1_3},
          defaultConfig: {holdApplicationUntilProxyStarts: true, concurrency: 0, proxyMetadata: {A: b}},
          extensionProviders: [{name: otel, envoyOtelAls: {service: a.b.svc, port: 4317}}],
          defaultProviders: {metrics: [prometheus], accessLogging: [otel, envoy]}}",
        &[],
    );
}

#[test]
fn what_is_wrong_in_unvalidated_values_is_only_told() {
    check(
        "{acessLogFile: /dev/stdout, defaultConfig: {zipkinAdress: x, interceptionMode: IPVS}}",
        &[
            "warning: .acessLogFile is not a known field, did you mean accessLogFile",
            "warning: .defaultConfig.zipkinAdress is not a known field, did you mean zipkinAddress",
            "warning: .defaultConfig.interceptionMode is \"IPVS\", expected one of REDIRECT, TPROXY, NONE",
        ],
    );
}

#[test]
fn what_nothing_reads_is_named() {
    let found = judged(
        "{certificates: [{secretName: a}], configSources: [], verifyCertificateAtClient: false,
          defaultConfig: {statsdUdpAddress: 'a:1', tracing: {lightstep: {address: 'a:1'}, sampling: 1}}}",
    );
    let found: Vec<(&str, &str)> = found
        .iter()
        .map(|problem| (problem.field.as_str(), problem.reason.as_str()))
        .collect();
    let expected = [
        "spec.meshConfig.certificates",
        "spec.meshConfig.defaultConfig.statsdUdpAddress",
        "spec.meshConfig.defaultConfig.tracing.lightstep",
    ];
    assert_eq!(found, expected.map(|field| (field, "Unsupported")));
}

#[test]
fn names_have_to_be_names() {
    check(
        "{trustDomain: a/b, trustDomainAliases: [ok, \"\", no good], rootNamespace: Root}",
        &[
            ".rootNamespace is \"Root\", expected a namespace",
            ".trustDomain is \"a/b\", expected a domain: letters, digits, - and _, parted by dots",
            ".trustDomainAliases[2] is \"no good\", expected a domain: letters, digits, - and _, parted by dots",
        ],
    );
}

#[test]
fn providers_have_one_name_and_one_kind() {
    check(
        "{extensionProviders: [{name: a, zipkin: {}}, {name: a}, {zipkin: {}, datadog: {}}],
          defaultProviders: {tracing: [b]}}",
        &[
            ".extensionProviders[1].name is \"a\", which another provider is called",
            ".extensionProviders[1] has no kind, expected one such as envoyOtelAls or opentelemetry",
            ".extensionProviders[2] has no name, expected one",
            ".extensionProviders[2] is of kinds zipkin and datadog, expected one",
            ".defaultProviders.tracing[0] is \"b\", which extensionProviders does not have",
        ],
    );
}

#[test]
fn a_negative_concurrency_makes_no_sense() {
    check(
        "{defaultConfig: {concurrency: -1}}",
        &[".defaultConfig.concurrency is -1, expected 0 for as many as there are CPUs, or more"],
    );
}
