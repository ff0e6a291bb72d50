//! Who asks: the facts about a proxy that decide what it gets, from its xDS node.

use std::net::IpAddr;

use api::snapshot::{Labels, Locality};
use serde_json::Value;

use crate::settings::Settings;

/// A proxy.
#[derive(Clone, Debug, PartialEq)]
pub struct Proxy {
    /// `pod.namespace`.
    pub id: String,
    /// What it stands for.
    pub role: Role,
    /// Namespace of its configuration.
    pub namespace: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Labels of its workload.
    pub labels: Labels,
    /// `namespace.svc.cluster.local`.
    pub dns_domain: String,
    /// Where it stands.
    pub locality: Locality,
    /// Its cluster.
    pub cluster: String,
    /// Its mesh.
    pub mesh_id: String,
    /// Its network.
    pub network: String,
    /// Its node.
    pub node: String,
    /// Which filters it has.
    pub flavour: Flavour,
    /// Container ports by name.
    pub ports: Vec<(String, u16)>,
    /// Whether it may not bind ports below 1024.
    pub unprivileged: bool,
    /// Name of its workload.
    pub workload: String,
    /// The cluster that its node says it belongs to: how spans name its service.
    pub node_cluster: String,
    /// How it takes virtual hosts.
    pub virtual_hosts: VirtualHosts,
    /// What it says of itself beyond that.
    pub settings: std::sync::Arc<Settings>,
}

/// What a proxy stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// One workload.
    Sidecar,
    /// A gateway.
    Router,
}

/// Which filters a proxy has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flavour {
    /// Istio's own and Envoy's.
    IstioProxy,
    /// Only Envoy's.
    Stock,
}

/// How a proxy takes virtual hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VirtualHosts {
    /// In the route configuration that they belong to.
    Inline,
    /// As resources of their own (VHDS), so that a change of one costs one.
    Apart,
}

/// Which IP families a proxy has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Families {
    /// IPv4.
    pub v4: bool,
    /// IPv6.
    pub v6: bool,
}

/// The node is not of a form that proxies of the mesh have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidProxy(pub String);

impl std::fmt::Display for InvalidProxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidProxy {}

impl Families {
    /// Whether an address is of one of them; what is no address is not.
    pub fn includes(self, address: &str) -> bool {
        let prefix = address.split('/').next().unwrap_or_default();
        match prefix.parse::<IpAddr>() {
            Ok(IpAddr::V4(_)) => self.v4,
            Ok(IpAddr::V6(_)) => self.v6,
            Err(_) => false,
        }
    }
}

impl Flavour {
    /// Reads `istio-proxy` or `stock`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "istio-proxy" => Some(Flavour::IstioProxy),
            "stock" => Some(Flavour::Stock),
            _ => None,
        }
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Flavour::IstioProxy => "istio-proxy",
            Flavour::Stock => "stock",
        }
    }
}

impl Proxy {
    /// Reads a node id `type~address~pod.namespace~domain` and its metadata.
    ///
    /// # Errors
    /// [`InvalidProxy`] when the id has another form or names a type that is not served.
    pub fn of_node(
        id: &str,
        metadata: &Value,
        locality: Locality,
        flavour: Flavour,
    ) -> Result<Self, InvalidProxy> {
        let [kind, address, name, domain] = id.split('~').collect::<Vec<_>>()[..] else {
            let wanted = "expected type~address~pod.namespace~domain";
            return Err(InvalidProxy(format!("node id {id:?}: {wanted}")));
        };
        let role = match kind {
            "sidecar" => Role::Sidecar,
            "router" => Role::Router,
            other => {
                let wanted = "expected sidecar or router";
                return Err(InvalidProxy(format!("node type {other:?}: {wanted}")));
            }
        };
        let text = |key: &str| metadata[key].as_str().unwrap_or_default().to_owned();
        let in_id = name.rsplit_once('.').map_or("", |(_, namespace)| namespace);
        let namespace = match text("NAMESPACE") {
            empty if empty.is_empty() => in_id.to_owned(),
            found => found,
        };
        let mut addresses: Vec<IpAddr> = text("INSTANCE_IPS")
            .split(',')
            .filter_map(|address| address.parse().ok())
            .collect();
        if addresses.is_empty() {
            addresses.extend(address.parse::<IpAddr>().ok());
        }
        let labels = metadata["LABELS"].as_object().into_iter().flatten();
        let labels = labels
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect();
        Ok(Proxy {
            id: name.to_owned(),
            role,
            namespace,
            addresses,
            labels,
            dns_domain: domain.to_owned(),
            locality,
            cluster: text("CLUSTER_ID"),
            mesh_id: text("MESH_ID"),
            network: text("NETWORK"),
            node: text("NODE_NAME"),
            flavour,
            ports: container_ports(metadata),
            unprivileged: text("UNPRIVILEGED_POD") == "true",
            workload: text("WORKLOAD_NAME"),
            node_cluster: String::new(),
            virtual_hosts: VirtualHosts::Inline,
            settings: Settings::read(metadata).into(),
        })
    }

    /// Its IP families.
    pub fn families(&self) -> Families {
        Families {
            v4: self.addresses.iter().any(IpAddr::is_ipv4),
            v6: self.addresses.iter().any(IpAddr::is_ipv6),
        }
    }
}

/// POD_PORTS: a list, as text or as a value.
fn container_ports(metadata: &Value) -> Vec<(String, u16)> {
    let parsed;
    let list = match &metadata["POD_PORTS"] {
        Value::String(text) => {
            parsed = serde_json::from_str::<Value>(text).unwrap_or_default();
            &parsed
        }
        other => other,
    };
    let ports = list.as_array().into_iter().flatten();
    ports
        .filter_map(|port| {
            let number = u16::try_from(port["containerPort"].as_u64()?).ok()?;
            Some((port["name"].as_str()?.to_owned(), number))
        })
        .collect()
}
