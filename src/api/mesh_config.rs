//! MeshConfig: settings of the whole mesh, with upstream's defaults. Only the fields that the
//! engine reads are typed.

use serde::Deserialize;
use serde_json::Value;

use crate::duration::Duration;
use crate::networking::destination_rule::{LocalityLb, TcpKeepalive};
use crate::networking::sidecar::OutboundMode;
use crate::networking::virtual_service::Retry;

/// Settings of the whole mesh.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MeshConfig {
    /// Namespace whose configuration applies to the whole mesh.
    pub root_namespace: String,
    /// SPIFFE trust domain.
    pub trust_domain: String,
    /// Further trust domains that are accepted.
    pub trust_domain_aliases: Vec<String>,
    /// Time to connect.
    pub connect_timeout: Duration,
    /// Time in which the protocol of a connection must be known.
    pub protocol_detection_timeout: Duration,
    /// Between resolutions of names.
    pub dns_refresh_rate: Duration,
    /// Unknown destinations.
    pub outbound_traffic_policy: OutboundTraffic,
    /// Use mTLS wherever the other side can.
    pub enable_auto_mtls: bool,
    /// Where access logs go; empty for nowhere.
    pub access_log_file: String,
    /// Their format.
    pub access_log_format: String,
    /// `TEXT` or `JSON`.
    pub access_log_encoding: String,
    /// Trace requests.
    pub enable_tracing: bool,
    /// Keepalive probes of upstream connections.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// Who sees Services without an exportTo of their own.
    pub default_service_export_to: Vec<String>,
    /// Who sees VirtualServices without an exportTo of their own.
    pub default_virtual_service_export_to: Vec<String>,
    /// Who sees DestinationRules without an exportTo of their own.
    pub default_destination_rule_export_to: Vec<String>,
    /// Retry policy of routes without one.
    pub default_http_retry_policy: Option<Retry>,
    /// Load balancing by distance.
    pub locality_lb_setting: Option<LocalityLb>,
    /// How paths are normalised.
    pub path_normalization: PathNormalization,
    /// Upgrade HTTP/1 to HTTP/2 between sidecars.
    pub h2_upgrade_policy: String,
    /// Settings of proxies.
    pub default_config: ProxyDefaults,
    /// Prefer the shared statistics of ports.
    pub enable_prometheus_merge: bool,
    /// Providers by default.
    pub default_providers: DefaultProviders,
    /// Ciphers and versions of mTLS.
    #[serde(rename = "meshMTLS")]
    pub mesh_mtls: Option<MeshTls>,
}

/// Unknown destinations.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OutboundTraffic {
    /// Mode.
    pub mode: OutboundMode,
}

impl Default for OutboundTraffic {
    fn default() -> Self {
        OutboundTraffic {
            mode: OutboundMode::AllowAny,
        }
    }
}

/// How paths are normalised.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PathNormalization {
    /// `DEFAULT`, `NONE`, `BASE`, `MERGE_SLASHES`, `DECODE_AND_MERGE_SLASHES`.
    pub normalization: String,
}

/// Settings of proxies, as far as the engine reads them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProxyDefaults {
    /// Tracing.
    pub tracing: Option<Tracing>,
}

/// Tracing of proxies.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tracing {
    /// Share of requests, percents.
    pub sampling: Option<f64>,
}

/// Providers by default.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DefaultProviders {
    /// Of metrics: `prometheus`.
    pub metrics: Vec<String>,
    /// Of access logs.
    pub access_logging: Vec<String>,
    /// Of traces.
    pub tracing: Vec<String>,
}

/// Ciphers and versions of mTLS.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MeshTls {
    /// `TLSV1_2` or `TLSV1_3`.
    pub min_protocol_version: String,
    /// Ciphers of TLS 1.2.
    pub cipher_suites: Vec<String>,
    /// Curves.
    pub ecdh_curves: Vec<String>,
}

impl Default for MeshConfig {
    fn default() -> Self {
        MeshConfig {
            root_namespace: base::names::ISTIO_SYSTEM.to_owned(),
            trust_domain: base::names::DEFAULT_TRUST_DOMAIN.to_owned(),
            trust_domain_aliases: Vec::new(),
            connect_timeout: Duration::seconds(10),
            protocol_detection_timeout: Duration::default(),
            dns_refresh_rate: Duration::seconds(60),
            outbound_traffic_policy: OutboundTraffic::default(),
            enable_auto_mtls: true,
            access_log_file: String::new(),
            access_log_format: String::new(),
            access_log_encoding: String::new(),
            enable_tracing: false,
            tcp_keepalive: None,
            default_service_export_to: vec!["*".to_owned()],
            default_virtual_service_export_to: vec!["*".to_owned()],
            default_destination_rule_export_to: vec!["*".to_owned()],
            default_http_retry_policy: None,
            locality_lb_setting: None,
            path_normalization: PathNormalization::default(),
            h2_upgrade_policy: String::new(),
            default_config: ProxyDefaults::default(),
            enable_prometheus_merge: true,
            default_providers: DefaultProviders::default(),
            mesh_mtls: None,
        }
    }
}

impl MeshConfig {
    /// Reads a mesh config; what is absent has its default, what is unknown is left out.
    ///
    /// # Errors
    /// The first field with a value of the wrong type, with its path.
    pub fn parse(value: &Value) -> Result<Self, String> {
        serde_json::from_value(value.clone()).map_err(|error| format!("mesh config: {error}"))
    }
}
