//! Names of hosts, namespaces and addresses as Istio's API takes them.

use std::net::IpAddr;

use crate::field::{Field, Findings};

/// A DNS label (RFC 1123), at most 63 characters, either case.
pub fn is_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let outer = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= 63
        && text.chars().all(inner)
        && outer(text.chars().next())
        && outer(text.chars().last())
}

/// A domain name without wildcards: labels, not a number at the end; a final dot is allowed.
pub fn is_domain(text: &str) -> Result<(), String> {
    length(text)?;
    labels(text, text)
}

/// A domain name whose first label may begin with `*`.
pub fn is_wildcard_domain(text: &str) -> Result<(), String> {
    length(text)?;
    let (first, rest) = match text.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (text, None),
    };
    let plain = first.strip_prefix('*').unwrap_or(first);
    let plain = plain
        .strip_prefix('-')
        .filter(|_| first.starts_with('*'))
        .unwrap_or(plain);
    let all = plain.is_empty() && first.starts_with('*');
    if !all && !is_label(plain) {
        return Err(format!(
            "{text:?} is no domain name: its part {first:?} is not letters, digits and inner hyphens"
        ));
    }
    rest.map_or(Ok(()), |rest| labels(text, rest))
}

fn length(text: &str) -> Result<(), String> {
    match text.len() {
        0 => Err("is empty, expected a domain name".to_owned()),
        1..=255 => Ok(()),
        length => Err(format!(
            "has {length} characters, a domain name has at most 255"
        )),
    }
}

/// Whether the labels of a name, or of its `part`, are such.
fn labels(text: &str, part: &str) -> Result<(), String> {
    let last = part.rsplit('.').next().unwrap_or_default();
    if last.parse::<i64>().is_ok() {
        return Err(format!(
            "{text:?} is no domain name: its last part is a number"
        ));
    }
    let parts = part.strip_suffix('.').unwrap_or(part);
    match parts.split('.').find(|label| !is_label(label)) {
        Some(label) => Err(format!(
            "{text:?} is no domain name: its part {label:?} is not letters, digits and inner hyphens"
        )),
        None => Ok(()),
    }
}

pub fn is_address(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}

/// An address, or a range of them in CIDR form.
pub fn is_range(text: &str) -> bool {
    match text.split_once('/') {
        None => is_address(text),
        Some((address, bits)) => {
            let most = match address.parse::<IpAddr>() {
                Ok(IpAddr::V4(_)) => 32,
                Ok(IpAddr::V6(_)) => 128,
                Err(_) => return false,
            };
            let canonical = bits == "0" || !bits.starts_with(['0', '+']);
            canonical && bits.parse::<u8>().is_ok_and(|bits| bits <= most)
        }
    }
}

/// A path of a Unix socket, or the name of an abstract one.
pub fn socket(findings: &mut Findings, field: &Field, path: &str) {
    if !path.starts_with('@') && (!path.starts_with('/') || path.ends_with('/')) {
        findings.error(
            field,
            "unix:// is followed by an absolute path of a file or by @ and a name",
        );
    }
}

/// Whether every host that `inner` stands for is one of those that `outer` stands for.
pub fn covers(outer: &str, inner: &str) -> bool {
    match outer.strip_prefix('*') {
        None => outer == inner,
        Some(suffix) => match inner.strip_prefix('*') {
            Some(inner) => inner.ends_with(suffix),
            None => inner.ends_with(suffix),
        },
    }
}

/// Whether some host is meant by both.
pub fn overlap(one: &str, other: &str) -> bool {
    covers(one, other) || covers(other, one)
}

/// `dnsName` or `namespace/dnsName`, as Gateways and Sidecars name hosts.
pub fn of_namespace(findings: &mut Findings, field: &Field, gateway: bool) {
    let text = field.text();
    let Some((namespace, name)) = text.split_once('/') else {
        match gateway {
            true => of_listener(findings, field, text, true),
            false => findings.error(
                field,
                format!("{text:?} has no namespace, expected namespace/host, ./host or */host"),
            ),
        }
        return;
    };
    if namespace.is_empty() || name.is_empty() {
        findings.error(
            field,
            format!("{text:?} lacks a part, expected namespace/host"),
        );
        return;
    }
    let plain = if gateway {
        namespace
    } else {
        namespace.strip_prefix('~').unwrap_or(namespace)
    };
    let special = ["*", "."].contains(&plain) || (plain.is_empty() && !gateway);
    if !special && !is_label(plain) {
        findings.error(
            field,
            format!("{namespace:?} is no namespace, expected a name, . for the own or * for all"),
        );
    }
    of_listener(findings, field, name, gateway);
}

fn of_listener(findings: &mut Findings, field: &Field, name: &str, gateway: bool) {
    if gateway && is_address(name) {
        return;
    }
    if name != "*" && !name.contains('.') {
        findings.error(
            field,
            format!(
                "{name:?} is a short name, expected a full one, such as {name}.example.com, or *"
            ),
        );
    } else if let Err(message) = is_wildcard_domain(name) {
        findings.error(field, message);
    } else if is_partial_wildcard(name) {
        findings.error(
            field,
            format!("{name:?} has a wildcard inside a label, expected *.domain"),
        );
    }
}

/// `*foo.com`: a wildcard for part of a label.
pub fn is_partial_wildcard(name: &str) -> bool {
    name.contains('*') && name != "*" && !name.starts_with("*.")
}

/// `exportTo` of any kind.
pub fn export_to(findings: &mut Findings, field: &Field, service_entry: bool) {
    let own = findings.subject().namespace.clone().unwrap_or_default();
    let mut seen: Vec<&str> = Vec::new();
    for item in field.items() {
        let text = item.text();
        let meant = if text == "." { own.as_str() } else { text };
        if seen.contains(&meant) {
            findings.error(
                &item,
                format!("{text:?} means a namespace that is already named"),
            );
            continue;
        }
        let none = text == "~" && service_entry;
        if !none && text != "." && text != "*" && !is_label(text) {
            findings.error(
                &item,
                format!("{text:?} is no namespace, expected a name, . for the own or * for all"),
            );
        }
        seen.push(meant);
    }
    for alone in ["*", "~"] {
        if seen.contains(&alone) && seen.len() > 1 {
            findings.error(
                field,
                format!("has {alone} beside other namespaces, expected it alone"),
            );
        }
    }
}
