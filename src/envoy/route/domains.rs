//! The domains of a virtual host: every form in which a caller may name a service.

use std::borrow::Cow;

use mesh::{Reach, Registry, Resolution, Service};

/// A host as a domain; IPv6 addresses stand in brackets.
pub(super) fn literal<'a>(host: impl Into<Cow<'a, str>>) -> Cow<'a, str> {
    let host = host.into();
    if host.contains(':') && host.parse::<std::net::Ipv6Addr>().is_ok() {
        format!("[{host}]").into()
    } else {
        host
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

/// The domains of a service, in one text.
#[derive(Debug, Default)]
pub(crate) struct Domains {
    texts: String,
    /// Where each ends, and whether it is [`Domain::is_other`].
    ends: Vec<(usize, bool)>,
}

/// One form in which callers may name a host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Domain<'a> {
    pub(crate) text: &'a str,
    /// Whether it only stands for a full name: the full name of another service outdoes it.
    pub(crate) is_other: bool,
}

impl Domains {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Domain<'_>> {
        let mut start = 0;
        self.ends.iter().map(move |&(end, is_other)| {
            let text = &self.texts[std::mem::replace(&mut start, end)..end];
            Domain { text, is_other }
        })
    }

    /// Adds a domain, and the same with a port.
    fn push(&mut self, parts: [&str; 2], is_other: bool, port: Option<&str>) {
        self.texts.extend(parts);
        self.end(is_other);
        if let Some(port) = port {
            self.texts.extend(parts);
            self.texts.extend([":", port]);
            self.end(is_other);
        }
    }

    fn end(&mut self, is_other: bool) {
        self.ends.push((self.texts.len(), is_other));
    }

    /// Adds what is below the domains so far.
    fn push_below(&mut self) {
        let mut start = 0;
        for place in 0..self.ends.len() {
            let (end, _) = self.ends[place];
            self.texts.push_str("*.");
            self.texts.extend_from_within(start..end);
            self.end(false);
            start = end;
        }
    }
}

/// A name without capitals.
pub(super) fn lower(name: &str) -> Cow<'_, str> {
    // All letters are looked at, which takes less time than to stop at the first.
    let capitals = name.bytes().filter(u8::is_ascii_uppercase).count();
    if capitals > 0 {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

/// Full name, its short forms for a caller in its namespace or another, its aliases' names, and its
/// addresses. With a port, each also with that.
pub(super) fn of_service(caller: &Caller, service: &Service, port: Option<u16>) -> Domains {
    let host = service.id.host.as_str();
    let port = port.map(|port| port.to_string());
    let port = port.as_deref();
    let mut all = Domains {
        // Most have one name of up to four forms, and an address.
        texts: String::with_capacity(4 * host.len() + 16),
        ends: Vec::with_capacity(6),
    };
    let names = std::iter::once(host).chain(service.aliases.iter().map(String::as_str));
    for name in names {
        all.push([&literal(name), ""], false, port);
        for other in forms(caller, name) {
            all.push(other, true, port);
        }
    }
    if service.registry == Registry::Kubernetes && service.resolution == Resolution::Passthrough {
        // Pods of a headless service have names below its own.
        all.push_below();
    }
    for address in service.addresses_for(caller.reach) {
        all.push([&literal(address), ""], false, port);
    }
    all
}

/// Other forms of a full name: with the dot of the root, and short forms of
/// `name.namespace.svc.cluster.local`, with the name alone for callers beside it.
pub(crate) fn others(caller: &Caller, host: &str) -> Vec<String> {
    forms(caller, host).map(|parts| parts.concat()).collect()
}

fn forms<'a>(caller: &Caller, host: &'a str) -> impl Iterator<Item = [&'a str; 2]> {
    let absolute = caller.absolute_names && !is_address(host);
    let absolute = absolute.then_some([host, "."]);
    let short = short(host, &caller.dns_domain).into_iter().flatten();
    absolute.into_iter().chain(short.map(|name| [name, ""]))
}

/// Whether it is an address: those end in a digit, but for some of IPv6.
fn is_address(host: &str) -> bool {
    let could = host.ends_with(|last: char| last.is_ascii_digit()) || host.contains(':');
    could && host.parse::<std::net::IpAddr>().is_ok()
}

fn short<'a>(host: &'a str, dns_domain: &str) -> [Option<&'a str>; 3] {
    const NONE: [Option<&str>; 3] = [None; 3];
    let (Some((full, rest)), Some((own, _))) = (split_kind(host), split_kind(dns_domain)) else {
        return NONE;
    };
    let Some((name, namespace)) = full.split_once('.') else {
        return NONE;
    };
    if !dns_domain.ends_with(rest) {
        return NONE;
    }
    let with_kind = &host[..full.len() + KIND.len() - 1];
    [
        (namespace == own).then_some(name),
        Some(with_kind),
        Some(full),
    ]
}

/// What tells names of services from those of pods.
const KIND: &str = ".svc.";

/// What stands before and behind it in a name. Names are short: to search is to compare at every place.
fn split_kind(name: &str) -> Option<(&str, &str)> {
    let mut places = name.as_bytes().windows(KIND.len());
    let at = places.position(|place| place == KIND.as_bytes())?;
    Some((&name[..at], &name[at + KIND.len()..]))
}
