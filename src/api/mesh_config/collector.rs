//! Extension providers that record for proxies: access logs, spans, metrics. Each as it is written
//! in the mesh config; what a proxy is told of it is not decided here.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::duration::Duration;

/// Lines in a file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FileLog {
    /// The file; standard output when empty.
    pub path: String,
    /// What a line says; upstream's format when absent.
    pub log_format: Option<FileFormat>,
    /// Whether what is empty is left out instead of written as `-`.
    pub omit_empty_values: bool,
}

/// What a line says: one of the two.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FileFormat {
    /// Text with Envoy's commands.
    pub text: Option<String>,
    /// JSON whose values have them.
    pub labels: Option<Map<String, Value>>,
}

/// Takes records of requests over gRPC.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpLog {
    /// Host name, or `namespace/host`.
    pub service: String,
    /// Its port.
    pub port: u32,
    /// Name of the log; `http_envoy_accesslog` when empty.
    pub log_name: String,
    /// State of filters that is sent along; that of peers when empty.
    pub filter_state_objects_to_log: Vec<String>,
    /// Headers of requests that are sent along.
    pub additional_request_headers_to_log: Vec<String>,
    /// Headers of responses.
    pub additional_response_headers_to_log: Vec<String>,
    /// Trailers of responses.
    pub additional_response_trailers_to_log: Vec<String>,
}

/// Takes records of connections over gRPC.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpLog {
    /// Host name, or `namespace/host`.
    pub service: String,
    /// Its port.
    pub port: u32,
    /// Name of the log; `tcp_envoy_accesslog` when empty.
    pub log_name: String,
    /// State of filters that is sent along; that of peers when empty.
    pub filter_state_objects_to_log: Vec<String>,
}

/// Takes records in OpenTelemetry's form.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OtlpLog {
    /// Host name, or `namespace/host`.
    pub service: String,
    /// Its port.
    pub port: u32,
    /// Name of the log; `otel_envoy_accesslog` when empty.
    pub log_name: String,
    /// What a record says; upstream's format when absent.
    pub log_format: Option<OtlpFormat>,
}

/// What a record says.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OtlpFormat {
    /// Its body.
    pub text: String,
    /// Its attributes.
    pub labels: Map<String, Value>,
}

/// Takes spans in Zipkin's form.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Zipkin {
    /// Host name, or `namespace/host`.
    pub service: String,
    /// Its port.
    pub port: u32,
    /// Longest path that a span holds, bytes; 0 for Envoy's default.
    pub max_tag_length: u32,
    /// Whether ids of traces have half the length.
    pub enable64bit_trace_id: bool,
    /// Where spans are posted; `/api/v2/spans` when empty.
    pub path: String,
    /// Headers by which calls carry the trace on.
    pub trace_context_option: TraceContext,
    /// For an answer; five seconds when absent.
    pub timeout: Option<Duration>,
    /// Headers that go with spans.
    pub headers: Vec<Header>,
}

/// Headers by which calls carry a trace on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TraceContext {
    /// Those of B3.
    #[default]
    UseB3,
    /// Those of B3 and of the W3C.
    #[serde(rename = "USE_B3_WITH_W3C_PROPAGATION")]
    UseB3WithW3cPropagation,
}

/// Takes spans in Datadog's form.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Datadog {
    /// Host name, or `namespace/host`.
    pub service: String,
    /// Its port.
    pub port: u32,
    /// Longest path that a span holds, bytes; 0 for Envoy's default.
    pub max_tag_length: u32,
}

/// Takes spans in SkyWalking's form.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SkyWalking {
    /// Host name, or `namespace/host`.
    pub service: String,
    /// Its port.
    pub port: u32,
}

/// Takes spans in OpenTelemetry's form.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OpenTelemetry {
    /// Host name, or `namespace/host`.
    pub service: String,
    /// Its port.
    pub port: u32,
    /// Longest path that a span holds, bytes; 0 for Envoy's default.
    pub max_tag_length: u32,
    /// Spans are posted rather than sent over gRPC.
    pub http: Option<HttpService>,
    /// How they are sent over gRPC.
    pub grpc: Option<GrpcService>,
    /// What spans say of the proxy beyond its name.
    pub resource_detectors: Option<ResourceDetectors>,
    /// What is sampled is decided elsewhere.
    pub dynatrace_sampler: Option<DynatraceSampler>,
    /// How spans name the proxy.
    pub service_attribute_enrichment: Enrichment,
}

/// How something is posted.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpService {
    /// Where to.
    pub path: String,
    /// For an answer.
    pub timeout: Option<Duration>,
    /// Headers that go with it.
    pub headers: Vec<Header>,
}

/// How something is sent over gRPC.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcService {
    /// For an answer.
    pub timeout: Option<Duration>,
    /// Headers that go with it.
    pub initial_metadata: Vec<Header>,
}

/// A header: its value, or the variable of the control plane's environment that has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Option<String>,
    /// The variable.
    pub env_name: Option<String>,
}

/// What spans say of the proxy beyond its name.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceDetectors {
    /// What `OTEL_RESOURCE_ATTRIBUTES` of the proxy says.
    pub environment: Option<Map<String, Value>>,
    /// What Dynatrace knows.
    pub dynatrace: Option<Map<String, Value>>,
}

/// Dynatrace decides what is sampled.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DynatraceSampler {
    /// The tenant.
    pub tenant: String,
    /// The cluster.
    pub cluster_id: i32,
    /// Traces that begin here, a minute, until it decides.
    pub root_spans_per_minute: u32,
    /// Where it is asked; where spans are posted when absent.
    pub http_service: Option<DynatraceApi>,
}

/// Where Dynatrace is asked.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DynatraceApi {
    /// Host name, or `namespace/host`.
    pub service: String,
    /// Its port.
    pub port: u32,
    /// How.
    pub http: HttpService,
}

/// How spans name the proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Enrichment {
    /// As the mesh does.
    #[default]
    IstioCanonical,
    /// As OpenTelemetry says for Kubernetes.
    OtelSemanticConventions,
}

/// Metrics that Prometheus reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Metrics {}

/// Google's; nothing of it reaches proxies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Stackdriver {}

/// A kind that no proxy of today has, or that is not the mesh's to tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Removed {}
