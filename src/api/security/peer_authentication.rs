//! PeerAuthentication: whether workloads demand mTLS.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::networking::WorkloadSelector;

/// `spec` of a PeerAuthentication.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PeerAuthentication {
    /// Workloads; all of the namespace when absent.
    pub selector: Option<WorkloadSelector>,
    /// For all ports.
    pub mtls: Option<MutualTls>,
    /// For single ports, by the workload's port number.
    pub port_level_mtls: BTreeMap<u32, MutualTls>,
    /// Why it cannot be read. mTLS is demanded then.
    #[serde(skip)]
    pub unreadable: Option<String>,
}

/// Whether mTLS is demanded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MutualTls {
    /// Mode.
    pub mode: Mode,
}

/// Mode of mTLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Mode {
    /// As the level above says.
    #[default]
    Unset,
    /// Never.
    Disable,
    /// mTLS and plaintext.
    Permissive,
    /// Only mTLS.
    Strict,
}
