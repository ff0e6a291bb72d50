//! Secrets encoded as Envoy reads them (envoy.extensions.transport_sockets.tls.v3.Secret): the two that every proxy
//! has, and others of the same two kinds.

use bytes::Bytes;

use crate::wire::{Message, Value, fields, text};

/// Name of the workload's own certificate and key.
pub const DEFAULT: &str = "default";
/// Name of the roots that peers must have certificates of.
pub const ROOT_CA: &str = "ROOTCA";
/// Type URL of secrets.
pub const TYPE_URL: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

/// One secret in one version. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Versioned {
    /// Differs from that of every other content.
    pub version: String,
    /// The encoded secret.
    pub bytes: Bytes,
}

impl std::fmt::Debug for Versioned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Versioned({})", self.version)
    }
}

/// What there is to be served; nothing before the first certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secrets {
    /// [`DEFAULT`].
    pub own: Option<Versioned>,
    /// [`ROOT_CA`].
    pub roots: Option<Versioned>,
}

impl Secrets {
    /// The secret of that name, if there is one.
    pub fn get(&self, name: &str) -> Option<&Versioned> {
        match name {
            DEFAULT => self.own.as_ref(),
            ROOT_CA => self.roots.as_ref(),
            _ => None,
        }
    }
}

/// Certificate chain and key, both PEM.
pub fn own(chain: &str, key: &str) -> Bytes {
    certificate(DEFAULT, chain, key)
}

/// As [`own`], under another name.
pub fn certificate(name: &str, chain: &str, key: &str) -> Bytes {
    let certificate = Message::default()
        .with(1, inline(chain))
        .with(2, inline(key));
    let secret = Message::default().with(1, name).with(2, certificate);
    secret.into_bytes().into()
}

/// What [`own`] was made of: chain and key.
pub fn pem(own: &[u8]) -> Option<(&str, &str)> {
    let certificate = field(own, 2)?;
    let text_of = |number| text(field(field(certificate, number)?, 2)?).ok();
    Some((text_of(1)?, text_of(2)?))
}

fn field(message: &[u8], number: u32) -> Option<&[u8]> {
    fields(message).find_map(|field| match field.ok()? {
        (found, Value::Bytes(bytes)) if found == number => Some(bytes),
        _ => None,
    })
}

/// Trusted roots, PEM.
pub fn roots(pem: &str) -> Bytes {
    authorities(ROOT_CA, pem)
}

/// As [`roots`], under another name.
pub fn authorities(name: &str, pem: &str) -> Bytes {
    let context = Message::default().with(1, inline(pem));
    let secret = Message::default().with(1, name).with(4, context);
    secret.into_bytes().into()
}

/// envoy.config.core.v3.DataSource with inline bytes.
fn inline(text: &str) -> Message {
    Message::default().with(2, text)
}
