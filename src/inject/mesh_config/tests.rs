//! What a pod carries of the mesh configuration.

use serde_json::json;

use super::MeshConfig;

#[test]
fn a_pod_carries_only_what_differs() {
    let printed = |text: &str| MeshConfig::parse(text).expect("YAML").proxy_json();
    for (text, expected) in [
        ("", "{}"),
        (
            "defaultConfig: {discoveryAddress: istiod.istio-system.svc:15012}",
            "{}",
        ),
        (
            "defaultConfig: {drainDuration: 23s}",
            r#"{"drainDuration":"23s"}"#,
        ),
        ("defaultConfig: {interceptionMode: REDIRECT}", "{}"),
        (
            "defaultConfig: {proxyMetadata: {A: b}, concurrency: 0, discoveryAddress: 'foo:1'}",
            r#"{"discoveryAddress":"foo:1","concurrency":0,"proxyMetadata":{"A":"b"}}"#,
        ),
        (
            "defaultConfig: {holdApplicationUntilProxyStarts: false}",
            r#"{"holdApplicationUntilProxyStarts":false}"#,
        ),
    ] {
        assert_eq!(printed(text), expected, "{text}");
    }
}

#[test]
fn an_annotation_goes_on_top_and_its_environment_adds_up() {
    let mesh = MeshConfig::parse("defaultConfig: {proxyMetadata: {A: '1', B: '2'}, statusPort: 1}")
        .expect("YAML");
    let pod = json!({"metadata": {"annotations": {
        "proxy.istio.io/config": "proxyMetadata: {B: '3'}\nholdApplicationUntilProxyStarts: true\n"}}});
    let mesh = mesh.for_pod(&pod).expect("YAML");
    assert_eq!(mesh.proxy()["proxyMetadata"], json!({"A": "1", "B": "3"}));
    assert_eq!((mesh.status_port(), mesh.holds_application()), (1, true));
}

#[test]
fn what_is_no_object_is_refused() {
    let error = MeshConfig::parse("- a").expect_err("a list");
    assert_eq!(
        error.to_string(),
        "the mesh configuration: expected one YAML object"
    );
}
