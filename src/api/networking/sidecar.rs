//! Sidecar: what a workload's proxy listens to and reaches.

use serde::Deserialize;

use super::destination_rule::ConnectionPool;
use super::gateway::ServerTls;
use super::virtual_service::Destination;
use super::{Port, WorkloadSelector};

/// `spec` of a Sidecar.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Sidecar {
    /// Workloads; all of the namespace when absent.
    pub workload_selector: Option<WorkloadSelector>,
    /// What the workload serves; the ports of its Services when empty.
    pub ingress: Vec<IngressListener>,
    /// What may be reached; everything visible when empty.
    pub egress: Vec<EgressListener>,
    /// Limits of the connections to the workload, for ingress listeners without any of their own.
    pub inbound_connection_pool: Option<ConnectionPool>,
    /// What happens with unknown destinations.
    pub outbound_traffic_policy: Option<OutboundTrafficPolicy>,
}

/// One ingress listener: a port that the workload serves.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IngressListener {
    /// The port that clients reach.
    pub port: Port,
    /// Address to bind to.
    pub bind: String,
    /// How traffic is captured.
    pub capture_mode: CaptureMode,
    /// `127.0.0.1:PORT`, `0.0.0.0:PORT` or `unix:///path`; the called address and port when empty.
    pub default_endpoint: String,
    /// TLS that ends here instead of the mesh's.
    pub tls: Option<ServerTls>,
    /// Limits of the connections to the workload.
    pub connection_pool: Option<ConnectionPool>,
}

/// One egress listener.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EgressListener {
    /// Port; all when absent.
    pub port: Option<Port>,
    /// Address or `unix:///path` to bind to.
    pub bind: String,
    /// How traffic is captured.
    pub capture_mode: CaptureMode,
    /// `namespace/host` with `*`, `.`, `~`.
    pub hosts: Vec<String>,
}

/// How traffic to a listener is captured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CaptureMode {
    /// As the proxy captures everything else.
    #[default]
    Default,
    /// By iptables.
    Iptables,
    /// Not at all: the listener binds to its port.
    None,
}

/// What happens with unknown destinations.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OutboundTrafficPolicy {
    /// Mode; absent in a Sidecar means REGISTRY_ONLY, as its proto default is.
    pub mode: Option<OutboundMode>,
    /// Where unknown traffic goes instead of where it was bound.
    pub egress_proxy: Option<Destination>,
}

/// Mode of outbound traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OutboundMode {
    /// Only known hosts.
    RegistryOnly,
    /// Everything.
    AllowAny,
    /// Everything, HTTP by the name that its Host header says.
    AllowAnyDynamicDns,
}
