//! Counters of the operator, with upstream's names (`istio_install_operator_*`) where upstream's
//! operator had a counter of the same meaning.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Labels of counters of writes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabels {
    /// Kind of the object.
    pub kind: String,
}

/// Labels of counters of failures.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ActionLabels {
    /// What was attempted, as [`rollout::Error::label`] names it.
    pub action: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VersionLabels {
    version: String,
}

/// The operator's counters; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Passes.
    pub reconcile_requests: Counter,
    /// Specifications that had errors.
    pub validation_errors: Counter,
    /// Renderings.
    pub renders: Counter,
    /// Objects created.
    pub creations: Family<KindLabels, Counter>,
    /// Objects changed.
    pub updates: Family<KindLabels, Counter>,
    /// Objects deleted with their IstioOperator.
    pub deletions: Family<KindLabels, Counter>,
    /// Objects deleted because they are rendered no longer.
    pub prunes: Family<KindLabels, Counter>,
    /// Actions that failed.
    pub failures: Family<ActionLabels, Counter>,
    /// Status writes.
    pub status_writes: Counter,
}

impl Metrics {
    /// Registers everything; `version` is the program's.
    pub fn registered(registry: &mut Registry, version: &str) -> Metrics {
        let metrics = Metrics::default();
        let registry = registry.sub_registry_with_prefix("istio_install_operator");
        let counter = |registry: &mut Registry, name: &str, help: &str, counter: &Counter| {
            registry.register(name, help, counter.clone());
        };
        let by_kind = |registry: &mut Registry,
                       name: &str,
                       help: &str,
                       family: &Family<KindLabels, Counter>| {
            registry.register(name, help, family.clone());
        };
        counter(
            registry,
            "reconcile_request_total",
            "Passes over IstioOperator resources",
            &metrics.reconcile_requests,
        );
        counter(
            registry,
            "cr_validation_error_total",
            "Passes that found errors in the specification",
            &metrics.validation_errors,
        );
        counter(
            registry,
            "render_manifest_total",
            "Renderings of an installation",
            &metrics.renders,
        );
        counter(
            registry,
            "status_write_total",
            "Writes of status",
            &metrics.status_writes,
        );
        by_kind(
            registry,
            "resource_creation_total",
            "Objects created",
            &metrics.creations,
        );
        by_kind(
            registry,
            "resource_update_total",
            "Objects changed",
            &metrics.updates,
        );
        by_kind(
            registry,
            "resource_deletion_total",
            "Objects deleted with their IstioOperator",
            &metrics.deletions,
        );
        by_kind(
            registry,
            "resource_prune_total",
            "Objects deleted because they are rendered no longer",
            &metrics.prunes,
        );
        registry.register(
            "action_failure_total",
            "Actions on the API server that failed",
            metrics.failures.clone(),
        );
        let running = Family::<VersionLabels, Gauge>::default();
        let version = version.to_owned();
        running.get_or_create(&VersionLabels { version }).set(1);
        registry.register("version", "Version of the operator", running);
        metrics
    }
}
