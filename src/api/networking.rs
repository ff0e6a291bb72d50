//! Kinds of networking.istio.io, as users write them; one file per kind, named as in `validate`.

pub mod destination_rule;
pub mod gateway;
pub mod matching;
pub mod service_entry;
pub mod sidecar;
pub mod virtual_service;
pub mod workload_entry;

use std::collections::BTreeMap;

use serde::Deserialize;

/// A port of a Gateway, ServiceEntry or Sidecar.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Port {
    /// The number that clients use.
    pub number: u32,
    /// HTTP, HTTPS, GRPC, HTTP2, MONGO, TCP, TLS.
    pub protocol: String,
    /// Its name.
    pub name: String,
    /// The number that endpoints use, 0 for the same.
    pub target_port: u32,
}

/// A port by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PortSelector {
    /// The number.
    pub number: u32,
}

/// Selects workloads by labels.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadSelector {
    /// All must match.
    #[serde(alias = "matchLabels")]
    pub labels: BTreeMap<String, String>,
}
