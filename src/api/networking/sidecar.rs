//! Sidecar: what a workload's proxy listens to and reaches.

use serde::Deserialize;

use super::{Port, WorkloadSelector};

/// `spec` of a Sidecar.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Sidecar {
    /// Workloads; all of the namespace when absent.
    pub workload_selector: Option<WorkloadSelector>,
    /// What may be reached; everything visible when empty.
    pub egress: Vec<EgressListener>,
    /// What happens with unknown destinations.
    pub outbound_traffic_policy: Option<OutboundTrafficPolicy>,
}

/// One egress listener.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EgressListener {
    /// Port; all when absent.
    pub port: Option<Port>,
    /// `namespace/host` with `*`, `.`, `~`.
    pub hosts: Vec<String>,
}

/// What happens with unknown destinations.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OutboundTrafficPolicy {
    /// Mode; absent in a Sidecar means REGISTRY_ONLY, as its proto default is.
    pub mode: Option<OutboundMode>,
}

/// Mode of outbound traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OutboundMode {
    /// Only known hosts.
    RegistryOnly,
    /// Everything.
    AllowAny,
}
