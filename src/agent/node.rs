//! Gathers what the bootstrap must know of this proxy: its addresses, its environment, and the
//! files of the downward API. What follows from them is decided in the `bootstrap` crate.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use bootstrap::{Facts, Ports, ProxyType, parse_downward};

use crate::config::{self, InvalidConfig};

const LABELS: &str = "./etc/istio/pod/labels";
const ANNOTATIONS: &str = "./etc/istio/pod/annotations";

/// What the command line says about the node.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Sidecar or gateway.
    pub proxy_type: ProxyType,
    /// `--domain`.
    pub domain: Option<String>,
    /// `--outlierLogPath`.
    pub outlier_log_path: Option<String>,
}

/// Gathers the facts.
pub fn facts(
    asked: Asked,
    environment: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
) -> Result<Facts, InvalidConfig> {
    let namespace = environment.get("POD_NAMESPACE").map_or("", String::as_str);
    let pod_ip = environment
        .get("INSTANCE_IP")
        .and_then(|ip| ip.parse().ok());
    Ok(Facts {
        proxy_type: asked.proxy_type,
        ips: addresses(pod_ip, of_interfaces()),
        domain: asked
            .domain
            .filter(|domain| !domain.is_empty())
            .unwrap_or_else(|| format!("{namespace}.svc.cluster.local")),
        ports: Ports {
            status: config::port(&environment, "ENVOY_STATUS_PORT", Ports::default().status)?,
            prometheus: config::port(
                &environment,
                "ENVOY_PROMETHEUS_PORT",
                Ports::default().prometheus,
            )?,
        },
        exit_on_zero_active_connections: config::boolean(
            &environment,
            "EXIT_ON_ZERO_ACTIVE_CONNECTIONS",
            false,
        )?,
        dual_stack: config::boolean(&environment, "ISTIO_DUAL_STACK", false)?,
        delta: config::boolean(&environment, "ISTIO_DELTA_XDS", true)?,
        outlier_log_path: asked.outlier_log_path.filter(|path| !path.is_empty()),
        labels: downward(Path::new(LABELS)),
        annotations,
        environment,
    })
}

/// The pod's annotations; none where there is no downward API.
pub fn annotations() -> BTreeMap<String, String> {
    downward(Path::new(ANNOTATIONS))
}

/// A pod without these files, or with strange ones, still gets its proxy.
fn downward(path: &Path) -> BTreeMap<String, String> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return BTreeMap::new(),
        Err(error) => {
            tracing::warn!("cannot read {}: {error}", path.display());
            return BTreeMap::new();
        }
    };
    parse_downward(&text).unwrap_or_else(|error| {
        tracing::warn!("cannot use {}: {error}", path.display());
        BTreeMap::new()
    })
}

/// The pod's address first, then all others once. Loopback stands in where there are none.
fn addresses(pod_ip: Option<IpAddr>, interfaces: Vec<IpAddr>) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in pod_ip.into_iter().chain(interfaces) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        addresses = vec![
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ];
    }
    addresses
}

fn of_interfaces() -> Vec<IpAddr> {
    let interfaces = match nix::ifaddrs::getifaddrs() {
        Ok(interfaces) => interfaces,
        Err(error) => {
            tracing::warn!("cannot list the addresses of this host: {error}");
            return Vec::new();
        }
    };
    interfaces
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            let v6 = || address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip()));
            v4.or_else(v6)
        })
        .filter(is_reachable)
        .collect()
}

/// Whether other pods could reach the address.
fn is_reachable(address: &IpAddr) -> bool {
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(address.is_loopback() || address.is_unspecified() || address.is_multicast() || link_local)
}

#[cfg(test)]
mod tests {
    use super::{IpAddr, addresses, is_reachable};

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn the_pods_address_comes_first_and_once() {
        let interfaces = vec![ip("10.0.0.2"), ip("10.0.0.1"), ip("fd00::1")];
        assert_eq!(
            addresses(Some(ip("10.0.0.1")), interfaces),
            [ip("10.0.0.1"), ip("10.0.0.2"), ip("fd00::1")]
        );
    }

    #[test]
    fn loopback_stands_in_where_there_are_no_addresses() {
        assert_eq!(addresses(None, Vec::new()), [ip("127.0.0.1"), ip("::1")]);
    }

    #[test]
    fn addresses_that_others_cannot_reach_do_not_count() {
        for (address, expected) in [
            ("10.0.0.1", true),
            ("fd00::1", true),
            ("127.0.0.1", false),
            ("169.254.1.1", false),
            ("fe80::1", false),
            ("::1", false),
        ] {
            assert_eq!(is_reachable(&ip(address)), expected, "{address}");
        }
    }
}
