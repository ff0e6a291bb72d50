//! DestinationRule: how a host is called once it is chosen.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{PortSelector, WorkloadSelector};
use crate::duration::Duration;

/// `spec` of a DestinationRule.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DestinationRule {
    /// Host or wildcard; short names are relative to its namespace.
    pub host: String,
    /// For all subsets and ports.
    pub traffic_policy: Option<TrafficPolicy>,
    /// Named groups of endpoints.
    pub subsets: Vec<Subset>,
    /// Namespaces that see it.
    pub export_to: Vec<String>,
    /// Workloads that it applies to; all when absent.
    pub workload_selector: Option<WorkloadSelector>,
}

/// How a host, subset or port is called.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TrafficPolicy {
    /// Load balancing.
    pub load_balancer: Option<LoadBalancer>,
    /// Limits of connections and requests.
    pub connection_pool: Option<ConnectionPool>,
    /// Ejection of endpoints that fail.
    pub outlier_detection: Option<OutlierDetection>,
    /// TLS towards the host.
    pub tls: Option<ClientTls>,
    /// Per port; such a policy replaces the others as a whole.
    pub port_level_settings: Vec<PortPolicy>,
    /// TCP inside of HTTP towards the host.
    pub tunnel: Option<Tunnel>,
    /// Tell the host the address of the caller.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Retries at a time, as a share of the requests.
    pub retry_budget: Option<RetryBudget>,
}

/// TCP inside of HTTP CONNECT or POST.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tunnel {
    /// `CONNECT`, which is the default, or `POST`.
    pub protocol: String,
    /// Host that is asked for.
    pub target_host: String,
    /// Port that is asked for.
    pub target_port: u32,
}

/// PROXY protocol towards a host.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProxyProtocol {
    /// `V1`, which is the default, or `V2`.
    pub version: String,
}

/// Retries at a time.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RetryBudget {
    /// Share of the requests, percents; 20 by default.
    pub percent: Option<f64>,
    /// Time over which requests are counted.
    pub budget_interval: Option<Duration>,
    /// At least so many, 0 for the default of 3.
    pub min_retry_concurrency: u32,
}

/// A policy of one port.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PortPolicy {
    /// Which port.
    pub port: PortSelector,
    /// Load balancing.
    pub load_balancer: Option<LoadBalancer>,
    /// Limits of connections and requests.
    pub connection_pool: Option<ConnectionPool>,
    /// Ejection of endpoints that fail.
    pub outlier_detection: Option<OutlierDetection>,
    /// TLS towards the port.
    pub tls: Option<ClientTls>,
}

/// A named group of endpoints.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Subset {
    /// Name that routes use.
    pub name: String,
    /// Labels of its endpoints.
    pub labels: BTreeMap<String, String>,
    /// Overrides, setting by setting.
    pub traffic_policy: Option<TrafficPolicy>,
}

/// Load balancing.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LoadBalancer {
    /// `UNSPECIFIED`, `RANDOM`, `PASSTHROUGH`, `ROUND_ROBIN`, `LEAST_REQUEST`, `LEAST_CONN`.
    pub simple: Option<String>,
    /// Same caller, same endpoint.
    pub consistent_hash: Option<ConsistentHash>,
    /// By distance.
    pub locality_lb_setting: Option<LocalityLb>,
    /// Endpoints get their full share only after this time.
    pub warmup_duration_secs: Option<Duration>,
    /// Warm-up in detail.
    pub warmup: Option<Warmup>,
    /// By distance, as Envoy measures it.
    pub zone_aware_lb_setting: Option<ZoneAwareLb>,
}

/// Load balancing by zones, as far as they have endpoints.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ZoneAwareLb {
    /// Switch, on when absent.
    pub enabled: Option<bool>,
    /// Where traffic goes when a region fails.
    pub failover: Vec<Failover>,
    /// Labels whose equality with the caller orders endpoints.
    pub failover_priority: Vec<String>,
    /// Below this number of endpoints distance does not count.
    pub min_cluster_size: Option<u32>,
}

/// Warm-up of new endpoints.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Warmup {
    /// How long.
    pub duration: Option<Duration>,
    /// Lowest share of the full weight, percents.
    pub minimum_percent: Option<f64>,
    /// Shape of the curve, 1 is a line.
    pub aggression: Option<f64>,
}

/// What is hashed, and how.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsistentHash {
    /// A header.
    pub http_header_name: Option<String>,
    /// A cookie.
    pub http_cookie: Option<HttpCookie>,
    /// The source address.
    pub use_source_ip: Option<bool>,
    /// A query parameter.
    pub http_query_parameter_name: Option<String>,
    /// Deprecated place of the ring's size.
    pub minimum_ring_size: Option<u64>,
    /// Ring hash.
    pub ring_hash: Option<RingHash>,
    /// Maglev.
    pub maglev: Option<Maglev>,
}

