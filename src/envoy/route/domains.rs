//! The domains of a virtual host: every form in which a caller may name a service.

use mesh::{Registry, Resolution, Scope, Service};

/// A host as a domain; IPv6 addresses stand in brackets.
pub(super) fn literal(host: &str) -> String {
    if host.parse::<std::net::Ipv6Addr>().is_ok() {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

/// Domains of a service.
#[derive(Debug)]
pub(crate) struct Domains {
    /// All of them.
    pub(crate) all: Vec<String>,
    /// Those that only stand for a full name: the full name of another service outdoes them.
    pub(crate) others: Vec<String>,
}

/// Full name, its short forms for a caller in its namespace or another, its aliases' names, and its
/// addresses. With a port, each also with that.
pub(super) fn of_service(scope: &Scope, service: &Service, port: Option<u16>) -> Domains {
    let host = service.id.host.as_str();
    let mut domains = Domains {
        all: Vec::new(),
        others: Vec::new(),
    };
    let names = std::iter::once(host).chain(service.aliases.iter().map(String::as_str));
    for name in names {
        let mut others = Vec::new();
        for other in self::others(scope, name) {
            push(&mut others, &other, port);
        }
        push(&mut domains.all, name, port);
        domains.all.extend(others.iter().cloned());
        domains.others.extend(others);
    }
    if service.registry == Registry::Kubernetes && service.resolution == Resolution::Passthrough {
        // Pods of a headless service have names below its own.
        let below: Vec<String> = domains.all.iter().map(|name| format!("*.{name}")).collect();
        domains.all.extend(below);
    }
    for address in service.addresses_for(scope.reach()) {
        push(&mut domains.all, address, port);
    }
    domains
}

fn push(into: &mut Vec<String>, domain: &str, port: Option<u16>) {
    let literal = literal(domain);
    if let Some(port) = port {
        into.push(literal.clone());
        into.push(format!("{literal}:{port}"));
    } else {
        into.push(literal);
    }
}

/// Other forms of a full name: with the dot of the root, and short forms of
/// `name.namespace.svc.cluster.local`, with the name alone for callers beside it.
pub(crate) fn others(scope: &Scope, host: &str) -> Vec<String> {
    let mut found = Vec::new();
    if scope.features.absolute_names && host.parse::<std::net::IpAddr>().is_err() {
        found.push(format!("{host}."));
    }
    found.extend(short(host, &scope.workload.dns_domain));
    found
}

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
