//! What the mesh reads of Pods and Nodes.

use super::{Labels, Locality};

/// A pod that may stand behind a Service.
#[derive(Clone, Debug, PartialEq)]
pub struct Pod {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.labels`.
    pub labels: Labels,
    /// `spec.serviceAccountName`.
    pub service_account: String,
    /// `spec.nodeName`.
    pub node: String,
    /// `status.podIPs`.
    pub addresses: Vec<String>,
    /// The Deployment, StatefulSet … that it belongs to, or its own name.
    pub workload: String,
    /// `spec.hostname` and `spec.subdomain`: its name within a headless Service.
    pub hostname: Option<(String, String)>,
    /// Named container ports, for endpoints of Services that select pods by hand.
    pub ports: Vec<(String, u16)>,
    /// Running and Ready.
    pub ready: bool,
}

/// Where a node stands, and how it is reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// `metadata.name`.
    pub name: String,
    /// From its topology labels.
    pub locality: Locality,
    /// Its addresses outside of the cluster: `ExternalIP` of `status.addresses`.
    pub external_addresses: Vec<String>,
}
