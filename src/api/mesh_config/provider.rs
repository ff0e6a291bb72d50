//! Extension providers: services outside of a proxy that decide or record for it. One field per kind,
//! of which a provider has one.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::collector::{Datadog, OpenTelemetry, Zipkin};
use super::collector::{
    FileLog, HttpLog, Metrics, OtlpLog, Removed, SkyWalking, Stackdriver, TcpLog,
};
use crate::duration::Duration;

/// A provider that policies refer to by its name.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExtensionProvider {
    /// Its name.
    pub name: String,
    /// Asked over HTTP whether a request may pass.
    pub envoy_ext_authz_http: Option<ExtAuthzHttp>,
    /// Asked over gRPC whether a request or a connection may pass.
    pub envoy_ext_authz_grpc: Option<ExtAuthzGrpc>,
    /// Takes spans in Zipkin's form.
    pub zipkin: Option<Zipkin>,
    /// Takes spans in OpenTelemetry's.
    pub opentelemetry: Option<OpenTelemetry>,
    /// Takes spans in Datadog's.
    pub datadog: Option<Datadog>,
    /// Takes spans in SkyWalking's.
    pub skywalking: Option<SkyWalking>,
    /// Took spans, which are now sent in OpenTelemetry's form.
    pub lightstep: Option<Removed>,
    /// Took spans.
    pub opencensus: Option<Removed>,
    /// Metrics that Prometheus reads.
    pub prometheus: Option<Metrics>,
    /// Google's, which proxies do not know any more.
    pub stackdriver: Option<Stackdriver>,
    /// Lines in a file.
    pub envoy_file_access_log: Option<FileLog>,
    /// Takes records of requests over gRPC.
    pub envoy_http_als: Option<HttpLog>,
    /// Takes records of connections over gRPC.
    pub envoy_tcp_als: Option<TcpLog>,
    /// Takes records in OpenTelemetry's form.
    pub envoy_otel_als: Option<OtlpLog>,
    /// Serves secrets.
    pub sds: Option<Removed>,
}

/// What a provider is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Decides about requests.
    Authorization,
    /// Takes access logs.
    AccessLogging,
    /// Takes spans.
    Tracing,
    /// Takes metrics.
    Metrics,
}

impl ExtensionProvider {
    /// Those that every mesh has.
    pub fn built_in() -> Vec<Self> {
        vec![
            ExtensionProvider {
                name: "prometheus".to_owned(),
                prometheus: Some(Metrics {}),
                ..Default::default()
            },
            ExtensionProvider {
                name: "stackdriver".to_owned(),
                stackdriver: Some(Stackdriver {}),
                ..Default::default()
            },
            ExtensionProvider {
                name: "envoy".to_owned(),
                envoy_file_access_log: Some(FileLog {
                    path: "/dev/stdout".to_owned(),
                    ..Default::default()
                }),
                ..Default::default()
            },
        ]
    }

    /// What it can be used for by proxies of today; a provider of a kind that is gone has no use.
    pub fn usage(&self) -> Option<Use> {
        let authorizes = self.envoy_ext_authz_http.is_some() || self.envoy_ext_authz_grpc.is_some();
        let logs = self.envoy_file_access_log.is_some()
            || self.envoy_http_als.is_some()
            || self.envoy_tcp_als.is_some()
            || self.envoy_otel_als.is_some();
        let traces = self.zipkin.is_some()
            || self.opentelemetry.is_some()
            || self.datadog.is_some()
            || self.skywalking.is_some();
        match () {
            () if authorizes => Some(Use::Authorization),
            () if logs => Some(Use::AccessLogging),
            () if traces => Some(Use::Tracing),
            () if self.prometheus.is_some() => Some(Use::Metrics),
            () => None,
        }
    }

    /// The service that answers, and its port; none for providers without.
    pub fn service(&self) -> Option<(&str, u32)> {
        fn of<'a, T>(
            kind: &'a Option<T>,
            at: impl Fn(&'a T) -> (&'a str, u32),
        ) -> Option<(&'a str, u32)> {
            kind.as_ref().map(at)
        }
        of(&self.envoy_ext_authz_http, |own| (&own.service, own.port))
            .or_else(|| of(&self.envoy_ext_authz_grpc, |own| (&own.service, own.port)))
            .or_else(|| of(&self.zipkin, |own| (&own.service, own.port)))
            .or_else(|| of(&self.opentelemetry, |own| (&own.service, own.port)))
            .or_else(|| of(&self.datadog, |own| (&own.service, own.port)))
            .or_else(|| of(&self.skywalking, |own| (&own.service, own.port)))
            .or_else(|| of(&self.envoy_http_als, |own| (&own.service, own.port)))
            .or_else(|| of(&self.envoy_tcp_als, |own| (&own.service, own.port)))
            .or_else(|| of(&self.envoy_otel_als, |own| (&own.service, own.port)))
    }

    /// A second service, which decides what is sampled, and its port.
    pub fn sampling_service(&self) -> Option<(&str, u32)> {
        let sampler = self.opentelemetry.as_ref()?.dynatrace_sampler.as_ref()?;
        let api = sampler.http_service.as_ref()?;
        Some((&api.service, api.port))
    }
}

/// Asked over HTTP whether a request may pass.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExtAuthzHttp {
    /// Host name, or `namespace/host`.
    pub service: String,
    /// Its port.
    pub port: u32,
    /// For an answer; ten minutes when absent.
    pub timeout: Option<Duration>,
    /// Put before the path of the request.
    pub path_prefix: String,
    /// Whether requests pass while nobody answers.
    pub fail_open: bool,
    /// Whether the route is chosen again after an answer.
    pub clear_route_cache: bool,
    /// Status of requests that do not pass because nobody answered.
    pub status_on_error: String,
    /// Headers of the request that it is told of: names, or `prefix*` and `*suffix`.
    pub include_request_headers_in_check: Vec<String>,
    /// The same by its old name, which counts only without the new one.
    pub include_headers_in_check: Vec<String>,
    /// Headers that it is told beside those.
    pub include_additional_headers_in_check: BTreeMap<String, String>,
    /// How much of the body it is told.
    pub include_request_body_in_check: Option<RequestBody>,
    /// Headers of its answer that the workload gets.
    pub headers_to_upstream_on_allow: Vec<String>,
    /// Headers of its answer that the caller gets with a refusal.
    pub headers_to_downstream_on_deny: Vec<String>,
    /// Headers of its answer that the caller gets with the response.
    pub headers_to_downstream_on_allow: Vec<String>,
}

/// Asked over gRPC whether a request or a connection may pass.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExtAuthzGrpc {
    /// Host name, or `namespace/host`.
    pub service: String,
    /// Its port.
    pub port: u32,
    /// For an answer; ten minutes when absent.
    pub timeout: Option<Duration>,
    /// Whether requests pass while nobody answers.
    pub fail_open: bool,
    /// Whether the route is chosen again after an answer.
    pub clear_route_cache: bool,
    /// Status of requests that do not pass because nobody answered.
    pub status_on_error: String,
    /// How much of the body it is told.
    pub include_request_body_in_check: Option<RequestBody>,
}

/// How much of a body an authorizer is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestBody {
    /// At most so many bytes.
    pub max_request_bytes: u32,
    /// Whether it is told the beginning of a larger one, which is refused otherwise.
    pub allow_partial_message: bool,
    /// Whether it is told bytes rather than UTF-8.
    pub pack_as_bytes: bool,
}
