//! What writing status counts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Outcome {
    result: &'static str,
}

/// Cloneable; all clones count together.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    writes: Family<Outcome, Counter>,
    rejected: Gauge,
}

impl Metrics {
    /// Registers all of them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Metrics::default();
        registry.register(
            "istiod_status_writes_total",
            "Writes to the status of users' objects and of reports to the replica that leads, by how they ended",
            metrics.writes.clone(),
        );
        registry.register(
            "pilot_total_rejected_configs",
            "Objects that are invalid or that proxies refused",
            metrics.rejected.clone(),
        );
        metrics
    }

    pub(crate) fn wrote(&self, result: &'static str) {
        self.writes.get_or_create(&Outcome { result }).inc();
    }

    pub(crate) fn rejected(&self, objects: usize) {
        self.rejected
            .set(i64::try_from(objects).unwrap_or(i64::MAX));
    }
}
