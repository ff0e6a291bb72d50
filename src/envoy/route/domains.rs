//! The domains of a virtual host: every form in which a caller may name a service.

use mesh::{Families, Registry, Resolution, Service, Workload};

/// A host as a domain; IPv6 addresses stand in brackets.
pub(super) fn literal(host: &str) -> String {
    if host.parse::<std::net::Ipv6Addr>().is_ok() {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

/// A host with and without the dot of the root.
fn of_host(host: &str) -> Vec<String> {
    let mut found = vec![literal(host)];
    if host != "*" && host.parse::<std::net::IpAddr>().is_err() {
        found.push(format!("{host}."));
    }
    found
}

/// Full name, its short forms for a caller in its namespace or another, and its addresses.
pub(super) fn of_service(
    service: &Service,
    workload: &Workload,
    families: Families,
) -> Vec<String> {
    let host = service.id.host.as_str();
    let mut found = of_host(host);
    found.extend(short(host, &workload.dns_domain));
    if service.registry == Registry::Kubernetes && service.resolution == Resolution::Passthrough {
        // Pods of a headless service have names below its own.
        let below: Vec<String> = found.iter().map(|name| format!("*.{name}")).collect();
        found.extend(below);
    }
    for address in service.virtual_addresses() {
        let v6 = address.contains(':');
        let usable = if v6 { families.v6 } else { families.v4 };
        // A range is no domain that a caller could send, but upstream lists the first address as such.
        let first = service.virtual_addresses().first() == Some(address);
        if usable && (first || !address.contains('/')) {
            found.push(literal(address));
        }
    }
    found
}

/// Short forms of `name.namespace.svc.cluster.local`, with the name alone for callers beside it.
fn short(host: &str, dns_domain: &str) -> Vec<String> {
    let (Some((own, _)), Some((full, rest))) =
        (dns_domain.split_once(".svc."), host.split_once(".svc."))
    else {
        return Vec::new();
    };
    if !dns_domain.ends_with(rest) {
        return Vec::new();
    }
    let Some((name, namespace)) = full.split_once('.') else {
        return Vec::new();
    };
    let mut found = Vec::new();
    if namespace == own {
        found.push(name.to_owned());
    }
    found.push(format!("{full}.svc"));
    found.push(full.to_owned());
    found
}
