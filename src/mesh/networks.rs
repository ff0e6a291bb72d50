//! Networks that cannot reach each other: which one an endpoint is in, and the gateways by which
//! the others are reached. Gateways that are known by a name only are left out: nobody resolves
//! names here.

use std::collections::BTreeMap;
use std::net::IpAddr;

use api::mesh_networks::MeshNetworks;
use api::snapshot::{Endpoint, Key};

use crate::{Mesh, Service};

/// Label of namespaces, workloads and gateways' Services.
const NETWORK: &str = "topology.istio.io/network";
/// Label of a gateway's Service: its port for other networks.
const GATEWAY_PORT: &str = "networking.istio.io/gatewayPort";
/// That port, when nothing is said.
const DEFAULT_PORT: u16 = 15443;

/// All networks of the mesh; empty when there is only one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Networks {
    /// Network of the cluster's own endpoints that say none.
    own: String,
    /// Networks by range of addresses, for those of the cluster that nothing else says.
    ranges: Vec<(IpAddr, u8, String)>,
    /// By network, in the order of their addresses.
    gateways: BTreeMap<String, Vec<NetworkGateway>>,
    configured: bool,
    /// Weights are multiplied by this, so that they can be divided among gateways.
    scale: u32,
}

/// A gateway into a network.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NetworkGateway {
    /// Its address.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// The cluster that it belongs to; empty when nobody said.
    pub cluster: String,
}

impl Networks {
    /// Whether any network has a gateway.
    pub fn are_several(&self) -> bool {
        !self.gateways.is_empty()
    }

    /// All gateways, with the network that each leads into.
    pub fn all(&self) -> impl Iterator<Item = (&str, &NetworkGateway)> {
        let networks = self.gateways.iter();
        networks.flat_map(|(network, all)| all.iter().map(|one| (network.as_str(), one)))
    }

    /// Whether networks are configured at all, with or without gateways.
    pub fn are_configured(&self) -> bool {
        self.configured
    }

    /// The ranges of addresses of all networks, in their order.
    pub fn ranges(&self) -> impl Iterator<Item = (IpAddr, u8)> {
        let mut ranges: Vec<(IpAddr, u8)> = self
            .ranges
            .iter()
            .map(|(address, length, _)| (*address, *length))
            .collect();
        ranges.sort();
        ranges.into_iter()
    }

    /// By how much weights are to be multiplied.
    pub fn scale(&self) -> u32 {
        self.scale.max(1)
    }

    /// The network of an endpoint; empty when nothing says it.
    pub fn of<'a>(&'a self, endpoint: &'a Endpoint) -> &'a str {
        if !endpoint.network.is_empty() || !endpoint.in_cluster {
            return &endpoint.network;
        }
        if !self.own.is_empty() {
            return &self.own;
        }
        let api::snapshot::Address::Ip(ip) = &endpoint.address else {
            return "";
        };
        let found = self
            .ranges
            .iter()
            .find(|(of, length, _)| within(ip, of, *length));
        found.map_or("", |(_, _, name)| name)
    }

    /// The gateways of a network: those of a cluster, else all.
    pub fn gateways(&self, network: &str, cluster: &str) -> Vec<&NetworkGateway> {
        let all = self.gateways.get(network).into_iter().flatten();
        let own: Vec<&NetworkGateway> = all
            .clone()
            .filter(|gateway| gateway.cluster == cluster)
            .collect();
        if own.is_empty() { all.collect() } else { own }
    }
}

fn within(ip: &IpAddr, of: &IpAddr, length: u8) -> bool {
    let bits = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => u128::from(ip.to_bits()) << 96,
        IpAddr::V6(ip) => ip.to_bits(),
    };
    let shift = 128 - u32::from(length);
    let head = |ip: &IpAddr| bits(ip).checked_shr(shift).unwrap_or(0);
    ip.is_ipv4() == of.is_ipv4() && head(ip) == head(of)
}

