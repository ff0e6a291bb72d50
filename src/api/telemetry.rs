//! Telemetry: which requests and connections are logged, traced and counted, and by whom.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::duration::Duration;
use crate::networking::WorkloadSelector;
use crate::security::TargetRef;

/// `spec` of a Telemetry.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Telemetry {
    /// Workloads; all of the namespace when absent or empty.
    pub selector: Option<WorkloadSelector>,
    /// The gateway that it is for, in the older form.
    pub target_ref: Option<TargetRef>,
    /// Gateways that it is for.
    pub target_refs: Vec<TargetRef>,
    /// Spans.
    pub tracing: Vec<Tracing>,
    /// Metrics.
    pub metrics: Vec<Metrics>,
    /// Access logs.
    pub access_logging: Vec<AccessLogging>,
}

impl Telemetry {
    /// Labels that it selects by.
    pub fn labels(&self) -> Option<&BTreeMap<String, String>> {
        self.selector.as_ref().map(|selector| &selector.labels)
    }

    /// Gateways that it is for.
    pub fn targets(&self) -> &[TargetRef] {
        TargetRef::all(&self.target_refs, self.target_ref.as_ref())
    }

    /// Whether it is for all workloads of its namespace.
    pub fn is_wide(&self) -> bool {
        self.labels().is_none_or(BTreeMap::is_empty) && self.targets().is_empty()
    }
}

/// A provider by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProviderRef {
    /// The name.
    pub name: String,
}

/// Which end of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Mode {
    /// Both.
    #[default]
    ClientAndServer,
    /// The one that calls; gateways too.
    Client,
    /// The one that is called.
    Server,
}

impl Mode {
    /// Whether it includes an end.
    pub fn includes(self, end: Mode) -> bool {
        self == Mode::ClientAndServer || self == end
    }
}

/// Condition on the end of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct End {
    /// Which end.
    pub mode: Mode,
}

/// Spans.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tracing {
    /// Which end.
    pub r#match: End,
    /// Who takes them; the first counts.
    pub providers: Vec<ProviderRef>,
    /// Share of requests, percents.
    pub random_sampling_percentage: Option<f64>,
    /// Whether none are sent.
    pub disable_span_reporting: Option<bool>,
    /// Tags of spans, by name; they replace those of levels above.
    pub custom_tags: Option<BTreeMap<String, Tag>>,
    /// Whether ids of requests say that they are traced.
    pub use_request_id_for_trace_sampling: Option<bool>,
    /// Whether spans name the workload.
    pub enable_istio_tags: Option<bool>,
    /// Whether calls do not carry the trace on.
    pub disable_context_propagation: Option<bool>,
}

/// A tag of spans: one of the four.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tag {
    /// The same for all spans.
    pub literal: Option<Text>,
    /// Of the proxy's environment.
    pub environment: Option<Named>,
    /// Of the request.
    pub header: Option<Named>,
    /// Text with Envoy's commands.
    pub formatter: Option<Text>,
}

/// A text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Text {
    /// The text.
    pub value: String,
}

/// A value by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Named {
    /// The name.
    pub name: String,
    /// When it is absent.
    pub default_value: String,
}

/// Metrics.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metrics {
    /// Who takes them.
    pub providers: Vec<ProviderRef>,
    /// What is otherwise than usual, in order.
    pub overrides: Vec<MetricOverride>,
    /// How often open connections are reported.
    pub reporting_interval: Option<Duration>,
}

/// What is otherwise than usual.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MetricOverride {
    /// Which metrics; all when absent.
    pub r#match: MetricSelector,
    /// Whether they are not kept.
    pub disabled: Option<bool>,
    /// Their labels, by name.
    pub tag_overrides: BTreeMap<String, TagOverride>,
}

/// Selects metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MetricSelector {
    /// One of the mesh's, or `ALL_METRICS`.
    pub metric: Option<String>,
    /// Another one.
    pub custom_metric: Option<String>,
    /// Which end.
    pub mode: Mode,
}

/// One label of metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TagOverride {
    /// What becomes of it.
    pub operation: Operation,
    /// An expression, in CEL.
    pub value: String,
}

/// What becomes of a label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Operation {
    /// It has a value.
    #[default]
    Upsert,
    /// It is left out.
    Remove,
}

/// Access logs.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AccessLogging {
    /// Which end.
    pub r#match: End,
    /// Who takes them.
    pub providers: Vec<ProviderRef>,
    /// Whether nothing is logged.
    pub disabled: Option<bool>,
    /// What is logged.
    pub filter: Option<LogFilter>,
}

/// What is logged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LogFilter {
    /// An expression, in CEL.
    pub expression: String,
}
