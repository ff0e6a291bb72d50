//! Values that upstream knows and that change nothing here, so that nobody believes they do. A test
//! tries every value and keeps the list true.

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

#[cfg(test)]
mod tests;
