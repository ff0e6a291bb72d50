//! Golden pairs (`testdata/*.in.yaml` with `*.out.json`; UPDATE_GOLDENS=1 rewrites them), and whether
//! a real Envoy accepts them: the variable ENVOY names its binary.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Bootstrap, Facts, Ports, ProxyConfig, ProxyType, bootstrap};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Input {
    proxy_type: ProxyType,
    ips: Vec<IpAddr>,
    domain: String,
    environment: BTreeMap<String, String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    ports: Option<BTreeMap<String, u16>>,
    #[serde(default)]
    exit_on_zero_active_connections: bool,
    #[serde(default)]
    dual_stack: bool,
    delta: Option<bool>,
    outlier_log_path: Option<String>,
    proxy_config: Vec<Value>,
}

fn made_from(path: &Path) -> Bootstrap {
    let text = std::fs::read_to_string(path).expect("the input is there");
    let input: Input = serde_saphyr::from_str(&text).expect("the input is well-formed");
    let config = ProxyConfig::merge(&input.proxy_config).expect("a valid proxy config");
    let facts = Facts {
        proxy_type: input.proxy_type,
        ips: input.ips,
        domain: input.domain,
        environment: input.environment,
        labels: input.labels,
        annotations: input.annotations,
        ports: input.ports.map_or_else(Ports::default, |ports| Ports {
            status: ports["status"],
            prometheus: ports["prometheus"],
        }),
        exit_on_zero_active_connections: input.exit_on_zero_active_connections,
        dual_stack: input.dual_stack,
        delta: input.delta.unwrap_or(true),
        outlier_log_path: input.outlier_log_path,
    };
    bootstrap(&facts, &config)
}

fn inputs() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut inputs: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("testdata is there")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.to_string_lossy().ends_with(".in.yaml"))
        .collect();
    inputs.sort();
    assert!(!inputs.is_empty());
    inputs
}

#[test]
fn bootstraps_equal_their_goldens() {
    for input in inputs() {
        let made = made_from(&input);
        let shown = json!({"bootstrap": made.json, "warnings": made.warnings});
        let text = serde_json::to_string_pretty(&shown).expect("JSON") + "\n";
        let golden = PathBuf::from(input.to_string_lossy().replace(".in.yaml", ".out.json"));
        if std::env::var_os("UPDATE_GOLDENS").is_some() {
            std::fs::write(&golden, &text).expect("writable");
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        assert!(
            expected == text,
            "{} differs from what is made now; UPDATE_GOLDENS=1 rewrites it\n{text}",
            golden.display()
        );
    }
}

#[test]
fn envoy_accepts_every_bootstrap() {
    let Some(envoy) = std::env::var_os("ENVOY") else {
        eprintln!(
            "NOT RUN: {} bootstraps were not shown to Envoy, since ENVOY does not name its binary",
            inputs().len()
        );
        return;
    };
    for input in inputs() {
        let output = Command::new(&envoy)
            .args(["--mode", "validate", "-l", "warning", "--config-yaml"])
            .arg(made_from(&input).json.to_string())
            .output()
            .expect("ENVOY names a program");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {errors}", input.display());
        let complaints: Vec<&str> = errors
            .lines()
            .filter(|line| line.contains("[warning]"))
            // Stock Envoy has no other place for a tracer of the bootstrap.
            .filter(|line| !line.contains("Bootstrap.tracing"))
            .collect();
        assert!(
            complaints.is_empty(),
            "{}: {complaints:#?}",
            input.display()
        );
    }
}
