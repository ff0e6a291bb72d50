//! What a proxy says of itself in its node that reaches what it is sent: its ProxyConfig, how its
//! traffic is captured, ports that are taken, certificates in files.

use api::duration::Duration;
use api::proxy_config::{ConnectionSettings, ProxyConfig};
use serde_json::Value;

/// Settings of a proxy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Its own ProxyConfig; the mesh's default holds when it brings none.
    pub own: Option<ProxyConfig>,
    /// How its traffic is captured.
    pub interception: Interception,
    /// Whether it accepts HTTP/1.0.
    pub http10: bool,
    /// After which idle connections are closed.
    pub idle_timeout: Option<Duration>,
    /// Port of the HTTP proxy for its workload, instead of the mesh's.
    pub http_proxy_port: Option<u16>,
    /// Whether it answers its workload's DNS.
    pub answers_dns: bool,
    /// Where it answers DNS, `address:port`.
    pub dns_address: String,
    /// Ports that its bootstrap listens on.
    pub taken: Vec<u16>,
    /// Whether inbound connections are spread over its threads evenly.
    pub balances_inbound: bool,
    /// Whether outbound connections are.
    pub balances_outbound: bool,
    /// Whether it may not bind ports below 1024.
    pub unprivileged: bool,
    /// Files of the certificate that it shows as a client instead of the mesh's.
    pub client_files: Option<CertificateFiles>,
    /// Files of the certificate that it shows as a server instead of the mesh's.
    pub server_files: Option<CertificateFiles>,
    /// The version that it says it is of, major and minor, as far as anything depends on it.
    pub version: Option<(u32, u32)>,
    /// How spans are to name its service, by annotation of its pod.
    pub service_annotation: String,
    /// Names of the containers that it serves.
    pub containers: String,
    /// Whether it answers nobody but the hosts of its network.
    pub view: Vec<String>,
}

/// How the traffic of a workload is captured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Interception {
    /// By redirection; the caller's address is lost.
    #[default]
    Redirect,
    /// With the caller's address.
    Transparent,
    /// Not at all: listeners bind to their ports.
    None,
}

/// Files of a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct CertificateFiles {
    /// The chain.
    pub chain: String,
    /// The key.
    pub key: String,
    /// The roots of the other side.
    pub root: String,
}

/// Annotation of pods: how spans name their service.
const SERVICE_NAME: &str = "resource.opentelemetry.io/service.name";

/// `1.32.0`, or `1.32-dev`. All versions that nothing tells apart are the same.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split(['.', '-']).map(|part| part.parse().ok());
    let version: (u32, u32) = (parts.next()??, parts.next()??);
    Some(version.min((1, 30)))
}

impl Settings {
    /// Reads a node's metadata; what cannot be read is as if absent.
    pub(crate) fn read(metadata: &Value) -> Self {
        let text = |key: &str| match &metadata[key] {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(on) => on.to_string(),
            _ => String::new(),
        };
        let on = |key: &str| matches!(text(key).as_str(), "true" | "1");
        let files = |of: &str| {
            let files = CertificateFiles {
                chain: text(&format!("TLS_{of}_CERT_CHAIN")),
                key: text(&format!("TLS_{of}_KEY")),
                root: text(&format!("TLS_{of}_ROOT_CERT")),
            };
            (!files.chain.is_empty()).then_some(files)
        };
        let taken = [
            "ENVOY_STATUS_PORT",
            "ENVOY_PROMETHEUS_PORT",
            "ENVOY_SECURE_METRICS_PORT",
            "ENVOY_SECURE_MERGED_METRICS_PORT",
        ];
        let parsed;
        let config = match &metadata["PROXY_CONFIG"] {
            Value::String(text) => {
                parsed = serde_json::from_str::<Value>(text).unwrap_or_default();
                &parsed
            }
            other => other,
        };
        Settings {
            own: config
                .is_object()
                .then(|| ProxyConfig::parse(config).ok())
                .flatten(),
            interception: match text("INTERCEPTION_MODE").as_str() {
                "TPROXY" => Interception::Transparent,
                "NONE" => Interception::None,
                _ => Interception::Redirect,
            },
            http10: text("HTTP10") == "1",
            idle_timeout: Duration::parse(&text("IDLE_TIMEOUT")),
            http_proxy_port: text("HTTP_PROXY_PORT").parse().ok(),
            answers_dns: on("DNS_CAPTURE"),
            dns_address: text("DNS_PROXY_ADDR"),
            taken: taken
                .iter()
                .filter_map(|key| text(key).parse().ok())
                .filter(|port| *port != 0)
                .collect(),
            balances_inbound: on("INBOUND_LISTENER_EXACT_BALANCE"),
            balances_outbound: on("OUTBOUND_LISTENER_EXACT_BALANCE"),
            unprivileged: on("UNPRIVILEGED_POD"),
            client_files: files("CLIENT"),
            server_files: files("SERVER"),
            version: version(&text("ISTIO_VERSION")),
            service_annotation: metadata["ANNOTATIONS"][SERVICE_NAME]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            containers: text("APP_CONTAINERS"),
            view: text("REQUESTED_NETWORK_VIEW")
                .split(',')
                .map(str::trim)
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect(),
        }
    }

    /// The ProxyConfig that holds: its own, or the mesh's.
    pub fn config<'a>(&'a self, default: &'a ProxyConfig) -> &'a ProxyConfig {
        self.own.as_ref().unwrap_or(default)
    }

    /// Limits of the connections to it, with the defaults of its profile for gateways.
    pub fn connections(&self, default: &ProxyConfig, gateway: bool) -> Option<ConnectionSettings> {
        let own = self.config(default).connection_settings.clone();
        let settings = own.or_else(|| default.connection_settings.clone())?;
        Some(if gateway {
            settings.at_the_edge()
        } else {
            settings
        })
    }
}
