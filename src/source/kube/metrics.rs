//! Events of the API server, counted by kind under upstream's names.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Happened {
    Added,
    Updated,
    Deleted,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Event {
    r#type: &'static str,
    event: &'static str,
}

/// Cloneable; all clones count together.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Of Istio's kinds.
    configuration: Family<Event, Counter>,
    /// Of what services and workloads are made of.
    registry: Family<Event, Counter>,
}

impl Metrics {
    /// Registers all of them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Metrics::default();
        registry.register(
            "pilot_k8s_cfg_events",
            "Events from k8s config",
            metrics.configuration.clone(),
        );
        registry.register(
            "pilot_k8s_reg_events",
            "Events from k8s registry",
            metrics.registry.clone(),
        );
        metrics
    }

    /// An event of a kind; kinds of our own settings are no part of either.
    pub(super) fn count(&self, group: &str, kind: &'static str, happened: Happened) {
        let family = match group {
            group if group.ends_with(".istio.io") => &self.configuration,
            _ => &self.registry,
        };
        // Upstream names these in the plural.
        let r#type = match kind {
            "Service" => "Services",
            "Pod" => "Pods",
            "Node" => "Nodes",
            "Namespace" => "Namespaces",
            other => other,
        };
        let event = match happened {
            Happened::Added => "add",
            Happened::Updated => "update",
            Happened::Deleted => "delete",
        };
        family.get_or_create(&Event { r#type, event }).inc();
    }
}