/// A cookie that is hashed, and made when absent.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpCookie {
    /// Its name.
    pub name: String,
    /// Its path.
    pub path: String,
    /// Lifetime of made cookies; absent means that none is made.
    pub ttl: Option<Duration>,
    /// Further attributes of made cookies.
    pub attributes: Vec<CookieAttribute>,
}

/// An attribute of a cookie.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CookieAttribute {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// Ring hash.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RingHash {
    /// Smallest size of the ring.
    pub minimum_ring_size: u64,
}

/// Maglev.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Maglev {
    /// Size of the table.
    pub table_size: Option<u64>,
}

/// Load balancing by distance.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LocalityLb {
    /// Shares by locality.
    pub distribute: Vec<Distribute>,
    /// Where traffic goes when a region fails.
    pub failover: Vec<Failover>,
    /// Labels whose equality with the caller orders endpoints.
    pub failover_priority: Vec<String>,
    /// Switch, the mesh's setting when absent.
    pub enabled: Option<bool>,
}

/// Shares of traffic from one locality.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Distribute {
    /// `region/zone/*` of the caller.
    pub from: String,
    /// Percents by locality.
    pub to: BTreeMap<String, u32>,
}

/// Next region when one fails.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Failover {
    /// Region of the caller.
    pub from: String,
    /// Next region.
    pub to: String,
}

/// Limits.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConnectionPool {
    /// Of connections.
    pub tcp: Option<TcpSettings>,
    /// Of requests.
    pub http: Option<HttpSettings>,
}

/// Limits of connections.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpSettings {
    /// Most connections, 0 for the default.
    pub max_connections: i32,
    /// Time to connect.
    pub connect_timeout: Option<Duration>,
    /// Keepalive probes.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// Longest life of a connection.
    pub max_connection_duration: Option<Duration>,
    /// Longest silence of a connection.
    pub idle_timeout: Option<Duration>,
}

/// Keepalive probes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpKeepalive {
    /// Unanswered probes before the connection is dead.
    pub probes: u32,
    /// Silence before the first probe.
    pub time: Option<Duration>,
    /// Between probes.
    pub interval: Option<Duration>,
}

/// Limits of requests.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpSettings {
    /// Requests that wait for a connection.
    pub http1_max_pending_requests: i32,
    /// Requests at a time.
    pub http2_max_requests: i32,
    /// Requests of a connection in its life.
    pub max_requests_per_connection: i32,
    /// Retries at a time.
    pub max_retries: i32,
    /// Longest silence of a connection.
    pub idle_timeout: Option<Duration>,
    /// `DEFAULT`, `DO_NOT_UPGRADE`, `UPGRADE`.
    pub h2_upgrade_policy: Option<String>,
    /// Speak the protocol of the caller.
    pub use_client_protocol: bool,
    /// Streams at a time of one HTTP/2 connection.
    pub max_concurrent_streams: i32,
    /// Pings of HTTP/2 connections.
    pub http2_keep_alive: Option<Http2KeepAlive>,
}

/// Pings of HTTP/2 connections.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Http2KeepAlive {
    /// Between pings.
    pub interval: Option<Duration>,
    /// How long an answer may take.
    pub timeout: Option<Duration>,
}

/// Ejection of endpoints that fail.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OutlierDetection {
    /// Tell failures to connect from those of the server.
    pub split_external_local_origin_errors: bool,
    /// Failures to connect in a row.
    pub consecutive_local_origin_failures: Option<u32>,
    /// 502, 503 and 504 in a row.
    pub consecutive_gateway_errors: Option<u32>,
    /// 5xx in a row.
    pub consecutive_5xx_errors: Option<u32>,
    /// Between sweeps.
    pub interval: Option<Duration>,
    /// Shortest ejection.
    pub base_ejection_time: Option<Duration>,
    /// Most endpoints that may be ejected, percents.
    pub max_ejection_percent: i32,
    /// Below this share of healthy endpoints all are used, percents.
    pub min_health_percent: i32,
    /// Statuses that count as errors, instead of 5xx.
    pub outlier_detection_http_error_codes: Vec<u32>,
}

/// TLS towards a host.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientTls {
    /// Mode.
    pub mode: TlsMode,
    /// File of the client's certificate.
    pub client_certificate: String,
    /// File of its key.
    pub private_key: String,
    /// File of the roots.
    pub ca_certificates: String,
    /// Secret with all three.
    pub credential_name: String,
    /// Names that the server's certificate may have.
    pub subject_alt_names: Vec<String>,
    /// Server name that is sent.
    pub sni: String,
    /// Do not check the server's certificate.
    pub insecure_skip_verify: Option<bool>,
    /// File of the revocation list.
    pub ca_crl: String,
}

/// Mode of TLS towards a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TlsMode {
    /// Plaintext.
    #[default]
    Disable,
    /// TLS.
    Simple,
    /// TLS with a client certificate of the user's.
    Mutual,
    /// TLS with the workload's certificate.
    IstioMutual,
}
