//! Judging client certificates by roots that change while the server runs.

use std::fmt;
use std::sync::{Arc, Mutex};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};
use tokio::sync::watch;
use tracing::warn;

/// Root certificates that vouch for clients; `None` while there are none, and nobody is vouched for.
pub type Roots = watch::Receiver<Option<Arc<[CertificateDer<'static>]>>>;

type Certificates = Arc<[CertificateDer<'static>]>;

struct Following {
    roots: Roots,
    provider: Arc<CryptoProvider>,
    /// The verifier of the roots that it was made for.
    current: Mutex<Option<(Certificates, Arc<dyn ClientCertVerifier>)>>,
}

/// Clients may come without a certificate; one that they have must lead to a root of the moment.
pub(super) fn verifier(roots: Roots, provider: Arc<CryptoProvider>) -> Arc<dyn ClientCertVerifier> {
    Arc::new(Following {
        roots,
        provider,
        current: Mutex::new(None),
    })
}

impl Following {
    /// The verifier of the roots of the moment.
    fn verifier(&self) -> Option<Arc<dyn ClientCertVerifier>> {
        let roots = self.roots.borrow().clone()?;
        let mut current = self.current.lock().expect("no panic while it is held");
        if let Some((made_for, verifier)) = &*current
            && Arc::ptr_eq(made_for, &roots)
        {
            return Some(verifier.clone());
        }
        let mut store = RootCertStore::empty();
        let (_, unusable) = store.add_parsable_certificates(roots.iter().cloned());
        if unusable > 0 {
            warn!("{unusable} of the roots cannot be used to judge client certificates");
        }
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(store), self.provider.clone())
                .build()
                .inspect_err(|error| warn!(%error, "client certificates cannot be judged"))
                .ok()?;
        *current = Some((roots, verifier.clone()));
        Some(verifier)
    }
}

impl fmt::Debug for Following {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Following(present: {})", self.roots.borrow().is_some())
    }
}

impl ClientCertVerifier for Following {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// None: clients have one certificate and need no hint, and a hint would be of an earlier moment.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        self.verifier()
            .ok_or(unknown)?
            .verify_client_cert(leaf, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
