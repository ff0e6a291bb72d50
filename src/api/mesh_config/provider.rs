//! Extension providers: services outside of a proxy that decide or record for it. One field per kind,
//! of which a provider has one.

use std::collections::BTreeMap;

use serde::Deserialize;

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
