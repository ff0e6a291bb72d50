//! What injection and validation count, under upstream's names.

use std::time::Duration;

use axum::http::StatusCode;
use base::ObjectRef;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
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

/// Why an object was refused, in upstream's words.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(crate) enum Reason {
    UnsupportedOperation,
    UnknownType,
    InvalidConfig,
}

impl EncodeLabelValue for Reason {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        let word = match self {
            Reason::UnsupportedOperation => "unsupported_operation",
            Reason::UnknownType => "unknown_type",
            Reason::InvalidConfig => "invalid_resource",
        };
        EncodeLabelValue::encode(&word, encoder)
    }
}

/// A kind of Istio's API. Objects come from whoever reaches the port: kinds that are none share one label.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Resource {
    group: String,
    version: String,
    resource: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Failure {
    group: String,
    version: String,
    resource: &'static str,
    reason: Reason,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Http {
    status: u16,
}

/// What validation counts. Cloneable; all clones count together.
#[derive(Clone, Debug, Default)]
pub struct Validation {
    passed: Family<Resource, Counter>,
    failed: Family<Failure, Counter>,
    unreadable: Family<Http, Counter>,
}

impl Validation {
    /// Registers all of them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Validation::default();
        registry.register(
            "galley_validation_passed",
            "Resource is valid",
            metrics.passed.clone(),
        );
        registry.register(
            "galley_validation_failed",
            "Resource validation failed",
            metrics.failed.clone(),
        );
        registry.register(
            "galley_validation_http_error",
            "Resource validation http serve errors",
            metrics.unreadable.clone(),
        );
        metrics
    }

    pub(crate) fn passed(&self, subject: &ObjectRef) {
        self.passed.get_or_create(&resource(subject)).inc();
    }

    pub(crate) fn failed(&self, subject: &ObjectRef, reason: Reason) {
        let Resource {
            group,
            version,
            resource,
        } = resource(subject);
        let failure = Failure {
            group,
            version,
            resource,
            reason,
        };
        self.failed.get_or_create(&failure).inc();
    }

    pub(crate) fn unreadable(&self, status: StatusCode) {
        let status = status.as_u16();
        self.unreadable.get_or_create(&Http { status }).inc();
    }
}

fn resource(subject: &ObjectRef) -> Resource {
    match api::crds::plural(subject.group(), subject.version(), &subject.kind) {
        Some(resource) => Resource {
            group: subject.group().to_owned(),
            version: subject.version().to_owned(),
            resource,
        },
        None => Resource {
            group: "other".to_owned(),
            version: "other".to_owned(),
            resource: "other",
        },
    }
}
