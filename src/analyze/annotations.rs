//! Annotations of Istio on Kubernetes' objects: known, on the right kind, with a value that can be read.

use std::sync::LazyLock;

use serde_json::Value;

use crate::message::{
    DEPRECATED_ANNOTATION, INVALID_ANNOTATION, MISPLACED_ANNOTATION, UNKNOWN_ANNOTATION,
};
use crate::world::{Object, Report, World, texts};

static KNOWN: LazyLock<Value> = LazyLock::new(|| {
    api::yaml::documents(include_str!("annotations.yaml"))
        .expect("the table is part of the program and a test reads it")
        .pop()
        .expect("the table has entries")
});

/// Set by the control plane itself.
const OWN: [&str; 3] = [
    "sidecar.istio.io/status",
    "gateway.istio.io/controller-version",
    "istio.io/rev",
];
const INJECT: &str = "sidecar.istio.io/inject";

pub fn check(world: &World, report: &mut Report) {
    let groups = [
        ("", "Namespace"),
        ("", "Service"),
        ("", "Pod"),
        ("apps", "Deployment"),
    ];
    for (group, kind) in groups {
        for object in world.all(group, kind) {
            let annotations = object.value["metadata"]["annotations"].as_object();
            for (name, value) in annotations.into_iter().flatten() {
                if is_ours(name) && !OWN.contains(&name.as_str()) {
                    one(report, object, name, value.as_str().unwrap_or_default());
                }
            }
        }
    }
}

fn is_ours(name: &str) -> bool {
    let prefix = name.split('/').next().unwrap_or_default();
    name == "kubernetes.io/ingress.class" || prefix.ends_with("istio.io")
}

fn one(report: &mut Report, object: &Object, name: &str, value: &str) {
    let Some(known) = KNOWN.get(name) else {
        report.add(
            UNKNOWN_ANNOTATION,
            object,
            format!("annotation {name} is not known"),
        );
        return;
    };
    // The label of the same name is the form that stays, and is said already.
    let by_label = name == INJECT && object.label(INJECT).is_some();
    if known["deprecated"] == true && !by_label {
        let instead = if name == INJECT {
            "; use the label of the same name"
        } else {
            ""
        };
        report.add(
            DEPRECATED_ANNOTATION,
            object,
            format!("annotation {name} is deprecated{instead}"),
        );
    }
    let kinds: Vec<&str> = texts(&known["kinds"]).collect();
    if kinds.contains(&"Any") {
        return;
    }
    if !kinds.contains(&object.kind) {
        let kinds = kinds.join(", ");
        report.add(
            MISPLACED_ANNOTATION,
            object,
            format!("annotation {name} has a meaning on {kinds} only"),
        );
    } else if let Some(expected) = wrong(name, value) {
        report.add(
            INVALID_ANNOTATION,
            object,
            format!("annotation {name} is {value:?}, expected {expected}"),
        );
    }
}

/// What a value should have been, where it is not.
fn wrong(name: &str, value: &str) -> Option<&'static str> {
    let ports = |value: &str| list(value, |port| port.parse::<u16>().is_ok());
    let ranges = |value: &str| list(value, is_range);
    let (right, expected) = match name {
        "sidecar.istio.io/interceptionMode" => (
            ["REDIRECT", "TPROXY", "NONE"].contains(&value),
            "REDIRECT, TPROXY or NONE",
        ),
        "status.sidecar.istio.io/port" => (value.parse::<u16>().is_ok(), "a port from 0 to 65535"),
        "readiness.status.sidecar.istio.io/initialDelaySeconds"
        | "readiness.status.sidecar.istio.io/periodSeconds"
        | "readiness.status.sidecar.istio.io/failureThreshold" => {
            (value.parse::<u32>().is_ok(), "a number")
        }
        "traffic.sidecar.istio.io/includeOutboundIPRanges" => (
            value == "*" || ranges(value),
            "* or a list of CIDRs, separated by commas",
        ),
        "traffic.sidecar.istio.io/excludeOutboundIPRanges" => {
            (ranges(value), "a list of CIDRs, separated by commas")
        }
        "traffic.sidecar.istio.io/includeInboundPorts" => (
            value == "*" || ports(value),
            "* or a list of ports, separated by commas",
        ),
        "traffic.sidecar.istio.io/excludeInboundPorts"
        | "traffic.sidecar.istio.io/excludeOutboundPorts" => {
            (ports(value), "a list of ports, separated by commas")
        }
        "prometheus.istio.io/merge-metrics" => {
            (["true", "false"].contains(&value), "true or false")
        }
        "sidecar.istio.io/proxyCPU"
        | "sidecar.istio.io/proxyMemory"
        | "sidecar.istio.io/proxyCPULimit"
        | "sidecar.istio.io/proxyMemoryLimit" => {
            (is_quantity(value), "a quantity, such as 100m or 128Mi")
        }
        "proxy.istio.io/config" => (is_mapping(value), "fields of ProxyConfig in YAML"),
        _ => (true, ""),
    };
    (!right).then_some(expected)
}

fn list(value: &str, right: impl Fn(&str) -> bool) -> bool {
    value.is_empty() || value.split(',').map(str::trim).all(right)
}

fn is_range(text: &str) -> bool {
    let (address, bits) = text.split_once('/').unwrap_or((text, "0"));
    address.parse::<std::net::IpAddr>().is_ok() && bits.parse::<u8>().is_ok_and(|bits| bits <= 128)
}

fn is_quantity(text: &str) -> bool {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let units = [
        "", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei",
    ];
    number.parse::<f64>().is_ok() && units.contains(&unit)
}

fn is_mapping(text: &str) -> bool {
    api::yaml::documents(text).is_ok_and(|documents| documents.iter().all(Value::is_object))
}
