//! Which loopback and wildcard addresses a proxy uses, from the families of its own addresses.

use std::net::IpAddr;

use serde_json::{Value, json};

/// The families that a proxy listens on; the first one is that of its loopback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// IPv4 only, also when both families are there but dual stack is off.
    V4,
    /// IPv6 only.
    V6,
    /// Both, IPv4 first.
    V4First,
    /// Both, IPv6 first.
    V6First,
}

impl Addresses {
    /// The families of `ips`, the pod's own addresses. `dual_stack` is ISTIO_DUAL_STACK.
    pub fn of(ips: &[IpAddr], dual_stack: bool) -> Self {
        let v6_first = ips.first().is_some_and(IpAddr::is_ipv6);
        match (
            ips.iter().any(IpAddr::is_ipv4),
            ips.iter().any(IpAddr::is_ipv6),
        ) {
            (false, true) => Addresses::V6,
            (true, true) if dual_stack && v6_first => Addresses::V6First,
            (true, true) if dual_stack => Addresses::V4First,
            _ => Addresses::V4,
        }
    }

    /// The loopback address of Envoy's admin port and of the agent.
    pub fn localhost(self) -> &'static str {
        match self {
            Addresses::V4 | Addresses::V4First => "127.0.0.1",
            Addresses::V6 | Addresses::V6First => "::1",
        }
    }

    /// The addresses that listeners bind, one or two.
    pub fn wildcards(self) -> &'static [&'static str] {
        match self {
            Addresses::V4 => &["0.0.0.0"],
            Addresses::V6 => &["::"],
            Addresses::V4First => &["0.0.0.0", "::"],
            Addresses::V6First => &["::", "0.0.0.0"],
        }
    }

    /// `dns_lookup_family` of clusters that are found by DNS.
    pub fn dns_lookup_family(self) -> &'static str {
        match self {
            Addresses::V4 => "V4_ONLY",
            Addresses::V6 => "V6_ONLY",
            Addresses::V4First | Addresses::V6First => "ALL",
        }
    }

    /// The value of Envoy's `--local-address-ip-version`.
    pub fn local_address_version(self) -> &'static str {
        match self {
            Addresses::V6 => "v6",
            _ => "v4",
        }
    }
}

/// An `envoy.config.core.v3.Address` of a TCP socket.
pub(crate) fn socket_address(address: &str, port: u16) -> Value {
    json!({"socket_address": {"address": address, "port_value": port}})
}
