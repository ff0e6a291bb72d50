//! Where a host can be reached: one table per host, from EndpointSlices, Pods and WorkloadEntries.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::{HostId, Labels};

/// The endpoints of one host.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct HostEndpoints {
    /// In the order of their addresses.
    pub endpoints: Vec<Endpoint>,
}

/// One place that serves a host.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// IP address, unix socket or, for hosts resolved by DNS, a name.
    pub address: Address,
    /// Further addresses, of other IP families.
    pub more: Vec<std::net::IpAddr>,
    /// Names of the host's ports that it serves, with its own port numbers.
    pub ports: Arc<BTreeMap<String, u16>>,
    /// Port numbers by those of the host, where the host's declare it, not its ports' names.
    pub by_number: Option<Arc<BTreeMap<u16, u16>>>,
    /// Labels of the workload, which subsets select by.
    pub labels: Arc<Labels>,
    /// Namespace of the workload.
    pub namespace: String,
    /// Deployment, StatefulSet … or pod.
    pub workload: String,
    /// Service account, empty when unknown.
    pub service_account: String,
    /// Its pod's host name and subdomain, by which it has a name below a headless Service's.
    pub hostname: Option<(String, String)>,
    /// The node that it runs on.
    pub node: String,
    /// Where it stands.
    pub locality: Locality,
    /// Network, empty when nothing says it.
    pub network: String,
    /// Whether it is of an EndpointSlice, so that it is in the network of its cluster.
    pub in_cluster: bool,
    /// Whether it accepts the mesh's mTLS.
    pub mutual_tls: bool,
    /// Relative weight, 0 when none is given.
    pub weight: u32,
    /// Whether it should get traffic.
    pub health: Health,
}

impl Endpoint {
    /// Where it serves a port of its host; `None` when it does not.
    pub fn port(&self, name: &str, number: u16) -> Option<u16> {
        match &self.by_number {
            Some(ports) => ports.get(&number).copied(),
            None => self.ports.get(name).copied(),
        }
    }

    /// Whether it is no workload, but the gateway of a network that workloads stand behind.
    pub fn is_gateway(&self) -> bool {
        self.namespace.is_empty() && self.workload.is_empty() && self.mutual_tls
    }
}

/// An address of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// An IP address.
    Ip(std::net::IpAddr),
    /// A host name, to be resolved by the proxy.
    Name(String),
    /// Path of a unix socket.
    Unix(String),
}

impl Address {
    /// Reads `unix:///path`, an IP address, or else a name.
    pub fn parse(text: &str) -> Self {
        match text.strip_prefix("unix://") {
            Some(path) => Address::Unix(path.to_owned()),
            None => match text.parse() {
                Ok(ip) => Address::Ip(ip),
                Err(_) => Address::Name(text.to_owned()),
            },
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Ip(ip) => ip.fmt(f),
            Address::Name(name) => f.write_str(name),
            Address::Unix(path) => f.write_str(path),
        }
    }
}

/// Whether an endpoint should get traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Nobody watches it.
    Unknown,
    /// Ready.
    Healthy,
    /// Not ready; used only when its Service publishes such addresses or nothing else is left.
    Unhealthy,
    /// Terminating, still serving sessions that stick to it.
    Draining,
}

/// Region, zone and subzone; empty parts are unknown.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Locality {
    /// Region.
    pub region: String,
    /// Zone.
    pub zone: String,
    /// Subzone.
    pub sub_zone: String,
}

impl Locality {
    /// Reads `region/zone/subzone`, of which the later parts may be absent.
    pub fn parse(text: &str) -> Self {
        let mut parts = text.splitn(3, '/').map(str::to_owned);
        let mut next = || parts.next().unwrap_or_default();
        Locality {
            region: next(),
            zone: next(),
            sub_zone: next(),
        }
    }

    /// Whether nothing is known.
    pub fn is_unknown(&self) -> bool {
        *self == Locality::default()
    }
}

impl fmt::Display for Locality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Locality {
            region,
            zone,
            sub_zone,
        } = self;
        match (zone.is_empty(), sub_zone.is_empty()) {
            (true, _) => f.write_str(region),
            (false, true) => write!(f, "{region}/{zone}"),
            (false, false) => write!(f, "{region}/{zone}/{sub_zone}"),
        }
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.host)
    }
}
