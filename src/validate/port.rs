//! Ports and protocols of Gateways, ServiceEntries, Sidecars and endpoints.

use crate::field::{Field, Findings};
use crate::host;

/// A port's number; an absent one is 0.
pub fn number(findings: &mut Findings, field: &Field) {
    let number = field.int();
    if !(1..=65535).contains(&number) {
        findings.error(
            field,
            format!("is {number}, expected a port from 1 to 65535"),
        );
    }
}

pub fn name(findings: &mut Findings, field: &Field, name: &str) {
    if !host::is_label(name) {
        findings.error(
            field,
            format!("{name:?} is no port name, expected letters, digits and inner hyphens"),
        );
    }
}

/// What a protocol's name stands for (upstream: pkg/config/protocol).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http,
    Tls,
    Tcp,
}

const PROTOCOLS: &[(&str, Protocol)] = &[
    ("HTTP", Protocol::Http),
    ("HTTP2", Protocol::Http),
    ("GRPC", Protocol::Http),
    ("GRPC-WEB", Protocol::Http),
    ("HTTP_PROXY", Protocol::Http),
    ("HTTPS", Protocol::Tls),
    ("TLS", Protocol::Tls),
    ("TCP", Protocol::Tcp),
    ("UDP", Protocol::Tcp),
    ("MONGO", Protocol::Tcp),
    ("REDIS", Protocol::Tcp),
    ("MYSQL", Protocol::Tcp),
];

/// The protocol of a name in either case; `None` when it is not known.
pub fn protocol(name: &str) -> Option<Protocol> {
    let mut known = PROTOCOLS.iter();
    let found = known.find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, protocol)| *protocol)
}

/// A protocol's name; `required` where an empty one has no meaning.
pub fn protocol_name(findings: &mut Findings, field: &Field, required: bool) {
    let name = field.text();
    if (required || !name.is_empty()) && protocol(name).is_none() {
        let known: Vec<&str> = PROTOCOLS.iter().map(|(name, _)| *name).collect();
        findings.error(
            field,
            format!(
                "{name:?} is no protocol, expected one of {}",
                known.join(", ")
            ),
        );
    }
}
