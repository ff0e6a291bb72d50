//! Fields and kinds that are on their way out.

use crate::message::DEPRECATED;
use crate::world::{Report, World, items};

/// Kinds of rbac.istio.io, which AuthorizationPolicy replaced.
const REMOVED: [&str; 4] = [
    "ClusterRbacConfig",
    "RbacConfig",
    "ServiceRole",
    "ServiceRoleBinding",
];

pub fn check(world: &World, report: &mut Report) {
    for rule in world.networking("VirtualService") {
        for http in items(&rule.spec()["http"]) {
            if http["fault"]["delay"]["percent"]
                .as_i64()
                .unwrap_or_default()
                > 0
            {
                report.add(
                    DEPRECATED,
                    rule,
                    "fault.delay.percent is deprecated, use percentage",
                );
            }
        }
    }
    for sidecar in world.networking("Sidecar") {
        if !sidecar.spec()["outboundTrafficPolicy"]["egressProxy"].is_null() {
            report.add(
                DEPRECATED,
                sidecar,
                "outboundTrafficPolicy.egressProxy is deprecated",
            );
        }
    }
    for definition in world.all("apiextensions.k8s.io", "CustomResourceDefinition") {
        let kind = definition.spec()["names"]["kind"]
            .as_str()
            .unwrap_or_default();
        if definition.spec()["group"] == "rbac.istio.io" && REMOVED.contains(&kind) {
            report.add(
                DEPRECATED,
                definition,
                format!("kind {kind} is no longer read, use AuthorizationPolicy"),
            );
        }
    }
    lightstep(world, report);
}

fn lightstep(world: &World, report: &mut Report) {
    let providers = items(&world.mesh["extensionProviders"]);
    let names: Vec<&str> = providers
        .filter(|provider| !provider["lightstep"].is_null())
        .filter_map(|provider| provider["name"].as_str())
        .collect();
    for telemetry in world.all("telemetry.istio.io", "Telemetry") {
        for tracing in items(&telemetry.spec()["tracing"]) {
            let used =
                items(&tracing["providers"]).filter_map(|provider| provider["name"].as_str());
            for name in used.filter(|name| names.contains(name)) {
                report.add(
                    DEPRECATED,
                    telemetry,
                    format!("provider {name} is of kind lightstep, use opentelemetry"),
                );
            }
        }
    }
}
