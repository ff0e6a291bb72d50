//! Filters of connection managers and of connections, and Istio's own.

pub(crate) mod authorization;
pub(crate) mod claims;
pub(crate) mod dynamic;
pub(crate) mod ext_authz;
pub(crate) mod guards;
pub(crate) mod jwt;
pub(crate) mod order;
pub(crate) mod peer;

use mesh::{Flavour, Scope};

/// Whether metrics of traffic are kept by Istio's filter, of which Prometheus reads them. An Envoy without that filter
/// refuses every listener that names it.
pub(crate) fn are_counted(scope: &Scope) -> bool {
    let providers = &scope.config.default_providers.metrics;
    scope.flavour == Flavour::IstioProxy && providers.iter().any(|name| name == "prometheus")
}