/// The networks as a cluster's proxies see them.
pub(crate) fn of(mesh: &Mesh, cluster: &str) -> Networks {
    let settings = &mesh.snapshot.networks;
    let root = Key::new("", &mesh.config.root_namespace);
    let root = mesh.snapshot.namespaces.get(&root);
    let labelled = root.and_then(|root| root.labels.get(NETWORK).cloned());
    let own = labelled.or_else(|| registered(settings, cluster));
    let mut gateways: BTreeMap<String, Vec<NetworkGateway>> = BTreeMap::new();
    for (name, network) in &settings.networks {
        for gateway in &network.gateways {
            let address = gateway.address.as_deref().unwrap_or_default();
            if let (Ok(address), Ok(port)) = (address.parse(), u16::try_from(gateway.port)) {
                gateways
                    .entry(name.clone())
                    .or_default()
                    .push(NetworkGateway {
                        address,
                        port,
                        cluster: String::new(),
                    });
            }
        }
    }
    for service in &mesh.services {
        for (network, port) in of_service(settings, service, cluster) {
            for address in &service.external_addresses {
                let Ok(address) = address.parse() else {
                    continue;
                };
                gateways
                    .entry(network.clone())
                    .or_default()
                    .push(NetworkGateway {
                        address,
                        port,
                        cluster: cluster.to_owned(),
                    });
            }
        }
    }
    let mut scale = 1;
    for all in gateways.values_mut() {
        // As text, as upstream orders them.
        all.sort_by_key(|gateway| {
            (
                gateway.address.to_string(),
                gateway.port,
                gateway.cluster.clone(),
            )
        });
        all.dedup();
        let mut by_cluster: BTreeMap<&str, u32> = BTreeMap::new();
        for gateway in all.iter() {
            *by_cluster.entry(&gateway.cluster).or_default() += 1;
        }
        let whole = u32::try_from(all.len()).unwrap_or(u32::MAX);
        for count in by_cluster.into_values().chain([whole]) {
            scale = common_multiple(scale, count);
        }
    }
    Networks {
        configured: !settings.networks.is_empty(),
        own: own.unwrap_or_default(),
        ranges: ranges(settings),
        gateways,
        scale,
    }
}

/// The network whose endpoints are those of a cluster.
fn registered(settings: &MeshNetworks, cluster: &str) -> Option<String> {
    let mut networks = settings.networks.iter();
    let found = networks.find(|(_, network)| {
        let mut endpoints = network.endpoints.iter();
        endpoints.any(|of| of.from_registry.as_deref() == Some(cluster))
    });
    found.map(|(name, _)| name.clone())
}

fn ranges(settings: &MeshNetworks) -> Vec<(IpAddr, u8, String)> {
    let mut found = Vec::new();
    for (name, network) in &settings.networks {
        for of in &network.endpoints {
            let range = of
                .from_cidr
                .as_deref()
                .and_then(|text| text.split_once('/'));
            if let Some((address, length)) = range
                && let (Ok(address), Ok(length)) = (address.parse::<IpAddr>(), length.parse::<u8>())
                && length <= if address.is_ipv4() { 32 } else { 128 }
            {
                found.push((address, length, name.clone()));
            }
        }
    }
    // The most specific range first.
    found.sort_by_key(|(_, length, _)| std::cmp::Reverse(*length));
    found
}

/// Networks that a Service is a gateway of, and its port for them.
fn of_service(settings: &MeshNetworks, service: &Service, cluster: &str) -> Vec<(String, u16)> {
    let port = |port: u16| service.node_ports.get(&port).copied().unwrap_or(port);
    if let Some(network) = service.labels.get(NETWORK).filter(|name| !name.is_empty()) {
        let wanted = service.labels.get(GATEWAY_PORT);
        let wanted = wanted
            .and_then(|text| text.parse().ok())
            .unwrap_or(DEFAULT_PORT);
        let listens = service.ports.iter().any(|port| port.number == wanted);
        return if listens {
            vec![(network.clone(), port(wanted))]
        } else {
            Vec::new()
        };
    }
    let mut found = Vec::new();
    for (name, network) in &settings.networks {
        if registered(settings, cluster).as_deref() != Some(name) {
            continue;
        }
        for gateway in &network.gateways {
            if gateway.registry_service_name.as_deref() == Some(&service.id.host)
                && let Ok(number) = u16::try_from(gateway.port)
            {
                found.push((name.clone(), port(number)));
            }
        }
    }
    found
}

fn common_multiple(a: u32, b: u32) -> u32 {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    (a / x.max(1)).saturating_mul(b).max(1)
}
