//! VirtualService: how requests to hosts are routed.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::PortSelector;
use super::matching::StringMatch;
use crate::duration::Duration;

/// `spec` of a VirtualService.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VirtualService {
    /// Hosts that it routes; empty in a delegate.
    pub hosts: Vec<String>,
    /// Gateways that it applies to; empty means `mesh`.
    pub gateways: Vec<String>,
    /// HTTP rules, first match wins.
    pub http: Vec<HttpRoute>,
    /// Rules for TLS connections that are passed through.
    pub tls: Vec<TlsRoute>,
    /// Rules for opaque connections.
    pub tcp: Vec<TcpRoute>,
    /// Namespaces that see it; empty means the mesh's default.
    pub export_to: Vec<String>,
}

/// One HTTP rule.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRoute {
    /// Its name, for logs.
    pub name: String,
    /// Any of these; empty matches everything.
    pub r#match: Vec<HttpMatch>,
    /// Where to, by weight.
    pub route: Vec<HttpDestination>,
    /// Answer with a redirect.
    pub redirect: Option<Redirect>,
    /// Answer at once.
    pub direct_response: Option<DirectResponse>,
    /// Go on in another VirtualService.
    pub delegate: Option<Delegate>,
    /// Change path and authority on the way.
    pub rewrite: Option<Rewrite>,
    /// For the whole request with its retries.
    pub timeout: Option<Duration>,
    /// Retry policy.
    pub retries: Option<Retry>,
    /// Delays and aborts on purpose.
    pub fault: Option<Fault>,
    /// Where copies go.
    pub mirror: Option<Destination>,
    /// Share of requests that are copied, whole percents (deprecated form).
    #[serde(alias = "mirror_percent")]
    pub mirror_percent: Option<u32>,
    /// Share of requests that are copied.
    pub mirror_percentage: Option<Percent>,
    /// Several mirrors.
    pub mirrors: Vec<Mirror>,
    /// Cross-origin policy.
    pub cors_policy: Option<CorsPolicy>,
    /// Header changes.
    pub headers: Option<Headers>,
}

/// Conditions of which all must hold.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpMatch {
    /// Its name, for logs.
    pub name: String,
    /// Path.
    pub uri: Option<StringMatch>,
    /// Scheme.
    pub scheme: Option<StringMatch>,
    /// Method.
    pub method: Option<StringMatch>,
    /// Host header.
    pub authority: Option<StringMatch>,
    /// Headers that must match.
    pub headers: BTreeMap<String, StringMatch>,
    /// Headers that must not match.
    pub without_headers: BTreeMap<String, StringMatch>,
    /// Port of the host, 0 for any.
    pub port: u32,
    /// Labels of the calling workload.
    pub source_labels: BTreeMap<String, String>,
    /// Namespace of the calling workload.
    pub source_namespace: String,
    /// Gateways, instead of those of the VirtualService.
    pub gateways: Vec<String>,
    /// Query parameters.
    pub query_params: BTreeMap<String, StringMatch>,
    /// Whether the path is matched without regard to case.
    pub ignore_uri_case: bool,
    /// Prefix of statistics.
    pub stat_prefix: String,
}

/// One weighted destination.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpDestination {
    /// Where to.
    pub destination: Destination,
    /// Relative weight.
    pub weight: i32,
    /// Header changes for this destination.
    pub headers: Option<Headers>,
}

/// A host, a subset of it and a port.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Destination {
    /// Name in the service registry; short names are relative to the VirtualService's namespace.
    pub host: String,
    /// Subset of its DestinationRule.
    pub subset: String,
    /// Needed when the host has several.
    pub port: Option<PortSelector>,
}

/// A redirect.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Redirect {
    /// New path.
    pub uri: String,
    /// New beginning of the path, where the match was a prefix.
    pub prefix_rewrite: String,
    /// New authority.
    pub authority: String,
    /// New port.
    pub port: Option<u32>,
    /// `FROM_PROTOCOL_DEFAULT` or `FROM_REQUEST_PORT`.
    pub derive_port: Option<String>,
    /// New scheme.
    pub scheme: String,
    /// Status, 301 by default.
    pub redirect_code: u32,
}

/// An answer without an upstream.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DirectResponse {
    /// HTTP status.
    pub status: u32,
    /// Body.
    pub body: Option<Body>,
}

/// Body of a direct response: text, or bytes in base64.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Body {
    /// As text.
    pub string: Option<String>,
    /// As base64.
    pub bytes: Option<String>,
}

/// Another VirtualService.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Delegate {
    /// Its name.
    pub name: String,
    /// Its namespace, the same when empty.
    pub namespace: String,
}

