//! What injection counts, under upstream's names.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Upper bounds of the times, in seconds.
const BOUNDS: [f64; 8] = [0.1, 1.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0];

/// Requests, how they went, and how long they took.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(crate) requests: Counter,
    pub(crate) injected: Counter,
    pub(crate) failed: Counter,
    pub(crate) skipped: Counter,
    time: Histogram,
}

impl Metrics {
    /// Registers all of them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Metrics {
            requests: Counter::default(),
            injected: Counter::default(),
            failed: Counter::default(),
            skipped: Counter::default(),
            time: Histogram::new(BOUNDS),
        };
        for (name, help, counter) in [
            (
                "sidecar_injection_requests_total",
                "Total number of sidecar injection requests",
                &metrics.requests,
            ),
            (
                "sidecar_injection_success_total",
                "Total number of successful sidecar injection requests",
                &metrics.injected,
            ),
            (
                "sidecar_injection_failure_total",
                "Total number of failed sidecar injection requests",
                &metrics.failed,
            ),
            (
                "sidecar_injection_skip_total",
                "Total number of skipped sidecar injection requests",
                &metrics.skipped,
            ),
        ] {
            registry.register(name, help, counter.clone());
        }
        registry.register(
            "sidecar_injection_time_seconds",
            "Total time taken for injection in seconds",
            metrics.time.clone(),
        );
        metrics
    }

    pub(crate) fn took(&self, time: Duration) {
        self.time.observe(time.as_secs_f64());
    }
}
