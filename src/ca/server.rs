//! The certificate service: who calls is proved by `serve`, what is issued is decided in `issue`.
//! A refused caller learns the kind of refusal only; the reason is for the log.

use std::sync::Arc;

use pki::OffsetDateTime;
use proto::ads::Caller;
use proto::certificates::{
    Certificates, IstioCertificateRequest, IstioCertificateResponse, metadata,
};
use serve::authenticate::{Authenticate, Credentials, Refusal};
use serve::http::Peer;
use tokio::sync::watch;
use tonic::Status;
use tracing::{info, warn};

use crate::Root;
use crate::issue::{Asked, Lifetimes, Refused, issue};
use crate::metrics::Metrics;

/// In the request's metadata: whom a node's proxy asks for.
const IMPERSONATED: &str = "ImpersonatedIdentity";

/// Issues certificates to callers who prove their identity.
pub struct Server {
    /// Recognises callers.
    pub authenticate: Arc<dyn Authenticate>,
    /// The CA in force.
    pub root: watch::Receiver<Option<Arc<Root>>>,
    /// What may be asked for.
    pub lifetimes: Lifetimes,
    /// Counted here.
    pub metrics: Metrics,
}

#[tonic::async_trait]
impl Certificates for Server {
    async fn create(
        &self,
        caller: Caller,
        request: IstioCertificateRequest,
    ) -> Result<IstioCertificateResponse, Status> {
        self.metrics.requests.inc();
        let peer = caller
            .extensions
            .get::<Peer>()
            .map_or_else(String::new, |peer| peer.address.to_string());
        let credentials = Credentials::of(&caller.metadata, &caller.extensions);
        let identity = match self.authenticate.authenticate(credentials).await {
            Ok(identity) => identity.spiffe,
            Err(refusal) => {
                self.metrics.unauthenticated.inc();
                if let Refusal::NotAServiceAccount(_) = refusal {
                    self.metrics.unidentified.inc();
                }
                warn!(peer, reason = %refusal, "no certificate for an unknown caller");
                return Err(match refusal {
                    Refusal::Unavailable(_) => refusal.status(),
                    _ => Status::unauthenticated("request authenticate failure"),
                });
            }
        };
        if let Some(other) = metadata(&request, IMPERSONATED) {
            self.metrics.unauthenticated.inc();
            warn!(peer, %identity, other, "no certificate for another identity than the caller's");
            let refusal = "request impersonation authentication failure";
            return Err(Status::unauthenticated(refusal));
        }
        let asked = Asked {
            request: &request.csr,
            seconds: request.validity_duration,
        };
        let root = self.root.borrow().clone();
        let now = OffsetDateTime::now_utc();
        match issue(root.as_deref(), &identity, asked, self.lifetimes, now) {
            Ok(issuance) => {
                self.metrics.issued.inc();
                let leaf = &issuance.certificate;
                let serial = leaf.serial().unwrap_or_default();
                info!(peer, %identity, serial, until = %leaf.not_after, "certificate issued");
                Ok(IstioCertificateResponse {
                    cert_chain: issuance.chain,
                })
            }
            Err(refused) => {
                if let Refused::Request(_) = refused {
                    self.metrics.unreadable.inc();
                }
                self.metrics.failed(refused.label());
                warn!(peer, %identity, reason = %refused, "no certificate");
                Err(status(&refused))
            }
        }
    }
}

fn status(refused: &Refused) -> Status {
    let message = format!("CSR signing error ({})", refused.label());
    match refused {
        Refused::Request(_) | Refused::Lifetime { .. } => Status::invalid_argument(message),
        // The CA is on its way, so another try is worth it.
        Refused::NotReady => Status::unavailable(message),
        Refused::Signing(_) => Status::internal(message),
    }
}

#[cfg(test)]
mod tests;
