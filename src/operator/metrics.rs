//! Counters of the operator, with upstream's names and labels (`istio_install_operator_*`) where
//! upstream's operator had a counter of the same meaning. What cannot happen here has none: a
//! rendering that fails, a path of an older API, a cache to flush.

use base::Problem;
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

/// Labels of the counter of renderings.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ComponentLabels {
    /// As in `status.componentStatus`.
    pub component: &'static str,
}

/// Labels of the counter of failed watches.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabels {
    /// The HTTP status, or `Unknown`.
    pub reason: String,
}

/// Labels of the counter of specifications that could not be merged with a profile.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MergeLabels {
    error_type: &'static str,
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
    /// IstioOperators that could not be listed or watched.
    pub fetch_errors: Family<ReasonLabels, Counter>,
    /// IstioOperators that are gone.
    pub deleted: Counter,
    /// Specifications whose profile is not known.
    merge_failures: Family<MergeLabels, Counter>,
    /// Specifications that had errors.
    validation_errors: Counter,
    /// Overlays and paths of them that fit no object.
    patch_errors: Counter,
    /// Renderings, by component.
    pub renders: Family<ComponentLabels, Counter>,
    /// Objects that bear the operator's labels.
    pub owned: Family<KindLabels, Gauge>,
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
    /// Counts what was found wrong with a specification.
    pub fn refused(&self, problems: &[Problem]) {
        self.validation_errors.inc();
        for problem in problems {
            match problem.reason.as_str() {
                "UnknownProfile" => {
                    let error_type = "cannot_fetch_profile";
                    let labels = MergeLabels { error_type };
                    self.merge_failures.get_or_create(&labels).inc();
                }
                "OverlayDoesNotFit" => {
                    self.patch_errors.inc();
                }
                _ => {}
            }
        }
    }

    /// Registers everything; `version` is the program's.
    pub fn registered(registry: &mut Registry, version: &str) -> Metrics {
        let metrics = Metrics::default();
        let registry = registry.sub_registry_with_prefix("istio_install_operator");
        for (name, help, counter) in [
            (
                "reconcile_request_total",
                "Passes over IstioOperator resources",
                &metrics.reconcile_requests,
            ),
            (
                "cr_deletion_total",
                "IstioOperators whose deletion is complete",
                &metrics.deleted,
            ),
            (
                "cr_validation_error_total",
                "Passes that found errors in the specification",
                &metrics.validation_errors,
            ),
            (
                "manifest_patch_error_total",
                "Overlays, and paths of them, that fit no rendered object",
                &metrics.patch_errors,
            ),
            (
                "status_write_total",
                "Writes of status",
                &metrics.status_writes,
            ),
        ] {
            registry.register(name, help, counter.clone());
        }
        for (name, help, family) in [
            (
                "resource_creation_total",
                "Objects created",
                &metrics.creations,
            ),
            ("resource_update_total", "Objects changed", &metrics.updates),
            (
                "resource_deletion_total",
                "Objects deleted with their IstioOperator",
                &metrics.deletions,
            ),
            (
                "resource_prune_total",
                "Objects deleted because they are rendered no longer",
                &metrics.prunes,
            ),
        ] {
            registry.register(name, help, family.clone());
        }
        registry.register(
            "get_cr_error_total",
            "Failures to list or watch IstioOperators",
            metrics.fetch_errors.clone(),
        );
        registry.register(
            "cr_merge_failure_total",
            "Passes that could not merge the specification with a profile",
            metrics.merge_failures.clone(),
        );
        registry.register(
            "render_manifest_total",
            "Renderings of a component",
            metrics.renders.clone(),
        );
        registry.register(
            "owned_resource_total",
            "Objects that bear the operator's labels",
            metrics.owned.clone(),
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

#[cfg(test)]
mod tests {
    use base::{ObjectRef, Problem};
    use prometheus_client::registry::Registry;

    use super::Metrics;

    #[test]
    fn what_is_wrong_with_a_specification_is_counted_under_upstreams_names() {
        let mut registry = Registry::default();
        let metrics = Metrics::registered(&mut registry, "0.1.0");
        let subject = ObjectRef {
            api_version: "install.istio.io/v1alpha1".into(),
            kind: "IstioOperator".into(),
            namespace: None,
            name: "mesh".into(),
        };
        let wrong = |reason: &str| Problem::error(&subject, "spec", reason, "is wrong");
        metrics.refused(&[wrong("UnknownProfile"), wrong("InvalidValue")]);
        metrics.refused(&[wrong("OverlayDoesNotFit"), wrong("OverlayDoesNotFit")]);
        let text = serve::metrics::render(&registry);
        for sample in [
            "cr_validation_error_total 2",
            "cr_merge_failure_total{error_type=\"cannot_fetch_profile\"} 1",
            "manifest_patch_error_total 2",
            "version{version=\"0.1.0\"} 1",
        ] {
            let line = format!("istio_install_operator_{sample}\n");
            assert!(text.contains(&line), "{line}{text}");
        }
    }
}
