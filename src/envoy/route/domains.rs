//! The domains of a virtual host: every form in which a caller may name a service.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use mesh::{Reach, Registry, Resolution, Service};

use super::fragment;

/// A host as a domain; IPv6 addresses stand in brackets.
pub(super) fn literal(host: &str) -> Cow<'_, str> {
    if host.contains(':') && host.parse::<std::net::Ipv6Addr>().is_ok() {
        format!("[{host}]").into()
    } else {
        host.into()
    }
}

/// What of a caller decides about the forms in which it may name a service.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Caller {
    /// `namespace.svc.cluster.local`.
    pub(crate) dns_domain: String,
    /// Whether names with the dot of the root are known.
    pub(crate) absolute_names: bool,
    /// Which addresses it can use.
    pub(crate) reach: Reach,
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
pub(super) fn of_service(caller: &Caller, service: &Service, port: Option<u16>) -> Domains {
    let host = service.id.host.as_str();
    let mut all: Vec<Domain> = Vec::with_capacity(4);
    let names = std::iter::once(host).chain(service.aliases.iter().map(String::as_str));
    for name in names {
        push(&mut all, name, false, port);
        for other in self::others(caller, name) {
            push(&mut all, &other, true, port);
        }
    }
    if service.registry == Registry::Kubernetes && service.resolution == Resolution::Passthrough {
        // Pods of a headless service have names below its own.
        let below = |domain: &Domain| Domain::new(&format!("*.{}", domain.text), false);
        let below: Vec<Domain> = all.iter().map(below).collect();
        all.extend(below);
    }
    for address in service.addresses_for(caller.reach) {
        push(&mut all, address, false, port);
    }
    Domains {
        encoded: fragment::domains(all.iter().map(|domain| &*domain.text)),
        all,
    }
}

fn push(into: &mut Vec<Domain>, domain: &str, is_other: bool, port: Option<u16>) {
    let literal = literal(domain);
    into.push(Domain::new(&literal, is_other));
    if let Some(port) = port {
        into.push(Domain::new(&format!("{literal}:{port}"), is_other));
    }
}

/// Other forms of a full name: with the dot of the root, and short forms of
/// `name.namespace.svc.cluster.local`, with the name alone for callers beside it.
pub(crate) fn others(caller: &Caller, host: &str) -> Vec<String> {
    let mut found = Vec::new();
    if caller.absolute_names && !is_address(host) {
        found.push(format!("{host}."));
    }
    found.extend(short(host, &caller.dns_domain));
    found
}

/// Whether it is an address: those end in a digit, but for some of IPv6.
fn is_address(host: &str) -> bool {
    let could = host.ends_with(|last: char| last.is_ascii_digit()) || host.contains(':');
    could && host.parse::<std::net::IpAddr>().is_ok()
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
