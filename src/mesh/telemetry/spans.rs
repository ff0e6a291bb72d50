//! Which requests leave spans, and who takes them. Every setting is inherited by itself; tags are
//! replaced as a whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::mesh_config::Use;
use api::telemetry::{Mode, Tag, Telemetry};

use super::{Collector, Known};

/// Who takes spans.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Spans {
    /// Whoever the proxy's own bootstrap names, by the mesh's own settings.
    #[default]
    OfMesh,
    /// Nobody.
    Off,
    /// A provider.
    To(Arc<Tracer>),
}

/// Spans for a provider.
#[derive(Clone, Debug, PartialEq)]
pub struct Tracer {
    /// Who takes them.
    pub by: Arc<Collector>,
    /// Share of requests, percents; that of the proxy's settings when absent.
    pub sampling: Option<f64>,
    /// Further tags by name; those of the proxy's settings when there are none.
    pub tags: BTreeMap<String, Tag>,
    /// Whether ids of requests say that they are traced.
    pub by_request_id: bool,
    /// Whether spans name the workload.
    pub names_workload: bool,
    /// Whether calls carry the trace on.
    pub carries_on: bool,
}

pub(super) fn merged(known: &Known, levels: &[&Telemetry], end: Mode) -> Spans {
    let of_mesh = known.config.default_providers.tracing.first();
    let entries: Vec<_> = levels.iter().flat_map(|level| &level.tracing).collect();
    if entries.is_empty() && of_mesh.is_none() {
        return Spans::OfMesh;
    }
    let mut name = of_mesh.map(String::as_str);
    let mut disabled = false;
    let mut sampling = None;
    let mut tags = None;
    let mut by_request_id = true;
    let mut names_workload = true;
    let mut carries_on = true;
    for entry in entries {
        if !entry.r#match.mode.includes(end) {
            continue;
        }
        // There is one per connection manager, so the first counts.
        if let Some(first) = entry.providers.first() {
            name = Some(&first.name);
        }
        disabled = entry.disable_span_reporting.unwrap_or(disabled);
        tags = entry.custom_tags.as_ref().or(tags);
        sampling = entry.random_sampling_percentage.or(sampling);
        by_request_id = entry
            .use_request_id_for_trace_sampling
            .unwrap_or(by_request_id);
        names_workload = entry.enable_istio_tags.unwrap_or(names_workload);
        if let Some(not) = entry.disable_context_propagation {
            carries_on = !not;
        }
    }
    let usable = name.and_then(|name| known.usable(name, Use::Tracing).ok());
    match usable {
        Some(by) if !disabled => Spans::To(Arc::new(Tracer {
            by: by.clone(),
            sampling,
            tags: tags.cloned().unwrap_or_default(),
            by_request_id,
            names_workload,
            carries_on,
        })),
        _ => Spans::Off,
    }
}
