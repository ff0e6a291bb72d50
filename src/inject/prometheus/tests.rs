//! Where metrics are scraped.

use serde_json::{Value, json};

use super::merge;
use crate::mesh_config::MeshConfig;

fn merged(annotations: Value) -> Result<Value, String> {
    let mut pod = json!({"metadata": {"annotations": annotations}, "spec": {"containers": [{"name": "istio-proxy"}]}});
    merge(&mut pod, &MeshConfig::default()).map_err(|error| error.to_string())?;
    Ok(pod)
}

fn environment(pod: &Value) -> Option<&str> {
    pod.pointer("/spec/containers/0/env/0/value")?.as_str()
}

#[test]
fn the_agent_takes_the_place_of_the_application() {
    let pod = merged(json!({"prometheus.io/port": "80", "prometheus/io.path": "/m", "other": "x"}))
        .expect("merged");
    let expected = json!({"other": "x", "prometheus.io/port": "15020", "prometheus.io/path": "/stats/prometheus", "prometheus.io/scrape": "true"});
    assert_eq!(pod["metadata"]["annotations"], expected);
    assert_eq!(
        environment(&pod),
        Some(r#"{"scrape":"","path":"/m","port":"80"}"#)
    );
}

#[test]
fn targets_come_before_the_single_port() {
    let pod = merged(json!({"prometheus.istio.io/scrape-targets": "80:/a, 81"})).expect("merged");
    assert_eq!(
        environment(&pod),
        Some(
            r#"{"scrape":"","path":"/a","port":"80","targets":[{"port":"80","path":"/a"},{"port":"81","path":"/metrics"}]}"#
        )
    );
}

#[test]
fn nothing_moves_when_it_is_not_wanted() {
    for annotations in [
        json!({"prometheus.io/scrape": "false"}),
        json!({"prometheus.istio.io/merge-metrics": "false", "prometheus.io/port": "80"}),
        json!({"prometheus.io/port": "15020"}),
    ] {
        let pod = merged(annotations.clone()).expect("unchanged");
        assert_eq!(pod["metadata"]["annotations"], annotations);
    }
}

#[test]
fn ports_of_the_proxy_are_refused_with_their_purpose() {
    for (port, message) in [
        (
            "15090",
            "metrics of the application can't be on port 15090: the proxy has it for Envoy's own metrics, which are merged anyway",
        ),
        (
            "0",
            "metrics of the application can't be on port 0: it is none from 1 to 65535",
        ),
        (
            "http",
            "metrics of the application can't be on port http: it is none from 1 to 65535",
        ),
    ] {
        let found = merged(json!({"prometheus.io/port": port}));
        assert_eq!(found.expect_err("refused"), message);
    }
}
