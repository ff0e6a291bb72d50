//! Values that upstream knows and that change nothing here, so that nobody believes they do. A test
//! tries every value and keeps the list true.

use api::features::Features;

/// Paths below `values`; what stands below one of them changes nothing either.
pub(super) const INERT: &[&str] = &[
    "base.validateGateway",
    "cni",
    "gatewayClasses",
    "gateways.enabled",
    "gateways.istio-egressgateway.injectionTemplate",
    "gateways.istio-egressgateway.memory",
    "gateways.istio-egressgateway.name",
    "gateways.istio-ingressgateway.injectionTemplate",
    "gateways.istio-ingressgateway.memory",
    "gateways.istio-ingressgateway.name",
    "gateways.seccompProfile",
    "global.agentgateway",
    "global.jwtPolicy",
    "global.multiCluster.enabled",
    "global.multiCluster.globalDomainSuffix",
    "global.multiCluster.includeEnvoyFilter",
    "global.podDNSSearchNamespaces",
    "global.proxy_init.resources",
    "global.revision",
    "global.tracer",
    "global.waypoint",
    "istio_cni",
    "ownerName",
    "pilot.cni.chained",
    "pilot.enabled",
    "sidecarInjectorWebhook.injectionURL",
    "ztunnel",
];

/// Variables that the discovery role takes where its command line says nothing. A test of that role
/// keeps the list true.
pub const READ_BY_DISCOVERY: &[&str] = &[
    "BLOCKED_CIDRS_IN_JWKS_URIS",
    "CLUSTER_ID",
    "COMPLIANCE_POLICY",
    "DEFAULT_WORKLOAD_CERT_TTL",
    "ISTIOD_CUSTOM_HOST",
    "MAX_WORKLOAD_CERT_TTL",
    "PILOT_CERT_PROVIDER",
    "PILOT_ENABLE_XDS_IDENTITY_CHECK",
    "PILOT_JWT_PUB_KEY_REFRESH_INTERVAL",
    "POD_NAME",
    "POD_NAMESPACE",
    "REVISION",
    "TOKEN_AUDIENCES",
];

/// Whether the control plane reads a variable of this name.
pub(super) fn reads(name: &str) -> bool {
    READ_BY_DISCOVERY.contains(&name) || Features::reads(name)
}

#[cfg(test)]
mod tests;
