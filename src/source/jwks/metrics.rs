//! Fetches of keys, counted under upstream's names.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

/// Cloneable; all clones count together.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    succeeded: Counter,
    failed: Counter,
}

impl Metrics {
    /// Registers all of them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Metrics::default();
        registry.register(
            "pilot_jwks_resolver_network_fetch_success_total",
            "Fetches of keys of issuers that gave a key set",
            metrics.succeeded.clone(),
        );
        registry.register(
            "pilot_jwks_resolver_network_fetch_fail_total",
            "Fetches of keys of issuers that failed, or gave no key set that proxies can use",
            metrics.failed.clone(),
        );
        metrics
    }

    /// A fetch ended.
    pub(super) fn count(&self, succeeded: bool) {
        let counter = match succeeded {
            true => &self.succeeded,
            false => &self.failed,
        };
        counter.inc();
    }

    /// How many succeeded and failed.
    #[cfg(test)]
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.succeeded.get(), self.failed.get())
    }
}
