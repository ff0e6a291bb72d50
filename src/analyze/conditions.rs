//! Conditions by which a controller says that something is wrong.

use serde_json::Value;

use crate::message::NEGATIVE_CONDITION;
use crate::world::{Report, World, items};

/// Kinds with the conditions that mean trouble when they are False.
const EXPECTED: &[(&str, &str, &[&str])] = &[
    ("", "Service", &["istio.io/WaypointBound"]),
    (
        "networking.istio.io",
        "ServiceEntry",
        &["istio.io/WaypointBound"],
    ),
    (
        "networking.istio.io",
        "WorkloadEntry",
        &["istio.io/WaypointBound"],
    ),
    (
        "security.istio.io",
        "AuthorizationPolicy",
        &["WaypointAccepted", "ZtunnelAccepted"],
    ),
    (
        "gateway.networking.k8s.io",
        "Gateway",
        &["Accepted", "Programmed", "ResolvedRefs"],
    ),
    (
        "gateway.networking.k8s.io",
        "HTTPRoute",
        &["Accepted", "Programmed", "ResolvedRefs"],
    ),
    (
        "gateway.networking.k8s.io",
        "GRPCRoute",
        &["Accepted", "Programmed", "ResolvedRefs"],
    ),
];

pub fn check(world: &World, report: &mut Report) {
    for (group, kind, expected) in EXPECTED {
        for object in world.all(group, kind) {
            let status = &object.value["status"];
            let parents = items(&status["parents"]).flat_map(|parent| items(&parent["conditions"]));
            for condition in items(&status["conditions"]).chain(parents) {
                let text = |name: &str| condition[name].as_str().unwrap_or_default();
                let negative = expected.contains(&text("type")) && condition["status"] == "False";
                if negative || is_partial(kind, condition) {
                    let (name, reason, message) = (text("type"), text("reason"), text("message"));
                    report.add(
                        NEGATIVE_CONDITION,
                        object,
                        format!("condition {name} is False ({reason}): {message}"),
                    );
                }
            }
        }
    }
}

/// Accepted, but not in all its parts.
fn is_partial(kind: &str, condition: &Value) -> bool {
    kind == "AuthorizationPolicy"
        && condition["type"] == "WaypointAccepted"
        && condition["reason"] == "PartiallyInvalid"
}
