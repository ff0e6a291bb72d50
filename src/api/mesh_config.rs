//! MeshConfig: settings of the whole mesh, with upstream's defaults. Only the fields that the
//! engine reads are typed.

mod collector;
mod provider;
mod selectors;

use serde::Deserialize;
use serde_json::Value;

use crate::duration::Duration;
use crate::networking::destination_rule::ClientTls;
use crate::networking::destination_rule::{
    ConnectionPool, LocalityLb, OutlierDetection, TcpKeepalive, ZoneAwareLb,
};
use crate::networking::sidecar::OutboundMode;
use crate::networking::virtual_service::Retry;
use crate::proxy_config::ProxyConfig;

pub use collector::{
    Datadog, DynatraceApi, DynatraceSampler, Enrichment, FileFormat, FileLog, GrpcService, Header,
    HttpLog, HttpService, Metrics, OpenTelemetry, OtlpFormat, OtlpLog, Removed, ResourceDetectors,
    SkyWalking, Stackdriver, TcpLog, TraceContext, Zipkin,
};
pub use provider::{ExtAuthzGrpc, ExtAuthzHttp, ExtensionProvider, RequestBody, Use};
pub use selectors::{
    EntryVisibility, LabelSelector, Requirement, ServiceEntryVisibility, VisibilityPolicy,
    VisibilityRule,
};

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
    /// Whether somebody wrote that requests are traced, rather than nobody that they are not.
    #[serde(skip)]
    pub asks_for_tracing: bool,
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
    /// Settings of proxies that bring none.
    pub default_config: ProxyConfig,
    /// Prefer the shared statistics of ports.
    pub enable_prometheus_merge: bool,
    /// Providers by default.
    pub default_providers: DefaultProviders,
    /// Services outside of proxies that decide or record for them.
    pub extension_providers: Vec<ExtensionProvider>,
    /// Ciphers and versions of mTLS.
    #[serde(rename = "meshMTLS")]
    pub mesh_mtls: Option<MeshTls>,
    /// Ciphers and versions of all other TLS.
    pub tls_defaults: Option<MeshTls>,
    /// Load balancing by distance as Envoy measures it.
    pub zone_aware_lb_setting: Option<ZoneAwareLb>,
    /// Limits and ejection of hosts whose rules say nothing of them.
    pub default_traffic_policy: Option<DefaultTrafficPolicy>,
    /// Retry policy of inbound routes.
    pub default_inbound_http_retry_policy: Option<Retry>,
    /// Port that captured outbound traffic is sent to; 0 for no listeners at all.
    pub proxy_listen_port: u16,
    /// Port that captured inbound traffic is sent to.
    pub proxy_inbound_listen_port: u16,
    /// Port of an HTTP proxy for the workload; 0 for none.
    pub proxy_http_port: u16,
    /// Inbound traffic goes to the workload's own address or to loopback.
    pub inbound_traffic_policy: InboundTraffic,
    /// Pattern of the names in statistics of inbound clusters.
    pub inbound_cluster_stat_name: String,
    /// Pattern of the names in statistics of clusters for calls.
    pub outbound_cluster_stat_name: String,
    /// No access logs of listeners.
    pub disable_envoy_listener_log: bool,
    /// Access logs go to Envoy's own access log service.
    pub enable_envoy_access_log_service: bool,
    /// Namespaces that the mesh sees; all when empty, else those that any selects.
    pub discovery_selectors: Vec<LabelSelector>,
    /// How far ServiceEntries are seen at most.
    pub service_entry_visibility: Option<ServiceEntryVisibility>,
    /// Settings of hosts.
    pub service_settings: Vec<ServiceSettings>,
    /// Class of the Ingresses that the mesh serves, by their annotation.
    pub ingress_class: String,
    /// Service in front of the gateway that serves Ingresses.
    pub ingress_service: String,
    /// Label `istio` of the gateway that serves Ingresses; empty for the Service's name, and
    /// `ingressgateway` when that is the default's.
    pub ingress_selector: String,
    /// Which Ingresses are served.
    pub ingress_controller_mode: IngressMode,
}

