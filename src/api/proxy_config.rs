//! ProxyConfig, as far as it reaches what the control plane sends: headers, topology, tracing,
//! connections. The rest is for injection and for the agent. A proxy says its own in its node.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::duration::Duration;
use crate::networking::destination_rule::ClientTls;

/// Settings of a proxy.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProxyConfig {
    /// Tracing.
    pub tracing: Option<Tracing>,
    /// How a trace names the workload.
    pub tracing_service_name: Option<TracingServiceName>,
    /// Headers that the proxy sets.
    pub proxy_headers: Option<ProxyHeaders>,
    /// What stands in front of a gateway.
    pub gateway_topology: Option<Topology>,
    /// Limits of the connections to it.
    pub connection_settings: Option<ConnectionSettings>,
}

impl ProxyConfig {
    /// Reads settings; what is unknown is left out.
    ///
    /// # Errors
    /// The first field with a value of the wrong type, with its path.
    pub fn parse(value: &Value) -> Result<Self, String> {
        crate::read::read(value).map_err(|wrong| format!("proxy config: {wrong}"))
    }
}

/// Tracing of proxies.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tracing {
    /// Share of requests, percents.
    pub sampling: Option<f64>,
    /// Longest path that a span holds, bytes.
    pub max_path_tag_length: u32,
    /// Further tags of spans.
    pub custom_tags: BTreeMap<String, CustomTag>,
    /// Whether spans name the workload; they do when absent.
    pub enable_istio_tags: Option<bool>,
    /// Zipkin, whose address the bootstrap knows.
    pub zipkin: Option<Collector>,
    /// Datadog.
    pub datadog: Option<Collector>,
    /// Lightstep.
    pub lightstep: Option<Collector>,
    /// TLS towards the collector.
    pub tls_settings: Option<ClientTls>,
}

/// A collector of spans.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Collector {
    /// `host:port`.
    pub address: String,
}

/// A tag of spans: one of the three.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CustomTag {
    /// The same for all spans.
    pub literal: Option<LiteralTag>,
    /// Of the proxy's environment.
    pub environment: Option<NamedTag>,
    /// Of the request.
    pub header: Option<NamedTag>,
}

/// A fixed value.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LiteralTag {
    /// The value.
    pub value: String,
}

/// A value by name.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NamedTag {
    /// The name.
    pub name: String,
    /// When it is absent.
    pub default_value: String,
}

/// How a trace names the workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TracingServiceName {
    /// By label `app` and namespace.
    AppLabelAndNamespace,
    /// By canonical name.
    CanonicalNameOnly,
    /// By canonical name and namespace.
    CanonicalNameAndNamespace,
}

/// Headers that the proxy sets.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProxyHeaders {
    /// `x-forwarded-client-cert`.
    pub forwarded_client_cert: Option<ForwardClientCert>,
    /// What of the certificate it holds.
    pub set_current_client_cert_details: Option<ClientCertDetails>,
    /// `x-request-id`.
    pub request_id: Option<Switch>,
    /// `server`.
    pub server: Option<ServerHeader>,
    /// `x-envoy-attempt-count`.
    pub attempt_count: Option<Switch>,
    /// `x-envoy-*` about timings and upstreams.
    pub envoy_debug_headers: Option<Switch>,
    /// `x-envoy-peer-metadata*`.
    pub metadata_exchange_headers: Option<MetadataExchangeHeaders>,
    /// Names of HTTP/1 headers keep their case.
    pub preserve_http1_header_case: Option<bool>,
    /// `x-forwarded-host`.
    pub x_forwarded_host: Option<Switch>,
    /// `x-forwarded-port`.
    pub x_forwarded_port: Option<Switch>,
}

/// A switch; which of the two it has depends on what holds without it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Switch {
    /// Off.
    pub disabled: Option<bool>,
    /// On.
    pub enabled: Option<bool>,
}

impl Switch {
    /// Whether something that is on by default is switched off.
    pub fn is_off(switch: Option<Switch>) -> bool {
        switch.is_some_and(|switch| switch.disabled == Some(true))
    }

    /// Whether something that is off by default is switched on.
    pub fn is_on(switch: Option<Switch>) -> bool {
        switch.is_some_and(|switch| switch.enabled == Some(true))
    }
}

