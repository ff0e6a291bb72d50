//! The two ways to deploy the operator, against each other and against what the program takes.

use std::path::Path;

use clap::Parser;
use serde_json::{Value, json};

use super::Operator;

const FILE: &str = "../../config/deploy/operator-with-discovery.yaml";

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    operator: Operator,
}

fn text(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    std::fs::read_to_string(path).expect("it is part of the repository")
}

fn hosting() -> Vec<Value> {
    api::yaml::documents(&text(FILE)).expect("YAML")
}

fn find(kind: &str) -> Value {
    let found = hosting()
        .into_iter()
        .find(|document| document["kind"] == kind);
    found.unwrap_or_else(|| panic!("a {kind}"))
}

/// The text of the ClusterRole among a file's documents.
fn role(text: &str) -> &str {
    let mut documents = text.split("\n---\n");
    let role = documents.find(|document| document.contains("\nkind: ClusterRole\n"));
    role.expect("a ClusterRole")
}

/// Hosting needs no more than the operator holds: it may grant only what it holds. `UPDATE_GOLDENS=1` copies it.
#[test]
fn both_manifests_have_one_role() {
    let plain = text("../../config/deploy/operator.yaml");
    let mut with_discovery = text(FILE);
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        with_discovery = with_discovery.replace(role(&with_discovery), role(&plain));
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
        std::fs::write(path, &with_discovery).expect("it can be written");
    }
    assert!(
        role(&with_discovery) == role(&plain),
        "the rules differ; UPDATE_GOLDENS=1 copies those of operator.yaml"
    );
}

#[test]
fn its_command_is_understood_and_its_pods_are_found() {
    let pod = &find("Deployment")["spec"]["template"];
    let container = &pod["spec"]["containers"][0];
    let command = container["command"].as_array().expect("a command");
    let words = command.iter().filter_map(Value::as_str).skip(1);
    let Line { operator } = Line::try_parse_from(words).expect("it is understood");
    assert!(operator.with_discovery);
    for (key, value) in &operator.pod_labels {
        assert_eq!(pod["metadata"]["labels"][key], json!(value), "{key}");
    }
    let port = operator.health_address.trim_start_matches(':').to_owned();
    let ports = container["ports"].as_array().expect("ports");
    let health = ports.iter().find(|port| port["name"] == "http-health");
    assert_eq!(health.expect("a port")["containerPort"].to_string(), port);
    assert_ne!(port, "8080", "the control plane's own");
}

#[test]
fn it_is_the_same_pod_otherwise() {
    let plain = text("../../config/deploy/operator.yaml");
    let plain = api::yaml::documents(&plain).expect("YAML");
    let plain = plain
        .iter()
        .find(|document| document["kind"] == "Deployment");
    let (plain, hosting) = (plain.expect("a Deployment"), find("Deployment"));
    let pod = "/spec/template/spec";
    let container = "/spec/template/spec/containers/0";
    for field in [
        format!("{pod}/securityContext"),
        format!("{container}/securityContext"),
        format!("{container}/image"),
        format!("{container}/env"),
    ] {
        assert_eq!(plain.pointer(&field), hosting.pointer(&field), "{field}");
    }
}
