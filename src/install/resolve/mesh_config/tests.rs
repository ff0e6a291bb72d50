//! Mesh configurations, and what is said about them.

use base::{ObjectRef, Severity};

use super::judge;

#[track_caller]
fn check(mesh: &str, expected: &[&str]) {
    let mesh = api::yaml::documents(mesh).expect("YAML").remove(0);
    let subject = ObjectRef {
        api_version: "install.istio.io/v1alpha1".into(),
        kind: "IstioOperator".into(),
        namespace: None,
        name: "mesh".into(),
    };
    let found: Vec<String> = judge(&subject, mesh.as_object().expect("a map"))
        .iter()
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
fn a_field_that_nobody_knows_is_told_with_the_nearest() {
    check(
        "{acessLogFile: /dev/stdout, defaultConfig: {zipkinAdress: x}, mixerCheckServer: x}",
        &[
            "warning: .acessLogFile is not a known field, did you mean accessLogFile",
            "warning: .mixerCheckServer is not a known field, no proxy will see it",
            "warning: .defaultConfig.zipkinAdress is not a known field, did you mean zipkinAddress",
        ],
    );
}

#[test]
fn words_have_to_be_known() {
    check(
        "{accessLogEncoding: XML, defaultConfig: {interceptionMode: IPVS}}",
        &[
            ".accessLogEncoding is \"XML\", expected one of TEXT, JSON",
            ".defaultConfig.interceptionMode is \"IPVS\", expected one of REDIRECT, TPROXY, NONE",
        ],
    );
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
        "{extensionProviders: [{name: a, zipkin: {}}, {name: a, zipkn: {}}, {zipkin: {}, datadog: {}}],
          defaultProviders: {tracing: [b]}}",
        &[
            ".extensionProviders[1].name is \"a\", which another provider is called",
            ".extensionProviders[1].zipkn is not a known kind, did you mean zipkin",
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
