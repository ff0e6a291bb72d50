//! WorkloadEntry: a workload outside Kubernetes; also an endpoint of a ServiceEntry.

use std::collections::BTreeMap;

use serde::Deserialize;

/// `spec` of a WorkloadEntry.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadEntry {
    /// IP address, name or `unix:///path`.
    pub address: String,
    /// Ports by the names of the ServiceEntry.
    pub ports: BTreeMap<String, u32>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Network.
    pub network: String,
    /// `region/zone/subzone`.
    pub locality: String,
    /// Relative weight.
    pub weight: u32,
    /// Service account.
    pub service_account: String,
    /// Whether it is watched and not known to be well; of its status.
    #[serde(skip)]
    pub unhealthy: bool,
}