/// Changes of path and authority.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rewrite {
    /// New path, or new beginning of it when the match was a prefix.
    pub uri: String,
    /// New authority.
    pub authority: String,
    /// Path by regular expression.
    pub uri_regex_rewrite: Option<RegexRewrite>,
}

/// Replaces what matches.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RegexRewrite {
    /// RE2 pattern.
    pub r#match: String,
    /// Replacement with `\1`.
    pub rewrite: String,
}

/// Retry policy.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Retry {
    /// How many times; 0 disables.
    pub attempts: i32,
    /// For each attempt.
    pub per_try_timeout: Option<Duration>,
    /// Conditions of Envoy, with status codes among them.
    pub retry_on: String,
    /// Whether other localities may be tried.
    pub retry_remote_localities: Option<bool>,
    /// Whether hosts that failed are avoided, true by default.
    pub retry_ignore_previous_hosts: Option<bool>,
    /// Base interval between attempts.
    pub backoff: Option<Duration>,
}

/// Faults on purpose.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Fault {
    /// Delays.
    pub delay: Option<Delay>,
    /// Aborts.
    pub abort: Option<Abort>,
}

/// A fixed delay for a share of requests.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Delay {
    /// How long.
    pub fixed_delay: Option<Duration>,
    /// Share, whole percents (deprecated form).
    pub percent: Option<u32>,
    /// Share.
    pub percentage: Option<Percent>,
}

/// An error for a share of requests.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Abort {
    /// HTTP status.
    pub http_status: Option<u32>,
    /// gRPC status by name.
    pub grpc_status: Option<String>,
    /// Share.
    pub percentage: Option<Percent>,
}

/// 0 to 100.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Percent {
    /// Percents.
    pub value: f64,
}

/// A mirror with its share.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Mirror {
    /// Where copies go.
    pub destination: Destination,
    /// Share, all by default.
    pub percentage: Option<Percent>,
}

/// Cross-origin policy.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CorsPolicy {
    /// Origins, exact (deprecated form).
    pub allow_origin: Vec<String>,
    /// Origins.
    pub allow_origins: Vec<StringMatch>,
    /// Methods.
    pub allow_methods: Vec<String>,
    /// Request headers.
    pub allow_headers: Vec<String>,
    /// Response headers that scripts may read.
    pub expose_headers: Vec<String>,
    /// How long a preflight may be remembered.
    pub max_age: Option<Duration>,
    /// Whether credentials may be sent.
    pub allow_credentials: Option<bool>,
    /// `FORWARD` or `IGNORE`.
    pub unmatched_preflights: Option<String>,
}

/// Header changes on the way there and back.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Headers {
    /// Of requests.
    pub request: HeaderOperations,
    /// Of responses.
    pub response: HeaderOperations,
}

/// Header changes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HeaderOperations {
    /// Replace.
    pub set: BTreeMap<String, String>,
    /// Append.
    pub add: BTreeMap<String, String>,
    /// Remove.
    pub remove: Vec<String>,
}

/// One rule for TLS connections.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TlsRoute {
    /// Any of these.
    pub r#match: Vec<TlsMatch>,
    /// Where to, by weight.
    pub route: Vec<RouteDestination>,
}

/// Conditions on a TLS connection.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TlsMatch {
    /// Server names.
    pub sni_hosts: Vec<String>,
    /// Destination addresses.
    pub destination_subnets: Vec<String>,
    /// Port, 0 for any.
    pub port: u32,
    /// Labels of the calling workload.
    pub source_labels: BTreeMap<String, String>,
    /// Namespace of the calling workload.
    pub source_namespace: String,
    /// Gateways.
    pub gateways: Vec<String>,
}

/// One rule for opaque connections.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpRoute {
    /// Any of these; empty matches everything.
    pub r#match: Vec<L4Match>,
    /// Where to, by weight.
    pub route: Vec<RouteDestination>,
}

/// Conditions on an opaque connection.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct L4Match {
    /// Destination addresses.
    pub destination_subnets: Vec<String>,
    /// Port, 0 for any.
    pub port: u32,
    /// Source addresses, of gateways only.
    pub source_subnet: String,
    /// Labels of the calling workload.
    pub source_labels: BTreeMap<String, String>,
    /// Namespace of the calling workload.
    pub source_namespace: String,
    /// Gateways.
    pub gateways: Vec<String>,
}

/// One weighted destination of connections.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteDestination {
    /// Where to.
    pub destination: Destination,
    /// Relative weight.
    pub weight: i32,
}

/// Names of gRPC's statuses; the place of each is its number.
pub const GRPC_STATUSES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];
