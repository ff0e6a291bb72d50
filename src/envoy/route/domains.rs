//! The domains of a virtual host: every form in which a caller may name a service.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use mesh::{Registry, Resolution, Scope, Service};

use super::fragment;

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
    pub(crate) all: Vec<Domain>,
    /// All of them, as a virtual host has them.
    pub(crate) encoded: Bytes,
}

/// One form in which callers may name a host.
#[derive(Clone, Debug)]
pub(crate) struct Domain {
    pub(crate) text: Arc<str>,
    /// By which it is compared: names are the same in capitals.
    pub(crate) key: Arc<str>,
    /// Whether it only stands for a full name: the full name of another service outdoes it.
    pub(crate) is_other: bool,
}

impl Domain {
    pub(crate) fn new(text: &str, is_other: bool) -> Self {
        let key = lower(text);
        let text: Arc<str> = text.into();
        Domain {
            key: match key {
                Cow::Borrowed(_) => text.clone(),
                Cow::Owned(key) => key.into(),
            },
            text,
            is_other,
        }
    }
}

/// A name without capitals.
pub(super) fn lower(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

/// Full name, its short forms for a caller in its namespace or another, its aliases' names, and its
/// addresses. With a port, each also with that.
pub(super) fn of_service(scope: &Scope, service: &Service, port: Option<u16>) -> Domains {
    let host = service.id.host.as_str();
    let (mut all, mut all_others) = (Vec::new(), Vec::new());
    let names = std::iter::once(host).chain(service.aliases.iter().map(String::as_str));
    for name in names {
        let mut others = Vec::new();
        for other in self::others(scope, name) {
            push(&mut others, &other, port);
        }
        push(&mut all, name, port);
        all.extend(others.iter().cloned());
        all_others.extend(others);
    }
    if service.registry == Registry::Kubernetes && service.resolution == Resolution::Passthrough {
        // Pods of a headless service have names below its own.
        let below: Vec<String> = all.iter().map(|name| format!("*.{name}")).collect();
        all.extend(below);
    }
    for address in service.addresses_for(scope.reach()) {
        push(&mut all, address, port);
    }
    let domain = |text: &String| Domain::new(text, all_others.contains(text));
    Domains {
        encoded: fragment::domains(all.iter().map(String::as_str)),
        all: all.iter().map(domain).collect(),
    }
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
