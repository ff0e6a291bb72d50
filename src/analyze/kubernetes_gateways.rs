//! Kubernetes' own Gateway API: policies that select where they must refer, and definitions that are too old.

use crate::message::{GATEWAY_API_VERSION, INEFFECTIVE_SELECTOR};
use crate::world::{Report, World, labels, selects};

const GATEWAY: &str = "gateway.networking.k8s.io/gateway-name";
const BUNDLE: &str = "gateway.networking.k8s.io/bundle-version";
/// Definitions with the oldest bundle that has all that is read of them.
const OLDEST: &[(&str, (u64, u64, u64))] = &[
    ("grpcroutes.gateway.networking.k8s.io", (1, 1, 0)),
    ("backendtlspolicies.gateway.networking.k8s.io", (1, 4, 0)),
    ("tlsroutes.gateway.networking.k8s.io", (1, 5, 0)),
    ("tcproutes.gateway.networking.k8s.io", (1, 6, 0)),
];

pub fn check(world: &World, report: &mut Report) {
    let policies = [
        ("security.istio.io", "AuthorizationPolicy"),
        ("security.istio.io", "RequestAuthentication"),
        ("telemetry.istio.io", "Telemetry"),
        ("extensions.istio.io", "WasmPlugin"),
    ];
    for policy in policies
        .iter()
        .flat_map(|(group, kind)| world.all(group, kind))
    {
        let selector = &policy.spec()["selector"];
        if selector.is_null() || !policy.spec()["targetRef"].is_null() {
            continue;
        }
        for pod in world
            .core("Pod")
            .iter()
            .filter(|pod| pod.namespace == policy.namespace)
        {
            if let Some(gateway) = pod.label(GATEWAY)
                && selects(&selector["matchLabels"], labels(pod))
            {
                let text =
                    format!("selects pods of Gateway {gateway}, which only targetRefs reaches");
                report.add(INEFFECTIVE_SELECTOR, policy, text);
            }
        }
    }
    for definition in world.all("apiextensions.k8s.io", "CustomResourceDefinition") {
        let oldest = OLDEST.iter().find(|(name, _)| *name == definition.name);
        let bundle = definition.annotation(BUNDLE);
        if let (Some((_, oldest)), Some(bundle)) = (oldest, bundle)
            && version(bundle).is_some_and(|bundle| bundle < *oldest)
        {
            let (major, minor, patch) = oldest;
            let text = format!(
                "is of version {bundle}, expected at least v{major}.{minor}.{patch}: objects of this kind are not read"
            );
            report.add(GATEWAY_API_VERSION, definition, text);
        }
    }
}

/// `v1.2.3`, whatever follows it.
fn version(text: &str) -> Option<(u64, u64, u64)> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let mut parts = text.split(['.', '-', '+']).map(|part| part.parse().ok());
    Some((
        parts.next()??,
        parts.next()??,
        parts.next().flatten().unwrap_or(0),
    ))
}
