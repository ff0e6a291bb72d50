//! The identity in a client certificate. That its chain leads to a root of the mesh and that the caller has
//! its key was judged by the handshake ([`crate::tls`]); this reads who it is.

use base::SpiffeId;
use pki::{Certificate, OffsetDateTime};

use super::{Authenticate, Credentials, Identity, Refusal};

/// A certificate that identifies no workload of the mesh.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateProblem {
    /// It does not decode.
    #[error("{0}")]
    Unreadable(String),
    /// No URI, or several: X.509-SVIDs have exactly one.
    #[error("it has the URIs {0:?}, expected exactly one, spiffe://…")]
    NotOneUri(Vec<String>),
    /// The URI has another form.
    #[error("{0}")]
    NotAnIdentity(String),
    /// An identity of another mesh.
    #[error("{identity} is of another trust domain than {expected}")]
    OtherTrustDomain {
        /// What the certificate says.
        identity: SpiffeId,
        /// That of the mesh.
        expected: String,
    },
    /// It ended while its connection lived.
    #[error("it is valid from {0} to {1}, not now")]
    NotValidNow(OffsetDateTime, OffsetDateTime),
}

/// Recognises workloads by their certificates.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    /// Of the identities that are accepted.
    pub trust_domain: String,
}

#[tonic::async_trait]
impl Authenticate for ClientCertificate {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Identity, Refusal> {
        let leaf = credentials
            .certificates
            .first()
            .ok_or(Refusal::NoCredentials)?;
        let spiffe = identify(leaf, &self.trust_domain, OffsetDateTime::now_utc())?;
        Ok(Identity { spiffe })
    }
}

/// The identity in the certificate `der`, at `now`.
///
/// # Errors
/// [`CertificateProblem`].
pub(super) fn identify(
    der: &[u8],
    trust_domain: &str,
    now: OffsetDateTime,
) -> Result<SpiffeId, CertificateProblem> {
    let leaf = Certificate::from_der(der)
        .map_err(|error| CertificateProblem::Unreadable(error.to_string()))?;
    // Connections live longer than handshakes.
    if now < leaf.not_before || now > leaf.not_after {
        return Err(CertificateProblem::NotValidNow(
            leaf.not_before,
            leaf.not_after,
        ));
    }
    let [uri] = &leaf.uris[..] else {
        return Err(CertificateProblem::NotOneUri(leaf.uris));
    };
    let identity = uri
        .parse::<SpiffeId>()
        .map_err(|error| CertificateProblem::NotAnIdentity(error.to_string()))?;
    if identity.trust_domain != trust_domain {
        return Err(CertificateProblem::OtherTrustDomain {
            identity,
            expected: trust_domain.to_owned(),
        });
    }
    Ok(identity)
}

#[cfg(test)]
mod tests;
