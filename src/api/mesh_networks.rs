//! MeshNetworks: how networks that cannot reach each other are told apart and reached.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// All networks, by name.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MeshNetworks {
    /// By name.
    pub networks: BTreeMap<String, Network>,
}

/// One network.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Network {
    /// Which endpoints are in it.
    pub endpoints: Vec<NetworkEndpoints>,
    /// How it is reached from other networks.
    pub gateways: Vec<NetworkGateway>,
}

/// Endpoints of a network: of a range of addresses, or of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkEndpoints {
    /// Range of addresses.
    pub from_cidr: Option<String>,
    /// Name of a cluster.
    pub from_registry: Option<String>,
}

/// A gateway into a network, by its address or the Service in front of it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkGateway {
    /// Fully qualified name of a Service, whose external addresses count.
    pub registry_service_name: Option<String>,
    /// IP address or name.
    pub address: Option<String>,
    /// Its port.
    pub port: u32,
    /// `region/zone/subzone`.
    pub locality: String,
}

impl MeshNetworks {
    /// Reads networks; what is unknown is left out.
    ///
    /// # Errors
    /// The first field with a value of the wrong type, with its path.
    pub fn parse(value: &Value) -> Result<Self, String> {
        crate::read::read(value).map_err(|wrong| format!("mesh networks: {wrong}"))
    }
}