/// Which Ingresses are served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum IngressMode {
    /// Those of the mesh's class.
    #[default]
    Strict,
    /// None.
    #[serde(alias = "UNSPECIFIED")]
    Off,
    /// Those of the mesh's class and those without any.
    Default,
}

/// Limits and ejection of hosts whose rules say nothing of them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DefaultTrafficPolicy {
    /// Limits.
    pub connection_pool: Option<ConnectionPool>,
    /// Ejection.
    pub outlier_detection: Option<OutlierDetection>,
}

/// Unknown destinations.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OutboundTraffic {
    /// Mode.
    pub mode: OutboundMode,
    /// TLS towards hosts that are found by their name.
    pub tls: Option<ClientTls>,
}

impl Default for OutboundTraffic {
    fn default() -> Self {
        OutboundTraffic {
            mode: OutboundMode::AllowAny,
            tls: None,
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

/// Where inbound traffic goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InboundTraffic {
    /// Mode.
    pub mode: InboundMode,
}

/// Where inbound traffic goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum InboundMode {
    /// To the address that was called.
    #[default]
    Passthrough,
    /// To loopback.
    Localhost,
}

/// Settings of hosts.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSettings {
    /// Switches.
    pub settings: HostSettings,
    /// Hosts, with wildcards.
    pub hosts: Vec<String>,
}

/// Switches of hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HostSettings {
    /// Only endpoints of the caller's cluster serve it.
    pub cluster_local: bool,
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
            enable_tracing: true,
            tcp_keepalive: None,
            default_service_export_to: vec!["*".to_owned()],
            default_virtual_service_export_to: vec!["*".to_owned()],
            default_destination_rule_export_to: vec!["*".to_owned()],
            default_http_retry_policy: None,
            locality_lb_setting: Some(LocalityLb {
                enabled: Some(true),
                ..LocalityLb::default()
            }),
            path_normalization: PathNormalization::default(),
            h2_upgrade_policy: String::new(),
            default_config: ProxyConfig::default(),
            proxy_listen_port: 15001,
            proxy_inbound_listen_port: 15006,
            proxy_http_port: 0,
            inbound_traffic_policy: InboundTraffic::default(),
            inbound_cluster_stat_name: String::new(),
            outbound_cluster_stat_name: String::new(),
            disable_envoy_listener_log: false,
            enable_envoy_access_log_service: false,
            discovery_selectors: Vec::new(),
            service_entry_visibility: None,
            service_settings: Vec::new(),
            enable_prometheus_merge: true,
            default_providers: DefaultProviders::default(),
            extension_providers: ExtensionProvider::built_in(),
            asks_for_tracing: false,
            mesh_mtls: None,
            tls_defaults: None,
            zone_aware_lb_setting: None,
            default_traffic_policy: None,
            default_inbound_http_retry_policy: None,
            ingress_class: "istio".to_owned(),
            ingress_service: "istio-ingressgateway".to_owned(),
            ingress_selector: String::new(),
            ingress_controller_mode: IngressMode::Strict,
        }
    }
}

impl MeshConfig {
    /// Reads a mesh config; what is absent has its default, what is unknown is left out.
    ///
    /// # Errors
    /// The first field with a value of the wrong type, with its path.
    pub fn parse(value: &Value) -> Result<Self, String> {
        let mut config: MeshConfig =
            crate::read::read(value).map_err(|wrong| format!("mesh config: {wrong}"))?;
        config.asks_for_tracing = value["enableTracing"] == true;
        if !value["extensionProviders"].is_null() {
            let written = std::mem::replace(
                &mut config.extension_providers,
                ExtensionProvider::built_in(),
            );
            for provider in written {
                let known = &mut config.extension_providers;
                match known.iter_mut().find(|known| known.name == provider.name) {
                    Some(known) => *known = provider,
                    None => known.push(provider),
                }
            }
        }
        Ok(config)
    }

    /// The extension provider of a name, in whatever case it is written.
    pub fn provider(&self, name: &str) -> Option<&ExtensionProvider> {
        let mut providers = self.extension_providers.iter();
        providers.find(|provider| provider.name.eq_ignore_ascii_case(name))
    }
}
