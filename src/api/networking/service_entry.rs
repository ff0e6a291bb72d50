//! ServiceEntry: hosts that the mesh is told about.

use serde::Deserialize;

use super::workload_entry::WorkloadEntry;
use super::{Port, WorkloadSelector};
use crate::snapshot::TrafficDistribution;

/// `spec` of a ServiceEntry, and its `status.addresses`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceEntry {
    /// Host names.
    pub hosts: Vec<String>,
    /// Addresses or ranges.
    pub addresses: Vec<String>,
    /// Ports.
    pub ports: Vec<Port>,
    /// Inside or outside the mesh.
    pub location: Location,
    /// How its endpoints are found.
    pub resolution: Resolution,
    /// Its endpoints.
    pub endpoints: Vec<WorkloadEntry>,
    /// Pods and WorkloadEntries that are its endpoints.
    pub workload_selector: Option<WorkloadSelector>,
    /// Namespaces that see it.
    pub export_to: Vec<String>,
    /// Names that its certificate may have.
    pub subject_alt_names: Vec<String>,
    /// Addresses that were allocated for its hosts (`status.addresses`): host and address.
    #[serde(skip)]
    pub allocated: Vec<(String, String)>,
    /// Annotation `networking.istio.io/traffic-distribution`.
    #[serde(skip)]
    pub traffic_distribution: Option<TrafficDistribution>,
    /// Annotation `istio.io/connect-strategy: RACE_FIRST_TCP_CONNECT`.
    #[serde(skip)]
    pub races_connections: bool,
}

/// Inside or outside the mesh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Location {
    /// Outside, the default.
    #[default]
    MeshExternal,
    /// Inside: mTLS is used.
    MeshInternal,
}

/// How endpoints are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Resolution {
    /// The address that the caller used.
    #[default]
    None,
    /// The listed endpoints.
    Static,
    /// By DNS, all answers.
    Dns,
    /// By DNS, the first answer.
    DnsRoundRobin,
    /// By DNS on the way, for wildcards.
    DynamicDns,
}
