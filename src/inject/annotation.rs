//! Annotations of a pod that injection reads: each value is checked before anything is done with it.

use std::net::IpAddr;

use serde_json::Value;

use crate::mesh_config::{self, PROXY_CONFIG};
use crate::pod::{annotations, parse_bool};
use crate::quantity;

/// Interface names in Linux have fewer letters than this.
const INTERFACE: usize = 16;

/// An annotation with a value that can't be meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("annotation {name}: {value:?} is invalid, expected {expected}")]
pub struct AnnotationError {
    /// Name of the annotation.
    pub name: String,
    /// Its value.
    pub value: String,
    /// What would be accepted.
    pub expected: String,
}

type Check = fn(&str) -> bool;

const PORTS: &str = "ports from 0 to 65535, separated by commas";
const INTERFACES: &str = "names of network interfaces, separated by commas";
const RANGES: &str = "IP ranges like 10.0.0.0/8, separated by commas";
const COUNT: &str = "a whole number of at least 0";
const QUANTITY: &str = "a quantity like 100m or 128Mi";

const CHECKS: [(&str, &str, Check); 18] = [
    (
        "sidecar.istio.io/interceptionMode",
        "REDIRECT, TPROXY or NONE",
        |value| matches!(value, "REDIRECT" | "TPROXY" | "NONE"),
    ),
    (
        "status.sidecar.istio.io/port",
        "a port from 0 to 65535",
        is_port,
    ),
    (
        "readiness.status.sidecar.istio.io/initialDelaySeconds",
        COUNT,
        is_count,
    ),
    (
        "readiness.status.sidecar.istio.io/periodSeconds",
        COUNT,
        is_count,
    ),
    (
        "readiness.status.sidecar.istio.io/failureThreshold",
        COUNT,
        is_count,
    ),
    (
        "traffic.sidecar.istio.io/includeOutboundIPRanges",
        "* or IP ranges like 10.0.0.0/8, separated by commas",
        |value| value == "*" || are_ranges(value),
    ),
    (
        "traffic.sidecar.istio.io/excludeOutboundIPRanges",
        RANGES,
        are_ranges,
    ),
    (
        "traffic.sidecar.istio.io/includeInboundPorts",
        "* or ports from 0 to 65535, separated by commas",
        |value| value == "*" || are_ports(value),
    ),
    (
        "traffic.sidecar.istio.io/excludeInboundPorts",
        PORTS,
        are_ports,
    ),
    (
        "traffic.sidecar.istio.io/excludeOutboundPorts",
        PORTS,
        are_ports,
    ),
    (
        "traffic.sidecar.istio.io/excludeInterfaces",
        INTERFACES,
        are_interfaces,
    ),
    (
        "traffic.sidecar.istio.io/kubevirtInterfaces",
        INTERFACES,
        are_interfaces,
    ),
    (
        "istio.io/reroute-virtual-interfaces",
        INTERFACES,
        are_interfaces,
    ),
    (
        "prometheus.istio.io/merge-metrics",
        "true or false",
        |value| parse_bool(value).is_some(),
    ),
    ("sidecar.istio.io/proxyCPU", QUANTITY, is_quantity),
    ("sidecar.istio.io/proxyMemory", QUANTITY, is_quantity),
    ("sidecar.istio.io/proxyCPULimit", QUANTITY, is_quantity),
    ("sidecar.istio.io/proxyMemoryLimit", QUANTITY, is_quantity),
];

/// Every annotation of the pod that is not as it should be, in the order of their names.
pub fn validate(pod: &Value) -> Vec<AnnotationError> {
    let mut found: Vec<AnnotationError> = annotations(pod)
        .filter_map(|(name, value)| {
            let wrong = |expected: String| AnnotationError {
                name: name.to_owned(),
                value: value.to_owned(),
                expected,
            };
            if name == PROXY_CONFIG {
                let parsed = mesh_config::object(name, value);
                return parsed
                    .is_err()
                    .then(|| wrong("a ProxyConfig as YAML".to_owned()));
            }
            let (_, expected, check) = CHECKS.iter().find(|(checked, ..)| *checked == name)?;
            (!check(value)).then(|| wrong((*expected).to_owned()))
        })
        .collect();
    found.sort_by(|one, two| one.name.cmp(&two.name));
    found
}

fn is_port(value: &str) -> bool {
    value.trim().parse::<u16>().is_ok()
}

fn are_ports(value: &str) -> bool {
    value.trim().is_empty() || value.split(',').all(is_port)
}

fn is_count(value: &str) -> bool {
    value.parse::<u32>().is_ok()
}

fn are_ranges(value: &str) -> bool {
    value.is_empty() || value.split(',').all(is_range)
}

fn is_range(value: &str) -> bool {
    let Some((address, bits)) = value.split_once('/') else {
        return false;
    };
    let most = match address.parse() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    bits.bytes().all(|digit| digit.is_ascii_digit())
        && bits.parse::<u8>().is_ok_and(|bits| bits <= most)
}

fn are_interfaces(value: &str) -> bool {
    let is_name = |name: &str| {
        !name.is_empty()
            && name.len() < INTERFACE
            && !name.contains(|letter: char| {
                letter == '/' || letter.is_whitespace() || letter.is_control()
            })
    };
    value.is_empty() || value.split(',').map(str::trim).all(is_name)
}

fn is_quantity(value: &str) -> bool {
    quantity::canonical(value).is_some()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::validate;

    fn first(name: &str, value: &str) -> Option<String> {
        let pod = json!({"metadata": {"annotations": {name: value}}});
        validate(&pod).first().map(ToString::to_string)
    }

    #[test]
    fn what_is_accepted_is_said() {
        for (name, value, expected) in [
            (
                "sidecar.istio.io/interceptionMode",
                "redirect",
                "REDIRECT, TPROXY or NONE",
            ),
            (
                "traffic.sidecar.istio.io/includeOutboundIPRanges",
                "bad",
                "* or IP ranges like 10.0.0.0/8, separated by commas",
            ),
            (
                "traffic.sidecar.istio.io/includeOutboundIPRanges",
                "10.0.0.0/33",
                "* or IP ranges like 10.0.0.0/8, separated by commas",
            ),
            (
                "traffic.sidecar.istio.io/excludeInboundPorts",
                "a",
                "ports from 0 to 65535, separated by commas",
            ),
            (
                "sidecar.istio.io/proxyCPU",
                "10 m",
                "a quantity like 100m or 128Mi",
            ),
            ("proxy.istio.io/config", "- a", "a ProxyConfig as YAML"),
            (
                "istio.io/reroute-virtual-interfaces",
                "a/b",
                "names of network interfaces, separated by commas",
            ),
        ] {
            let expected = format!("annotation {name}: {value:?} is invalid, expected {expected}");
            assert_eq!(first(name, value), Some(expected));
        }
    }

    #[test]
    fn what_can_be_meant_is_accepted() {
        for (name, value) in [
            ("sidecar.istio.io/interceptionMode", "NONE"),
            ("traffic.sidecar.istio.io/includeOutboundIPRanges", "*"),
            ("traffic.sidecar.istio.io/includeOutboundIPRanges", ""),
            (
                "traffic.sidecar.istio.io/excludeOutboundIPRanges",
                "10.0.0.0/8,::/0",
            ),
            ("traffic.sidecar.istio.io/excludeInboundPorts", "1, 2"),
            ("status.sidecar.istio.io/port", "0"),
            ("prometheus.istio.io/merge-metrics", "T"),
            ("unknown.example.com/x", "anything"),
        ] {
            assert_eq!(first(name, value), None, "{name}={value}");
        }
    }
}
