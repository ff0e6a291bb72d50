//! One issuance, decided and made: from a request, the caller's identity and the CA in force to a chain.
//! Reads no clock and speaks no gRPC.

use base::SpiffeId;
use pki::{Certificate, OffsetDateTime, SigningRequest};
use time::Duration;

use crate::Root;

/// How long workloads' certificates live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// For who asks for none (upstream: DEFAULT_WORKLOAD_CERT_TTL, 24 hours).
    pub default: Duration,
    /// Asking for more is refused, not clamped (upstream: MAX_WORKLOAD_CERT_TTL, 90 days).
    pub longest: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Lifetimes {
            default: Duration::hours(24),
            longest: Duration::days(90),
        }
    }
}

/// What a caller asks for; who it is does not come from here.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Certificate signing request, as PEM.
    pub request: &'a str,
    /// Lifetime in seconds; zero and less mean the default.
    pub seconds: i64,
}

/// A certificate that was made.
#[derive(Clone, Debug)]
pub struct Issuance {
    /// The leaf.
    pub certificate: Certificate,
    /// PEM, each with a final newline: leaf, intermediates, and the bundle of roots as the last element.
    pub chain: Vec<String>,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// There is no CA yet.
    #[error("the CA is not ready")]
    NotReady,
    /// The request cannot be read or proves nothing.
    #[error("{0}")]
    Request(pki::Error),
    /// The lifetime is too long.
    #[error("requested lifetime of {asked} s is more than {longest} s")]
    Lifetime {
        /// Seconds.
        asked: i64,
        /// Seconds.
        longest: i64,
    },
    /// The CA could not sign.
    #[error("{0}")]
    Signing(pki::Error),
}

impl Refused {
    /// Upstream's word for it, in metrics and logs.
    pub fn label(&self) -> &'static str {
        match self {
            Refused::NotReady => "CA_NOT_READY",
            Refused::Request(_) => "CSR_ERROR",
            Refused::Lifetime { .. } => "TTL_ERROR",
            Refused::Signing(_) => "CERT_GEN_ERROR",
        }
    }
}

/// Issues a certificate for `identity` and the key in the request. Nothing else of the request is believed.
///
/// # Errors
/// [`Refused`].
pub fn issue(
    root: Option<&Root>,
    identity: &SpiffeId,
    asked: Asked<'_>,
    lifetimes: Lifetimes,
    now: OffsetDateTime,
) -> Result<Issuance, Refused> {
    let root = root.ok_or(Refused::NotReady)?;
    let request = SigningRequest::from_pem(asked.request).map_err(Refused::Request)?;
    let lifetime = match asked.seconds {
        ..=0 => lifetimes.default,
        seconds if seconds > lifetimes.longest.whole_seconds() => {
            return Err(Refused::Lifetime {
                asked: seconds,
                longest: lifetimes.longest.whole_seconds(),
            });
        }
        seconds => Duration::seconds(seconds),
    };
    let certificate = root
        .signer()
        .issue_workload(&request, &identity.to_string(), now, lifetime)
        .map_err(Refused::Signing)?;
    let chain = std::iter::once(certificate.to_pem())
        .chain(root.intermediates().map(Certificate::to_pem))
        .chain(std::iter::once(root.roots_pem().to_owned()))
        .collect();
    Ok(Issuance { certificate, chain })
}

#[cfg(test)]
mod tests;
