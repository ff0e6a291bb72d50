//! Who is calling: the identity behind a connection's credentials.
//! A caller learns only that it was refused; the reason is for the log.

mod certificate;
mod metrics;
mod review;
mod secrets;
mod token;
mod verdicts;

use std::sync::Arc;

use base::SpiffeId;
use rustls::pki_types::CertificateDer;
use tokio::time::Instant;
use tonic::Extensions;
use tonic::metadata::MetadataMap;

use crate::http::Peer;

pub use certificate::{CertificateProblem, ClientCertificate};
pub use metrics::Metrics;
pub use review::TokenReviewer;
pub use token::TokenProblem;
pub use verdicts::REMEMBERED;

/// What a caller presents. Nothing else of a request is believed: headers such as
/// `x-forwarded-client-cert` say what whoever sent them likes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Credentials<'a> {
    /// Value of the `authorization` header.
    pub authorization: Option<&'a str>,
    /// Certificates that the connection proved, leaf first ([`Peer::certificates`]).
    pub certificates: &'a [CertificateDer<'static>],
}

impl<'a> Credentials<'a> {
    /// Those of a gRPC request on a connection that [`crate::http`] serves.
    pub fn of(metadata: &'a MetadataMap, extensions: &'a Extensions) -> Self {
        let authorization = metadata.get("authorization");
        Credentials {
            authorization: authorization.and_then(|value| value.to_str().ok()),
            certificates: extensions
                .get::<Peer>()
                .map_or(&[], |peer| &peer.certificates),
        }
    }
}

/// A caller that was recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its workload identity.
    pub spiffe: SpiffeId,
}

/// Why a caller was refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    /// Nothing to judge.
    #[error(
        "no credentials: expected a client certificate or the header authorization: Bearer <service account token>"
    )]
    NoCredentials,
    /// The certificate names nobody of this mesh.
    #[error("client certificate refused: {0}")]
    Certificate(#[from] CertificateProblem),
    /// The token was refused without asking the API server.
    #[error("token refused: {0}")]
    Token(#[from] TokenProblem),
    /// The API server does not accept the token.
    #[error("the API server refused the token: {0}")]
    Rejected(String),
    /// Accepted, but not for a workload.
    #[error("{0:?} is not a service account")]
    NotAServiceAccount(String),
    /// The API server could not be asked; the caller may try again.
    #[error("the API server could not review the token: {0}")]
    Unavailable(Arc<str>),
}

impl Refusal {
    /// What the caller is told: nothing about why, but whether trying again may help.
    pub fn status(&self) -> tonic::Status {
        match self {
            Refusal::Unavailable(_) => {
                tonic::Status::unavailable("authentication is not available")
            }
            _ => tonic::Status::unauthenticated("authentication failure"),
        }
    }

    /// One word for it, in metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Refusal::NoCredentials => "no_credentials",
            Refusal::Certificate(_) => "certificate",
            Refusal::Token(_) => "token",
            Refusal::Rejected(_) => "rejected",
            Refusal::NotAServiceAccount(_) => "not_a_service_account",
            Refusal::Unavailable(_) => "unavailable",
        }
    }
}

/// Whether a caller has a right, and how long that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Right {
    /// Whether it has.
    pub given: bool,
    /// When to ask again: rights are given and taken without anybody being told.
    pub until: Instant,
}

/// Recognises callers.
#[tonic::async_trait]
pub trait Authenticate: Send + Sync + 'static {
    /// The identity behind `credentials`.
    ///
    /// # Errors
    /// [`Refusal`], for the log; the caller gets [`Refusal::status`].
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Identity, Refusal>;

    /// Whether a recognised caller may read the Secrets of its namespace; `None`, which means no, from those
    /// who know of no such right.
    async fn may_read_secrets(&self, _caller: &Identity) -> Option<Right> {
        None
    }
}

/// Recognises workloads by the certificate that the connection proved, else by the token of the request:
/// the order of upstream. Refusals are counted.
pub struct Workloads {
    /// Reads certificates.
    pub certificate: ClientCertificate,
    /// Has tokens reviewed.
    pub token: TokenReviewer,
    /// Counted here.
    pub metrics: Metrics,
}

#[tonic::async_trait]
impl Authenticate for Workloads {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Identity, Refusal> {
        let by_certificate = self.certificate.authenticate(credentials).await;
        let recognised = match by_certificate {
            Ok(identity) => Ok(identity),
            // Both were presented, the certificate's refusal says more only when the token is missing.
            Err(refusal) => match self.token.authenticate(credentials).await {
                Err(Refusal::NoCredentials) => Err(refusal),
                other => other,
            },
        };
        recognised.inspect_err(|refusal| self.metrics.refused(refusal))
    }

    async fn may_read_secrets(&self, caller: &Identity) -> Option<Right> {
        self.token.may_read_secrets(caller).await
    }
}

#[cfg(test)]
mod tests;
