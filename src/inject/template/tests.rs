//! What templates print.

use serde_json::{Value, json};

use super::{Template, plain, structure, table};
use crate::schema::{Kind, POD};

fn pod() -> Value {
    json!({
        "metadata": {"name": "web", "annotations": {"a": "1", "list": "{\"k\":[1]}"}},
        "spec": {"containers": [
            {"name": "app", "ports": [{"protocol": "TCP", "containerPort": 80, "name": "http"}, {"containerPort": 53, "protocol": "UDP"}]},
            {"name": "istio-proxy", "ports": [{"containerPort": 15090}]},
        ]},
    })
}

fn render(text: &str) -> Result<String, String> {
    let pod = pod();
    let kind = |field: &str| match POD.kind(field) {
        Kind::Object(shape) => Kind::Object(shape),
        _ => Kind::Any,
    };
    let dot = table([
        ("ObjectMeta", structure(&pod["metadata"], &kind("metadata"))),
        ("Spec", structure(&pod["spec"], &kind("spec"))),
        (
            "Values",
            plain(&json!({"global": {"port": 15020, "nothing": null, "map": {"b": 1, "a": null}}})),
        ),
    ]);
    let template = Template::parse("test", text).map_err(|error| error.to_string())?;
    template.render(&dot).map_err(|error| error.to_string())
}

fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(render(text).as_deref(), Ok(*expected), "{text}");
    }
}

#[test]
fn objects_have_the_names_and_zero_values_of_go() {
    check(&[
        (
            "{{ .ObjectMeta.Name }} {{ .Spec.ServiceAccountName }}|{{ .Spec.HostNetwork }}",
            "web |false",
        ),
        ("{{ eq .Spec.ServiceAccountName \"\" }}", "true"),
        (
            "{{ range $i, $c := .Spec.Containers }}{{ $i }}{{ $c.Name }} {{ end }}",
            "0app 1istio-proxy ",
        ),
        ("{{ len .Spec.Volumes }}", "0"),
    ]);
}

#[test]
fn annotations_win_over_defaults() {
    check(&[
        (
            "{{ annotation .ObjectMeta `a` 2 }} {{ annotation .ObjectMeta `b` .Values.global.port }}",
            "1 15020",
        ),
        (
            "{{ isset .ObjectMeta.Annotations `a` }} {{ isset .ObjectMeta.Annotations `b` }}",
            "true false",
        ),
        ("{{ eq (index .ObjectMeta.Annotations `b`) \"\" }}", "true"),
        ("{{ valueOrDefault .Values.global.nothing `x` }}", "x"),
    ]);
}

#[test]
fn ports_are_listed_and_excluded() {
    check(&[
        ("{{ excludeInboundPort 15020 \"\" }}", "15020"),
        ("{{ excludeInboundPort 15020 \"1, 2\" }}", "1,2,15020"),
        ("{{ excludeInboundPort 2 \"1,2\" }}", "1,2"),
        ("{{ excludeInboundPort 0 \"1\" }}", "1"),
        (
            "{{ applicationPorts .Spec.Containers }} {{ includeInboundPorts .Spec.Containers }}",
            "80 80,15090",
        ),
    ]);
}

#[test]
fn objects_print_in_the_order_of_their_type() {
    check(&[
        (
            "{{ structToJSON (index (index .Spec.Containers 0).Ports 0) }}",
            r#"{"name":"http","containerPort":80,"protocol":"TCP"}"#,
        ),
        (
            "{{ toYaml (omitNil .Values.global.map) | indent 2 }}",
            "b: 1\n  ",
        ),
        (
            "{{ range $k, $v := fromJSON (index .ObjectMeta.Annotations `list`) }}{{ $k }}={{ $v }}{{ end }}",
            "k=[1]",
        ),
    ]);
}

#[test]
fn sprig_is_there() {
    check(&[
        ("{{ list \"a\" \"b\" | join \",\" }}", "a,b"),
        (
            "{{ trunc 3 \"abcdef\" }} {{ trunc -2 \"abcdef\" }} {{ \"-a-\" | trimAll \"-_.\" | quote }}",
            "abc ef \"a\"",
        ),
        (
            "{{ \"\" | default \"x\" }} {{ \"y\" | default \"x\" }}",
            "x y",
        ),
        ("{{ toYaml (dict \"a\" 1) | nindent 2 }}", "\n  a: 1\n  "),
        (
            "{{ add 1 2 }} {{ max 1 5 3 }} {{ b64enc \"a\" }} {{ regexReplaceAll \"a+\" \"baac\" \"x\" }}",
            "3 5 YQ== bxc",
        ),
    ]);
}

#[test]
fn multus_networks_are_appended_once() {
    check(&[
        (
            "{{ appendMultusNetwork \"\" \"default/istio-cni\" }}",
            "default/istio-cni",
        ),
        (
            "{{ appendMultusNetwork \"a, b\" \"default/istio-cni\" }}",
            "a, b, default/istio-cni",
        ),
        (
            "{{ appendMultusNetwork \"default/istio-cni\" \"default/istio-cni\" }}",
            "default/istio-cni",
        ),
        (
            "{{ appendMultusNetwork `[{\"name\": \"a\"}]` \"default/istio-cni\" }}",
            r#"[{"name": "a"}, {"name": "istio-cni", "namespace": "default"}]"#,
        ),
    ]);
}

#[test]
fn what_fails_names_the_template() {
    for text in [
        "{{ if }}",
        "{{ nosuch 1 }}",
        "{{ eq 1 \"1\" }}",
        "{{ fail \"no\" }}",
    ] {
        let error = render(text).expect_err("it fails");
        assert!(
            error.starts_with("injection template \"test\": "),
            "{error}"
        );
    }
}
