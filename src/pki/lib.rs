//! Keys and X.509 certificates: generating, loading, signing and checking them.
//! Knows PEM and DER, not Kubernetes; reads no clock, `now` is an argument.

mod certificate;
mod der;
mod key;
mod pem;
mod request;
mod san;
mod signer;
mod workload;

pub use certificate::{Certificate, parse_bundle, verify};
pub use key::PrivateKey;
pub use request::{SigningRequest, signing_request};
pub use san::control_plane_hosts;
pub use signer::{Issued, Signer, self_signed_root};
pub use time::OffsetDateTime;

/// The SHA-256 digest of `bytes`, for who must recognise a secret without keeping it.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// What can be wrong with a key or certificate, without the key in it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No PEM block of the wanted kind.
    #[error("no {wanted} found, expected PEM")]
    Missing {
        /// `certificate`, `private key` or `certificate signing request`.
        wanted: &'static str,
    },
    /// A PEM block that does not decode.
    #[error("{what} does not decode: {reason}")]
    Malformed {
        /// `certificate`, `private key` or `certificate signing request`.
        what: &'static str,
        /// Where decoding stopped.
        reason: String,
    },
    /// A key that no algorithm here accepts.
    #[error(
        "unsupported private key ({0}), expected RSA of at least 2048 bits or EC P-256 or P-384"
    )]
    UnsupportedKey(String),
    /// A signing request by somebody who does not have the key.
    #[error("the signature of the request is not that of its key, or too weak: {0}")]
    NotProven(String),
    /// Key and certificate are not a pair.
    #[error("the private key does not belong to the certificate {subject:?}")]
    KeyMismatch {
        /// Subject of the certificate.
        subject: String,
    },
    /// The certificate cannot sign others.
    #[error("certificate {subject:?} is not a CA certificate")]
    NotACa {
        /// Subject of the certificate.
        subject: String,
    },
    /// Outside of its validity.
    #[error("certificate {subject:?} is valid from {not_before} to {not_after}, not at {now}")]
    NotValidNow {
        /// Subject of the certificate.
        subject: String,
        /// First valid moment.
        not_before: OffsetDateTime,
        /// Last valid moment.
        not_after: OffsetDateTime,
        /// The moment of the check.
        now: OffsetDateTime,
    },
    /// No chain leads from the certificate to a root.
    #[error("certificate {subject:?} is not signed by any of the given roots: {reason}")]
    Untrusted {
        /// Subject of the certificate.
        subject: String,
        /// What the verifier said.
        reason: String,
    },
    /// Generating or signing failed.
    #[error("signing failed: {0}")]
    Signing(#[from] rcgen::Error),
}