/// Header `server`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServerHeader {
    /// Left as the workload set it.
    pub disabled: Option<bool>,
    /// Its value.
    pub value: String,
}

/// Headers by which proxies tell each other who they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MetadataExchangeHeaders {
    /// `IN_MESH`: not to hosts outside of the mesh.
    pub mode: String,
}

/// What becomes of `x-forwarded-client-cert`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "each is named as in Envoy")]
pub enum ForwardClientCert {
    Undefined,
    Sanitize,
    ForwardOnly,
    AppendForward,
    SanitizeSet,
    AlwaysForwardOnly,
}

/// What of a client's certificate `x-forwarded-client-cert` holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "each is named as the part of the certificate")]
pub struct ClientCertDetails {
    pub subject: Option<bool>,
    pub cert: Option<bool>,
    pub chain: Option<bool>,
    pub dns: Option<bool>,
    pub uri: Option<bool>,
}

/// What stands in front of a gateway.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Topology {
    /// Proxies whose `x-forwarded-for` is believed.
    pub num_trusted_proxies: u32,
    /// `x-forwarded-client-cert`.
    pub forward_client_cert_details: Option<ForwardClientCert>,
    /// Whether callers begin with the PROXY protocol.
    pub proxy_protocol: Option<BTreeMap<String, Value>>,
}

/// Limits of the connections to a proxy.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "each is named as the setting of Envoy's")]
pub struct ConnectionSettings {
    /// `SIDECAR`, or `EDGE`: defaults for gateways that face strangers.
    pub profile: String,
    pub listener_per_connection_buffer_limit_bytes: Option<i32>,
    pub http_idle_timeout: Option<Duration>,
    pub http_max_connection_duration: Option<Duration>,
    pub http_drain_timeout: Option<Duration>,
    pub http_request_timeout: Option<Duration>,
    pub http_request_headers_timeout: Option<Duration>,
    pub http_stream_idle_timeout: Option<Duration>,
    pub http_max_stream_duration: Option<Duration>,
    pub http_max_concurrent_streams: Option<i32>,
    #[serde(rename = "http2InitialStreamWindowSize")]
    pub http2_initial_stream_window_size: Option<i32>,
    #[serde(rename = "http2InitialConnectionWindowSize")]
    pub http2_initial_connection_window_size: Option<i32>,
    /// `…_ALLOW`, `…_REJECT_REQUEST`, `…_DROP_HEADER`; empty for none.
    pub http_headers_with_underscores_action: String,
    pub http_merge_slashes: Option<bool>,
    /// `KEEP_UNCHANGED`, `REJECT_REQUEST`, `UNESCAPE_AND_REDIRECT`, `UNESCAPE_AND_FORWARD`; empty for none.
    pub http_path_with_escaped_slashes_action: String,
}

impl ConnectionSettings {
    /// The settings with the defaults of profile `EDGE`, for gateways of that profile.
    #[must_use]
    pub fn at_the_edge(mut self) -> Self {
        if self.profile != "EDGE" {
            return self;
        }
        let minutes = |count: u64| Some(Duration::seconds(count * 60));
        self.listener_per_connection_buffer_limit_bytes = self
            .listener_per_connection_buffer_limit_bytes
            .or(Some(32 << 10));
        self.http_idle_timeout = self.http_idle_timeout.or(minutes(60));
        self.http_stream_idle_timeout = self.http_stream_idle_timeout.or(minutes(5));
        self.http_request_timeout = self.http_request_timeout.or(minutes(5));
        self.http_request_headers_timeout = self.http_request_headers_timeout.or(minutes(1));
        self.http_max_concurrent_streams = self.http_max_concurrent_streams.or(Some(100));
        self.http2_initial_stream_window_size =
            self.http2_initial_stream_window_size.or(Some(64 << 10));
        self.http2_initial_connection_window_size =
            self.http2_initial_connection_window_size.or(Some(1 << 20));
        if self.http_headers_with_underscores_action.is_empty() {
            self.http_headers_with_underscores_action =
                "HEADERS_WITH_UNDERSCORES_REJECT_REQUEST".to_owned();
        }
        self.http_merge_slashes = self.http_merge_slashes.or(Some(true));
        if self.http_path_with_escaped_slashes_action.is_empty() {
            self.http_path_with_escaped_slashes_action = "UNESCAPE_AND_REDIRECT".to_owned();
        }
        self
    }
}
