//! Precedence of the sources, and how variables are read.

use std::collections::BTreeMap;
use std::time::Duration;

use bootstrap::ProxyConfig;

use super::{InvalidConfig, Sources, boolean, go_duration, port, proxy_config};

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn config(
    mesh: Option<&str>,
    environment: &[(&str, &str)],
    annotations: &[(&str, &str)],
    concurrency: u32,
) -> Result<ProxyConfig, InvalidConfig> {
    proxy_config(&Sources {
        mesh,
        environment: &map(environment),
        annotations: &map(annotations),
        concurrency,
    })
}

#[test]
fn file_then_environment_then_annotation() {
    let mesh = "defaultConfig:\n  discoveryAddress: file:1\n  proxyAdminPort: 1\n  statusPort: 1\n";
    let environment = [("PROXY_CONFIG", "{proxyAdminPort: 2, statusPort: 2}")];
    let annotations = [("proxy.istio.io/config", "statusPort: 3\n")];
    let config = config(Some(mesh), &environment, &annotations, 0).expect("valid");
    assert_eq!(config.discovery_address, "file:1");
    assert_eq!((config.proxy_admin_port, config.status_port), (2, 3));
}

#[test]
fn single_annotations_win_over_the_config_annotation() {
    let annotations = [
        (
            "proxy.istio.io/config",
            "{statusPort: 3, discoveryAddress: a:1}",
        ),
        ("status.sidecar.istio.io/port", "4"),
        ("sidecar.istio.io/discoveryAddress", "b:1"),
    ];
    let config = config(None, &[], &annotations, 0).expect("valid");
    assert_eq!(config.status_port, 4);
    assert_eq!(config.discovery_address, "b:1");
}

#[test]
fn the_processor_limit_is_the_last_word_on_concurrency() {
    let concurrency = |mesh, environment: &[_], flag| {
        config(mesh, environment, &[], flag)
            .expect("valid")
            .concurrency
    };
    let limit = [("ISTIO_CPU_LIMIT", "2")];
    assert_eq!(concurrency(None, &[], 0), None);
    assert_eq!(concurrency(None, &limit, 0), Some(2));
    assert_eq!(concurrency(None, &[("ISTIO_CPU_LIMIT", "0")], 0), None);
    let mesh = Some("defaultConfig: {concurrency: 3}");
    assert_eq!(concurrency(mesh, &limit, 0), Some(3));
    assert_eq!(concurrency(mesh, &limit, 4), Some(4));
}

#[test]
fn refusals_name_their_source() {
    for (outcome, expected) in [
        (
            config(Some("a: [1"), &[], &[], 0),
            "the mesh config file is not YAML: ",
        ),
        (
            config(None, &[("PROXY_CONFIG", "{statusPort: many}")], &[], 0),
            "proxy config: statusPort is not usable: ",
        ),
        (
            config(None, &[], &[("status.sidecar.istio.io/port", "x")], 0),
            "status.sidecar.istio.io/port is \"x\", expected a port number",
        ),
        (
            config(None, &[("ISTIO_CPU_LIMIT", "2000m")], &[], 0),
            "ISTIO_CPU_LIMIT is \"2000m\", expected a number of processors",
        ),
    ] {
        let message = outcome.expect_err("a refusal").to_string();
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn variables_have_defaults_and_are_checked() {
    let environment = map(&[
        ("A", "true"),
        ("B", "0"),
        ("C", ""),
        ("D", "maybe"),
        ("P", "8"),
    ]);
    let read = |name| boolean(&environment, name, true).ok();
    assert_eq!(read("A"), Some(true));
    assert_eq!(read("B"), Some(false));
    assert_eq!(read("C"), Some(true));
    assert_eq!(read("D"), None);
    assert_eq!(port(&environment, "P", 1).ok(), Some(8));
    assert_eq!(port(&environment, "Q", 1).ok(), Some(1));
}

#[test]
fn durations_are_those_of_go() {
    for (text, milliseconds) in [
        ("5s", Some(5_000)),
        ("1m30s", Some(90_000)),
        ("500ms", Some(500)),
        ("1.5h", Some(5_400_000)),
        ("5", None),
        ("5 s", None),
        ("s", None),
        ("-5s", None),
    ] {
        assert_eq!(
            go_duration(text),
            milliseconds.map(Duration::from_millis),
            "{text}"
        );
    }
}
